//! The DSSE envelope: bytes, what they are, and who signed them.
//!
//! As the specification has it: <https://github.com/secure-systems-lab/dsse>, protocol version
//! 1.0.0 and the JSON envelope. What is signed is not the payload but its *pre-authentication
//! encoding*, which holds the payload's type too, so a signature over a release can never pass
//! for one over something else.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::keys::SigningKey;

/// More signatures than anybody needs, and few enough to try them all.
const MOST_SIGNATURES: usize = 16;

/// An envelope as it was read: nothing is believed yet.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) payload_type: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug)]
pub(crate) struct Signature {
    /// What the envelope says which key it is. A hint for messages: anybody can write anything
    /// there.
    pub(crate) keyid: String,
    pub(crate) bytes: [u8; 64],
}

/// The JSON form. A field that the specification does not have is refused: there is no reason for
/// one, and a strict form leaves less room for two readers to see two things.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    payload: String,
    payload_type: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written =
            serde_json::from_slice(bytes).map_err(|e| format!("it is no DSSE envelope: {e}"))?;
        let payload = decode(&written.payload)
            .ok_or("the payload of its envelope is not base64".to_owned())?;
        if written.signatures.is_empty() {
            return Err("its envelope has no signature".to_owned());
        }
        if written.signatures.len() > MOST_SIGNATURES {
            return Err(format!(
                "its envelope has {} signatures, and may have {MOST_SIGNATURES}",
                written.signatures.len()
            ));
        }
        let mut signatures = Vec::new();
        for signature in written.signatures {
            let bytes = decode(&signature.sig)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or("a signature of its envelope is not 64 bytes in base64".to_owned())?;
            signatures.push(Signature {
                keyid: signature.keyid,
                bytes,
            });
        }
        Ok(Self {
            payload_type: written.payload_type,
            payload,
            signatures,
        })
    }

    /// What the signatures are over.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }
}

/// Signs a payload, and writes it down with its signature.
pub(crate) fn seal(payload_type: &str, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&pre_authentication_encoding(payload_type, payload));
    let written = Written {
        payload: BASE64_STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![WrittenSignature {
            keyid: key.public().id().to_string(),
            sig: BASE64_STANDARD.encode(signature),
        }],
    };
    let text = serde_json::json!(written);
    format!("{text:#}\n").into_bytes()
}

/// `PAE` of the DSSE protocol.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// Either alphabet, as the protocol demands, with padding and without stray bits.
fn decode(text: &str) -> Option<Vec<u8>> {
    let standard = BASE64_STANDARD.decode(text).ok();
    standard.or_else(|| BASE64_URL_SAFE.decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the DSSE protocol.
    #[test]
    fn what_is_signed_is_what_the_protocol_says() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    /// The same message, signed with `openssl pkeyutl -sign -rawin`.
    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        let mut secret = [0; 32];
        let pem = BASE64_STANDARD
            .decode("MC4CAQAwBQYDK2VwBCIEIN0+CPop46a+9bNzi6ZvEl9nNr+69ZsUHwl2x1ZxtBtM")
            .unwrap();
        secret.copy_from_slice(&pem[16..]);
        let key = SigningKey::from_random(secret);
        let sealed = seal("http://example.com/HelloWorld", b"hello world", &key);
        let envelope = Envelope::parse(&sealed).unwrap();
        assert_eq!(
            BASE64_STANDARD.encode(envelope.signatures[0].bytes),
            "QWL1mJYGrWFpuHBcLLNjiE8JRqzAGzkAnDxhBMNU719xr8umfNnMS79Sci+GvXs+DuDgR27bqKkKTjWCy0nWAQ=="
        );
        assert!(
            key.public()
                .verifies(&envelope.signed_bytes(), &envelope.signatures[0].bytes)
        );
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        let encoded = pre_authentication_encoding("ä", "ö€".as_bytes());
        assert_eq!(encoded, "DSSEv1 2 ä 5 ö€".as_bytes());
        assert_eq!(pre_authentication_encoding("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn the_envelope_of_the_protocol_is_read() {
        let envelope = Envelope::parse(
            br#"{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#,
        )
        .unwrap();
        assert_eq!(envelope.payload, b"hello world");
        assert_eq!(envelope.payload_type, "http://example.com/HelloWorld");
        assert_eq!(envelope.signatures.len(), 1);
        assert_eq!(envelope.signatures[0].keyid, "");
    }

    #[test]
    fn both_alphabets_of_base64_are_read_and_no_mixture() {
        assert_eq!(decode("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("-_8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("+_8="), None, "one text, one alphabet");
        assert_eq!(decode("+/9="), None, "stray bits");
        assert_eq!(decode("+/8"), None, "no padding");
    }

    #[test]
    fn an_envelope_is_read_strictly() {
        let sig = BASE64_STANDARD.encode([0; 64]);
        let good = format!(
            r#"{{"payload":"","payloadType":"t","signatures":[{{"keyid":"k","sig":"{sig}"}}]}}"#
        );
        Envelope::parse(good.as_bytes()).unwrap();
        let many = vec![format!(r#"{{"sig":"{sig}"}}"#); MOST_SIGNATURES + 1].join(",");
        for (from, to, says) in [
            (r#""payload":"","#, "", "missing field `payload`"),
            (
                r#""payload":"","#,
                r#""payload":"","payload":"","#,
                "duplicate field `payload`",
            ),
            (
                r#""payload":"","#,
                r#""payload":"","more":1,"#,
                "unknown field `more`",
            ),
            (
                r#""keyid":"k","#,
                r#""keyid":"k","alg":"none","#,
                "unknown field `alg`",
            ),
            (r#""payload":"","#, r#""payload":"?","#, "not base64"),
            ("]}", "]} more", "trailing characters"),
            (&sig, "AAAA", "not 64 bytes"),
            (
                &format!(r#"{{"keyid":"k","sig":"{sig}"}}"#),
                "",
                "no signature",
            ),
            (
                &format!(r#"{{"keyid":"k","sig":"{sig}"}}"#),
                &many,
                "17 signatures, and may have 16",
            ),
        ] {
            let bad = good.replace(from, to);
            let error = Envelope::parse(bad.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
