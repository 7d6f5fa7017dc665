//! What a transform says about its files is what they are read as, in every format.
//!
//! The transform of these tests is one crate, whose input a variable chooses.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use lake_tests::{Ended, Lake, building, launcher, make_crate, target, workspace};
use serde_json::{Value, json};

/// A transform that reads what the variable `TRIAL` says.
const FORMATS: &str = r#"//! A transform that reads files of many kinds.

use lake_plugin::prelude::*;

pub fn formats() -> Transform {
    let trial = std::env::var("TRIAL").unwrap_or_default();
    match trial.as_str() {
        "tsv" => plain(Input::tsv("readings")),
        "german" => german(),
        "ndjson" => nested(Input::ndjson("readings")),
        "json" => nested(Input::json("readings")),
        "parquet" => plain(Input::parquet("readings")),
        "policies" => plain(
            Input::csv("readings")
                .header()
                .missing_columns(MissingColumns::Null)
                .extra_columns(ExtraColumns::Fail),
        ),
        "berlin" => clock(timestamp().required().zone("Europe/Berlin")),
        "berlin with policies" => clock(
            timestamp()
                .required()
                .zone("Europe/Berlin")
                .ambiguous(Ambiguous::Earliest)
                .nonexistent(Nonexistent::Shift),
        ),
        "nowhere" => clock(timestamp().zone("Europe/Berlim")),
        "path" => path(),
        _ => plain(Input::csv("readings").header()),
    }
}

fn plain(input: Input) -> Transform {
    Transform::new()
        .input(
            input
                .column("meter", text().required())
                .column("kwh", decimal(12, 3))
                .column("day", date()),
        )
        .table(Table::standard("t").sql("SELECT meter, kwh, day FROM readings"))
}

fn german() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .delimiter(';')
                .comment('#')
                .encoding(Encoding::Latin1)
                .nulls(["k.A."])
                .trim()
                .decimal_separator(',')
                .group_separator('.')
                .column("filiale", text().required())
                .column("betrag", decimal(12, 2))
                .column("anzahl", integer().nulls(["-"]))
                .column("bezahlt", boolean().spellings(["ja"], ["nein"]))
                .column("tag", date().formats(["%d.%m.%Y"]))
                .column("zeit", timestamp().formats(["%d.%m.%Y %H:%M"]).zone("Europe/Berlin")),
        )
        .table(Table::standard("t").sql("SELECT filiale, betrag, anzahl, bezahlt, tag, zeit FROM readings"))
}

fn nested(input: Input) -> Transform {
    Transform::new()
        .input(
            input
                .column("id", integer().required())
                .column(
                    "payload",
                    structure()
                        .field("user", structure().field("id", integer().required()).field("userName", text()))
                        .field("amounts", list(decimal(9, 2))),
                )
                .column("tags", list(text()))
                .column("labels", map(integer()))
                .column("rest", json())
                .check("the user is known", "payload['user']['id'] > 0"),
        )
        .table(
            Table::standard("t")
                .sql("SELECT id, payload, payload['user']['id'] AS user_id, tags, labels, rest FROM readings")
                .key(["id"]),
        )
        .table(
            Table::consumption("tags")
                .sql("SELECT tag, count(*) AS events FROM (SELECT unnest(tags) AS tag FROM standard.t) GROUP BY tag")
                .key(["tag"]),
        )
}

fn clock(at: impl Into<lake_plugin::InputColumn>) -> Transform {
    Transform::new()
        .input(Input::csv("readings").header().column("at", at))
        .table(Table::standard("t").sql("SELECT at FROM readings"))
}

fn path() -> Transform {
    Transform::new()
        .input(
            Input::csv("readings")
                .header()
                .column("year", int32().required().from_path())
                .column("kwh", decimal(12, 3).required())
                .column("site", text().from_path())
                .column("meter", text())
                .check("the year is over", "year < 2026"),
        )
        .table(Table::standard("t").sql("SELECT year, site, meter, kwh FROM readings"))
}

lake_plugin::export!(formats);
"#;

fn formats(trial: &str) -> Lake {
    building("formats", "1", transform()).variable("TRIAL", trial)
}

fn transform() -> &'static Path {
    static CRATE: OnceLock<PathBuf> = OnceLock::new();
    CRATE.get_or_init(|| {
        let directory = target().join("lake-tests/formats");
        make_crate(&directory, "formats", FORMATS);
        directory
    })
}

