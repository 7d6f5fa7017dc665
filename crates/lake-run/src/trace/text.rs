//! The text of records, from the files that they came from.

use std::collections::{BTreeMap, BTreeSet};

use lake_plugin::Declaration;
use lake_reader::{ExtraColumns, Layout, MissingColumns, Options, ReadError, Reader, Source};
use tokio::runtime::Handle;

use super::{Record, Trace, TracedRow, Tracing};
use crate::archive::{ARCHIVE, Archive};
use crate::error::{Result, RunError};
use crate::raw::{RawFile, Stat};
use crate::read::{Stored, layout, options};
use crate::runs::rows;

/// A content of a file that was loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
struct Loaded {
    path: String,
    run: i64,
    input: String,
    size: i64,
    modified: i64,
    received_at: i64,
    hash: String,
    #[serde(default)]
    skipped: bool,
    #[serde(default)]
    etag: Option<String>,
}

impl Loaded {
    /// Whether a file still holds it: where neither size and time nor the store's name for its
    /// content settle that, its bytes do.
    async fn is_in(&self, file: &RawFile, stat: &Stat) -> bool {
        let is_named = self.etag.is_some() && self.etag == stat.etag;
        let is_same = i64::try_from(stat.size) == Ok(self.size);
        if !is_same || is_named || (self.etag.is_none() && stat.modified == self.modified) {
            return is_same;
        }
        let hash = file.hash().await;
        hash.is_ok_and(|hash| hex::encode(hash) == self.hash)
    }
}

/// A text of a record that begins on a line, and how many records do.
type Texts = BTreeMap<i64, (String, u64)>;

