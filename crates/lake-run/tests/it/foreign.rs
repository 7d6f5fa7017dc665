//! What somebody else can do to a table, by hand, as other engines do it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Something that somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// VACUUM: a commit that says nothing of files.
    Vacuum,
    /// OPTIMIZE, and VACUUM of what it leaves: rows lie in other files.
    Optimize,
    /// Rows are added: those of one file once more.
    Append,
    /// DELETE: the rows of one file go.
    Delete,
    /// UPDATE: a file takes the place of another.
    Update,
    /// ALTER TABLE ADD COLUMN.
    AddColumn,
    /// A table feature is switched on.
    Protocol,
    /// DROP TABLE.
    Drop,
    /// DROP TABLE, and another one in its place.
    Recreate,
    /// A data file is deleted.
    LoseDataFile,
    /// The last commit is deleted.
    TruncateLog,
    /// The run log is deleted.
    LoseRunLog,
}

pub(crate) const ALL: [Change; 12] = [
    Change::Vacuum,
    Change::Optimize,
    Change::Append,
    Change::Delete,
    Change::Update,
    Change::AddColumn,
    Change::Protocol,
    Change::Drop,
    Change::Recreate,
    Change::LoseDataFile,
    Change::TruncateLog,
    Change::LoseRunLog,
];

impl Change {
    /// Whether the rows of all tables can be the same afterwards as without the change.
    pub(crate) fn keeps_rows(self) -> bool {
        !matches!(self, Self::Append | Self::Delete)
    }
}

/// A table below a pipeline's root.
pub(crate) struct Table {
    root: PathBuf,
    place: PathBuf,
}