/// Loads `data/<pattern>`, whatever is rejected.
#[track_caller]
fn load(lake: &Lake, pattern: &str) -> Value {
    let input = format!("readings=data/{pattern}");
    lake.publish(&["--input", &input, "--set", "limits.rejected=100%"])
}

#[track_caller]
fn assert_counts(report: &Value, rows: u64, rejected: u64) {
    let input = &report["inputs"]["readings"];
    let counts = [&input["rows"], &input["accepted"], &input["rejected"]];
    assert_eq!(counts, [rows, rows - rejected, rejected]);
}

/// The messages of all rejected rows, by line.
#[track_caller]
fn messages(lake: &Lake) -> Vec<String> {
    let rejected = lake.query("SELECT line, reasons FROM rejection.readings ORDER BY file, line");
    let reasons = rejected.iter().flat_map(|row| {
        let reasons = row["reasons"].as_array().unwrap();
        let line = row["line"].clone();
        reasons
            .iter()
            .map(move |reason| format!("{line}: {}", reason["message"].as_str().unwrap()))
    });
    reasons.collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_tsv_file_without_header_is_read_by_position() {
    let lake = formats("tsv");
    // Quotes are text in TSV, and every field is where it is.
    lake.put("a.tsv", 0, "M1\t1.5\t2025-06-01\n\"M2\"\t\t\nM3\t1\n");
    assert_counts(&load(&lake, "a.tsv"), 3, 1);
    assert_eq!(
        lake.query("SELECT meter, kwh, day FROM standard.t ORDER BY meter"),
        [
            json!({"meter": "\"M2\"", "kwh": null, "day": null}),
            json!({"meter": "M1", "kwh": 1.5, "day": "2025-06-01"}),
        ]
    );
    let messages = messages(&lake);
    assert!(messages[0].starts_with("3: "), "{messages:?}");
}

#[test]
fn numbers_dates_and_text_are_read_as_the_transform_says_they_are_written() {
    let lake = formats("german");
    let text = "# Kasse\n\
                filiale;betrag;anzahl;bezahlt;tag;zeit\n\
                Köln ;1.234.567,89;1.000;JA;01.06.2025;01.06.2025 08:30\n\
                Bonn; 5,5 ;-;nein;k.A.;k.A.\n\
                Trier;1.23;x;vielleicht;2025-06-01;32.01.2025 08:30\n";
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    lake.put("a.csv", 0, latin1);
    assert_counts(&load(&lake, "a.csv"), 3, 1);
    assert_eq!(
        lake.rows(
            "SELECT filiale, betrag, anzahl, bezahlt, tag, to_char(zeit, '%Y-%m-%dT%H:%M') \
             FROM standard.t ORDER BY betrag DESC"
        ),
        [
            "Köln,1234567.89,1000,true,2025-06-01,2025-06-01T06:30",
            "Bonn,5.50,,false,,",
        ]
    );
    let messages = messages(&lake);
    assert_eq!(messages.len(), 5, "{messages:#?}");
    assert!(messages.iter().all(|message| message.starts_with("5: ")));
}

#[test]
fn compressed_files_are_read_as_what_is_in_them() {
    let lake = formats("csv");
    let rows = "meter,kwh,day\nM1,1,2025-06-01\nM2,2,\n";
    lake.put("a.csv.gz", 0, gzip(rows.as_bytes()));
    // Several members, as log rotation and bgzip make them; and a name that says nothing.
    let members = [
        gzip(b"meter,kwh,day\nM3,3,"),
        gzip(b"2025-06-01\nM4,4,2025-06-01\n"),
    ];
    lake.put("b", 0, members.concat());
    lake.put(
        "c.zst",
        0,
        zstd::encode_all(&b"meter,kwh,day\nM5,5,\n"[..], 3).unwrap(),
    );
    // A name that promises too much.
    lake.put("d.gz", 0, "meter,kwh,day\nM6,6,\n");
    assert_counts(&load(&lake, "*"), 6, 0);
    assert_eq!(
        lake.rows("SELECT sum(kwh), count(DISTINCT meter) FROM standard.t"),
        ["21.000,6"]
    );
}

#[test]
fn a_cut_gzip_file_stops_the_run_and_nothing_is_published() {
    let lake = formats("csv");
    let rows: String = (0..20_000).map(|row| format!("M{row},{row},\n")).collect();
    let mut cut = gzip(format!("meter,kwh,day\n{rows}").as_bytes());
    cut.truncate(cut.len() / 2);
    let file = lake.put("a.csv.gz", 0, &cut);
    let input = ["--input", "readings=data/a.csv.gz"];
    let at = format!("stops at byte {}", cut.len());
    lake.run(&input)
        .assert(1, &[file.to_str().unwrap(), &at, "on_truncated: reject"]);
    lake.assert_nothing_published();

    // What is in front of the cut, where the pipeline says that this is enough.
    let ended = lake.run(
        &[
            &input[..],
            &[
                "--set",
                "inputs.readings.on_truncated=reject",
                "--output",
                "json",
            ],
        ]
        .concat(),
    );
    let report = ended.assert(0, &[&at]).json();
    let counts = &report["inputs"]["readings"];
    let accepted = counts["accepted"].as_u64().unwrap();
    assert!((1000..20_000).contains(&accepted), "{counts}");
    let rejected = counts["rejected"].as_u64().unwrap();
    assert!(rejected <= 1, "{counts}");
    assert_eq!(
        lake.rows("SELECT count(*), max(kwh) FROM standard.t"),
        [format!("{accepted},{}.000", accepted - 1)]
    );
}

/// Events as JSON, one of them with a field that is wrong.
const EVENTS: [&str; 3] = [
    r#"{"id": 1, "payload": {"user": {"id": 7, "userName": "Ada"}, "amounts": [1.10, 2]}, "tags": ["a", "b"], "labels": {"x": 1}, "rest": {"any": [1, null]}}"#,
    r#"{"id": 2, "payload": {"user": {"id": 8}}, "tags": ["a"]}"#,
    r#"{"id": 3, "payload": {"user": {"id": "seven"}, "amounts": [0.125]}}"#,
];

#[track_caller]
fn assert_events(lake: &Lake) {
    assert_eq!(
        lake.query(
            "SELECT id, user_id, payload['user']['userName'] AS name, payload['amounts'][2] AS second, \
             labels['x'] AS x, rest FROM standard.t ORDER BY id"
        ),
        [
            json!({"id": 1, "user_id": 7, "name": "Ada", "second": 2.0, "x": 1, "rest": "{\"any\":[1,null]}"}),
            json!({"id": 2, "user_id": 8, "name": null, "second": null, "x": null, "rest": null}),
        ]
    );
    assert_eq!(
        lake.rows("SELECT tag, events FROM consumption.tags ORDER BY tag"),
        ["a,2", "b,1"]
    );
    let messages = messages(lake);
    assert_eq!(messages.len(), 2, "{messages:#?}");
    assert!(messages[0].contains("payload.user.id"), "{messages:#?}");
    assert!(messages[1].contains("payload.amounts"), "{messages:#?}");
}

#[test]
fn json_lines_become_tables_with_nested_columns() {
    let lake = formats("ndjson");
    lake.put("a.jsonl", 0, EVENTS.join("\n"));
    assert_counts(&load(&lake, "a.jsonl"), 3, 1);
    assert_events(&lake);
    assert_eq!(
        lake.rows("SELECT line FROM rejection.readings"),
        ["3"],
        "a line is a record"
    );
}

#[test]
fn json_arrays_become_the_same_tables_and_other_engines_read_them() {
    let lake = formats("json");
    lake.put("a.json", 0, format!("[\n{}\n]\n", EVENTS.join(",\n")));
    assert_counts(&load(&lake, "a.json"), 3, 1);
    assert_events(&lake);
    let table = lake.root().join("formats/standard/t");
    let read = "import duckdb, sys\n\
                from deltalake import DeltaTable\n\
                files = DeltaTable(sys.argv[1]).file_uris()\n\
                sql = 'SELECT id, payload.\"user\".id, payload.amounts[1], tags, labels[\\'x\\'] \
                FROM read_parquet(?) ORDER BY id'\n\
                print(duckdb.execute(sql, [files]).fetchall())\n";
    let ended = python(&["-c", read, table.to_str().unwrap()]);
    ended.assert_prints(&[
        "[(1, 7, Decimal('1.10'), ['a', 'b'], ",
        "), (2, 8, None, ['a'], ",
    ]);
}

#[test]
fn rows_with_nested_values_are_merged_and_those_that_say_the_same_stay() {
    let lake = formats("ndjson");
    lake.put("a.jsonl", 0, EVENTS[..2].join("\n"));
    load(&lake, "*.jsonl");
    // The same two again, one of them with another tag.
    let changed = EVENTS[1].replace("[\"a\"]", "[\"a\", \"c\"]");
    lake.put("b.jsonl", 1, format!("{}\n{changed}\n", EVENTS[0]));
    let report = load(&lake, "*.jsonl");
    let table = &report["tables"]["standard/t"];
    assert_eq!(table["updated"].as_u64(), Some(2), "{table}");
    assert_eq!(table["rows"].as_u64(), Some(2), "{table}");
    assert_eq!(
        lake.rows("SELECT tag, events FROM consumption.tags ORDER BY tag"),
        ["a,2", "b,1", "c,1"]
    );
    // A reload compares every stored row with what the files say.
    let report = lake.publish(&["--input", "readings=data/*.jsonl", "--reload"]);
    let table = &report["tables"]["standard/t"];
    assert_eq!(table["updated"].as_u64(), Some(0), "{table}");
    assert_eq!(table["rows"].as_u64(), Some(2), "{table}");
}

#[test]
fn parquet_files_are_read_by_the_names_of_their_columns() {
    let lake = formats("parquet");
    let path = lake.directory().join("data/a.parquet");
    let write = "import duckdb, sys\n\
                 sql = \"COPY (SELECT * FROM (VALUES \
                 (DATE '2025-06-01', 'M1', 1.5::DECIMAL(9, 1)), (NULL, NULL, NULL), \
                 (DATE '2025-06-02', 'M2', 2.5)) AS rows(day, meter, kwh)) TO '\" + sys.argv[1] + \"'\"\n\
                 duckdb.execute(sql)\n";
    python(&["-c", write, path.to_str().unwrap()]).assert(0, &[]);
    lake_tests::received(&path, 0);
    assert_counts(&load(&lake, "a.parquet"), 3, 1);
    assert_eq!(
        lake.rows("SELECT meter, kwh, day FROM standard.t ORDER BY meter"),
        ["M1,1.500,2025-06-01", "M2,2.500,2025-06-02"]
    );
    let rejected = &lake.query("SELECT line, raw, raw_escaped FROM rejection.readings")[0];
    assert_eq!(rejected["line"], 2);
    assert_eq!(rejected["raw_escaped"], false);
    assert!(rejected["raw"].as_str().unwrap().contains("meter"));
    // The same file is known by its hash, although it was not read from start to end.
    let again = load(&lake, "a.parquet");
    assert_eq!(again["status"], "nothing_to_do", "{again}");
}

#[test]
fn missing_and_other_columns_follow_the_policies_of_the_transform() {
    let lake = formats("policies");
    lake.put("a.csv", 0, "kwh,meter\n1,M1\n");
    assert_counts(&load(&lake, "a.csv"), 1, 0);
    assert_eq!(
        lake.rows("SELECT meter, kwh, day FROM standard.t"),
        ["M1,1.000,"]
    );
    lake.put("b.csv", 1, "kwh,meter,colour\n1,M1,red\n");
    lake.run(&["--input", "readings=data/b.csv"])
        .assert(1, &["b.csv", "colour"]);
}

#[test]
fn times_of_the_night_of_the_clock_change_are_rejected_unless_the_transform_says_what_they_are() {
    // 02:30 was skipped on 30 March 2025, and came twice on 26 October.
    let times = "at\n2025-03-30T01:30\n2025-03-30T02:30\n2025-10-26T02:30\n2025-10-26T02:30Z\n";
    let at = "SELECT to_char(at, '%m-%dT%H:%M') FROM standard.t ORDER BY at";
    let lake = formats("berlin");
    lake.put("a.csv", 0, times);
    assert_counts(&load(&lake, "a.csv"), 4, 2);
    assert_eq!(lake.rows(at), ["03-30T00:30", "10-26T02:30"]);
    let found = messages(&lake);
    assert!(found[0].starts_with("3: ") && found[1].starts_with("4: "));
    assert!(
        found
            .iter()
            .all(|message| message.contains("Europe/Berlin")),
        "{found:?}"
    );

    let lake = formats("berlin with policies");
    lake.put("a.csv", 0, times);
    assert_counts(&load(&lake, "a.csv"), 4, 0);
    assert_eq!(
        lake.rows(at),
        ["03-30T00:30", "03-30T01:30", "10-26T00:30", "10-26T02:30"]
    );
}

#[test]
fn a_time_zone_that_there_is_not_is_named_before_anything_is_read() {
    let lake = formats("nowhere");
    lake.put("a.csv", 0, "at\n2025-03-30T01:30\n");
    lake.run(&["--input", "readings=data/a.csv"]).assert(
        1,
        &[
            "input readings, column at: its time zone is 'Europe/Berlim'",
            "perhaps 'Europe/Berlin' is meant",
        ],
    );
    lake.assert_nothing_published();
}

/// Writes a raw file into a directory below `data`.
fn put_below(lake: &Lake, path: &str, content: &str) {
    let path = lake.directory().join("data").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    lake_tests::received(&path, 0);
}

#[test]
fn columns_come_from_the_path_where_the_transform_says_so() {
    let lake = formats("path");
    put_below(&lake, "2024/north.csv", "meter,kwh\nM1,1\nM2,x\n");
    put_below(&lake, "2026/south.csv", "meter,kwh\nM3,3\n");
    assert_counts(&load(&lake, "{year}/{site}.csv"), 3, 2);
    assert_eq!(
        lake.rows("SELECT year, site, meter, kwh FROM standard.t"),
        ["2024,north,M1,1.000"]
    );
    let found = messages(&lake);
    // A check may look at a value of the path like at any other.
    assert_eq!(found[0], "3: 'x' is not a decimal(12, 3)");
    assert_eq!(found[1], "2: `year < 2026` does not hold for year = 2026");

    let lake = formats("path");
    put_below(
        &lake,
        "year=2025/site=__HIVE_DEFAULT_PARTITION__/a.csv",
        "meter,kwh\nM1,1\n",
    );
    assert_counts(&load(&lake, "*/*/*.csv"), 1, 0);
    assert_eq!(lake.rows("SELECT year, site FROM standard.t"), ["2025,"]);
}

#[test]
fn a_path_that_does_not_say_what_it_should_is_an_error_of_its_file() {
    let lake = formats("path");
    put_below(&lake, "then/north.csv", "meter,kwh\nM1,1\n");
    lake.run(&["--input", "readings=data/{year}/{site}.csv"])
        .assert(
            1,
            &[
                "then/north.csv: column year of input readings comes from the path, where it is 'then'",
                "is not an int32",
            ],
        );
    lake.run(&["--input", "readings=data/*/{site}.csv"]).assert(
        1,
        &[
            "column year of input readings comes from the path, which names site",
            "say where it is with {year}",
        ],
    );
    lake.assert_nothing_published();
}

#[test]
fn one_large_file_gives_the_same_rows_to_one_thread_and_to_many() {
    let mut text = "meter,kwh,day\n".to_owned();
    let mut row = 0_u32;
    while text.len() < 6 << 20 {
        // Quoted line ends, so that nothing but the quotes says where a record ends; bad rows.
        let (meter, kwh) = match row % 7 {
            0 => (format!("\"M\n{row}\n\""), "1.5".to_owned()),
            1 => (format!("M{row}"), "bad".to_owned()),
            _ => (format!("M{row}"), format!("{}.25", row % 1000)),
        };
        let _ = writeln!(text, "{meter},{kwh},2025-06-01");
        row += 1;
    }
    let figures = |launch: &[&str]| {
        let lake = formats("csv");
        lake.put("a.csv", 0, &text);
        let pipeline = lake.pipeline().to_str().unwrap().to_owned();
        let run = ["run", &pipeline, "--set", "limits.rejected=100%"];
        let ended = match launch {
            [] => lake.lake(&run),
            launch => lake.below(launch, &run),
        };
        ended.assert(0, &[]);
        [
            "SELECT count(*), sum(kwh), sum(_line), count(DISTINCT meter) FROM standard.t",
            "SELECT count(*), sum(line), sum(byte_offset), count(DISTINCT raw) FROM rejection.readings",
            "SELECT rows, accepted, rejected, hash FROM _lake.files",
        ]
        .map(|sql| lake.rows(sql))
    };
    let many = figures(&[]);
    assert!(many[2][0].starts_with(&format!("{row},")), "{many:?}");
    if let Some(one) = launcher(&[&["taskset", "-c", "0"]]) {
        assert_eq!(figures(one), many);
    }
}

#[track_caller]
fn python(arguments: &[&str]) -> Ended {
    let python = workspace().join(".venv/bin/python");
    assert!(
        python.is_file(),
        "there is no {}; make it with: scripts/venv tests/python/requirements.txt",
        python.display()
    );
    Ended::of(Command::new(python).args(arguments).output().unwrap())
}
