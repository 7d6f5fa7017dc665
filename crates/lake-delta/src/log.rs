//! The commit files of a table's log, as the Delta protocol writes them: one JSON action a line.

use std::sync::Arc;

use deltalake::kernel::{Add, Remove};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Error, Result, Root};

/// How much a commit changes for whoever has prepared a change of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// It touches neither files nor metadata, as VACUUM.
    Nothing,
    /// Rows lie in other files, and are the same: OPTIMIZE.
    Rearranged,
    /// Rows came, went or are others: append, UPDATE, DELETE, MERGE.
    Rows,
    /// The table is not what it was: columns, properties, the protocol, or the table itself.
    Table,
}

/// What others committed to a table: the commit that matters most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// How much it matters.
    pub impact: Impact,
    /// The version.
    pub version: i64,
    /// What it says that it is, such as `OPTIMIZE`, or what is known of it.
    pub operation: String,
}

/// What one commit file says.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) version: i64,
    pub(crate) impact: Impact,
    pub(crate) operation: String,
    actions: Vec<Value>,
}

impl Entry {
    /// Reads the commit of `version`; `None` where its file is not there.
    pub(crate) async fn read(place: &Root, name: &str, version: i64) -> Result<Option<Self>> {
        let bytes = read(&place.store(), name, &commit_path(version)).await?;
        Ok(bytes.map(|bytes| Self::parse(version, &bytes)))
    }

    fn parse(version: i64, bytes: &[u8]) -> Self {
        let mut entry = Self {
            version,
            impact: Impact::Nothing,
            operation: "an unnamed operation".to_owned(),
            actions: Vec::new(),
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(Value::Object(action)) => {
                    for (kind, content) in &action {
                        entry.impact = entry.impact.max(impact(kind, content));
                        if kind == "commitInfo"
                            && let Some(operation) = content["operation"].as_str()
                        {
                            operation.clone_into(&mut entry.operation);
                        }
                    }
                    entry.actions.push(Value::Object(action));
                }
                _ => entry.impact = Impact::Table,
            }
        }
        entry
    }

    /// The version of `app`'s transaction, where the commit has one.
    pub(crate) fn transaction(&self, app: &str) -> Option<i64> {
        let transactions = self.actions.iter().filter_map(|action| action.get("txn"));
        transactions
            .filter(|transaction| transaction["appId"] == app)
            .filter_map(|transaction| transaction["version"].as_i64())
            .max()
    }

    /// The files that the commit puts in.
    pub(crate) fn adds(&self) -> Vec<Add> {
        let adds = self.actions.iter().filter_map(|action| action.get("add"));
        adds.filter_map(|add| serde_json::from_value(add.clone()).ok())
            .collect()
    }

    /// The paths of the files that the commit takes out.
    pub(crate) fn removed(&self) -> Vec<String> {
        let removes = self
            .actions
            .iter()
            .filter_map(|action| action.get("remove"));
        // Paths are encoded as in a URL; the library decodes them.
        removes
            .filter_map(|remove| serde_json::from_value::<Remove>(remove.clone()).ok())
            .map(|remove| remove.path)
            .collect()
    }

    /// The table's metadata, where the commit changes it.
    pub(crate) fn metadata(&self) -> Option<&Value> {
        let mut actions = self.actions.iter();
        actions.find_map(|action| action.get("metaData"))
    }

    /// The lines of the actions of these kinds, as they were.
    pub(crate) fn lines(&self, kinds: &[&str]) -> Vec<String> {
        let wanted = self.actions.iter();
        wanted
            .filter(|action| kinds.iter().any(|kind| action.get(kind).is_some()))
            .map(Value::to_string)
            .collect()
    }

    /// A commit that is not in its log yet.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        Self::parse(-1, body)
    }
}

fn impact(kind: &str, content: &Value) -> Impact {
    match kind {
        "commitInfo" | "txn" => Impact::Nothing,
        // The protocol's default is that data changes.
        "add" | "remove" if content["dataChange"] == false => Impact::Rearranged,
        "add" | "remove" | "cdc" => Impact::Rows,
        _ => Impact::Table,
    }
}

/// What has happened to a table above a version.
#[derive(Debug, Default)]
pub(crate) struct Since {
    /// Where the run that was asked for, or a later one, is committed.
    pub(crate) applied: Option<i64>,
    /// What others did, up to there.
    pub(crate) outside: Option<Outside>,
}