impl Table {
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        Self {
            root: root.to_owned(),
            place: root.join(name),
        }
    }

    /// Does it. `false` where there is nothing that it could be done to.
    pub(crate) fn suffer(&self, change: Change) -> bool {
        let files: Vec<Value> = self.active().into_values().collect();
        let first = files.first().cloned();
        match change {
            Change::LoseRunLog => {
                let log = self.root.join("_lake/log");
                return log.exists() && fs::remove_dir_all(log).is_ok();
            }
            Change::Drop | Change::Recreate => {
                if !self.place.exists() {
                    return false;
                }
                fs::remove_dir_all(&self.place).unwrap();
                if change == Change::Recreate {
                    self.commit(
                        "CREATE TABLE",
                        &[
                            json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
                            json!({ "metaData": {
                            "id": "another", "format": { "provider": "parquet", "options": {} },
                            "schemaString": "{\"type\":\"struct\",\"fields\":[]}",
                            "partitionColumns": [], "configuration": {}, "createdTime": 0,
                        } }),
                        ],
                    );
                }
                return true;
            }
            _ => {}
        }
        let Some(first) = first else { return false };
        match change {
            Change::Vacuum => self.commit("VACUUM START", &[]),
            Change::Optimize => {
                let mut actions = Vec::new();
                for add in &files {
                    actions.push(removed(add, false));
                    actions.push(self.copied(add, "optimized", false));
                }
                self.commit("OPTIMIZE", &actions);
                for add in &files {
                    fs::remove_file(self.file(add)).unwrap();
                }
            }
            Change::Append => self.commit("WRITE", &[self.copied(&first, "appended", true)]),
            Change::Delete => self.commit("DELETE", &[removed(&first, true)]),
            Change::Update => {
                let copy = self.copied(&first, "updated", true);
                self.commit("UPDATE", &[removed(&first, true), copy]);
            }
            Change::AddColumn => {
                let mut metadata = self.metadata();
                let schema = metadata["schemaString"].as_str().unwrap();
                let mut schema: Value = serde_json::from_str(schema).unwrap();
                let column =
                    json!({ "name": "theirs", "type": "string", "nullable": true, "metadata": {} });
                schema["fields"].as_array_mut().unwrap().push(column);
                metadata["schemaString"] = schema.to_string().into();
                self.commit("ADD COLUMNS", &[json!({ "metaData": metadata })]);
            }
            Change::Protocol => self.commit(
                "SET TBLPROPERTIES",
                &[json!({ "protocol": {
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"],
            } })],
            ),
            Change::LoseDataFile => fs::remove_file(self.file(&first)).unwrap(),
            Change::TruncateLog => {
                let (version, path) = self.commits().pop_last().unwrap();
                // The first commit is the table itself.
                if version == 0 {
                    return false;
                }
                fs::remove_file(path).unwrap();
            }
            _ => unreachable!(),
        }
        true
    }

    /// Moves the table away, as a message asks for.
    pub(crate) fn move_away(&self) {
        let away = self.root.parent().unwrap().join("moved-away");
        fs::create_dir_all(&away).unwrap();
        let name = fs::read_dir(&away).unwrap().count().to_string();
        fs::rename(&self.place, away.join(name)).unwrap();
    }

    /// Deletes the data files that the newest version does not name, as VACUUM does.
    pub(crate) fn delete_unnamed_files(&self) {
        let active = self.active();
        let named = self.actions().into_iter();
        let adds = named.filter_map(|action| Some(action.get("add")?["path"].as_str()?.to_owned()));
        for path in adds.filter(|path| !active.contains_key(path)) {
            let _ = fs::remove_file(self.place.join(path));
        }
    }

    fn commits(&self) -> BTreeMap<i64, PathBuf> {
        let Ok(entries) = fs::read_dir(self.place.join("_delta_log")) else {
            return BTreeMap::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        let versions = paths.filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
            Some((name.parse().ok()?, path.clone()))
        });
        versions.collect()
    }

    fn actions(&self) -> Vec<Value> {
        let commits = self.commits().into_values();
        let lines = commits.flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }

    /// The add actions of the files that the table has, by path.
    fn active(&self) -> BTreeMap<String, Value> {
        let mut active = BTreeMap::new();
        for action in self.actions() {
            if let Some(add) = action.get("add") {
                active.insert(add["path"].as_str().unwrap().to_owned(), add.clone());
            }
            if let Some(remove) = action.get("remove") {
                active.remove(remove["path"].as_str().unwrap());
            }
        }
        active
    }

    fn metadata(&self) -> Value {
        let actions = self.actions();
        let newest = actions
            .iter()
            .rev()
            .find_map(|action| action.get("metaData"));
        newest.unwrap().clone()
    }

    fn commit(&self, operation: &str, actions: &[Value]) {
        let next = self
            .commits()
            .last_key_value()
            .map_or(0, |(version, _)| version + 1);
        let log = self.place.join("_delta_log");
        fs::create_dir_all(&log).unwrap();
        let info = json!({ "commitInfo": { "operation": operation, "timestamp": 1 } });
        let lines = [info]
            .iter()
            .chain(actions)
            .map(|action| format!("{action}\n"))
            .collect::<String>();
        fs::write(log.join(format!("{next:020}.json")), lines).unwrap();
    }

    /// Where a data file is: paths of actions are encoded as URLs are.
    fn file(&self, add: &Value) -> PathBuf {
        let path = add["path"].as_str().unwrap();
        self.place
            .join(path.replace("%3A", ":").replace("%20", " "))
    }

    fn copied(&self, add: &Value, name: &str, changes: bool) -> Value {
        let path = add["path"].as_str().unwrap();
        let (directory, file) = path.rsplit_once('/').unwrap();
        let mut copy = add.clone();
        copy["path"] = format!("{directory}/{name}-{file}").into();
        copy["dataChange"] = changes.into();
        fs::copy(self.file(add), self.file(&copy)).unwrap();
        json!({ "add": copy })
    }
}

fn removed(add: &Value, changes: bool) -> Value {
    json!({ "remove": {
        "path": add["path"], "dataChange": changes, "deletionTimestamp": 1,
        "extendedFileMetadata": true, "partitionValues": add["partitionValues"], "size": add["size"],
    } })
}
