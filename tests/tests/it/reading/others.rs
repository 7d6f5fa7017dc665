//! What other readers make of files, and where that differs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use lake_reader::{Column, Dialect};
use lake_tests::workspace;
use serde_json::{Value, json};

use super::cell::{Rows, type_form};
use super::parquet::Stored;

/// Something that a script in `tests/python` does, in one process with others.
#[derive(Debug, Clone)]
pub(super) struct Job(Value);

impl Job {
    /// A file, read by one of the script's readers.
    pub(super) fn read(reader: &str, file: &Path, columns: &[Column], options: Value) -> Self {
        let columns: Vec<Value> = columns.iter().map(described).collect();
        Self(json!({"reader": reader, "file": file, "columns": columns, "options": options}))
    }

    /// A Parquet file, written by one of the script's writers from rows in the one form.
    pub(super) fn write_parquet(
        writer: &str,
        file: &Path,
        columns: &[Stored],
        rows: &Path,
        options: Value,
    ) -> Self {
        let columns: Vec<Value> = columns
            .iter()
            .map(|(column, stored)| {
                let mut column = described(column);
                column["stored"] = json!(stored);
                column
            })
            .collect();
        Self(json!({
            "writer": writer, "file": file, "columns": columns, "rows": rows, "options": options,
        }))
    }

    /// A file, stored in another way.
    pub(super) fn pack(plain: &Path, file: &Path, options: Value) -> Self {
        Self(json!({"writer": "the packer", "file": file, "plain": plain, "options": options}))
    }

    /// What does it.
    fn who(&self) -> &Value {
        self.0.get("reader").unwrap_or(&self.0["writer"])
    }
}

fn described(column: &Column) -> Value {
    json!({"name": column.name, "type": type_form(&column.data_type)})
}

/// A dialect as the script wants to have it.
pub(super) fn dialect_options(dialect: Dialect) -> Value {
    let text = |byte: Option<u8>| byte.map(|byte| char::from(byte).to_string());
    json!({
        "delimiter": text(Some(dialect.delimiter)),
        "quote": text(dialect.quote),
        "escape": text(dialect.escape),
        "comment": text(dialect.comment),
        "header": dialect.header,
    })
}

/// Does all jobs in one process; the rows of each, in their order.
#[track_caller]
pub(super) fn answers(jobs: &[Job]) -> Vec<Rows> {
    let python = workspace().join(".venv/bin/python");
    assert!(
        python.is_file(),
        "there is no {}; make it with: scripts/venv tests/python/requirements.txt",
        python.display()
    );
    let mut script = Command::new(python)
        .arg(workspace().join("tests/python/other_readers.py"))
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    let wanted: Vec<&Value> = jobs.iter().map(|job| &job.0).collect();
    let wanted = serde_json::to_vec(&wanted).unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&wanted).unwrap());
        script.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "the script failed: {output:?}");
    let mut lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let rows_of = |job: &Job| {
        let ended = lines.next().unwrap();
        let Some(count) = ended["rows"].as_u64() else {
            panic!("{}: {}: {}", job.who(), job.0["file"], ended["failed"]);
        };
        let rows = (&mut lines).take(count as usize);
        rows.map(|row| row.as_array().unwrap().clone()).collect()
    };
    jobs.iter().map(rows_of).collect()
}

/// Where two readings of a file first differ.
pub(super) fn difference(
    file: &Path,
    columns: &[Column],
    ours: &Rows,
    theirs: &Rows,
) -> Option<String> {
    let file = file.display();
    for (at, (our, their)) in ours.iter().zip(theirs).enumerate() {
        let cells = our.iter().zip(their).zip(columns);
        for ((our, their), column) in cells {
            if our != their {
                let row = at + 1;
                return Some(format!(
                    "{file}, row {row}, column {}: {our} and {their}",
                    column.name
                ));
            }
        }
        if our.len() != their.len() {
            return Some(format!("{file}, row {}: {our:?} and {their:?}", at + 1));
        }
    }
    (ours.len() != theirs.len())
        .then(|| format!("{file}: {} rows and {} rows", ours.len(), theirs.len()))
}
