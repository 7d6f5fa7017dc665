//! Roots that cannot be used: what is there is left as it is, and nothing is half published.

use std::fs;
use std::path::Path;

use lake_tests::{Ended, Lake, csv, launcher, reading};

#[test]
fn a_root_that_is_a_file_or_below_one_is_named() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let file = lake.put("root.txt", 0, "a file");
    for root in ["data/root.txt", "data/root.txt/below"] {
        let ended = lake.run(&["--root", root]);
        ended.assert(1, &[file.to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "a file");
}

#[test]
fn a_root_that_is_a_url_of_nothing_that_lake_knows_is_wrong_usage() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    for (root, expected) in [
        ("ftp://host/prefix", "s3://bucket/"),
        ("s3a://bucket/prefix", "write it as s3://bucket/prefix"),
        ("s3://bucket/a prefix", "choose another prefix"),
    ] {
        lake.run(&["--root", root]).assert(2, &[root, expected]);
    }
}

#[test]
fn without_credentials_for_a_bucket_that_is_said_at_once() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    // Whatever the machine that tests are run on could give.
    let given = [
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "SKIP_SIGNATURE",
        "ENDPOINT",
        "ENDPOINT_URL",
        "ENDPOINT_URL_S3",
        "WEB_IDENTITY_TOKEN_FILE",
        "CONTAINER_CREDENTIALS_FULL_URI",
        "CONTAINER_CREDENTIALS_RELATIVE_URI",
    ];
    let without = |lake: Lake, name: &&str| lake.variable(&format!("AWS_{name}"), "");
    let lake = given
        .iter()
        .fold(lake, without)
        .variable("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
        .variable("AWS_MAX_ATTEMPTS", "2");
    lake.run(&["--root", "s3://bucket/prefix"])
        .assert(1, &["no credentials are given", "AWS_ACCESS_KEY_ID"]);
}

#[test]
fn a_root_that_the_tables_could_not_be_found_in_again_is_wrong_usage() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    for root in ["my%20lake", "my\\lake"] {
        lake.run(&["--root", root])
            .assert(2, &[root, "choose another root"]);
        assert!(!lake.directory().join(root).exists());
    }
}

#[test]
fn roots_and_files_may_have_spaces_and_any_letters_in_their_names() {
    let lake = Lake::new();
    lake.put("a b ü#?%20.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let root = ["--root", "mein lake ü#?[*]"];
    lake.publish(&root);
    let tables = lake.directory().join("mein lake ü#?[*]/utility");
    assert!(tables.join("standard/readings").is_dir());
    assert_eq!(lake.publish(&root)["status"], "nothing_to_do");
    let pipeline = lake.pipeline().to_str().unwrap();
    let sql =
        "SELECT count(*) AS files FROM standard.readings WHERE ends_with(_file, '/a b ü#?%20.csv')";
    let query = ["query", pipeline, sql, "--output", "csv"];
    let ended = lake.lake(&[&query[..], &root[..]].concat());
    assert_eq!(ended.assert(0, &[]).stdout, "files\n1\n");
}

#[test]
fn a_delta_table_of_somebody_else_is_not_touched() {
    for table in [
        "standard/readings",
        "consumption/daily_usage",
        "rejection/readings",
        "_lake/files",
        "_lake/runs",
    ] {
        let lake = Lake::new();
        lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
        foreign_table(&lake.object(table));
        let before = lake.tree();
        lake.run(&[]).assert(
            1,
            &[
                table,
                "a Delta table at",
                "that lake did not make",
                "move it away or choose another root",
            ],
        );
        assert_unchanged(&lake, &before);
    }
}

#[test]
fn a_table_of_another_pipeline_is_not_touched() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    fs::rename(lake.root().join("utility"), lake.root().join("other")).unwrap();
    let before = lake.tree();
    lake.run(&["--set", "name=other"]).assert(
        1,
        &["this is a table of the pipeline utility, not of other"],
    );
    assert_eq!(lake.tree(), before);
}

