//! URLs of object stores, as people write them.

use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};

/// Whether a text is a URL, and not a path of this machine.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// A URL as it may be said: without what stands in front of an `@`, which may be a password, and
/// without its query, which may be a signature.
#[must_use]
pub fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", hidden(rest)),
        None => url.to_owned(),
    }
}

/// The same, of what stands behind the scheme.
fn hidden(rest: &str) -> String {
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?…"),
        None => (rest, ""),
    };
    match credentials(rest) {
        Some((_, place)) => format!("…@{place}{query}"),
        None => format!("{rest}{query}"),
    }
}

/// A user and a password, and what stands behind them. Secrets may have slashes in them, and keys an
/// `@`: what begins like a user and a password counts as one.
fn credentials(rest: &str) -> Option<(&str, &str)> {
    let host = rest.split('/').next().unwrap_or_default();
    match host.contains([':', '@']) {
        true => rest.rsplit_once('@'),
        false => None,
    }
}

/// Which client a store needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    S3,
    Google,
    Azure,
}

/// A bucket (in Azure, a container), and how its URL begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub(crate) provider: Provider,
    scheme: &'static str,
    name: String,
}

impl Bucket {
    /// Splits `s3://bucket/some/key` into the bucket and the key, which may be empty. Nothing in
    /// the key is decoded: it is the name that the object has, `?` and `#` included.
    ///
    /// # Errors
    /// [`Error::Location`] for another scheme, for a URL without a bucket, with a user or a port,
    /// and for keys that cannot be written as a path.
    pub fn split(url: &str) -> Result<(Self, Path)> {
        let refuse = |reason: &str| Error::Location {
            location: shown(url),
            reason: reason.to_owned(),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if credentials(rest).is_some() {
            return Err(refuse(
                "a URL has no user and no password in it; give credentials as environment \
                 variables (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for instance)",
            ));
        }
        let (scheme, provider) = match scheme {
            "s3" => ("s3", Provider::S3),
            "gs" => ("gs", Provider::Google),
            "az" => ("az", Provider::Azure),
            "s3a" | "s3n" => {
                return Err(refuse(&format!("write it as s3://{}", hidden(rest))));
            }
            _ => {
                return Err(refuse(
                    "lake reads and writes s3://bucket/…, gs://bucket/…, az://container/… and \
                     directories of this machine",
                ));
            }
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(refuse(
                "behind :// stands the name of a bucket, of letters, digits, -, _ and .",
            ));
        }
        let key = Path::parse(key).map_err(|error| refuse(&error.to_string()))?;
        let name = name.to_owned();
        Ok((
            Self {
                provider,
                scheme,
                name,
            },
            key,
        ))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the URL of everything in it begins: `s3://bucket`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}://{}", self.scheme, self.name)
    }

    /// The URL of an object in it, as it would be written.
    #[must_use]
    pub fn url_of(&self, key: &Path) -> String {
        format!("{}/{key}", self.prefix())
    }

    /// The URL of a directory in it, which ends with a slash.
    ///
    /// # Errors
    /// [`Error::Location`] where the key has characters that would have to be encoded: programs
    /// differ in whether they decode them.
    pub fn directory(&self, key: &Path) -> Result<Url> {
        let text = match key.as_ref() {
            "" => format!("{}/", self.prefix()),
            key => format!("{}/{key}/", self.prefix()),
        };
        let refuse = |reason: &str| Error::Location {
            location: shown(&text),
            reason: reason.to_owned(),
        };
        let url = Url::parse(&text).map_err(|error| refuse(&error.to_string()))?;
        match url.as_str() == text && !text.contains(['%', '?', '#']) {
            true => Ok(url),
            false => Err(refuse(
                "tables cannot be kept under a name with spaces, % or other characters that a URL \
                 has to encode; choose another prefix",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_bucket_and_key_as_they_are_written() {
        let (bucket, key) = Bucket::split("s3://lake-1.x/a/b c%20d.csv").unwrap();
        assert_eq!((bucket.name(), key.as_ref()), ("lake-1.x", "a/b c%20d.csv"));
        assert_eq!(bucket.url_of(&key), "s3://lake-1.x/a/b c%20d.csv");
        for (url, prefix, key) in [
            ("gs://b", "gs://b", ""),
            ("az://c/", "az://c", ""),
            ("s3://b/p/", "s3://b", "p"),
        ] {
            let (bucket, found) = Bucket::split(url).unwrap();
            assert_eq!((bucket.prefix().as_str(), found.as_ref()), (prefix, key));
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_to_write() {
        for (url, expected) in [
            ("s3a://b/p", "write it as s3://b/p"),
            ("ftp://b/p", "s3://bucket/"),
            ("s3://", "the name of a bucket"),
            ("s3:///p", "the name of a bucket"),
            ("s3://b:9000/p", "the name of a bucket"),
            ("s3://b/a//b", "empty"),
        ] {
            let error = Bucket::split(url).unwrap_err().to_string();
            let found = error.to_lowercase().contains(expected);
            assert!(found, "{url}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = Bucket::split("s3://key:hunter2@b/p")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
        for (url, expected) in [
            ("https://h/b/k?X-Amz-Signature=hunter2", "https://h/b/k?…"),
            ("s3a://u:hunter2@b/k", "s3a://…@b/k"),
            ("s3://u:hun/ter2@b/k", "s3://…@b/k"),
            ("az://c?sig=hunter2", "az://c?…"),
            ("s3://b", "s3://b"),
            ("s3://b/a@b.csv", "s3://b/a@b.csv"),
            ("s3://b/a?b", "s3://b/a?…"),
        ] {
            assert_eq!(shown(url), expected);
        }
        for url in ["s3://AKIA:hun/ter2@b/k", "s3://b/p?sig=hunter2/ter2"] {
            let opened = Bucket::split(url);
            let error = match opened {
                Ok((bucket, key)) => bucket.directory(&key).unwrap_err(),
                Err(error) => error,
            };
            assert!(!error.to_string().contains("ter2"), "{error}");
        }
        let error = Bucket::split("s3a://b/k?sig=hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn tables_are_kept_only_where_every_program_reads_the_url_alike() {
        let directory = |url: &str| {
            let (bucket, key) = Bucket::split(url).unwrap();
            bucket.directory(&key).map(|url| url.to_string())
        };
        assert_eq!(directory("s3://b").unwrap(), "s3://b/");
        assert_eq!(directory("s3://b/p=1/q").unwrap(), "s3://b/p=1/q/");
        for url in [
            "s3://b/a b",
            "s3://b/a%20b",
            "s3://b/ä",
            "s3://b/p?x=1",
            "s3://b/p#x",
        ] {
            directory(url).unwrap_err();
        }
    }
}