/// Looks through the commits of `versions` for that of `run`, or of a later one of `app`, and for
/// those before it. A commit whose file is gone can have been anything.
pub(crate) async fn since(
    place: &Root,
    name: &str,
    versions: std::ops::RangeInclusive<i64>,
    (app, run): (&str, i64),
) -> Result<Since> {
    let mut found = Since::default();
    for version in versions {
        let entry = Entry::read(place, name, version).await?;
        let (impact, operation) = match entry {
            Some(entry) if entry.transaction(app) >= Some(run) => {
                found.applied = Some(version);
                return Ok(found);
            }
            Some(entry) => (entry.impact, entry.operation),
            None => (
                Impact::Table,
                "its commit file is not in the log any more".to_owned(),
            ),
        };
        let more = Outside {
            impact,
            version,
            operation,
        };
        if found
            .outside
            .as_ref()
            .is_none_or(|known| known.impact < more.impact)
        {
            found.outside = Some(more);
        }
    }
    Ok(found)
}

/// What others than `app` have committed to table `name` after `version`, as far as their commit
/// files are there; `None` where nobody has. The number is the last version that was looked at. It
/// costs one request where nothing has happened.
///
/// # Errors
/// Of the store.
pub async fn outside_changes(
    root: &Root,
    name: &str,
    version: i64,
    app: &str,
) -> Result<(Option<Outside>, i64)> {
    let (commits, last) = outside_commits(root, name, version, app).await?;
    // Of two that matter as much, the first.
    let most = commits
        .into_iter()
        .rev()
        .max_by_key(|outside| outside.impact);
    Ok((most, last))
}

/// All commits of others than `app` to table `name` after `version`, the oldest first, and the last
/// version that was looked at.
///
/// # Errors
/// Of the store.
pub async fn outside_commits(
    root: &Root,
    name: &str,
    version: i64,
    app: &str,
) -> Result<(Vec<Outside>, i64)> {
    let place = root.child(name);
    let mut commits = Vec::new();
    let mut last = version;
    for version in version + 1.. {
        let Some(entry) = Entry::read(&place, name, version).await? else {
            break;
        };
        last = version;
        if entry.transaction(app).is_none() {
            commits.push(Outside {
                impact: entry.impact,
                version,
                operation: entry.operation,
            });
        }
    }
    Ok((commits, last))
}

/// Whether the commit file of a version is in the log of table `name`. An empty one is not: that is
/// a name that a power cut has left.
///
/// # Errors
/// Of the store.
pub async fn has_version(root: &Root, name: &str, version: i64) -> Result<bool> {
    let path = commit_path(version);
    match root.child(name).store().head(&path).await {
        Ok(found) => Ok(found.size > 0),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(Error::store(format!("{name}/{path}"), error)),
    }
}

/// The SHA-256 of one commit file, which pins the history a run was prepared on.
pub(crate) async fn commit_digest(
    table: &Arc<dyn ObjectStore>,
    name: &str,
    version: i64,
) -> Result<String> {
    let bytes = read(table, name, &commit_path(version)).await?;
    // A checkpoint may have outlived its commit file; the version and the
    // table's id have to do then.
    Ok(bytes.map_or_else(String::new, |bytes| hex::encode(Sha256::digest(&bytes))))
}

async fn read(store: &Arc<dyn ObjectStore>, name: &str, path: &Path) -> Result<Option<Vec<u8>>> {
    let found = match store.get(path).await {
        Ok(found) => found.bytes().await.map(|bytes| Some(bytes.to_vec())),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    found.map_err(|e| Error::store(format!("{name}/{path}"), e))
}

/// `_delta_log/00000000000000000042.json`
pub(crate) fn commit_path(version: i64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_matters_as_much_as_its_most_important_action() {
        let info = r#"{"commitInfo":{"operation":"X"}}"#;
        let moved = r#"{"add":{"path":"a","dataChange":false}}"#;
        let gone = r#"{"remove":{"path":"a","dataChange":true}}"#;
        let unsaid = r#"{"remove":{"path":"a"}}"#;
        let metadata = r#"{"metaData":{"id":"1"}}"#;
        let unknown = r#"{"rowTracking":{}}"#;
        for (lines, expected) in [
            (vec![], Impact::Nothing),
            (vec![info], Impact::Nothing),
            (vec![info, moved], Impact::Rearranged),
            (vec![moved, gone], Impact::Rows),
            (vec![unsaid], Impact::Rows),
            (vec![metadata, moved], Impact::Table),
            (vec![unknown], Impact::Table),
            (vec!["{\"add\":"], Impact::Table),
        ] {
            let entry = Entry::parse(1, lines.join("\n").as_bytes());
            assert_eq!(entry.impact, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_commit_tells_its_operation_and_the_transaction_of_one_application() {
        let body = "{\"commitInfo\":{\"operation\":\"MERGE\"}}\n\n\
                    {\"txn\":{\"appId\":\"lake/a\",\"version\":7}}\n\
                    {\"txn\":{\"appId\":\"lake/b\",\"version\":9}}\n";
        let entry = Entry::parse(3, body.as_bytes());
        assert_eq!(entry.operation, "MERGE");
        assert_eq!(entry.transaction("lake/a"), Some(7));
        assert_eq!(entry.transaction("lake/c"), None);
        assert_eq!(entry.version, 3);
    }
}