impl Tracing<'_> {
    /// Fills in the text of every record that has none.
    pub(super) async fn find_texts(
        &self,
        trace: &mut Trace,
        declaration: Option<&Declaration>,
    ) -> Result<()> {
        let Some(declaration) = declaration else {
            return Ok(());
        };
        let records = trace.rows.iter_mut().flat_map(TracedRow::all);
        let records = records.filter_map(|row| row.record.as_mut());
        let records = records.chain(&mut trace.nowhere);
        let mut without: Vec<&mut Record> = records.filter(|record| record.raw.is_none()).collect();
        if without.is_empty() {
            return Ok(());
        }
        let paths: BTreeSet<&str> = without.iter().map(|record| record.file.as_str()).collect();
        let loaded = self.loaded(&paths).await?;
        let archive = match self.state.left(ARCHIVE).is_some() {
            true => Archive::of(self.state, paths.iter().copied()).await?,
            false => Archive::default(),
        };
        let content = |record: &Record| {
            let is_of = |loaded: &&Loaded| {
                loaded.path == record.file
                    && record
                        .input
                        .as_ref()
                        .is_none_or(|input| *input == loaded.input)
            };
            // No two contents of a file were received at one time. A row that is not as it was when it
            // was read may say another time: then the run that wrote it counts.
            let received = record.of.map(|(received, _)| received);
            let mut exact = loaded.iter().filter(is_of);
            let exact = exact.rfind(|loaded| Some(loaded.received_at) == received);
            let last = record.of.map_or(i64::MAX, |(_, run)| run);
            exact.or_else(|| {
                loaded
                    .iter()
                    .filter(is_of)
                    .rfind(|loaded| loaded.run <= last)
            })
        };
        let mut lines: BTreeMap<&Loaded, BTreeSet<i64>> = BTreeMap::new();
        for record in &without {
            if let Some(content) = content(record) {
                lines.entry(content).or_default().insert(record.line);
            }
        }
        let mut texts = BTreeMap::new();
        for (content, lines) in lines {
            let found = self.read(declaration, &archive, content, lines).await?;
            texts.insert(content, found);
        }
        for record in &mut without {
            let found = content(record).and_then(|content| texts.get(content));
            let (raw, note) = match found {
                None => (
                    None,
                    "no file that is loaded is known by this name".to_owned(),
                ),
                Some(Err(why)) => (None, why.clone()),
                Some(Ok(texts)) => match texts.get(&record.line) {
                    Some((one, 1)) => {
                        record.raw = Some(one.clone());
                        continue;
                    }
                    Some((_, many)) => {
                        let note =
                            format!("{many} records begin on this line, and it is one of them");
                        (None, note)
                    }
                    None => (None, "no record begins on this line".to_owned()),
                },
            };
            (record.raw, record.note) = (raw, Some(note));
        }
        Ok(())
    }

    /// What was loaded of these files, in the order of files and runs.
    async fn loaded(&self, paths: &BTreeSet<&str>) -> Result<Vec<Loaded>> {
        let quoted = paths
            .iter()
            .map(|path| format!("'{}'", path.replace('\'', "''")));
        let sql = format!(
            "SELECT * REPLACE (CAST(modified AS BIGINT) AS modified, \
             CAST(received_at AS BIGINT) AS received_at) FROM _lake.files WHERE path IN ({})",
            quoted.collect::<Vec<_>>().join(", ")
        );
        let answer = self.tables.answer(&sql).await?;
        let mut loaded = rows::<Loaded>("_lake/files", &answer.batches)?;
        loaded.retain(|loaded| !loaded.skipped);
        loaded.sort_unstable();
        Ok(loaded)
    }

    /// The records on some lines of what was loaded; or why they cannot be had.
    async fn read(
        &self,
        declaration: &Declaration,
        archive: &Archive,
        content: &Loaded,
        lines: BTreeSet<i64>,
    ) -> Result<std::result::Result<Texts, String>> {
        let mut inputs = declaration.inputs.iter();
        let Some(declared) = inputs.find(|input| input.name == content.input) else {
            let why = format!("the transform has no input {} any more", content.input);
            return Ok(Err(why));
        };
        let file = RawFile::at(&self.settings.stores, &content.path)?;
        let stat = file.stat().await.unwrap_or_default();
        let as_loaded = match &stat {
            Some(stat) if content.is_in(&file, stat).await => Some(stat),
            _ => None,
        };
        let runtime = Handle::current();
        let source: Box<dyn Source> = if let Some(stat) = as_loaded {
            file.source(stat, runtime)
        } else if let Some(copy) = archive.copy(&content.input, &content.path, &content.hash) {
            Box::new(Stored::copy(&self.state.root, copy, runtime))
        } else {
            let what = match stat {
                Some(_) => "the file has changed since it was loaded",
                None => "the file is gone",
            };
            return Ok(Err(format!("{what}, and there is no copy of it")));
        };
        // What was loaded fitted the release of then.
        let layout = Layout {
            missing_columns: MissingColumns::Null,
            extra_columns: ExtraColumns::Ignore,
            ..layout(declared)?
        };
        let pipeline = &self.settings.pipeline;
        let options = options(&pipeline.limits, pipeline.inputs.get(&content.input));
        let reading = move || texts(source.as_ref(), &layout, options, &lines);
        let read = tokio::task::spawn_blocking(reading).await;
        let read = read.map_err(|error| RunError::Input {
            place: content.path.clone(),
            message: error.to_string(),
        })?;
        Ok(read.map_err(|error| error.to_string()))
    }
}

/// The texts of the records that begin on some lines.
fn texts(
    source: &dyn Source,
    layout: &Layout,
    options: Options,
    lines: &BTreeSet<i64>,
) -> std::result::Result<Texts, ReadError> {
    let reader = Reader::open(source, layout, options)?;
    let mut texts = Texts::new();
    while let Some(block) = reader.next_block() {
        let block = block?;
        let mut beyond = false;
        for (row, line) in block.lines.values().iter().enumerate() {
            beyond = lines.last().is_none_or(|last| line > last);
            if lines.contains(line) {
                let text = || (block.raw(row).into_owned(), 0);
                texts.entry(*line).or_insert_with(text).1 += 1;
            }
        }
        if beyond {
            break;
        }
    }
    Ok(texts)
}
