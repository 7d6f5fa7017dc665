//! Many small files are loaded as one large file is: every row of every one.

use std::fs;

use lake_tests::{Lake, csv, reading};

/// As many as a test has time for; `bench/small_files` takes a hundred thousand.
const FILES: u32 = 2000;

/// What a run may take, whatever the number of files.
const MEMORY: u64 = 512 << 20;

#[test]
fn every_row_of_thousands_of_small_files_arrives_once() {
    let lake = Lake::new();
    for number in 0..FILES {
        let directory = lake.directory().join(format!("data/{}", number % 20));
        fs::create_dir_all(&directory).unwrap();
        let mut lines: Vec<String> = (0..3)
            .map(|hour| reading(number % 7, number, 1 + number % 28, hour, "0.5"))
            .collect();
        if number % 10 == 0 {
            lines.push("not a reading".to_owned());
        }
        fs::write(directory.join(format!("{number}.csv")), csv(lines)).unwrap();
    }
    let pattern = format!("readings={}/data/**/*.csv", lake.directory().display());
    let input = ["--input", &pattern];

    let run = lake.publish(&input);
    let readings = &run["inputs"]["readings"];
    assert_eq!(readings["files"], FILES);
    assert_eq!(readings["accepted"], 3 * FILES);
    assert_eq!(readings["rejected"], FILES / 10);
    assert!(run["peak_memory_bytes"].as_u64().unwrap() < MEMORY, "{run}");
    let stored = lake.rows(
        "SELECT count(*), count(DISTINCT _file), count(DISTINCT meter_id), sum(usage_kwh) FROM standard.readings",
    );
    assert_eq!(
        stored,
        [format!(
            "{},{FILES},{FILES},{:.3}",
            3 * FILES,
            1.5 * f64::from(FILES)
        )]
    );
    let known = lake.rows(
        "SELECT count(*), count(DISTINCT path), sum(rows), sum(rejected), min(rows) FROM _lake.files",
    );
    let rows = 3 * FILES + FILES / 10;
    assert_eq!(known, [format!("{FILES},{FILES},{rows},{},3", FILES / 10)]);

    let before = lake.tree();
    let again = lake.publish(&input);
    assert_eq!(again["status"], "nothing_to_do", "{again}");
    assert_eq!(lake.tree(), before, "nothing is loaded twice");
}
