//! What signs requests is said nowhere.

use lake_testing::{Requests, WireFault};
use lake_tests::{Ended, csv, reading};

use crate::place::{Place, on_pipeline};
use crate::server::PASSWORD;

const TOKEN: &str = "canary-token-71c05ab2de";

#[track_caller]
fn assert_silent(what: &str, text: &[u8]) {
    for secret in [PASSWORD, TOKEN] {
        let found = text
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{what} says a secret");
    }
}

#[track_caller]
fn assert_silence(what: &str, ended: &Ended) {
    assert_silent(what, ended.stdout.as_bytes());
    assert_silent(what, ended.stderr.as_bytes());
}

#[test]
fn no_log_error_plan_table_or_object_has_a_secret_in_it() {
    let place = Place::new();
    place.put(
        "data/1.csv",
        csv([reading(1, 1, 1, 0, "1.5"), "garbage".into()]),
    );
    let lake = place.lake();
    for (command, more) in [
        ("validate", vec![]),
        ("plan", vec!["--output", "json"]),
        (
            "run",
            vec!["-vv", "--log-format", "json", "--output", "json"],
        ),
        ("plan", vec!["-vv"]),
        ("history", vec!["--output", "json"]),
        ("rollback", vec!["--version", "0", "--dry-run", "-vv"]),
        (
            "query",
            vec!["SELECT * FROM _lake.runs", "--output", "json"],
        ),
        (
            "query",
            vec!["SELECT * FROM _lake.files", "--output", "json"],
        ),
    ] {
        let ended = on_pipeline(&lake, &[command], &more);
        ended.assert(0, &[]);
        assert_silence(command, &ended);
    }
    for name in place.objects("").into_keys() {
        assert_silent(&name, &place.read(&name));
    }
}

#[test]
fn no_refusal_of_the_store_has_a_secret_in_it() {
    let place = Place::new();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    // A session token that is none: it is part of what is signed, and of what the store repeats.
    let token = place.lake().variable("AWS_SESSION_TOKEN", TOKEN);
    let ended = token.run(&["-vv"]);
    ended.assert(1, &[]);
    assert_silence("a refused token", &ended);
    let wire = place.wire();
    for status in [400, 403, 409, 500] {
        let code = "SignatureDoesNotMatch";
        let on = Requests::any().nth(3).always();
        wire.inject(on, WireFault::Refuse { status, code });
        let lake = place.lake_through(&wire).variable("AWS_MAX_ATTEMPTS", "2");
        let ended = lake.run(&["-vv", "--output", "json"]);
        assert_ne!(ended.code, 0);
        assert_silence("a refusal", &ended);
        wire.heal();
    }
}

/// A password in a place where none belongs.
#[test]
fn a_url_with_a_password_is_refused_and_not_repeated() {
    let place = Place::new();
    let lake = place.lake();
    let url = format!("s3://user:{PASSWORD}@lake/x");
    let signed = format!("https://host/b/p.yaml?X-Amz-Signature={PASSWORD}");
    let pipeline = lake.pipeline().to_str().unwrap();
    let input = format!("readings={url}/*.csv");
    let query = format!("s3://lake/x?X-Amz-Signature={PASSWORD}");
    let file = format!("{url}/1.csv");
    for arguments in [
        vec!["run", pipeline, "--root", &url],
        vec!["run", pipeline, "--root", &query],
        vec!["run", pipeline, "--input", &input],
        vec!["run", &file],
        vec!["run", &signed],
        vec!["inspect", &file],
        vec!["inspect", &signed],
        vec!["skip", pipeline, &file],
        vec!["plugin", "list", "--registry", &url],
    ] {
        let ended = lake.lake(&arguments);
        assert_ne!(ended.code, 0);
        assert_silence(arguments[0], &ended);
    }
    let endpoint = format!("http://user:{PASSWORD}@127.0.0.1:1");
    let ended = place
        .lake()
        .variable("AWS_ENDPOINT_URL", &endpoint)
        .variable("AWS_ALLOW_HTTP", "false")
        .run(&[]);
    ended.assert(2, &["AWS_ALLOW_HTTP=true"]);
    assert_silence("an endpoint", &ended);
}
