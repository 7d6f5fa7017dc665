//! Who is believed: signatures, keys, and what each key may sign.

use lake_registry::{BadSignature, Error};
use serde_json::json;

use crate::support::{
    Place, TYPE, envelope, place, release, release_json, trusting, trusting_with,
};

/// Why a release is not believed with these trusted keys.
async fn refusal(place: &Place, keys: &[(u8, &str)]) -> String {
    let error = place
        .open_with("1.2.0", &trusting_with(keys))
        .await
        .unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, Error::Signature { .. }), "{shown}");
    let about = "registry/utility/1.2.0/release.json: not signed by a key that is trusted for it: ";
    shown.strip_prefix(about).expect("says where").to_owned()
}

#[tokio::test]
async fn a_key_that_nobody_trusts_is_named() {
    let place = Place::with(&["1.2.0"]).await;
    let id = format!("{:#}", place.key.public().id());
    assert_eq!(id.len(), 16);
    assert_eq!(
        refusal(&place, &[(2, "")]).await,
        format!("key {id} is not among the trusted keys")
    );
    assert_eq!(
        refusal(&place, &[]).await,
        "no keys are trusted; name a file of trusted keys (LAKE_TRUSTED_KEYS)"
    );
}

#[tokio::test]
async fn a_key_counts_from_its_first_instant_to_before_its_last() {
    // The release says that it was published at noon of 2026-03-01.
    let place = Place::with(&["1.2.0"]).await;
    for good in [
        "valid_from = 2026-03-01",
        "valid_from = 2026-03-01T12:00:00Z",
        "valid_from = 2026-03-01T13:00:00+01:00",
        "valid_until = 2026-03-02",
        "valid_until = 2026-03-01T12:00:01Z",
        "valid_from = 2026-01-01\nvalid_until = 2027-01-01",
        "revoked = false",
        "transforms = [\"meters\", \"utility\"]",
    ] {
        let trusted = trusting_with(&[(1, good)]);
        let opened = place.open_with("1.2.0", &trusted).await;
        assert_eq!(opened.unwrap().signed_by()[0].key, "key 1", "{good}");
    }
    for (bad, says) in [
        (
            "valid_until = 2026-03-01T12:00:00Z",
            "key 1 expired 2026-03-01T12:00:00Z and the release was published 2026-03-01T12:00:00Z",
        ),
        (
            "valid_until = 2026-03-01",
            "key 1 expired 2026-03-01T00:00:00Z and the release was published 2026-03-01T12:00:00Z",
        ),
        (
            "valid_from = 2026-03-01T12:00:00.5Z",
            "key 1 is valid from 2026-03-01T12:00:00.500Z and the release was published \
             2026-03-01T12:00:00Z",
        ),
        ("revoked = true", "key 1 is revoked"),
        (
            "revoked = \"laptop was stolen\"",
            "key 1 is revoked (laptop was stolen)",
        ),
        (
            "transforms = [\"meters\", \"sales\"]",
            "key 1 may not sign utility, only meters, sales",
        ),
        // Revoked is revoked, whatever else would be good.
        (
            "valid_until = 2027-01-01\nrevoked = true",
            "key 1 is revoked",
        ),
    ] {
        assert_eq!(refusal(&place, &[(1, bad)]).await, says);
    }
}

#[tokio::test]
async fn one_good_signature_is_enough_and_only_good_ones_are_named() {
    let place = Place::with(&["1.2.0"]).await;
    let payload = place.payload("1.2.0").await;
    place.put_signed("1.2.0", &payload, &[2, 1, 3]).await;
    let trusted = trusting_with(&[(3, "revoked = true"), (1, "")]);
    let opened = place.open_with("1.2.0", &trusted).await.unwrap();
    let signers: Vec<&str> = opened.signed_by().iter().map(|s| s.key.as_str()).collect();
    assert_eq!(signers, ["key 1"]);

    let refused = refusal(
        &place,
        &[(3, "revoked = true"), (1, "valid_until = 2020-01-01")],
    )
    .await;
    assert!(
        refused.contains("; key 1 expired 2020-01-01T00:00:00Z and "),
        "{refused}"
    );
    assert!(refused.ends_with("; key 3 is revoked"), "{refused}");
}

