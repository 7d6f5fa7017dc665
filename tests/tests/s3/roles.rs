//! Credentials that nobody writes down: of a service account, of a container, of a machine. Who gives
//! them is made up, and what it gives is real: MinIO's own, which end after a while.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use http::{Method, Request, header};
use lake_tests::{csv, reading};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::place::{Place, at_endpoint};
use crate::server::{PASSWORD, Server, USER};

/// What MinIO has given for a while.
struct Given {
    key: String,
    secret: String,
    token: String,
    until: String,
}

impl Given {
    fn by(server: &Server) -> Self {
        let form = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600";
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", server.url()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned().into())
            .unwrap();
        let root = AwsCredential {
            key_id: USER.to_owned(),
            secret_key: PASSWORD.to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&root, "sts", "us-east-1").authorize(&mut request, None);
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "POST / HTTP/1.1\r\nConnection: close\r\n").unwrap();
        write!(stream, "Content-Length: {}\r\n", form.len()).unwrap();
        if !request.headers().contains_key(header::HOST) {
            write!(stream, "Host: {}\r\n", server.address).unwrap();
        }
        for (name, value) in request.headers() {
            write!(stream, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        write!(stream, "\r\n{form}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let of = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        Self {
            key: of("AccessKeyId"),
            secret: of("SecretAccessKey"),
            token: of("SessionToken"),
            until: of("Expiration"),
        }
    }

    fn json(&self) -> String {
        json!({
            "AccessKeyId": self.key,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": self.until,
        })
        .to_string()
    }

    fn xml(&self) -> String {
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            self.key, self.secret, self.token, self.until
        )
    }
}

/// What was asked, its line and its headers, in small letters but for the line.
type Asked = Vec<String>;

/// Answers requests as it was told to, and remembers them.
struct Issuer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Issuer {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        Self::listen(answer, |stream| stream)
    }

    /// One that is asked over TLS, and the certificate of who vouches for it: itself.
    fn start_tls(answer: impl Fn(&str) -> String + Send + 'static) -> (Self, String) {
        let names = vec!["localhost".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let issuer = Self::listen(answer, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            StreamOwned::new(connection, stream)
        });
        (issuer, own.cert.pem())
    }

    fn listen<S: Read + Write>(
        answer: impl Fn(&str) -> String + Send + 'static,
        open: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = open(stream.unwrap());
                // Who does not trust the certificate says nothing more.
                let Some(request) = head(&mut stream) else {
                    continue;
                };
                let body = answer(&request[0]);
                heard.lock().unwrap().push(request);
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
                let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
                let _ = stream.flush();
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// The lines of a request up to its body, which none of these have.
fn head(stream: &mut impl Read) -> Option<Asked> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().lines();
    let first = lines.next()?.to_owned();
    let headers = lines.map(str::to_lowercase);
    Some([first].into_iter().chain(headers).collect())
}

/// Runs on a bucket with nothing but these variables, and says nothing of what it was given.
#[track_caller]
fn publishes_with(place: &Place, given: &Given, variables: &[(&str, &str)]) {
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    let mut lake = at_endpoint(&place.server.url(), place.lake_of_no_one());
    for (name, value) in variables {
        lake = lake.variable(name, value);
    }
    let ended = lake.run(&["-vv", "--log-format", "json", "--output", "json"]);
    ended.assert(0, &[]);
    assert_eq!(lake.rows("SELECT * FROM standard.readings").len(), 1);
    for secret in [&given.secret, &given.token] {
        assert!(!ended.stdout.contains(secret.as_str()), "stdout");
        assert!(!ended.stderr.contains(secret.as_str()), "stderr");
    }
}

#[test]
fn a_kubernetes_service_account_reads_and_writes_by_its_web_identity() {
    const CANARY: &str = "canary-of-a-service-account";
    let place = Place::new();
    let given = Given::by(&place.server);
    let answer = given.xml();
    let (sts, certificate) = Issuer::start_tls(move |_| answer.clone());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, CANARY).unwrap();
    // As for everybody with a certificate authority of his own.
    let trusted = directory.path().join("ca.pem");
    fs::write(&trusted, certificate).unwrap();
    let endpoint = format!("https://localhost:{}", sts.address.port());
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/lake"),
        ("AWS_ENDPOINT_URL_STS", &endpoint),
        ("SSL_CERT_FILE", trusted.to_str().unwrap()),
    ];
    publishes_with(&place, &given, &identity);
    let asked = sts.asked();
    for request in &asked {
        let line = &request[0];
        for part in ["AssumeRoleWithWebIdentity", "role%2Flake", CANARY] {
            assert!(line.contains(part), "{line}");
        }
    }
    // One command, one token: that of the run, and that of the query.
    assert_eq!(asked.len(), 2, "{asked:?}");

    // Nobody is told the token who is not trusted, or without encryption; and what went wrong is said
    // without it.
    for (name, value, said) in [
        ("SSL_CERT_FILE", "/dev/null", "certificate"),
        ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1", "scheme"),
    ] {
        let mut lake = at_endpoint(&place.server.url(), place.lake_of_no_one());
        for (known, usual) in &identity {
            lake = lake.variable(known, if *known == name { value } else { usual });
        }
        let ended = lake.variable("AWS_MAX_ATTEMPTS", "1").run(&["-vv"]);
        ended.assert(1, &[said]);
        assert!(!ended.stderr.contains(CANARY), "{name}");
    }
    assert_eq!(sts.asked().len(), 2);
}

#[test]
fn a_pod_reads_and_writes_by_the_credentials_of_its_container() {
    let place = Place::new();
    let given = Given::by(&place.server);
    let answer = given.json();
    let agent = Issuer::start(move |_| answer.clone());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "canary-of-a-pod").unwrap();
    let url = format!("{}/v1/credentials", agent.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.to_str().unwrap(),
        ),
    ];
    publishes_with(&place, &given, &variables);
    for request in agent.asked() {
        assert_eq!(request[0], "GET /v1/credentials HTTP/1.1");
        let sent = "authorization: canary-of-a-pod".to_owned();
        assert!(request.contains(&sent), "{request:?}");
    }
}

#[test]
fn a_machine_reads_and_writes_by_its_role() {
    let place = Place::new();
    let given = Given::by(&place.server);
    let answer = given.json();
    let metadata = Issuer::start(move |line| match line.split(' ').nth(1) {
        Some("/latest/api/token") => "canary-of-a-machine".to_owned(),
        Some(path) if path.ends_with("/security-credentials/") => "lake-role".to_owned(),
        _ => answer.clone(),
    });
    publishes_with(
        &place,
        &given,
        &[("AWS_METADATA_ENDPOINT", &metadata.url())],
    );
    let asked = metadata.asked();
    let lines: Vec<&str> = asked.iter().map(|request| request[0].as_str()).collect();
    assert_eq!(
        lines[..3],
        [
            "PUT /latest/api/token HTTP/1.1",
            "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1",
            "GET /latest/meta-data/iam/security-credentials/lake-role HTTP/1.1",
        ]
    );
    let sent = "x-aws-ec2-metadata-token: canary-of-a-machine".to_owned();
    assert!(asked[2].contains(&sent), "{asked:?}");
}
