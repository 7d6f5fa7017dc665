//! Where relative paths start from, and what is taken for a URL.

use std::path::Path;

use expect_test::expect;
use lake_pipeline::{Overrides, parse};

use crate::{SMALLEST, check, parse_with, pipeline, with_transform};

fn root_of(written: &str, variables: &[(&str, &str)]) -> String {
    let yaml = SMALLEST.replace("../lake", written);
    parse_with(&yaml, variables, &Overrides::default())
        .unwrap_or_else(|faults| panic!("{faults}"))
        .root
}

#[test]
fn paths_in_the_file_start_from_its_directory() {
    assert_eq!(root_of("lake", &[]), "/srv/pipelines/lake");
    assert_eq!(root_of("./a/../b/./c/", &[]), "/srv/pipelines/b/c");
    assert_eq!(root_of("../../../../lake", &[]), "/lake");
    assert_eq!(root_of("/var//lake/.", &[]), "/var/lake");
    assert_eq!(root_of(".", &[]), "/srv/pipelines");
}

#[test]
fn a_default_starts_from_the_file_and_a_variable_from_the_working_directory() {
    assert_eq!(root_of("${DIR:-../lake}", &[]), "/srv/lake");
    assert_eq!(root_of("${DIR:-../lake}", &[("DIR", "out")]), "/srv/out");
    assert_eq!(root_of("${DIR}/lake", &[("DIR", "out")]), "/srv/out/lake");
    assert_eq!(root_of("${DIR}/lake", &[("DIR", "/out")]), "/out/lake");
    assert_eq!(root_of("${DIR}/x", &[("DIR", "s3://b/p")]), "s3://b/p/x");
}

#[test]
fn a_variable_further_on_does_not_move_the_start() {
    assert_eq!(
        root_of("../${ENV}/lake", &[("ENV", "dev")]),
        "/srv/dev/lake"
    );
    assert_eq!(
        root_of("${NONE:-}${ENV}/lake", &[("ENV", "dev")]),
        "/srv/dev/lake"
    );
}

#[test]
fn urls_stay_as_they_are_written() {
    for url in [
        "s3://bucket/a/../b/",
        "gs://bucket",
        "az://c/p",
        "file:///var/lake",
    ] {
        assert_eq!(root_of(url, &[]), url);
    }
    let yaml = SMALLEST.replace("../data/*.csv", "s3://raw/**/*.csv");
    assert_eq!(
        pipeline(&yaml).inputs["readings"].paths[0].as_str(),
        "s3://raw/**/*.csv"
    );
}

#[test]
fn a_colon_does_not_make_a_url() {
    assert_eq!(root_of("a/b:/c", &[]), "/srv/pipelines/a/b:/c");
    assert_eq!(root_of("12:30", &[]), "/srv/pipelines/12:30");
}

