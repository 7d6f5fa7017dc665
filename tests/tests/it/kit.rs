//! The author's kit: a new transform, and golden cases.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use lake_tests::{Ended, Lake, binary, target, workspace};

/// What a person has who writes a transform: an empty directory, and `lake`.
struct Author {
    lake: Lake,
    /// The crate.
    directory: PathBuf,
}

impl Author {
    /// One whose new crate `orders` depends on the SDK that was written into it.
    fn with_own_sdk(directory: PathBuf) -> Self {
        let shared = target().join("lake-tests/kit");
        let lake = Lake::of("").variable("CARGO_TARGET_DIR", shared.to_str().unwrap());
        Self::new(lake, directory)
    }

    /// One whose crate depends on the SDK of this repository, which has been built before.
    fn with_built_sdk() -> Self {
        let shared = target().join("lake-tests/target");
        let lake = Lake::of("").variable("CARGO_TARGET_DIR", shared.to_str().unwrap());
        let directory = lake.directory().join("orders");
        let author = Self::new(lake, directory);
        let sdk = workspace().join("crates/lake-plugin");
        author.edit("Cargo.toml", "\"lake-plugin\" }", &format!("{sdk:?} }}"));
        author.edit(
            "Cargo.toml",
            "path = \"lake-plugin\"",
            &format!("path = {sdk:?}"),
        );
        author
    }

