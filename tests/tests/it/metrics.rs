//! `lake run --metrics`: what those who watch runs are told, and that nothing depends on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use lake_tests::{Ended, Lake, csv, reading};
use serde_json::Value;

const FILE: [&str; 2] = ["--metrics", "lake.prom"];

/// The samples in the file, by name and labels.
fn samples(lake: &Lake) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(lake.directory().join("lake.prom")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// The sample of the utility pipeline with these labels, which follow that of the pipeline.
#[track_caller]
fn sample(samples: &BTreeMap<String, f64>, name: &str, labels: &str) -> f64 {
    let key = format!("{name}{{pipeline=\"utility\"{labels}}}");
    *samples
        .get(&key)
        .unwrap_or_else(|| panic!("there is no {key}: {samples:#?}"))
}

/// A pipeline with one file, of which one row of three is rejected, and its first run.
fn run_once() -> (Lake, Value) {
    let lake = Lake::new();
    let bad = reading(1, 1, 1, 2, "much");
    let rows = [reading(1, 1, 1, 0, "1.5"), reading(1, 1, 1, 1, "2"), bad];
    lake.put("one.csv", 1, csv(rows));
    let report = lake.publish(&[&FILE[..], &["--set", "limits.rejected=50%"]].concat());
    (lake, report)
}

#[test]
fn a_published_run_leaves_the_figures_of_the_runs_table_in_the_file() {
    let (lake, report) = run_once();
    let found = samples(&lake);
    let one = |name: &str, labels: &str| sample(&found, name, labels);
    let recorded = lake.query(
        "SELECT CAST(sealed_at AS BIGINT) AS sealed_at, run, transform, tables FROM _lake.runs",
    );
    let recorded = &recorded[0];
    let sealed = recorded["sealed_at"].as_f64().unwrap() / 1e6;
    assert_eq!(one("lake_run_last_published_timestamp_seconds", ""), sealed);
    assert!(one("lake_run_last_end_timestamp_seconds", "") >= sealed);
    assert_eq!(
        one("lake_run_last_success_timestamp_seconds", ""),
        one("lake_run_last_end_timestamp_seconds", "")
    );
    assert_eq!(one("lake_run_last_exit_code", ""), 0.0);
    assert_eq!(one("lake_run_number", ""), 1.0);
    assert_eq!(
        one("lake_run_seconds", ""),
        report["seconds"].as_f64().unwrap()
    );
    assert_eq!(
        one("lake_run_peak_memory_bytes", ""),
        report["peak_memory_bytes"].as_f64().unwrap()
    );
    for (stage, seconds) in report["stages"].as_object().unwrap() {
        let label = format!(",stage=\"{stage}\"");
        assert_eq!(
            one("lake_run_stage_seconds", &label),
            seconds.as_f64().unwrap()
        );
    }
    let size = fs::metadata(lake.directory().join("data/one.csv"))
        .unwrap()
        .len();
    let input = ",input=\"readings\"";
    assert_eq!(one("lake_run_input_files", input), 1.0);
    assert_eq!(one("lake_run_input_bytes", input), size as f64);
    let result = |result: &str| format!("{input},result=\"{result}\"");
    assert_eq!(one("lake_run_input_rows", &result("accepted")), 2.0);
    assert_eq!(one("lake_run_input_rows", &result("rejected")), 1.0);
    // An hour after July 2025 began.
    let received = 1_751_328_000.0 + 3600.0;
    assert_eq!(
        one("lake_input_newest_file_timestamp_seconds", input),
        received
    );
    for table in recorded["tables"].as_array().unwrap() {
        let name = format!(",table=\"{}\"", table["name"].as_str().unwrap());
        assert_eq!(
            one("lake_table_rows", &name),
            table["rows"].as_f64().unwrap()
        );
        for change in [
            "inserted",
            "updated",
            "unchanged",
            "superseded",
            "deleted",
            "filtered",
        ] {
            let label = format!("{name},change=\"{change}\"");
            let rows = table[change].as_f64().unwrap();
            assert_eq!(one("lake_run_table_rows", &label), rows, "{label}");
        }
    }
    let transform = &recorded["transform"];
    let label = format!(
        ",transform=\"utility\",version={},digest={}",
        transform["version"], transform["digest"]
    );
    assert_eq!(one("lake_run_transform_info", &label), 1.0);
    for check in report["checks"].as_array().unwrap() {
        let label = format!(
            ",table={},check={},severity={}",
            check["table"], check["check"], check["severity"]
        );
        assert_eq!(one("lake_run_check_failed", &label), 0.0);
    }
}

#[test]
fn the_file_has_one_head_for_each_family_and_nothing_lies_beside_it() {
    let (lake, _) = run_once();
    let text = fs::read_to_string(lake.directory().join("lake.prom")).unwrap();
    let mut family = "";
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            (family, _) = head.split_once(' ').unwrap();
            families.push(family);
        } else if line.starts_with('#') {
            assert_eq!(line, format!("# TYPE {family} gauge"));
        } else {
            assert!(
                line.starts_with(&format!("{family}{{pipeline=\"utility\"")),
                "{line}"
            );
        }
    }
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all, "{text}");
    let entries = fs::read_dir(lake.directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains("metrics")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_run_with_nothing_to_do_is_a_success_and_leaves_the_figures_of_the_last_one() {
    let (lake, _) = run_once();
    let before = samples(&lake);
    lake.run(&FILE).assert_prints(&["nothing to do"]);
    let after = samples(&lake);
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, _)| name)
        .collect();
    let name = |name: &str| format!("{name}{{pipeline=\"utility\"}}");
    let ends = [
        name("lake_run_last_end_timestamp_seconds"),
        name("lake_run_last_success_timestamp_seconds"),
    ];
    assert_eq!(changed, ends.iter().collect::<Vec<_>>());
    assert_eq!(before.len(), after.len());
}