#[test]
fn what_would_become_a_strange_directory_is_refused() {
    let root = |text: &str| SMALLEST.replace("../lake", text);
    check(
        &root("''"),
        expect![[r#"
        pipelines/utility.yaml:3:7: root: the path is empty
          help: `.` is the directory itself"#]],
    );
    check(
        &root("~/lake"),
        expect![[r#"
            pipelines/utility.yaml:3:7: root: `~/lake` starts with `~`, which only a shell knows
              help: write the whole path, or ${HOME}/lake in the file"#]],
    );
    check(
        &root("s3:/bucket/prefix"),
        expect![[r#"
        pipelines/utility.yaml:3:7: root: `s3:/bucket/prefix` is neither a path nor a URL
          help: a URL has two slashes: s3://bucket/prefix"#]],
    );
    check(
        &root("s3://"),
        expect![[r#"
        pipelines/utility.yaml:3:7: root: the URL `s3://` ends after its scheme
          help: name the bucket: s3://bucket/prefix"#]],
    );
    check(
        &root("\"a\\0b\""),
        expect![[r#"
            pipelines/utility.yaml:3:7: root: the path contains a NUL character
              help: no file system accepts it; remove it"#]],
    );
    check(
        &SMALLEST.replace("\"1\"", "\"1\", path: s3://b/crate"),
        expect![[r#"
            pipelines/utility.yaml:2:49: transform.path: `s3://b/crate` is a URL, and a directory is needed
              help: a released transform is found by its name and version, without a path"#]],
    );
}

#[test]
fn a_registry_is_a_directory_beside_the_file_or_a_url() {
    let registry = |written: &str| {
        pipeline(&with_transform(&format!("registry: {written}")))
            .transform
            .registry
    };
    assert_eq!(registry("../registry").as_deref(), Some("/srv/registry"));
    assert_eq!(registry("/var/./r/").as_deref(), Some("/var/r"));
    assert_eq!(registry("s3://b/../r/").as_deref(), Some("s3://b/../r/"));
    check(
        &with_transform("registry: ''"),
        expect![[r#"
        pipelines/utility.yaml:2:53: transform.registry: the path is empty
          help: `.` is the directory itself"#]],
    );
    check(
        &with_transform("registry: s3:/b"),
        expect![[r#"
        pipelines/utility.yaml:2:53: transform.registry: `s3:/b` is neither a path nor a URL
          help: a URL has two slashes: s3://b"#]],
    );
    check(
        &with_transform("registry: { url: s3://b }"),
        expect![[r#"
        pipelines/utility.yaml:2:53: transform.registry: expected text, found a mapping
          help: give it one value, for example `registry: ../registry`"#]],
    );
}

#[test]
fn trusted_keys_are_a_file_on_this_machine() {
    let keys = |written: &str| {
        pipeline(&with_transform(&format!("trusted_keys: {written}")))
            .transform
            .trusted_keys
    };
    let file = Path::new("/srv/pipelines/trusted.keys");
    assert_eq!(keys("trusted.keys").as_deref(), Some(file));
    assert_eq!(
        keys("/etc/lake/../keys").as_deref(),
        Some(Path::new("/etc/keys"))
    );
    check(
        &with_transform("trusted_keys: s3://b/keys"),
        expect![[r#"
        pipelines/utility.yaml:2:57: transform.trusted_keys: `s3://b/keys` is a URL, and a file is needed
          help: keep a copy of the file on this machine, for example beside the pipeline"#]],
    );
    check(
        &with_transform("trusted_keys: ' '"),
        expect![[r#"
        pipelines/utility.yaml:2:57: transform.trusted_keys: the path is empty
          help: name the file, or leave the key out"#]],
    );
    check(
        &with_transform("trusted_keys: ~/keys"),
        expect![[r#"
        pipelines/utility.yaml:2:57: transform.trusted_keys: `~/keys` starts with `~`, which only a shell knows
          help: write the whole path, or ${HOME}/keys in the file"#]],
    );
    check(
        &with_transform("trusted_keys: [a, b]"),
        expect![[r#"
        pipelines/utility.yaml:2:57: transform.trusted_keys: expected text, found a list
          help: give it one value, for example `trusted_keys: trusted.keys`"#]],
    );
}

#[test]
fn glob_characters_of_the_directory_are_not_a_pattern() {
    let input = |path: &str| {
        parse(
            &SMALLEST.replace("../data/*.csv", path),
            Path::new("/srv/a[1]?/b*/pipeline.yaml"),
            Path::new("/srv"),
            &|_| None,
            &Overrides::default(),
        )
        .unwrap()
        .inputs["readings"]
            .paths[0]
            .to_string()
    };
    assert_eq!(input("../x/*.csv"), "/srv/a[[]1][?]/x/*.csv");
    assert_eq!(input("'[ab].csv'"), "/srv/a[[]1][?]/b[*]/[ab].csv");
    assert_eq!(input("'/data/[ab].csv'"), "/data/[ab].csv");
}

#[test]
fn a_root_below_a_directory_with_glob_characters_is_that_directory() {
    let pipeline = parse(
        SMALLEST,
        Path::new("/srv/a[1]/b/pipeline.yaml"),
        Path::new("/"),
        &|_| None,
        &Overrides::default(),
    )
    .unwrap();
    assert_eq!(pipeline.root, "/srv/a[1]/lake");
}

#[cfg(unix)]
#[test]
fn a_directory_that_is_not_utf_8_is_refused_for_what_starts_from_it() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let file = Path::new(OsStr::from_bytes(b"/srv/caf\xe9/b/pipeline.yaml"));
    let outcome = parse(
        SMALLEST,
        file,
        Path::new("/srv"),
        &|_| None,
        &Overrides::default(),
    );
    expect![[r#"
        caf�/b/pipeline.yaml:3:7: root: the path /srv/caf�/lake is not UTF-8
          help: use a directory whose name is UTF-8
        caf�/b/pipeline.yaml:5:21: inputs.readings.path: the path /srv/caf�/b is not UTF-8
          help: use a directory whose name is UTF-8"#]]
    .assert_eq(&crate::said(outcome));
}

#[test]
fn a_file_outside_the_working_directory_is_named_in_full() {
    let outcome = parse(
        "nam: x",
        Path::new("/etc/p.yaml"),
        Path::new("/srv"),
        &|_| None,
        &Overrides::default(),
    );
    assert!(crate::said(outcome).starts_with("/etc/p.yaml:1:1: "));
}