    fn new(lake: Lake, directory: PathBuf) -> Self {
        let path = directory.to_str().unwrap();
        let created = lake.lake(&["plugin", "new", "orders", "--path", path]);
        created.assert_prints(&["orders is in", "plugin test", "run pipeline.yaml"]);
        // The versions that the workspace uses, which have been downloaded for it.
        fs::copy(workspace().join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
        let lake = lake
            .variable("CARGO_PROFILE_DEV_DEBUG", "0")
            .variable("CARGO_INCREMENTAL", "0")
            .variable("LAKE", binary().to_str().unwrap());
        Self { lake, directory }
    }

    /// `lake plugin test` with more arguments.
    fn test(&self, arguments: &[&str]) -> Ended {
        let directory = self.directory.to_str().unwrap();
        self.lake(&[&["plugin", "test", directory], arguments].concat())
    }

    fn lake(&self, arguments: &[&str]) -> Ended {
        self.lake.lake(arguments)
    }

    /// `cargo test` in the crate, with the variables that `lake` gets, and more.
    fn cargo_test(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut cargo = Command::new(env!("CARGO"));
        for (name, value) in self.lake.command(&[]).get_envs() {
            match value {
                Some(value) => cargo.env(name, value),
                None => cargo.env_remove(name),
            };
        }
        cargo
            .arg("test")
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(&self.directory);
        Ended::of(cargo.output().unwrap())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    #[track_caller]
    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
    }

    /// Writes a file of a golden case.
    fn put(&self, file: &str, content: &str) {
        let path = self.path("tests/golden").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

const ORDERS: &str = "order_id,product,quantity,price,ordered_at,note\n\
                      1,tray,2,18.00,2025-06-01T09:15:00Z,\n";

#[test]
fn a_new_transform_tests_and_runs_at_once_and_shows_what_a_change_does() {
    // Outside of the repository, and the same directory every time: what cargo keeps of it is
    // replaced, and does not grow.
    let mut hasher = DefaultHasher::new();
    target().hash(&mut hasher);
    let directory = env::temp_dir().join(format!("lake-kit-{:x}", hasher.finish()));
    let _ = fs::remove_dir_all(&directory);
    let author = Author::with_own_sdk(directory.clone());

    author.test(&[]).assert_prints(&[
        "orders 0.1.0: 2 golden cases, as expected",
        "correction   2 runs, 2 tables",
        "messy_lines  1 run, 3 tables",
    ]);
    let tests = author.cargo_test(&[], &[]);
    tests.assert_prints(&[
        "all_spellings_of_a_product_are_one ... ok",
        "golden_cases ... ok",
    ]);
    assert!(!tests.stderr.contains("warning"), "{}", tests.stderr);
    is_formatted(&directory);

    let pipeline = author.path("pipeline.yaml");
    let pipeline = pipeline.to_str().unwrap();
    author.lake(&["run", pipeline]).assert_prints(&[
        "run 1 is published",
        "2  (33.3 %)",
        "transform orders 0.1.0",
    ]);
    let sql = "SELECT revenue FROM consumption.daily_sales ORDER BY day, product";
    let sales = author.lake(&["query", pipeline, sql, "--output", "csv"]);
    assert_eq!(
        sales.assert(0, &[]).stdout,
        "revenue\n15.00\n24.90\n48.90\n"
    );

    // A change of the SQL is seen row by row, and is what is expected once it was meant.
    author.edit("src/daily_sales.sql", "sum(quantity * price)", "sum(price)");
    author.test(&[]).assert(
        1,
        &[
            "orders 0.1.0: 2 golden cases, 2 not as expected",
            "case correction: consumption.daily_sales has other rows",
            "--- tests/golden/correction/consumption.daily_sales.csv\n+++ what the transform makes\n",
            "\n-2025-06-01,BLUE-MUG,1,3,22.50\n+2025-06-01,BLUE-MUG,1,3,7.50\n",
            "--update",
        ],
    );
    author.test(&["--update"]).assert_prints(&[
        "2 golden cases, updated",
        "changed  tests/golden/correction/consumption.daily_sales.csv",
    ]);
    author.test(&[]).assert_prints(&["as expected"]);

    // The same from cargo.
    author.edit("src/daily_sales.sql", "sum(price)", "sum(quantity * price)");
    let failed = author.cargo_test(&["--test", "golden"], &[]);
    assert_eq!(failed.code, 101, "{}", failed.stderr);
    assert!(
        failed.stdout.contains("\n+2025-06-01,BLUE-MUG,1,3,22.50\n"),
        "{}",
        failed.stdout
    );
    let update = [("LAKE_UPDATE_GOLDEN", "1")];
    author
        .cargo_test(&["--test", "golden"], &update)
        .assert(0, &[]);
    author.test(&[]).assert_prints(&["as expected"]);
    let missing = [("LAKE", "/no/lake")];
    let failed = author.cargo_test(&["--test", "golden"], &missing);
    assert!(
        failed.stdout.contains("there is no `/no/lake`"),
        "{}",
        failed.stdout
    );
    fs::remove_dir_all(directory).unwrap();
}

fn is_formatted(directory: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    let ended = cargo
        .args(["fmt", "--check"])
        .current_dir(directory)
        .output();
    Ended::of(ended.unwrap()).assert(0, &[]);
}

#[test]
fn a_transform_is_written_only_where_nothing_is() {
    let lake = Lake::of("");
    lake.lake(&["plugin", "new", "data"]).assert(0, &[]);
    let again = lake.lake(&["plugin", "new", "data"]);
    again.assert(2, &["data is not empty; nothing was written"]);
    lake.lake(&["plugin", "new", "Data"])
        .assert(2, &["cannot be called \"Data\"", "lower-case letters"]);
    assert!(!lake.directory().join("Data").exists());
}

#[test]
fn the_sdk_of_a_crate_is_brought_up_to_date() {
    let lake = Lake::of("");
    lake.lake(&["plugin", "new", "orders"]).assert(0, &[]);
    let same = lake.lake(&["plugin", "sdk", "orders"]);
    same.assert_prints(&["nothing was written"]);
    let header = lake
        .directory()
        .join("orders/lake-plugin/include/lake_plugin.h");
    fs::write(&header, "/* older */").unwrap();
    lake.lake(&["plugin", "sdk", "orders"])
        .assert_prints(&["lake-plugin/include/lake_plugin.h", "cargo test"]);
    let ours = workspace().join("crates/lake-plugin/include/lake_plugin.h");
    assert_eq!(fs::read(header).unwrap(), fs::read(ours).unwrap());
    lake.lake(&["plugin", "sdk", "data"])
        .assert(2, &["there is no crate at data", "lake plugin new"]);
}

#[test]
fn the_golden_cases_of_utility_are_as_expected() {
    let lake = Lake::new();
    let utility = workspace().join("crates/transforms/utility");
    let test = [
        "plugin",
        "test",
        utility.to_str().unwrap(),
        "--output",
        "json",
    ];
    let report = lake.lake(&test).assert(0, &[]).json();
    assert_eq!(report["transform"]["name"], "utility");
    let cases = report["cases"].as_array().unwrap();
    let names: Vec<&str> = cases
        .iter()
        .map(|case| case["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["corrections", "plain_day"]);
    assert_eq!(cases[0]["runs"], 2);
    assert_eq!(cases[0]["tables"][2]["name"], "rejection.readings");
    assert_eq!(cases[0]["tables"][2]["status"], "same");
}

#[test]
fn every_way_in_which_a_case_is_wrong_says_how_to_mend_it() {
    let author = Author::with_built_sdk();
    let case = |name: &str| author.test(&["--case", name]);

    author.put("new/orders.csv", ORDERS);
    case("new").assert(
        1,
        &["standard.orders has 1 row, and there is no tests/golden/new/standard.orders.csv"],
    );
    author.put("empty/standard.orders.csv", "");
    case("empty").assert(
        1,
        &["case empty: the case has no raw file: put orders.csv into it"],
    );
    author.put("stray/orders.csv", ORDERS);
    author.put("stray/order.csv", ORDERS);
    author.put("stray/case.toml", "receive = 1");
    case("stray").assert(
        1,
        &["order.csv is no part of a case", "unknown field `receive`"],
    );
    author.put("broken/orders.csv", "order_id,product\n");
    case("broken").assert(1, &["case broken: run 1: ", "quantity"]);
    author.put("nothing/orders.csv", "");
    case("nothing").assert(
        1,
        &[
            "case nothing: run 1: there is nothing to load",
            "orders.csv",
        ],
    );
    case("other").assert(
        2,
        &[
            "there is no golden case other",
            "correction, empty, messy_lines",
        ],
    );
    author.put("orders.csv", ORDERS);
    case("new").assert(2, &["orders.csv is in no case"]);
}

#[test]
fn an_update_writes_what_is_new_and_removes_what_is_stale() {
    let author = Author::with_built_sdk();
    author.put("new/orders.csv", ORDERS);
    author.put("new/standard.gone.csv", "id\n1\n");
    author.put("new/rejection.orders.csv", "line,raw,reasons\n9,x,y\n");
    let case = |arguments: &[&str]| author.test(&[&["--case", "new"], arguments].concat());

    case(&[]).assert(
        1,
        &[
            "standard.gone.csv stands for no table",
            "standard.orders, consumption.daily_sales",
        ],
    );
    let updated = case(&["--update", "--output", "json"])
        .assert(0, &[])
        .json();
    let tables = updated["cases"][0]["tables"].as_array().unwrap();
    let statuses: Vec<&str> = tables
        .iter()
        .map(|t| t["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["new", "new", "removed", "removed"]);
    let mut files: Vec<_> = fs::read_dir(author.path("tests/golden/new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "consumption.daily_sales.csv",
            "orders.csv",
            "standard.orders.csv"
        ]
    );
    let expected = author.read("tests/golden/new/consumption.daily_sales.csv");
    assert_eq!(
        expected,
        "day,product,orders,quantity,revenue\n2025-06-01,TRAY,1,2,36.00\n"
    );

    // Line ends of another system are no difference, and a value is.
    author.put(
        "new/consumption.daily_sales.csv",
        &expected.replace('\n', "\r\n"),
    );
    case(&[]).assert_prints(&["1 golden case, as expected"]);
    author.put(
        "new/consumption.daily_sales.csv",
        &expected.replace("36.00", "36"),
    );
    let failed = case(&["--output", "json"]).assert(1, &[]).json();
    assert_eq!(
        (&failed["status"], &failed["exit_code"]),
        (&"failed".into(), &1.into())
    );
    let diff = failed["cases"][0]["tables"][1]["diff"].as_str().unwrap();
    assert!(
        diff.ends_with("-2025-06-01,TRAY,1,2,36\n+2025-06-01,TRAY,1,2,36.00\n"),
        "{diff}"
    );
}

#[test]
fn a_test_of_what_is_no_transform_is_wrong_usage() {
    let lake = Lake::of("");
    lake.lake(&["plugin", "test"])
        .assert(2, &["there is no crate at .", "name the directory"]);
    let directory = lake.directory().join("data");
    fs::write(directory.join("Cargo.toml"), "[workspace]\n").unwrap();
    lake.lake(&["plugin", "test", "data"])
        .assert(1, &["Cargo.toml: it is a workspace and no crate"]);
    fs::write(directory.join("Cargo.toml"), "[package\n").unwrap();
    lake.lake(&["plugin", "test", "data"])
        .assert(1, &["data/Cargo.toml: ", "error"]);
    let package =
        "[package]\nname = \"data\"\nversion = \"1.0.0\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n";
    fs::write(directory.join("Cargo.toml"), package).unwrap();
    fs::write(directory.join("lib.rs"), "").unwrap();
    lake.lake(&["plugin", "test", "data"])
        .assert(2, &["there is no golden case", "tests/golden/<case>"]);
}
