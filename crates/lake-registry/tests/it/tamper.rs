//! A release of which any byte was changed is never loaded as something else.

use lake_registry::{Error, Verified};
use object_store::ObjectStoreExt;

use crate::support::{LINUX, MAC, Place, TYPE, envelope, key, release_json};

/// Ways to change one byte: bits, case, sign.
const MASKS: [u8; 4] = [0x01, 0x02, 0x20, 0x80];

/// What a host does before it loads something: everything or an error.
async fn load(place: &Place) -> Result<(Verified, Vec<bytes::Bytes>), Error> {
    let verified = place.open("1.2.0").await?;
    place.registry.verify(&verified).await?;
    let mut libraries = Vec::new();
    for target in [LINUX, MAC] {
        libraries.push(place.registry.fetch(&verified, target).await?);
    }
    Ok((verified, libraries))
}

/// The signature is over the payload and its type. What is around them is JSON, in which white
/// space means nothing, and the hint which key it was, which decides nothing. Every other byte
/// counts.
#[tokio::test]
async fn no_byte_of_a_release_file_can_be_changed_so_that_something_else_is_loaded() {
    let place = Place::with(&["1.2.0"]).await;
    let path = release_json("1.2.0");
    let good = place.get(&path).await;
    let (verified, libraries) = load(&place).await.unwrap();
    let text = String::from_utf8(good.to_vec()).unwrap();
    let id = key(1).public().id().to_string();
    let hint = text.find(&id).unwrap()..text.find(&id).unwrap() + id.len();
    for position in 0..good.len() {
        for mask in MASKS {
            let mut bad = good.to_vec();
            bad[position] ^= mask;
            place.put(&path, bad).await;
            // Who has locked the release accepts no other byte at all.
            let locked = place.open_pinned("1.2.0", &verified.digest()).await;
            assert!(matches!(locked, Err(Error::Changed { .. })));
            match load(&place).await {
                Ok((found, bytes)) => {
                    assert_eq!((found.release(), &bytes), (verified.release(), &libraries));
                    let means_nothing =
                        good[position].is_ascii_whitespace() || hint.contains(&position);
                    assert!(means_nothing, "byte {position} with {mask}");
                }
                Err(Error::Format { .. } | Error::Signature { .. }) => {}
                // A change of the payload's name or version is told as what it looks like.
                Err(Error::Misplaced { .. } | Error::NewerFormat { .. }) => {}
                Err(other) => panic!("byte {position} with {mask}: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn no_byte_of_what_a_release_names_can_be_changed() {
    let place = Place::with(&["1.2.0"]).await;
    let (verified, _) = load(&place).await.unwrap();
    let blobs: Vec<String> = place.objects().await;
    let blobs: Vec<&String> = blobs
        .iter()
        .filter(|path| path.starts_with("blobs/"))
        .collect();
    assert_eq!(
        blobs.len(),
        4,
        "two libraries, an interface and a bill of materials"
    );
    for path in blobs {
        let good = place.get(path).await;
        for position in 0..good.len() {
            for mask in MASKS {
                let mut bad = good.to_vec();
                bad[position] ^= mask;
                place.put(path, bad).await;
                let error = place.registry.verify(&verified).await.unwrap_err();
                let shown = error.to_string();
                assert!(matches!(error, Error::Changed { .. }), "{shown}");
                assert!(
                    shown.contains(path.trim_start_matches("blobs/sha256/")),
                    "{shown}"
                );
            }
        }
        for bad in [
            &good[1..],
            &good[..good.len() - 1],
            b"",
            &[&good[..], b"x"].concat(),
        ] {
            place.put(path, bad.to_vec()).await;
            let error = place.registry.verify(&verified).await.unwrap_err();
            assert!(matches!(error, Error::Size { .. }), "{error}");
        }
        place.put(path, good).await;
    }
    load(&place).await.expect("all is as it was");
}

#[tokio::test]
async fn each_thing_that_was_changed_is_named() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let named = verified.release();
    for (blob, thing) in [
        (
            named.artifacts[LINUX],
            "the library for x86_64-unknown-linux-gnu",
        ),
        (named.artifacts[MAC], "the library for aarch64-apple-darwin"),
        (named.interface, "the interface"),
        (named.sbom, "the bill of materials"),
    ] {
        let path = format!("blobs/sha256/{}", blob.digest.hex());
        let good = place.get(&path).await;
        let mut bad = good.to_vec();
        bad[0] ^= 1;
        let found = lake_registry::Digest::of(&bad);
        place.put(&path, bad).await;
        let error = place.registry.verify(&verified).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "registry/{path}: {thing} should be {} and is {found}; it was changed since, and \
                 is not used",
                blob.digest
            )
        );
        place.put(&path, good).await;
    }
}

/// Every field of the payload, changed by somebody who has no key and leaves the signature.
#[tokio::test]
async fn a_changed_field_is_told_as_a_signature_that_does_not_match() {
    let place = Place::with(&["1.2.0"]).await;
    let path = release_json("1.2.0");
    let good: serde_json::Value = serde_json::from_slice(&place.get(&path).await).unwrap();
    let payload = place.payload("1.2.0").await;
    let other = serde_json::json!({
        "format": 0,
        "published_at": "2020-01-01T00:00:00Z",
        "published_by": "eve",
        "lake": "9.9.9",
        "requires_host": "*",
        "sdk": "another",
        "boundary": 7,
        "artifacts": {LINUX: payload["sbom"], MAC: payload["sbom"]},
        "interface": payload["sbom"],
        "sbom": payload["interface"],
        "licences": [],
        "source_commit": "fedcba",
    });
    let mut tried = 2; // name and version have an error of their own
    for (field, value) in other.as_object().unwrap() {
        let mut bad = payload.clone();
        assert_ne!(bad[field], *value);
        bad[field] = value.clone();
        let mut file = envelope(TYPE, bad.to_string().as_bytes(), &[]);
        file["signatures"] = good["signatures"].clone();
        place.put(&path, file.to_string()).await;
        let error = place.open("1.2.0").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "registry/utility/1.2.0/release.json: not signed by a key that is trusted for it: the \
             signature of key 1 does not match: the release or the signature was changed",
            "{field}"
        );
        tried += 1;
    }
    assert_eq!(
        tried,
        payload.as_object().unwrap().len(),
        "no field was left out"
    );
}

