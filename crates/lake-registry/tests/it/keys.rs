//! Keys and the file that says which are trusted.

use std::path::Path;

use lake_registry::{Error, PublicKey, SigningKey, TrustedKeys};

use crate::support::key;

/// `openssl genpkey -algorithm ed25519`.
const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIN0+CPop46a+9bNzi6ZvEl9nNr+69ZsUHwl2x1ZxtBtM
-----END PRIVATE KEY-----
";
/// `openssl pkey -pubout`.
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAMrq6Y7njhmuxMWjpp61fdTkilAu1po1LTyyTXd1tybk=
-----END PUBLIC KEY-----
";
/// `openssl pkey -pubout -outform DER | base64`.
const PUBLIC_DER: &str = "MCowBQYDK2VwAyEAMrq6Y7njhmuxMWjpp61fdTkilAu1po1LTyyTXd1tybk=";
/// The last 32 bytes of that.
const PUBLIC_RAW: &str = "Mrq6Y7njhmuxMWjpp61fdTkilAu1po1LTyyTXd1tybk=";
/// `sha256sum` of those.
const ID: &str = "1a591aaae418fa49c9051f0db749dec8196bd6bd1a94e8f3e1befbc79a0bccb3";
/// A key for X25519, which agrees on secrets and signs nothing.
const OTHER_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAacmBDCCMCI4nGABpAI1X2uvtHIqZK7fL9WYyMx5OA1s=
-----END PUBLIC KEY-----
";

#[test]
fn a_key_of_openssl_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, PRIVATE_PEM).unwrap();
    let key = SigningKey::read(&path).unwrap();
    assert_eq!(key.public().id().to_string(), ID);
    assert_eq!(key.public().to_base64(), PUBLIC_RAW);
    assert_eq!(key.public().to_pem().unwrap(), PUBLIC_PEM);
}

#[test]
fn a_public_key_is_read_in_each_way_that_people_have_it() {
    let crlf = PUBLIC_PEM.replace('\n', "\r\n");
    let indented = format!("\n  {PUBLIC_RAW}  \n");
    for text in [PUBLIC_PEM, PUBLIC_DER, PUBLIC_RAW, &crlf, &indented] {
        assert_eq!(
            PublicKey::parse(text).unwrap().id().to_string(),
            ID,
            "{text}"
        );
    }
}

#[test]
fn a_key_is_written_as_openssl_writes_it_and_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (
        directory.path().join("a.pem"),
        directory.path().join("b.pem"),
    );
    std::fs::write(&from, PRIVATE_PEM).unwrap();
    let key = SigningKey::read(&from).unwrap();
    key.write_new(&to).unwrap();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), PRIVATE_PEM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = key.write_new(&to).unwrap_err();
    assert!(
        matches!(again, Error::Io { path, .. } if path == to),
        "a key is not overwritten"
    );
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?}", key(7));
    assert!(shown.starts_with("SigningKey(KeyId("), "{shown}");
    assert!(
        !shown.contains(&"07".repeat(8)) && !shown.contains("7, 7"),
        "{shown}"
    );
}

#[test]
fn what_is_no_private_key_is_told_with_how_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    for text in [
        "",
        PUBLIC_PEM,
        "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = SigningKey::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("key.pem: it holds no Ed25519 private key"),
            "{error}"
        );
        assert!(error.ends_with("`lake plugin key` makes one"), "{error}");
    }
    let missing = SigningKey::read(&directory.path().join("none.pem")).unwrap_err();
    assert!(missing.to_string().contains("none.pem: "), "{missing}");
}

#[test]
fn what_is_no_public_key_is_told_with_what_one_looks_like() {
    let says_nothing = "this is no Ed25519 public key; one is PEM (`-----BEGIN PUBLIC KEY-----`), \
                        or base64 of its 32 bytes";
    for text in [
        "",
        "AAAA",
        "Mrq6Y7njhmuxMWjpp61fdTkilAu1po1LTyyTXd1tyb",
        OTHER_PEM,
    ] {
        assert_eq!(
            PublicKey::parse(text).unwrap_err().to_string(),
            says_nothing,
            "{text}"
        );
    }
    let private = PublicKey::parse(PRIVATE_PEM).unwrap_err().to_string();
    assert!(
        private.starts_with("this is a private key, which nobody but its owner"),
        "{private}"
    );
    // The neutral element: with it, one signature fits every message.
    let weak = format!("AQ{}=", "A".repeat(41));
    let weak = PublicKey::parse(&weak).unwrap_err().to_string();
    assert_eq!(
        weak,
        "this key accepts signatures that nobody made; use another"
    );
}

