//! Releases in a bucket.

use std::fs;

use lake_tests::{Lake, csv, reading};

use crate::place::{Place, reaching};

#[test]
fn a_release_is_published_to_a_bucket_and_loaded_from_it() {
    let place = Place::new();
    place.put("data/1.csv", csv([reading(1, 1, 1, 0, "1.5")]));
    let yaml = place.yaml();
    let path = yaml.lines().find(|line| line.contains("crates/transforms"));
    let yaml = yaml.replace(path.unwrap(), "  trusted_keys: ../keys.toml");
    let _ = Lake::new();
    let lake = reaching(&place.server.url(), Lake::of(&yaml))
        .variable("LAKE_REGISTRY", &place.url("registry"));
    let directory = lake.directory().to_owned();
    let text = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (key, keys) = (text("ci.pem"), text("keys.toml"));
    lake.lake(&["plugin", "key", "ci", "--trust", &keys])
        .assert(0, &[]);
    let transform = lake_tests::workspace().join("crates/transforms/utility");
    let publish = [
        "plugin",
        "publish",
        transform.to_str().unwrap(),
        "--key",
        &key,
        "--trusted-keys",
        &keys,
    ];
    lake.lake(&publish).assert(0, &[]);
    // A release never changes.
    lake.lake(&publish)
        .assert_prints(&["is there already, just like this"]);
    lake.lake(&["plugin", "list", "--trusted-keys", &keys])
        .assert_prints(&["utility", "1.0.0", "signed by ci"]);
    let released = "registry/utility/1.0.0/release.json";
    let objects = place.objects("registry");
    assert!(objects.contains_key(released), "{objects:?}");
    let report = lake.publish(&[]);
    assert_eq!(report["transform"]["version"], "1.0.0");

    // The pipeline file and its lock may be in the bucket too.
    let pipeline = lake.pipeline().to_str().unwrap();
    lake.lake(&["plugin", "update", pipeline]).assert(0, &[]);
    let lock = lake.pipeline().with_file_name("lake.lock");
    let absolute = yaml.replace("../keys.toml", &keys);
    place.put("pipelines/utility.yaml", absolute);
    place.put("pipelines/lake.lock", fs::read(&lock).unwrap());
    let there = place.url("pipelines/utility.yaml");
    lake.lake(&["run", &there, "--locked"])
        .assert_prints(&["nothing to do"]);
    lake.lake(&["plugin", "update", &there])
        .assert(2, &["under version control"]);
    // A byte of the lock that flips is noticed.
    let flipped = fs::read_to_string(&lock).unwrap().replace("1.0.0", "1.0.1");
    place.put("pipelines/lake.lock", flipped);
    lake.lake(&["run", &there, "--locked"])
        .assert(1, &["lake.lock", "by accident"]);
}