#[test]
fn a_run_that_is_stopped_says_what_it_read_and_keeps_the_last_success() {
    let (lake, _) = run_once();
    let before = samples(&lake);
    let bad = [reading(1, 2, 1, 2, "much"), reading(1, 2, 1, 3, "more")];
    lake.put("two.csv", 2, csv(bad));
    lake.run(&[&FILE[..], &["--set", "limits.rejected=50%"]].concat())
        .assert(3, &["limits.rejected"]);
    let after = samples(&lake);
    let one = |name: &str, labels: &str| sample(&after, name, labels);
    let input = ",input=\"readings\"";
    assert_eq!(one("lake_run_last_exit_code", ""), 3.0);
    let rejected = format!("{input},result=\"rejected\"");
    assert_eq!(one("lake_run_input_rows", &rejected), 2.0);
    for (name, labels) in [
        ("lake_run_last_success_timestamp_seconds", ""),
        ("lake_run_last_published_timestamp_seconds", ""),
        ("lake_run_number", ""),
        ("lake_table_rows", ",table=\"standard/readings\""),
        // The file is not loaded.
        ("lake_input_newest_file_timestamp_seconds", input),
    ] {
        let was = sample(&before, name, labels);
        assert_eq!(one(name, labels), was, "{name}");
    }
    let end = "lake_run_last_end_timestamp_seconds";
    assert!(one(end, "") > sample(&before, end, ""));
}

#[test]
fn a_run_that_fails_says_so_and_keeps_the_last_success() {
    let (lake, _) = run_once();
    let before = samples(&lake);
    lake.run(&[&FILE[..], &["--set", "transform.path=/nowhere"]].concat())
        .assert(1, &["there is no crate at"]);
    let after = samples(&lake);
    assert_eq!(sample(&after, "lake_run_last_exit_code", ""), 1.0);
    let success = "lake_run_last_success_timestamp_seconds";
    assert_eq!(sample(&after, success, ""), sample(&before, success, ""));
    assert_eq!(before.len(), after.len());
    // The command line is wrong, and the pipeline file says which pipeline was meant.
    lake.run(&[&FILE[..], &["--input", "other=data/*.csv"]].concat())
        .assert(2, &[]);
    assert_eq!(sample(&samples(&lake), "lake_run_last_exit_code", ""), 2.0);
}

#[test]
fn a_pipeline_file_that_cannot_be_read_is_told_by_its_name() {
    let (lake, _) = run_once();
    let whole = fs::read_to_string(lake.pipeline()).unwrap();
    fs::write(lake.pipeline(), format!("{whole}unknown: 1\n")).unwrap();
    lake.run(&FILE).assert(2, &["unknown"]);
    assert_eq!(sample(&samples(&lake), "lake_run_last_exit_code", ""), 2.0);
    fs::write(lake.pipeline(), "name: [\n").unwrap();
    lake.run(&FILE).assert(2, &[]);
    lake.lake(&["run", "absent.yaml", "--metrics", "lake.prom"])
        .assert(2, &["cannot be read"]);
    let found = samples(&lake);
    for pipeline in ["pipeline", "absent"] {
        let code = format!("lake_run_last_exit_code{{pipeline=\"{pipeline}\"}}");
        assert_eq!(found[&code], 2.0, "{found:#?}");
    }
    // What another pipeline has said in the same file stays.
    assert_eq!(sample(&found, "lake_run_last_exit_code", ""), 2.0);
    assert_eq!(sample(&found, "lake_run_number", ""), 1.0);
}