#[test]
fn a_directory_with_other_files_is_not_built_over() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    let stray = lake.object("standard/readings/notes.txt");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, "mine").unwrap();
    let before = lake.tree();
    lake.run(&[]).assert(
        1,
        &[
            "standard/readings",
            "is not a Delta table",
            "notes.txt",
            "move it away or choose another root",
        ],
    );
    assert_unchanged(&lake, &before);
}

#[test]
fn other_files_beside_the_tables_disturb_nothing() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    for place in [
        "README.txt",
        "utility/README.txt",
        "utility/standard/README.txt",
        "utility/standard/mine/README.txt",
    ] {
        let path = lake.root().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    lake.publish(&[]);
    fs::create_dir_all(lake.object("consumption/empty")).unwrap();
    assert_eq!(lake.publish(&[])["status"], "nothing_to_do");
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["1"]);
}

#[test]
fn a_table_with_another_schema_names_every_difference_and_is_not_touched() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    let commit = lake.object("standard/readings/_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&commit).unwrap();
    let changed = text
        .replace(
            r#"\"name\":\"region\",\"type\":\"string\""#,
            r#"\"name\":\"region\",\"type\":\"integer\""#,
        )
        .replace(r#"\"name\":\"end_time\""#, r#"\"name\":\"until\""#);
    assert_ne!(text, changed);
    fs::write(&commit, changed).unwrap();
    lake.put("b.csv", 1, csv([reading(1, 2, 1, 0, "1")]));
    let before = lake.tree();
    lake.run(&[]).assert(
        1,
        &[
            "standard/readings: the table has another schema than its declaration",
            "column region is integer in the table and string in the declaration",
            "column until is no longer declared",
            "move the table away",
        ],
    );
    assert_eq!(lake.tree(), before);
}

#[test]
fn a_seal_of_a_newer_lake_is_refused() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    fs::write(
        lake.object("_lake/log/00000002.json"),
        r#"{"format": 4, "run": 2}"#,
    )
    .unwrap();
    lake.run(&[]).assert(
        1,
        &["_lake/log/00000002.json", "has format 4", "reads format 3"],
    );
}

