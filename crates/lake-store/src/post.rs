//! Handing a few bytes to a server that is no store.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use percent_encoding::percent_decode_str;
use reqwest::Client;
use reqwest::redirect::Policy;
use url::Url;

use crate::shown;
use crate::transport::causes;

/// How much of what a server complains about is repeated.
const REPEATED: usize = 300;

/// Why a server has not taken something. It says nothing that the URL keeps secret.
#[derive(Debug, thiserror::Error)]
pub enum NotPosted {
    /// The URL is none, or its server cannot be asked.
    #[error("it is no URL that can be posted to: {0}")]
    Url(String),
    /// Nothing came back.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("it gave no answer within {0:?}")]
    Late(Duration),
    /// It has said no.
    #[error("it answers {status}{said}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What it said, behind a colon.
        said: String,
    },
}

/// Posts `body` once, and gives the answer. A user and a password in the URL are sent as such
/// (`Authorization: Basic`), and not as a part of it.
///
/// # Errors
/// Where no answer of the kind 2xx has come within `patience`.
pub async fn post(
    url: &Url,
    content_type: &'static str,
    body: String,
    patience: Duration,
) -> Result<String, NotPosted> {
    let mut place = url.clone();
    // Neither can fail for a URL with a host, and others are refused by the client.
    let _ = place.set_username("");
    let _ = place.set_password(None);
    place.set_fragment(None);
    let client = Client::builder()
        .user_agent(concat!("lake/", env!("CARGO_PKG_VERSION")))
        // Who is sent elsewhere asks there without the body, and is told that all is well.
        .redirect(Policy::none())
        .timeout(patience)
        .build();
    let client = client.map_err(|error| NotPosted::Url(words(&error)))?;
    let request = client.post(place).header(CONTENT_TYPE, content_type);
    let request = match credentials(url) {
        Some(credentials) => request.header(AUTHORIZATION, credentials),
        None => request,
    };
    let asked = async {
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| match error {
            error if error.is_timeout() => NotPosted::Late(patience),
            error if error.is_builder() => NotPosted::Url(words(&error)),
            error => NotPosted::Unreachable(words(&error)),
        })?;
        let status = answer.status();
        let elsewhere = answer.headers().get(LOCATION);
        let elsewhere = elsewhere.and_then(|place| place.to_str().ok());
        let elsewhere = elsewhere.map(|place| format!(": it is at {}", shown(place)));
        // What is said besides is for people.
        let said = answer.text().await.unwrap_or_default();
        match status.is_success() {
            true => Ok(said),
            false => Err(NotPosted::Refused {
                status: status.as_u16(),
                said: elsewhere.unwrap_or_else(|| briefly(&said)),
            }),
        }
    };
    let asked = tokio::time::timeout(patience, asked).await;
    asked.unwrap_or(Err(NotPosted::Late(patience)))
}

/// All that went wrong. The client's own words have the URL in them.
fn words(error: &reqwest::Error) -> String {
    match causes(error) {
        none if none.is_empty() => "the request cannot be made".to_owned(),
        causes => causes,
    }
}

/// The user and the password of a URL, as a header has them.
fn credentials(url: &Url) -> Option<String> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut plain = percent_decode_str(user).collect::<Vec<u8>>();
    plain.push(b':');
    plain.extend(percent_decode_str(password.unwrap_or_default()));
    Some(format!("Basic {}", BASE64_STANDARD.encode(plain)))
}

/// The first line of what a server says, behind a colon.
fn briefly(said: &str) -> String {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| {
        let line: String = line.chars().take(REPEATED).collect();
        format!(": {line}")
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// A server that takes one request and gives this answer; gives its address, and the request.
    fn server(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !String::from_utf8_lossy(&request).ends_with("measured") {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, thread)
    }

    async fn posted(url: &str, patience: Duration) -> Result<String, NotPosted> {
        let url = url.parse().unwrap();
        post(&url, "text/plain", "measured".to_owned(), patience).await
    }

    #[tokio::test]
    async fn a_body_arrives_and_credentials_go_where_they_belong() {
        let (address, server) = server("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok");
        let url = format!("http://team%40x:p%2Fw@{address}/metrics/job/a%20b");
        assert_eq!(posted(&url, PATIENCE).await.unwrap(), "ok");
        let request = server.join().unwrap().to_lowercase();
        assert!(
            request.starts_with("post /metrics/job/a%20b http/1.1\r\n"),
            "{request}"
        );
        // team@x:p/w
        let expected = format!(
            "authorization: basic {}",
            BASE64_STANDARD.encode("team@x:p/w")
        );
        assert!(request.contains(&expected.to_lowercase()), "{request}");
        assert!(request.contains("content-type: text/plain"), "{request}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_words_of_the_server() {
        let (address, server) =
            server("HTTP/1.1 400 Bad Request\r\ncontent-length: 14\r\n\r\n\nno such label");
        let refused = posted(&format!("http://u:hunter2@{address}/"), PATIENCE).await;
        let said = refused.unwrap_err().to_string();
        assert_eq!(said, "it answers 400: no such label");
        server.join().unwrap();
    }

    #[tokio::test]
    async fn who_is_sent_elsewhere_has_not_been_heard() {
        let (address, server) = server(
            "HTTP/1.1 302 Found\r\nlocation: https://u:hunter2@login.example.com/\r\ncontent-length: 0\r\n\r\n",
        );
        let refused = posted(&format!("http://{address}/"), PATIENCE).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.starts_with("it answers 302: it is at "), "{said}");
        assert!(
            said.contains("login.example.com") && !said.contains("hunter2"),
            "{said}"
        );
        server.join().unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_server_that_is_silent_or_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let patience = Duration::from_millis(200);
        let begun = std::time::Instant::now();
        let late = posted(&format!("http://u:hunter2@{address}/"), patience).await;
        let late = late.unwrap_err();
        assert!(matches!(late, NotPosted::Late(_)), "{late}");
        drop(listener);
        let gone = posted(&format!("http://u:hunter2@{address}/"), PATIENCE).await;
        let gone = gone.unwrap_err();
        assert!(matches!(gone, NotPosted::Unreachable(_)), "{gone}");
        assert!(!format!("{gone:?}").contains("hunter2"), "{gone:?}");
        assert!(begun.elapsed() < PATIENCE);
    }
}
