//! Looking into a file that nobody has declared: what is said is what a run would do.

use std::io::Write as _;
use std::path::Path;

use lake_tests::{Lake, building, make_crate, target};
use serde_json::{Value, json};

const SALES: &str = "Filiale;Betrag in EUR;Tag;Bezahlt\n\
                     Köln;1.234,50;31.12.2025;true\n\
                     Bonn;0,99;01.01.2026;false\n\
                     Köln;n/a;02.01.2026;true\n\
                     Düren;5,00\n";

const EVENTS: [&str; 4] = [
    r#"{"id": 1, "at": "2026-01-01T00:00:00Z", "user": {"name": "Ada", "age": 36}, "tags": ["a", "b"], "any": 1}"#,
    r#"{"id": 2, "at": "2026-01-02T00:00:00Z", "user": {"name": "Bob"}, "tags": [], "any": "x"}"#,
    r#"{"id": 3, "at": "2026-01-03T00:00:00Z", "user": {"name": "Cyd", "age": 41}, "tags": ["c"], "any": {"x": 1}}"#,
    r#"{"id": 4, "at": "2026-01-04"#,
];

fn inspected(lake: &Lake, file: &Path, arguments: &[&str]) -> Value {
    let file = file.to_str().unwrap();
    let ended = lake.lake(&[&["inspect", file, "--output", "json"], arguments].concat());
    ended.assert(0, &[]);
    ended.json()
}

fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

#[test]
fn the_dialect_encoding_and_compression_of_a_file_are_found_by_looking_into_it() {
    let lake = Lake::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&latin_1(SALES)).unwrap();
    let file = lake.put("sales.csv", 0, gzip.finish().unwrap());
    let found = inspected(&lake, &file, &[]);
    assert_eq!(found["compression"], "gzip");
    assert_eq!(found["encoding"], "latin1");
    assert_eq!(found["dialect"]["delimiter"], ";");
    assert_eq!(found["dialect"]["header"], true);
    let types = found["columns"].as_array().unwrap().iter();
    let types: Vec<&str> = types
        .map(|column| column["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["text", "decimal(12, 2)", "date", "boolean"]);
    assert_eq!((&found["rows"], &found["bad"]), (&json!(4), &json!(1)));
    let bad = &found["bad_rows"][0];
    assert_eq!(
        (&bad["line"], &bad["raw"]),
        (&json!(5), &json!("Düren;5,00"))
    );
    assert_eq!(bad["reasons"][0]["message"], "expected 4 fields, found 2");
    assert_eq!(found["first_rows"][0]["Filiale"], "Köln");
}

#[test]
fn what_somebody_knows_about_a_file_is_not_guessed() {
    let lake = Lake::new();
    let file = lake.put("odd.txt", 0, "a,b;c\n1,2;3\n");
    let found = inspected(&lake, &file, &["--delimiter", ";", "--header", "false"]);
    assert_eq!(
        (&found["rows"], &found["dialect"]["header"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(found["columns"][0]["name"], "column_1");
    let found = inspected(&lake, &file, &["--delimiter", "tab", "--name", "odd"]);
    assert!(
        found["declaration"]
            .as_str()
            .unwrap()
            .starts_with("Input::tsv(\"odd\")")
    );
}

#[test]
fn an_ambiguous_date_is_for_a_person_to_decide() {
    let lake = Lake::new();
    let file = lake.put("days.csv", 0, "day\n01/02/2026\n03/04/2026\n");
    let found = inspected(&lake, &file, &[]);
    let doubt = found["columns"][0]["doubt"].as_str().unwrap();
    assert!(doubt.contains("%m/%d/%Y"), "{doubt}");
    assert!(
        found["declaration"]
            .as_str()
            .unwrap()
            .contains("// fits %m/%d/%Y as well")
    );
}

#[test]
fn files_that_cannot_be_looked_into_say_why() {
    let lake = Lake::new();
    let empty = lake.put("empty.csv", 0, "");
    let shown = empty.to_str().unwrap();
    lake.lake(&["inspect", shown])
        .assert(1, &["empty.csv: the file is empty"]);
    lake.lake(&["inspect", "data/none.csv"])
        .assert(1, &["data/none.csv"]);
    let file = lake.put("a.csv", 0, "a\n1\n");
    let shown = file.to_str().unwrap();
    lake.lake(&["inspect", shown, "--format", "parquet"])
        .assert(1, &["a.csv", "Parquet"]);
    lake.lake(&["inspect", shown, "--delimiter", "ab"])
        .assert(2, &["one ASCII character, or the word tab"]);
}

#[test]
fn people_see_the_file_its_columns_its_rows_and_what_is_wrong_with_it() {
    let lake = Lake::new();
    let file = lake.put("events.jsonl", 0, EVENTS.join("\n"));
    let ended = lake.lake(&["inspect", file.to_str().unwrap()]);
    ended.assert(0, &[]).assert_prints(&[
        "one JSON object a line, UTF-8",
        "4 rows, 1 of them bad; 5 columns",
        "tags  list of text, never empty",
        "line 4, byte",
        ".input(Input::ndjson(\"events\")",
    ]);
}

/// What is suggested compiles, and reads the file as `inspect` did.
#[test]
fn the_declaration_can_be_pasted_into_a_transform_that_loads_the_file() {
    let lake = Lake::new();
    let files = [
        (
            "sales.csv",
            latin_1(SALES),
            "filiale, betrag_in_eur, tag, bezahlt",
            4,
            1,
        ),
        (
            "events.jsonl",
            EVENTS.join("\n").into_bytes(),
            "id, at, user, tags, any",
            4,
            1,
        ),
    ];
    for (name, content, columns, rows, bad) in files {
        let file = lake.put(name, 0, content);
        let found = inspected(&lake, &file, &["--name", "readings"]);
        let declaration = found["declaration"].as_str().unwrap();
        let directory = target()
            .join("lake-tests/inspected")
            .join(name.split('.').next().unwrap());
        let source = format!(
            "use lake_plugin::prelude::*;\n\
             fn transform() -> Transform {{\n\
                 Transform::new()\n.input({declaration})\n\
                 .table(Table::standard(\"t\").sql(r#\"SELECT {columns} FROM readings\"#))\n\
             }}\n\
             lake_plugin::export!(transform);\n"
        );
        let crate_name = format!("inspected-{}", name.split('.').next().unwrap());
        make_crate(&directory, &crate_name, &source);
        let pasted = building(&crate_name, "1", &directory);
        let input = format!("readings={}", file.display());
        let report = pasted.publish(&["--input", &input, "--set", "limits.rejected=100%"]);
        let read = &report["inputs"]["readings"];
        assert_eq!(
            (&read["rows"], &read["rejected"]),
            (&json!(rows), &json!(bad)),
            "{declaration}"
        );
        assert_eq!((&found["rows"], &found["bad"]), (&json!(rows), &json!(bad)));
    }
}
