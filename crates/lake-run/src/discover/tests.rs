//! What a run finds: values of paths, and what is chosen of many files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lake_pipeline::{InputSource, Overrides};
use lake_testing::Directory;

use super::*;

mod many;

/// The only input of a pipeline in `directory`, with these settings.
fn source(directory: &Path, settings: &str) -> InputSource {
    let yaml = format!(
        "name: p\ntransform: {{ name: t, version: \"1\" }}\nroot: lake\ninputs:\n  i: {{ {settings} }}\n"
    );
    let file = directory.join("pipeline.yaml");
    let parsed = lake_pipeline::parse(&yaml, &file, directory, &|_| None, &Overrides::default());
    let mut pipeline = parsed.unwrap_or_else(|faults| panic!("{faults}"));
    pipeline.inputs.remove("i").unwrap()
}

fn put(directory: &Directory, name: &str, seconds: u64) {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "x").unwrap();
    let file = fs::File::options().append(true).open(&path).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

fn listed(directory: &Directory, settings: &str) -> Vec<PendingFile> {
    of(&source(directory.path(), settings))
}

fn of(source: &InputSource) -> Vec<PendingFile> {
    let stores = Stores::default();
    futures::executor::block_on(async {
        let place = (&stores, false);
        let listing = Listing::of("i", source, place, &mut Vec::new()).await;
        listing.unwrap().chunk(usize::MAX).await.unwrap()
    })
}

/// The files as `name: value=… value=…`, with names below the directory.
fn shown(directory: &Directory, files: &[PendingFile]) -> Vec<String> {
    let one = |file: &PendingFile| {
        let name = Path::new(&file.path)
            .strip_prefix(directory.path())
            .unwrap();
        let values = file.captures.iter();
        let values =
            values.map(|(name, value)| format!(" {name}={}", value.as_deref().unwrap_or("NULL")));
        format!("{}:{}", name.display(), values.collect::<String>())
    };
    files.iter().map(one).collect()
}

#[test]
fn every_file_carries_what_its_path_says() {
    let directory = Directory::new().unwrap();
    for name in [
        "north/2025/a.csv",
        "south/2024/b.csv",
        "day=2025-06-01/kind=a%2Fb/c.csv",
        "day=__HIVE_DEFAULT_PARTITION__/d.csv",
    ] {
        put(&directory, name, 1);
    }
    let files = listed(&directory, "path: ['{site}/{year}/*.csv', '**/*.csv']");
    assert_eq!(
        shown(&directory, &files),
        [
            "day=2025-06-01/kind=a%2Fb/c.csv: day=2025-06-01 kind=a/b site=day=2025-06-01 year=kind=a%2Fb",
            "day=__HIVE_DEFAULT_PARTITION__/d.csv: day=NULL",
            "north/2025/a.csv: site=north year=2025",
            "south/2024/b.csv: site=south year=2024",
        ]
    );
}

#[test]
fn of_two_patterns_the_first_reads_the_path() {
    let directory = Directory::new().unwrap();
    put(&directory, "a_b.csv", 1);
    for (paths, expected) in [
        ("['{x}.csv', '{y}_*.csv']", "a_b.csv: x=a_b"),
        ("['{y}_*.csv', '{x}.csv']", "a_b.csv: y=a"),
        ("[a_b.csv, '{x}.csv']", "a_b.csv:"),
    ] {
        let files = listed(&directory, &format!("path: {paths}"));
        assert_eq!(shown(&directory, &files), [expected], "{paths}");
    }
}

#[test]
fn a_backlog_is_cut_in_its_order_and_nothing_of_it_is_lost() {
    let directory = Directory::new().unwrap();
    for (name, seconds) in [("a", 3), ("b", 1), ("c", 1), ("d", 2)] {
        put(&directory, name, seconds);
    }
    for (settings, expected) in [
        ("order: name", vec!["a", "b", "c", "d"]),
        ("max_files: 2", vec!["a", "b"]),
        ("max_bytes: 3", vec!["a", "b", "c"]),
        ("max_files: 3, max_bytes: 2", vec!["a", "b"]),
        ("order: modified, max_files: 3", vec!["b", "c", "d"]),
    ] {
        let source = source(directory.path(), &format!("path: '?', {settings}"));
        let mut files = of(&source);
        let all = files.len() as u64;
        let choosing = Choosing {
            input: "i",
            source: &source,
            now: 0,
            stores: &Stores::default(),
        };
        let left = choosing.first(&mut files);
        let names: Vec<_> = files.iter().map(|f| listing::name_of(&f.path)).collect();
        assert_eq!(names, expected, "{settings}");
        assert_eq!(left.files + expected.len() as u64, all);
        assert_eq!(left.bytes, left.files, "each has one byte");
    }
}

/// Each file is looked at once: twice the files take about twice the time.
#[test]
fn the_time_to_list_files_grows_with_their_number_and_no_faster() {
    let directory = Directory::new().unwrap();
    let time = |some: usize| {
        for n in 0..some {
            let name = format!("{some}/{}/{n}.csv", n % 10);
            let path = directory.path().join(name);
            if n < 10 {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
            }
            fs::write(path, "").unwrap();
        }
        let source = source(directory.path(), &format!("path: '{some}/**/*.csv'"));
        let begun = Instant::now();
        let files = of(&source);
        assert_eq!(files.len(), some);
        begun.elapsed()
    };
    let (few, many) = (time(500), time(8_000));
    // Sixteen times the files; a step that compares each with each would take 256 times as long.
    assert!(
        many < few * 100 + Duration::from_millis(500),
        "{few:?}, then {many:?}"
    );
}