#[tokio::test]
async fn rotation_is_two_keys_in_the_file() {
    let place = Place::with(&["1.0.0"]).await;
    let mut payload = place.payload("1.0.0").await;
    payload["version"] = "1.2.0".into();
    payload["published_at"] = "2026-09-01T00:00:00Z".into();
    let keys = [
        (1, "valid_until = 2026-07-01"),
        (2, "valid_from = 2026-06-01"),
    ];
    let trusted = trusting_with(&keys);
    let old = place.open_with("1.0.0", &trusted).await.unwrap();
    assert_eq!(old.signed_by()[0].key, "key 1");

    place.put_signed("1.2.0", &payload, &[2]).await;
    let new = place.open_with("1.2.0", &trusted).await.unwrap();
    assert_eq!(new.signed_by()[0].key, "key 2");
    place.put_signed("1.2.0", &payload, &[1]).await;
    assert!(refusal(&place, &keys).await.starts_with("key 1 expired"));
}

#[tokio::test]
async fn a_signature_that_was_taken_away_or_copied_is_missed() {
    let place = Place::with(&["1.0.0", "1.2.0"]).await;
    let path = release_json("1.2.0");
    let good: serde_json::Value = serde_json::from_slice(&place.get(&path).await).unwrap();
    let other: serde_json::Value =
        serde_json::from_slice(&place.get(&release_json("1.0.0")).await).unwrap();

    let mut copied = good.clone();
    copied["signatures"] = other["signatures"].clone();
    place.put(&path, copied.to_string()).await;
    let says = "the signature of key 1 does not match: the release or the signature was changed";
    assert_eq!(refusal(&place, &[(1, "")]).await, says);

    let mut stripped = good.clone();
    stripped["signatures"] = json!([]);
    place.put(&path, stripped.to_string()).await;
    let error = place.open("1.2.0").await.unwrap_err().to_string();
    assert!(error.contains("its envelope has no signature"), "{error}");

    let mut removed = good;
    removed.as_object_mut().unwrap().remove("signatures");
    place.put(&path, removed.to_string()).await;
    let error = place.open("1.2.0").await.unwrap_err().to_string();
    assert!(error.contains("missing field `signatures`"), "{error}");
}

#[tokio::test]
async fn what_was_signed_as_something_else_is_no_release() {
    let place = Place::with(&["1.2.0"]).await;
    let payload = place.payload("1.2.0").await.to_string();
    let foreign = envelope("application/vnd.in-toto+json", payload.as_bytes(), &[1]);
    place.put(&release_json("1.2.0"), foreign.to_string()).await;
    let error = place.open("1.2.0").await.unwrap_err().to_string();
    assert!(
        error.contains(
            "its payload is \"application/vnd.in-toto+json\" and not \
             \"application/vnd.lake.release+json\""
        ),
        "{error}"
    );
    // The type is signed too, so it cannot be written over.
    let mut relabelled = foreign;
    relabelled["payloadType"] = TYPE.into();
    place
        .put(&release_json("1.2.0"), relabelled.to_string())
        .await;
    assert!(refusal(&place, &[(1, "")]).await.contains("does not match"));
}

