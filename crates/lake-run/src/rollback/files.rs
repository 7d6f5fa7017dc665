//! Which files a rollback makes pending again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::prelude::{cast, col};
use futures::{StreamExt, TryStreamExt};
use lake_delta::Snapshot;
use lake_pipeline::OnEmpty;

use super::{PendingAgain, Rollback, RollbackOptions, version};
use crate::archive::{ARCHIVE, Archive, ArchivedFile};
use crate::error::{Result, RunError};
use crate::raw::{RawFile, Stat};
use crate::record::FILES;

/// How many files are looked for at a time.
const LOOKED_FOR: usize = 16;

/// A content that was loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    input: String,
    path: String,
    hash: String,
    size: i64,
}

/// The last time that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    run: i64,
    modified: i64,
    received_at: i64,
}

/// What `_lake/files` says of both.
#[derive(Debug, serde::Deserialize)]
struct LoadedFile {
    input: String,
    path: String,
    hash: String,
    size: i64,
    run: i64,
    modified: i64,
    received_at: i64,
}

type Contents = BTreeMap<Content, Load>;

/// A file of an input.
type Name<'a> = (&'a str, &'a str);

/// What was loaded last of each file.
fn newest(contents: &Contents) -> BTreeMap<Name<'_>, (Load, &Content)> {
    let mut newest = BTreeMap::new();
    for (file, load) in contents {
        let known = newest.entry((file.input.as_str(), file.path.as_str()));
        let known = known.or_insert((*load, file));
        *known = (*known).max((*load, file));
    }
    newest
}

impl Rollback {
    /// The files that are loaded now and were not then, and those that were and are not.
    pub(super) async fn find_files(&mut self, options: &RollbackOptions) -> Result<()> {
        let (root, pipeline) = (&self.state.root, &self.state.pipeline);
        let Some(now) = Snapshot::open(root, pipeline, FILES).await? else {
            return Ok(());
        };
        let now = self.loaded(&now).await?;
        let then = match version(self.before.as_ref(), FILES) {
            Some(version) => {
                let then = Snapshot::open_at(root, pipeline, FILES, version).await?;
                self.loaded(&then).await?
            }
            None => BTreeMap::new(),
        };
        if options.keep_files {
            if let Some(file) = then.keys().find(|file| !now.contains_key(file)) {
                self.plan.obstacles.push(format!(
                    "--keep-files leaves what counts as loaded as it is, and {} was loaded then \
                     and does not count as loaded now: its rows would come twice; do it without \
                     --keep-files",
                    file.path
                ));
            }
            return Ok(());
        }
        let newest_then = newest(&then);
        // What both have loaded is not undone, and neither is what a file had come back to.
        let is_undone = |(name, (load, content)): &(Name<'_>, (Load, &Content))| {
            let was = newest_then.get(name).map(|(_, content)| *content);
            was != Some(*content) && then.get(*content).is_none_or(|then| then.run < load.run)
        };
        let undone = newest(&now).into_iter().filter(is_undone);
        let undone: Vec<(Load, &Content)> = undone.map(|(_, loaded)| loaded).collect();
        let archive = match self.state.left(ARCHIVE).is_some() {
            true => {
                Archive::of(
                    &self.state,
                    undone.iter().map(|(_, file)| file.path.as_str()),
                )
                .await?
            }
            false => Archive::default(),
        };
        let sizes = undone.iter().map(|(_, file)| self.size(file));
        let sizes = futures::stream::iter(sizes).buffered(LOOKED_FOR);
        let sizes: Vec<Option<u64>> = sizes.try_collect().await?;
        for ((load, file), size) in undone.into_iter().zip(sizes) {
            let waiting = archive.waiting(&file.input, &file.path);
            // What waits already has come later than what is undone.
            let of_load = |copy: &Arc<ArchivedFile>| ArchivedFile {
                modified: load.modified,
                received_at: load.received_at,
                ..copy.as_ref().clone()
            };
            let copy = archive.copy(&file.input, &file.path, &file.hash);
            let waiting = waiting.map(|waiting| waiting.as_ref().clone());
            let copy = waiting.clone().or_else(|| copy.map(of_load));
            let copy = copy.filter(|_| size.is_none());
            self.plan.pending.push(PendingAgain {
                input: file.input.clone(),
                path: file.path.clone(),
                exists: size.is_some(),
                archived: copy.is_some(),
                changed: size.is_some_and(|size| i64::try_from(size) != Ok(file.size)),
            });
            // A file that is there is what counts, whatever becomes of it afterwards.
            let waits = copy.is_some();
            self.waiting.extend(copy.or(waiting).map(|of| ArchivedFile {
                run: self.state.finished + 1,
                waits,
                ..of
            }));
        }
        Ok(())
    }

    /// How many bytes a file has; `None` where it is gone, or has lost what was in it.
    async fn size(&self, file: &Content) -> Result<Option<u64>> {
        let place = RawFile::at(&self.settings.stores, &file.path)?;
        let stat = place.stat().await.map_err(|source| RunError::Io {
            path: file.path.clone().into(),
            source,
        })?;
        let Some(Stat { size, .. }) = stat else {
            return Ok(None);
        };
        let source = self.settings.pipeline.inputs.get(&file.input);
        let is_loaded_empty = source.is_some_and(|source| source.on_empty == OnEmpty::Load);
        Ok((size > 0 || file.size == 0 || is_loaded_empty).then_some(size))
    }

    /// The contents that a version of `_lake/files` knows.
    async fn loaded(&self, table: &Snapshot) -> Result<Contents> {
        let failed = |e| RunError::sql(FILES, &e);
        let session = &self.attempt.session;
        let provider = table.provider().await?;
        let mut files = session.read_table(provider).map_err(failed)?;
        // What is set aside is not loaded. Tables of earlier versions of lake do not say it.
        if table.columns().iter().any(|column| column == "skipped") {
            files = files.filter(col("skipped").is_not_true()).map_err(failed)?;
        }
        let time = |name: &str| cast(col(name), DataType::Int64).alias(name);
        let plain = ["input", "path", "hash", "size", "run"].map(col);
        let columns = plain
            .into_iter()
            .chain(["modified", "received_at"].map(time));
        let rows = files.select(columns.collect::<Vec<_>>()).map_err(failed)?;
        let batches = rows.collect().await.map_err(failed)?;
        let mut contents = Contents::new();
        for row in crate::runs::rows::<LoadedFile>(FILES, &batches)? {
            let content = Content {
                input: row.input,
                path: row.path,
                hash: row.hash,
                size: row.size,
            };
            let load = Load {
                run: row.run,
                modified: row.modified,
                received_at: row.received_at,
            };
            let known = contents.entry(content).or_insert(load);
            *known = load.max(*known);
        }
        Ok(contents)
    }
}