#[tokio::test]
async fn an_old_release_is_not_taken_for_a_new_one() {
    let place = Place::with(&["1.0.0", "1.2.0"]).await;
    let old = place.get(&release_json("1.0.0")).await;
    place.put(&release_json("1.2.0"), old).await;
    assert_eq!(
        place.open("1.2.0").await.unwrap_err().to_string(),
        "registry/utility/1.2.0/release.json: it is the release utility 1.0.0, put in the place of \
         utility 1.2.0, and is not used"
    );
}

#[tokio::test]
async fn another_transforms_release_is_not_taken_for_ours() {
    let place = Place::with(&["1.2.0"]).await;
    let mut payload = place.payload("1.2.0").await;
    payload["name"] = "meters".into();
    place.put_signed("1.2.0", &payload, &[1]).await;
    assert_eq!(
        place.open("1.2.0").await.unwrap_err().to_string(),
        "registry/utility/1.2.0/release.json: it is the release meters 1.2.0, put in the place of \
         utility 1.2.0, and is not used"
    );
}

/// Names, reasons and whatever a parser quotes come from somebody unknown.
#[tokio::test]
async fn nothing_that_a_stranger_wrote_steers_a_terminal() {
    let place = Place::with(&["1.2.0"]).await;
    let payload = place.payload("1.2.0").await;
    let mut renamed = payload.clone();
    renamed["name"] = "\u{1b}[2J".into();
    place.put_signed("1.2.0", &renamed, &[9]).await;
    let misplaced = place.open("1.2.0").await.unwrap_err();
    assert!(matches!(misplaced, Error::Misplaced { .. }));

    place
        .put(&release_json("1.2.0"), r#"{"\u001b[2J": 1}"#)
        .await;
    let malformed = place.open("1.2.0").await.unwrap_err();
    assert!(matches!(malformed, Error::Format { .. }));

    let mut signed = payload;
    signed["published_by"] = "\u{1b}[2J".into();
    place.put_signed("1.2.0", &signed, &[9]).await;
    let ours = crate::support::release("1.2.0");
    let told = place
        .registry
        .publish(&ours, &place.key, crate::support::noon())
        .await;

    let yank = r#"{"yanked_at": null, "yanked_by": "\u001b[2J", "reason": "\u001b[2J"}"#;
    place.put("utility/1.2.0/yanked.json", yank).await;
    let listing = place.registry.list(None, &place.trusted).await.unwrap();
    let yank = listing.releases[0].yanked.clone().unwrap();

    let shown = [
        misplaced.to_string(),
        malformed.to_string(),
        format!("{:?}", told.unwrap()),
        yank.yanked_by.unwrap(),
        yank.reason.unwrap(),
    ];
    for shown in shown {
        assert!(shown.contains("[2J"), "{shown}");
        assert!(
            !shown.contains('\u{1b}') && !shown.contains("\\u{1b}"),
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn libraries_of_two_targets_cannot_be_swapped() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let path = |target| {
        let blob = verified.release().artifacts[target];
        format!("blobs/sha256/{}", blob.digest.hex())
    };
    let (linux, mac) = (place.get(&path(LINUX)).await, place.get(&path(MAC)).await);
    place.put(&path(LINUX), mac).await;
    place.put(&path(MAC), linux).await;
    for target in [LINUX, MAC] {
        let fetched = place.registry.fetch(&verified, target).await.unwrap_err();
        assert!(
            fetched
                .to_string()
                .contains(&format!("the library for {target} should "))
        );
    }
}

#[tokio::test]
async fn a_pinned_release_that_was_replaced_by_another_good_one_is_refused() {
    let place = Place::with(&["1.2.0"]).await;
    let pinned = place.open("1.2.0").await.unwrap().digest();
    let mut payload = place.payload("1.2.0").await;
    payload["notes"] = "signed again".into();
    place.put_signed("1.2.0", &payload, &[1]).await;
    let found = place
        .open("1.2.0")
        .await
        .expect("its signature is good")
        .digest();
    let opened = place.open_pinned("1.2.0", &pinned).await;
    assert_eq!(
        opened.unwrap_err().to_string(),
        format!(
            "registry/utility/1.2.0/release.json: the release utility 1.2.0 should be {pinned} and \
             is {found}; it was changed since, and is not used"
        )
    );
}

#[tokio::test]
async fn a_missing_library_is_told_with_what_brings_it_back() {
    let place = Place::with(&["1.2.0"]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let digest = verified.artifact(LINUX).unwrap().digest;
    let path = format!("blobs/sha256/{}", digest.hex());
    place.store.delete(&path.as_str().into()).await.unwrap();
    assert_eq!(
        place
            .registry
            .fetch(&verified, LINUX)
            .await
            .unwrap_err()
            .to_string(),
        format!(
            "registry/{path}: the library for {LINUX} of utility 1.2.0 is missing; publish the same \
             release again to have it back"
        )
    );
}

#[tokio::test]
async fn a_signed_interface_that_is_none_is_told_as_that() {
    let place = Place::with(&["1.2.0"]).await;
    let mut payload = place.payload("1.2.0").await;
    payload["interface"] = payload["artifacts"][LINUX].clone();
    place.put_signed("1.2.0", &payload, &[1]).await;
    let verified = place.open("1.2.0").await.unwrap();
    let error = place.registry.interface(&verified).await.unwrap_err();
    assert!(error.to_string().contains("it is no interface"), "{error}");
}