#[test]
fn actions_that_are_not_the_sealed_ones_are_not_applied() {
    let lake = Lake::new();
    lake.put("a.csv", 0, csv([reading(1, 1, 1, 0, "1")]));
    lake.publish(&[]);
    for table in ["consumption/daily_usage", "_lake/runs"] {
        fs::remove_dir_all(lake.object(table).join("_delta_log")).unwrap();
    }
    let attempt = fs::read_dir(lake.object("_lake/prepared"))
        .unwrap()
        .next()
        .unwrap();
    let actions = attempt.unwrap().path().join("consumption.daily_usage.json");
    let sealed = fs::read_to_string(&actions).unwrap();
    fs::write(
        &actions,
        sealed.replace("\"dataChange\":true", "\"dataChange\":false"),
    )
    .unwrap();
    lake.run(&[]).assert(
        1,
        &[
            "consumption.daily_usage.json",
            "not the one that was sealed",
        ],
    );
    fs::write(&actions, sealed).unwrap();
    assert_eq!(
        lake.rows("SELECT count(*) FROM consumption.daily_usage"),
        ["1"]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_publishes_nothing_says_so_and_a_run_with_room_loads_everything() {
    let lake = with_much_data();
    let Some([full, again]) = on_a_disk(
        &lake,
        "head -c 65472k /dev/zero >lake/filler",
        "rm lake/filler",
    ) else {
        return;
    };
    full.assert(
        1,
        &[
            "the disk is full",
            "nothing was published",
            "make room",
            "run again",
        ],
    );
    again.assert_prints(&["run 1 is published", "standard/readings"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_cannot_be_written_is_said_to_be_one() {
    let lake = with_much_data();
    let Some([read_only, again]) = on_a_disk(
        &lake,
        "mount -o remount,bind,ro lake",
        "mount -o remount,bind,rw lake",
    ) else {
        return;
    };
    read_only.assert(1, &["Read-only file system"]);
    again.assert_prints(&["run 1 is published"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_grow_ends_the_run_and_publishes_nothing() {
    let lake = with_much_data();
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let ended = lake.below(
        &["sh", "-c", limited, "sh"],
        &["run", "pipelines/pipeline.yaml"],
    );
    ended.assert(1, &["File too large"]);
    lake.assert_nothing_published();
    assert_eq!(lake.publish(&[])["run"], 1);
}

/// A pipeline with enough rows for tables of some hundred kilobytes.
fn with_much_data() -> Lake {
    let lake = Lake::new();
    let rows = (0..20_000).map(|n: u32| {
        let noise = n.wrapping_mul(2_654_435_761) % 1_000_000;
        reading(
            n % 500,
            n,
            1 + n % 3,
            n % 24,
            &format!("{}.{:03}", noise / 1000, noise % 1000),
        )
    });
    lake.put("a.csv", 0, csv(rows));
    lake
}

/// Runs the pipeline twice with a disk of its own as root: after one command of
/// the shell, and after another one. Nothing is published in between.
///
/// The disk is seen in a namespace of the kernel only, so this leaves nothing
/// behind, and needs no rights where anybody may have namespaces; `None` elsewhere.
#[track_caller]
fn on_a_disk(lake: &Lake, first: &str, second: &str) -> Option<[Ended; 2]> {
    const SCRIPT: &str = r#"
        set -eu
        first=$1 second=$2
        shift 2
        mkdir lake out
        mount -t tmpfs -o size=64m tmpfs lake
        eval "$first"
        run() {
            name=$1 code=0
            shift
            "$@" >"out/$name.stdout" 2>"out/$name.stderr" || code=$?
            echo "$code" >"out/$name.code"
        }
        run first "$@"
        find lake -path '*/_delta_log/*' -o -path '*/_lake/log/*' >out/published
        eval "$second"
        run second "$@"
    "#;
    let shell = ["sh", "-c", SCRIPT, "sh", first, second];
    let namespace = launcher(&[
        &["unshare", "--mount"],
        &["unshare", "--map-root-user", "--mount"],
    ])?;
    let mounted = lake.below(
        &[namespace, &shell[..]].concat(),
        &["run", "pipelines/pipeline.yaml"],
    );
    mounted.assert(0, &[]);
    let out = |name: &str| fs::read_to_string(lake.directory().join("out").join(name)).unwrap();
    assert_eq!(out("published"), "", "published on the first disk");
    Some(["first", "second"].map(|run| Ended {
        code: out(&format!("{run}.code")).trim().parse().unwrap(),
        stdout: out(&format!("{run}.stdout")),
        stderr: out(&format!("{run}.stderr")),
    }))
}

/// A Delta table as another engine makes it, without rows.
fn foreign_table(place: &Path) {
    let log = place.join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    let commit = [
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#,
        r#"{"metaData":{"id":"5fba94ed-9794-4965-ba6e-6ee3c0d22af9","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"meter_id\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":[],"configuration":{},"createdTime":1751328000000}}"#,
    ];
    fs::write(
        log.join("00000000000000000000.json"),
        commit.join("\n") + "\n",
    )
    .unwrap();
}

/// That everything that was there is there as it was. A run may leave files of
/// its attempt beside it, which no table names.
#[track_caller]
fn assert_unchanged(
    lake: &Lake,
    before: &std::collections::BTreeMap<std::path::PathBuf, (u64, std::time::SystemTime)>,
) {
    let now = lake.tree();
    for (path, was) in before {
        assert_eq!(now.get(path), Some(was), "{}", path.display());
    }
    let published: Vec<_> = now
        .keys()
        .filter(|path| !before.contains_key(*path) && path.to_string_lossy().contains("_delta_log"))
        .collect();
    assert!(published.is_empty(), "{published:?}");
}
