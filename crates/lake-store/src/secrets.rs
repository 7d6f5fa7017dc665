//! What must not be said.

use std::fmt;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Values that are shorter are no secrets, and would be found everywhere.
const SHORTEST: usize = 8;

/// How much of an answer that is no error document of a store is repeated.
const REPEATED: usize = 300;

/// The values of environment variables that nobody may see.
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those of the variables whose names say so.
    pub(crate) fn of(variables: &[(String, String)]) -> Self {
        let secret = variables.iter().filter(|(name, value)| {
            let name = name.to_ascii_uppercase();
            let says_so = ["KEY", "SECRET", "TOKEN", "PASSWORD", "SAS", "CREDENTIAL"];
            let is_file = name.ends_with("_FILE") || name.ends_with("_URI");
            !is_file && value.len() >= SHORTEST && says_so.iter().any(|word| name.contains(word))
        });
        let mut values: Vec<String> = secret.map(|(_, value)| value.clone()).collect();
        // One that is a part of another would leave the rest of it.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// A text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let hidden = |text: String, secret: &String| text.replace(secret.as_str(), HIDDEN);
        self.0.iter().fold(text.to_owned(), hidden)
    }

    /// What an error document says: code and message. The rest of it can repeat what was signed, a
    /// session token included (`CanonicalRequest` of S3's `SignatureDoesNotMatch`).
    pub(crate) fn brief(&self, document: &str) -> String {
        let said = match (element(document, "Code"), element(document, "Message")) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
            (Some(code), _) => code.to_owned(),
            _ => document.chars().take(REPEATED).collect(),
        };
        self.hide(&said)
    }
}

/// The text of the first element of this name.
fn element<'d>(document: &'d str, name: &str) -> Option<&'d str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(variables: &[(&str, &str)]) -> Secrets {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Secrets::of(&variables.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn of_an_error_document_only_code_and_message_are_repeated() {
        let secrets = secrets(&[("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")]);
        let document = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
                        <Message>not with hunter2hunter2</Message><CanonicalRequest>\
                        x-amz-security-token:abc</CanonicalRequest></Error>";
        assert_eq!(
            secrets.brief(document),
            "SignatureDoesNotMatch: not with ***"
        );
        assert_eq!(secrets.brief("<Error><Code>X</Code></Error>"), "X");
        assert_eq!(secrets.brief("gateway of hunter2hunter2"), "gateway of ***");
    }

    #[test]
    fn a_secret_that_contains_another_one_is_hidden_as_a_whole() {
        let secrets = secrets(&[
            ("AWS_ACCESS_KEY_ID", "12345678"),
            ("AWS_SESSION_TOKEN", "x12345678y"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
            ("AWS_REGION", "us-east-1"),
        ]);
        let shown = secrets.hide("x12345678y 12345678 /var/run/token us-east-1");
        assert_eq!(shown, "*** *** /var/run/token us-east-1");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}