fn parse(text: &str) -> Result<TrustedKeys, String> {
    TrustedKeys::parse(text, Path::new("keys.toml")).map_err(|e| e.to_string())
}

#[test]
fn a_file_of_trusted_keys_is_read() {
    let keys = parse(&format!(
        r#"
# Ours.
[[key]]
name = "meters team 2026"
public = "{PUBLIC_RAW}"
valid_from = 2026-01-01
valid_until = 2027-01-01T06:30:00
transforms = ["utility"]

[[key]]
name = "old"
public = """
-----BEGIN PUBLIC KEY-----
{}
-----END PUBLIC KEY-----
"""
revoked = "laptop was stolen"
"#,
        "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    ))
    .unwrap();
    let [new, old] = keys.keys() else {
        panic!("two keys")
    };
    assert_eq!(new.name, "meters team 2026");
    assert_eq!(new.public.id().to_string(), ID);
    assert_eq!(
        new.valid_from.unwrap().to_rfc3339(),
        "2026-01-01T00:00:00+00:00"
    );
    assert_eq!(
        new.valid_until.unwrap().to_rfc3339(),
        "2027-01-01T06:30:00+00:00"
    );
    assert_eq!(new.transforms.as_deref(), Some(&["utility".to_owned()][..]));
    assert_eq!(new.revoked, None);
    assert_eq!(
        old.revoked.as_ref().unwrap().reason.as_deref(),
        Some("laptop was stolen")
    );
    assert!(parse("").unwrap().keys().is_empty());
}

#[test]
fn a_fault_in_the_file_is_told_with_line_and_key() {
    let with = |line: &str| format!("[[key]]\nname = \"us\"\npublic = \"{PUBLIC_RAW}\"\n{line}\n");
    for (text, says) in [
        ("[[key]\n".to_owned(), "keys.toml:1: "),
        (
            "[[key]]\npublic = \"x\"\n".to_owned(),
            "keys.toml:1: missing field `name`",
        ),
        (
            "[[key]]\nname = \"us\"\n\npublic = \"AAAA\"\n".to_owned(),
            "keys.toml:4: key \"us\": this is no Ed25519 public key",
        ),
        (
            "[[key]]\nname = \" \"\npublic = \"AAAA\"\n".to_owned(),
            "keys.toml:2: a key needs a name, for messages",
        ),
        (
            with("expires = 2027-01-01"),
            "keys.toml:4: unknown field `expires`",
        ),
        (with("valid_until = \"2027-01-01\""), "keys.toml:4: "),
        (
            with("valid_until = 06:00:00"),
            "keys.toml:4: key \"us\": valid_until is a day or an instant, as 2027-01-01 or \
             2027-01-01T06:00:00Z",
        ),
        (
            with("valid_from = 2027-01-01\nvalid_until = 2027-01-01"),
            "keys.toml:5: key \"us\": valid_until is not after valid_from, so the key is never valid",
        ),
        (
            with("transforms = []"),
            "keys.toml:4: key \"us\": transforms is empty, so the key may sign nothing",
        ),
        (
            with("revoked = 7"),
            "keys.toml:4: `revoked` is a reason in quotes, true or false",
        ),
        (
            with("") + &with(""),
            "keys.toml:5: there are two keys named \"us\"; give each its own",
        ),
        (
            with("") + &with("revoked = true").replace("\"us\"", "\"them\""),
            "keys.toml:5: \"us\" and \"them\" are the same key",
        ),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with(says), "{error}\nand not\n{says}");
    }
}

#[test]
fn a_file_that_is_not_there_is_not_an_empty_one() {
    let error = TrustedKeys::read(Path::new("no/such/keys.toml")).unwrap_err();
    assert!(
        error.to_string().starts_with("no/such/keys.toml: "),
        "{error}"
    );
}
