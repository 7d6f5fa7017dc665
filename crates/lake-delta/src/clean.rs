//! What of a table nobody needs any more.
//!
//! Whoever goes back to a version of a table needs the files that it had. Of the versions from one
//! on, those are the files of that version, and all that were added later. The rest of what runs have
//! written is of no use: files that were taken out before, and files of attempts that no commit names.
//! Of the log, commits are of no use that lie before a checkpoint at or before that version.
//!
//! Files that others have written are only touched where the log says that they were taken out.

use std::collections::HashSet;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::log::Entry;
use crate::write::ATTEMPT_PREFIX;
use crate::{Error, Result, Root, Snapshot};

const LOG: &str = "_delta_log";

/// An object that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unneeded {
    /// Where it is, relative to the table.
    pub path: Path,
    /// How large it is.
    pub bytes: u64,
    /// The attempt that has written it; `None` for parts of the log, and for files of others.
    pub attempt: Option<String>,
}

/// What nobody needs who goes back to version `since` of table `name` at the most, which a run up to
/// `run` of `app` has left; `None` where nobody can tell, because parts of the log are gone or cannot
/// be read. Where that version is of a later run, the table was made anew since, and all of it is
/// needed.
///
/// Attempts that are on their way write files that no commit names yet: they are in the list, and
/// may be deleted only once none of them can be committed any more.
///
/// # Errors
/// Of the store.
pub async fn unneeded(
    root: &Root,
    pipeline: &str,
    name: &str,
    since: i64,
    (app, run): (&str, i64),
) -> Result<Option<Vec<Unneeded>>> {
    let place = root.child(name);
    let failed = |e| Error::store(name, e);
    let Some(mut then) = at(root, pipeline, name, since).await? else {
        return Ok(None);
    };
    if then.transaction(app).await?.is_none_or(|found| found > run) {
        match at(root, pipeline, name, 0).await? {
            Some(first) => then = first,
            None => return Ok(None),
        }
    }
    let since = then.version;
    // The list comes first: what is committed after it is not in it.
    let listed: Vec<_> = place
        .store()
        .list(None)
        .try_collect()
        .await
        .map_err(failed)?;
    let Some(kept) = kept(root, pipeline, then).await? else {
        return Ok(None);
    };
    let (log, data): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|object| first(&object.location).as_deref() == Some(LOG));
    let old_log = match summed_up_at(&place, name, since, log.iter().map(|o| &o.location)).await? {
        Some(checkpoint) => log
            .into_iter()
            .filter(|object| log_version(&object.location).is_some_and(|(v, _)| v < checkpoint))
            .collect(),
        None => Vec::new(),
    };
    let mut taken_out = HashSet::new();
    for object in &old_log {
        if let Some((version, "json")) = log_version(&object.location)
            && let Some(entry) = Entry::read(&place, name, version).await?
        {
            taken_out.extend(entry.removed().iter().flat_map(|path| spellings(path)));
        }
    }
    let data = data.into_iter().filter_map(|object| {
        let attempt = first(&object.location);
        let attempt = attempt.and_then(|d| d.strip_prefix(ATTEMPT_PREFIX).map(str::to_owned));
        let ours = attempt.is_some() || taken_out.contains(&object.location);
        (ours && !kept.contains(&object.location)).then_some(Unneeded {
            path: object.location,
            bytes: object.size,
            attempt,
        })
    });
    let data: Vec<Unneeded> = data.collect();
    // The log goes after the files that it tells of.
    let log = old_log.into_iter().map(|object| Unneeded {
        path: object.location,
        bytes: object.size,
        attempt: None,
    });
    Ok(Some(data.into_iter().chain(log).collect()))
}

/// The files that the newest version of table `name` has: others may have taken back what was not
/// needed a moment ago.
///
/// # Errors
/// Of the store and the library.
pub async fn still_needed(root: &Root, pipeline: &str, name: &str) -> Result<HashSet<Path>> {
    let Some(newest) = Snapshot::open(root, pipeline, name).await? else {
        return Ok(HashSet::new());
    };
    let files = newest.files.iter();
    Ok(files.flat_map(|add| spellings(&add.path)).collect())
}

/// A table at one version; `None` where its log cannot be read that far back.
async fn at(root: &Root, pipeline: &str, name: &str, version: i64) -> Result<Option<Snapshot>> {
    match Snapshot::open_at(root, pipeline, name, version).await {
        Ok(then) => Ok(Some(then)),
        Err(Error::Unreadable { .. } | Error::Foreign { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files of all versions from that of `then` on.
async fn kept(root: &Root, pipeline: &str, then: Snapshot) -> Result<Option<HashSet<Path>>> {
    let name = then.name.as_str();
    let Some(newest) = Snapshot::open(root, pipeline, name).await? else {
        return Ok(None);
    };
    // A table of the same name is not the one that a run has left.
    if newest.id != then.id {
        return Ok(None);
    }
    let mut kept = HashSet::new();
    for add in then.files.iter().chain(&newest.files) {
        kept.extend(spellings(&add.path));
    }
    let place = root.child(name);
    for version in then.version + 1..=newest.version {
        let Some(entry) = Entry::read(&place, name, version).await? else {
            return Ok(None);
        };
        for add in entry.adds() {
            kept.extend(spellings(&add.path));
        }
    }
    Ok(Some(kept))
}

/// The places that a path of the log can mean: the protocol says that it is encoded as in a URL, and
/// not all writers do that.
fn spellings(path: &str) -> impl Iterator<Item = Path> + use<> {
    let raw = Path::parse(path).ok();
    let decoded = Path::from_url_path(path).ok();
    raw.into_iter().chain(decoded)
}

fn first(path: &Path) -> Option<String> {
    path.parts().next().map(|part| part.as_ref().to_owned())
}

/// The version and the kind of an object of the log: `json`, `crc` or `checkpoint.parquet`.
fn log_version(path: &Path) -> Option<(i64, &str)> {
    let (version, kind) = path.filename()?.split_once('.')?;
    let known = ["json", "crc", "checkpoint.parquet"].contains(&kind);
    let version = version
        .parse()
        .ok()
        .filter(|_| known && version.len() == 20);
    version.map(|version| (version, kind))
}

/// The last checkpoint that reading `since` can begin with, and that readers of the newest version
/// are not told to begin before.
async fn summed_up_at(
    place: &Root,
    name: &str,
    since: i64,
    log: impl Iterator<Item = &Path>,
) -> Result<Option<i64>> {
    let path = Path::from(format!("{LOG}/_last_checkpoint"));
    let hint = match place.store().get(&path).await {
        Ok(found) => found.bytes().await,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => Err(error),
    };
    let hint = hint.map_err(|e| Error::store(name, e))?;
    let hint = serde_json::from_slice::<serde_json::Value>(&hint).ok();
    let Some(last) = hint.and_then(|hint| hint["version"].as_i64()) else {
        return Ok(None);
    };
    let most = since.min(last);
    let checkpoints = log.filter_map(|path| match log_version(path) {
        Some((version, "checkpoint.parquet")) if version <= most => Some(version),
        _ => None,
    });
    Ok(checkpoints.max())
}