#[test]
fn a_target_that_is_none_is_refused_before_anything_is_done() {
    let lake = Lake::new();
    lake.put("one.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
    let refused = lake.run(&["--metrics", "ftp://u:hunter2@host/"]);
    refused.assert(2, &["metrics cannot go to ftp://…@host/", "otlp+http"]);
    assert!(!refused.stderr.contains("hunter2"));
    lake.assert_nothing_published();
}

/// What a server was asked: the head of the request, and its body.
struct Asked {
    head: String,
    body: String,
}

/// A server that takes one request, and gives this answer.
fn server(answer: &'static str) -> (String, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = request(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    });
    (address, thread)
}

fn request(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    loop {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the request ends too early");
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.unwrap().parse::<usize>().unwrap() {
            return Asked {
                head,
                body: body.to_owned(),
            };
        }
    }
}

/// A pipeline with one file, and without proxies.
fn watched(target: &str) -> (Lake, Ended) {
    let lake = Lake::new()
        .variable("LAKE_METRICS", target)
        .variable("NO_PROXY", "127.0.0.1");
    lake.put("one.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
    let ended = lake.run(&["--output", "json", "-v"]);
    (lake, ended)
}

#[test]
fn a_pushgateway_gets_the_group_of_the_pipeline() {
    let (address, server) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (_lake, ended) = watched(&format!("http://team:hunter2@{address}/gateway"));
    ended.assert(0, &[]);
    let asked = server.join().unwrap();
    let path = "post /gateway/metrics/job/lake/pipeline/utility http/1.1";
    assert!(asked.head.starts_with(path), "{}", asked.head);
    // team:hunter2
    let basic = "authorization: basic dgvhbtpodw50zxiy";
    assert!(asked.head.contains(basic), "{}", asked.head);
    assert!(
        asked
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    for line in [
        "# TYPE lake_run_last_exit_code gauge\n",
        "\nlake_run_last_exit_code{pipeline=\"utility\"} 0\n",
        "\nlake_run_number{pipeline=\"utility\"} 1\n",
    ] {
        assert!(asked.body.contains(line), "{}", asked.body);
    }
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("no metrics went"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_server_of_otlp_gets_the_gauges_in_json() {
    let (address, server) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let (_lake, ended) = watched(&format!("otlp+http://{address}"));
    ended.assert(0, &[]);
    let asked = server.join().unwrap();
    assert!(asked.head.starts_with("post /v1/metrics http/1.1"));
    assert!(asked.head.contains("content-type: application/json"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let scope = &body["resourceMetrics"][0]["scopeMetrics"][0];
    let metrics = scope["metrics"].as_array().unwrap();
    let number = metrics.iter().find(|one| one["name"] == "lake_run_number");
    let point = &number.unwrap()["gauge"]["dataPoints"][0];
    assert_eq!(point["asDouble"], 1.0);
    assert_eq!(point["attributes"][0]["value"]["stringValue"], "utility");
    assert!(point["timeUnixNano"].as_str().unwrap().len() == 19);
}

#[test]
fn a_target_that_cannot_be_reached_is_a_warning_without_secrets() {
    // A port that nobody listens on any more.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (lake, ended) = watched(&format!("http://team:hunter2@{address}"));
    ended.assert(0, &[&format!("no metrics went to http://…@{address}/")]);
    assert_eq!(ended.stderr.matches("no metrics went").count(), 1);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    assert_eq!(ended.json()["status"], "done");
    assert_eq!(lake.rows("SELECT count(*) FROM standard.readings"), ["1"]);
    // The exit code of a run that fails is its own.
    lake.run(&["--set", "transform.path=/nowhere"])
        .assert(1, &["no metrics went", "there is no crate at"]);
}

#[test]
fn what_a_server_refuses_is_a_warning_in_its_words() {
    let (address, server) =
        server("HTTP/1.1 400 Bad Request\r\ncontent-length: 21\r\n\r\nthe gateway is closed");
    let (_lake, ended) = watched(&format!("http://{address}"));
    ended.assert(0, &["it answers 400: the gateway is closed"]);
    server.join().unwrap();
}

#[test]
fn a_file_that_is_something_else_stays_as_it_is() {
    let lake = Lake::new();
    lake.put("one.csv", 1, csv([reading(1, 1, 1, 0, "1.5")]));
    let ended = lake.run(&["--metrics", "pipelines/pipeline.yaml"]);
    ended.assert(0, &["no metrics went to", "none of metrics of lake"]);
    let text = fs::read_to_string(lake.pipeline()).unwrap();
    assert!(text.starts_with("name: utility\n"), "{text}");
}