#[tokio::test]
async fn the_hint_which_key_it_was_decides_nothing() {
    let place = Place::with(&["1.2.0"]).await;
    let path = release_json("1.2.0");
    let good: serde_json::Value = serde_json::from_slice(&place.get(&path).await).unwrap();
    let mut hinted = good.clone();
    for hint in [
        json!(""),
        json!("no key at all"),
        json!(trusting(&[2]).keys()[0].public.id().to_string()),
    ] {
        hinted["signatures"][0]["keyid"] = hint;
        place.put(&path, hinted.to_string()).await;
        assert_eq!(
            place.open("1.2.0").await.unwrap().signed_by()[0].key,
            "key 1"
        );
    }
    let mut without = good;
    without["signatures"][0]
        .as_object_mut()
        .unwrap()
        .remove("keyid");
    place.put(&path, without.to_string()).await;
    place.open("1.2.0").await.unwrap();

    // A hint that names a trusted key makes its bearer no more trusted.
    let payload = place.payload("1.2.0").await.to_string();
    let mut forged = envelope(TYPE, payload.as_bytes(), &[9]);
    forged["signatures"][0]["keyid"] = trusting(&[1]).keys()[0].public.id().to_string().into();
    place.put(&path, forged.to_string()).await;
    assert!(
        refusal(&place, &[(1, "")])
            .await
            .starts_with("the signature of key 1 does not match")
    );

    // And what stands there is not written to a terminal as it is.
    forged["signatures"][0]["keyid"] = "\u{1b}[2Jevil".into();
    place.put(&path, forged.to_string()).await;
    assert_eq!(
        refusal(&place, &[(1, "")]).await,
        "key 2Jevil is not among the trusted keys"
    );
}

#[tokio::test]
async fn a_release_of_a_newer_format_asks_for_a_newer_lake() {
    let place = Place::with(&["1.2.0"]).await;
    let payload = json!({"format": 2, "name": "utility"});
    place.put_signed("1.2.0", &payload, &[1]).await;
    assert_eq!(
        place.open("1.2.0").await.unwrap_err().to_string(),
        "registry/utility/1.2.0/release.json: its format is 2 and this lake reads 1; use a newer \
         lake"
    );
}

#[tokio::test]
async fn what_a_newer_publisher_adds_is_skipped() {
    let place = Place::with(&["1.2.0"]).await;
    let mut payload = place.payload("1.2.0").await;
    payload["advice"] = json!({"drink": "water"});
    place.put_signed("1.2.0", &payload, &[1]).await;
    place.open("1.2.0").await.unwrap();
}

#[tokio::test]
async fn every_field_that_is_needed_is_missed_by_name() {
    let place = Place::with(&["1.2.0"]).await;
    let payload = place.payload("1.2.0").await;
    let optional = [
        "published_by",
        "requires_host",
        "licences",
        "source_commit",
        "notes",
    ];
    for field in payload.as_object().unwrap().keys() {
        let mut less = payload.clone();
        less.as_object_mut().unwrap().remove(field);
        place.put_signed("1.2.0", &less, &[1]).await;
        match place.open("1.2.0").await {
            Ok(_) => assert!(optional.contains(&field.as_str()), "{field}"),
            Err(error) => {
                let says = format!("its payload is no release: missing field `{field}`");
                assert!(error.to_string().contains(&says), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn publishers_believe_what_they_have_signed() {
    let place = Place::with(&["1.2.0"]).await;
    let own = place.key.public();
    let trusted = trusting(&[2]).with("this publisher", own);
    let opened = place.open_with("1.2.0", &trusted).await.unwrap();
    assert_eq!(opened.signed_by()[0].key, "this publisher");
    // Not where the file says that the key is revoked.
    let revoked = trusting_with(&[(1, "revoked = true")]).with("this publisher", own);
    let refused = place.open_with("1.2.0", &revoked).await.unwrap_err();
    let Error::Signature { reasons, .. } = refused else {
        panic!("revoked stays revoked");
    };
    assert!(matches!(&reasons[..], [BadSignature::Revoked { key, .. }] if key == "key 1"));
}

#[tokio::test]
async fn what_we_write_is_what_dsse_says() {
    let place = place();
    place.publish(&release("1.2.0")).await;
    let written: serde_json::Value =
        serde_json::from_slice(&place.get(&release_json("1.2.0")).await).unwrap();
    let payload = place.payload("1.2.0").await;
    let ours = written["payload"].as_str().unwrap();
    use base64::Engine;
    let bytes = base64::prelude::BASE64_STANDARD.decode(ours).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(),
        payload
    );
    assert_eq!(written, envelope(TYPE, &bytes, &[1]));
}
