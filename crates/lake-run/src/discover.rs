//! Discover: which files are there, and which of them are pending.
//!
//! A file is pending if `_lake/files` does not know its path, or knows it with
//! other content and the input says that changed files are loaded again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use lake_pipeline::{InputSource, OnChange, Pipeline};

use crate::error::{Result, RunError};
use crate::record::FILES;
use crate::state::State;

/// A file that is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingFile {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Microseconds since 1970: when the file was last changed, as the system says.
    pub(crate) modified: i64,
    /// Microseconds since 1970: when its content was received.
    pub(crate) received_at: i64,
}

impl PendingFile {
    /// What tables and messages call the file.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Which files a run is to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Those that are not loaded.
    Pending,
    /// All that are there.
    All,
}

/// The files that are there to be loaded.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    /// The inputs of which a file is pending that was loaded before, with
    /// other content.
    pub(crate) again: HashSet<String>,
    /// The pending files of each input, sorted by path.
    pub(crate) pending: HashMap<String, Vec<PendingFile>>,
    /// How many files are loaded already.
    pub(crate) loaded: u64,
    pub(crate) warnings: Vec<String>,
}

impl Discovered {
    /// The inputs that have files to be loaded.
    pub(crate) fn arriving(&self) -> BTreeSet<String> {
        let inputs = self.pending.iter().filter(|(_, files)| !files.is_empty());
        inputs.map(|(input, _)| input.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.values().all(Vec::is_empty)
    }
}

/// Lists all inputs, and takes away what is loaded where only pending files are asked for.
pub(crate) async fn discover(
    pipeline: &Pipeline,
    state: &State,
    wanted: Files,
) -> Result<Discovered> {
    let loaded = loaded_files(state).await?;
    let mut found = Discovered {
        loaded: loaded.len() as u64,
        ..Discovered::default()
    };
    for (input, source) in &pipeline.inputs {
        let files = list(input, source, &mut found.warnings)?;
        let pending = match wanted {
            Files::Pending => pending(input, source, files, &loaded, &mut found.warnings)?,
            Files::All => all(input, source, files, &loaded)?,
        };
        let known = |file: &PendingFile| loaded.contains_key(&(input.clone(), file.name()));
        if pending.iter().any(known) {
            found.again.insert(input.clone());
        }
        found.pending.insert(input.clone(), pending);
    }
    Ok(found)
}

/// Whether a file still is what it was when it was discovered.
pub(crate) fn is_unchanged(file: &PendingFile) -> Result<bool> {
    let now = describe(&file.path)?;
    Ok((now.size, now.modified) == (file.size, file.modified))
}

/// What `_lake/files` knows of a path: the newest of its loads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loaded {
    run: i64,
    size: i64,
    modified: i64,
    hash: String,
}

async fn loaded_files(state: &State) -> Result<HashMap<(String, String), Loaded>> {
    let mut loaded: HashMap<(String, String), Loaded> = HashMap::new();
    let Some(files) = state.table(FILES).await? else {
        return Ok(loaded);
    };
    let failed = |e| RunError::sql(FILES, &e);
    let session = SessionContext::new();
    state.root.register(&session.runtime_env());
    session
        .register_table("files", files.provider().await?)
        .map_err(failed)?;
    let sql = "SELECT CAST(input AS VARCHAR) AS input, CAST(path AS VARCHAR) AS path, run, size, \
               CAST(modified AS BIGINT) AS modified, CAST(hash AS VARCHAR) AS hash FROM files";
    let batches = session
        .sql(sql)
        .await
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    for batch in batches {
        let text =
            |n: usize| arrow::compute::cast(batch.column(n), &arrow::datatypes::DataType::Utf8);
        let columns = (text(0), text(1), text(5));
        let (Ok(input), Ok(path), Ok(hash)) = columns else {
            continue;
        };
        let number = |n: usize| batch.column(n).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let value =
                |column: &arrow::array::ArrayRef| column.as_string::<i32>().value(row).to_owned();
            let entry = Loaded {
                run: number(2).value(row),
                size: number(3).value(row),
                modified: number(4).value(row),
                hash: value(&hash),
            };
            let known = loaded
                .entry((value(&input), value(&path)))
                .or_insert_with(|| entry.clone());
            if entry.run > known.run {
                *known = entry;
            }
        }
    }
    Ok(loaded)
}

fn list(input: &str, source: &InputSource, warnings: &mut Vec<String>) -> Result<Vec<PendingFile>> {
    let refuse = |message: String| RunError::Input {
        place: format!("input {input}"),
        message,
    };
    if source.path.contains("://") {
        return Err(refuse(format!(
            "{} is a URL; this version of lake reads local files",
            source.path
        )));
    }
    if !source.path.contains(['*', '?', '[']) {
        let path = PathBuf::from(&source.path);
        if path.is_dir() {
            return Err(refuse(format!(
                "{0} is a directory; name its files, for instance {0}/*.csv",
                path.display()
            )));
        }
        if !path.exists() {
            return Err(refuse(format!(
                "{} does not exist; mend the path in the pipeline file, or give --input {input}=PATH",
                path.display()
            )));
        }
        return Ok(vec![describe(&path)?]);
    }
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let matches = glob::glob_with(&source.path, options)
        .map_err(|e| refuse(format!("{}: {e}", source.path)))?;
    let mut files = Vec::new();
    for found in matches {
        let path = found.map_err(|e| refuse(e.to_string()))?;
        if path.is_file() {
            files.push(describe(&path)?);
        }
    }
    if files.is_empty() {
        let base = fixed_part(&source.path);
        if !base.is_dir() {
            return Err(refuse(format!(
                "the directory {} does not exist; mend the path in the pipeline file, or give --input {input}=PATH",
                base.display()
            )));
        }
        warnings.push(format!("input {input}: no file matches {}", source.path));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The directory in front of the first wildcard.
fn fixed_part(pattern: &str) -> PathBuf {
    Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect()
}

fn describe(path: &Path) -> Result<PendingFile> {
    let failed = |source| RunError::Io {
        path: path.to_owned(),
        source,
    };
    let meta = fs::metadata(path).map_err(failed)?;
    let modified = meta.modified().map_err(failed)?;
    let micros = match modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    };
    Ok(PendingFile {
        path: path.to_owned(),
        size: meta.len(),
        modified: micros,
        received_at: micros,
    })
}

fn pending(
    input: &str,
    source: &InputSource,
    files: Vec<PendingFile>,
    loaded: &HashMap<(String, String), Loaded>,
    warnings: &mut Vec<String>,
) -> Result<Vec<PendingFile>> {
    let mut pending = Vec::new();
    let mut surprises = Vec::new();
    for mut file in files {
        if file.size == 0 {
            warnings.push(format!(
                "{}: the file is empty; it stays pending until there is something in it",
                file.name()
            ));
            continue;
        }
        let Some(known) = loaded.get(&(input.to_owned(), file.name())) else {
            pending.push(file);
            continue;
        };
        if !has_changed(&file, known)? {
            continue;
        }
        match source.on_change {
            OnChange::Upsert => {
                file.received_at = received_again(&file, known);
                pending.push(file);
            }
            OnChange::Skip => warnings.push(format!(
                "{} has changed since run {} loaded it, and is skipped (on_change: skip)",
                file.name(),
                known.run
            )),
            OnChange::Fail => {
                surprises.push(format!("{} (loaded by run {})", file.name(), known.run))
            }
        }
    }
    if surprises.is_empty() {
        return Ok(pending);
    }
    Err(RunError::Input {
        place: format!("input {input}"),
        message: format!(
            "files that were loaded have changed: {}; set inputs.{input}.on_change to upsert to load \
             them again, or to skip to leave them",
            surprises.join(", ")
        ),
    })
}

/// How many files a message names.
const NAMED: usize = 5;

/// All files, where none that was loaded is missing or empty: its rows would be lost.
fn all(
    input: &str,
    source: &InputSource,
    files: Vec<PendingFile>,
    loaded: &HashMap<(String, String), Loaded>,
) -> Result<Vec<PendingFile>> {
    let there: HashSet<String> = files
        .iter()
        .filter(|file| file.size > 0)
        .map(PendingFile::name)
        .collect();
    let mut gone: Vec<String> = loaded
        .keys()
        .filter(|(of, path)| of == input && !there.contains(path))
        .map(|(_, path)| path.clone())
        .collect();
    gone.sort_unstable();
    let refuse = |what: &str, paths: &[String], next: &str| RunError::Input {
        place: format!("input {input}"),
        message: format!(
            "{} of the files that were loaded {what}, and loading all files again would lose their \
             rows: {}; {next}; nothing was published",
            paths.len(),
            named(paths)
        ),
    };
    if !gone.is_empty() {
        return Err(refuse(
            "are not there any more, or are empty",
            &gone,
            "bring them back",
        ));
    }
    let mut all = Vec::new();
    let mut changed = Vec::new();
    for mut file in files.into_iter().filter(|file| file.size > 0) {
        if let Some(known) = loaded.get(&(input.to_owned(), file.name()))
            && has_changed(&file, known)?
        {
            match source.on_change {
                OnChange::Upsert => file.received_at = received_again(&file, known),
                OnChange::Skip | OnChange::Fail => changed.push(file.name()),
            }
        }
        all.push(file);
    }
    if changed.is_empty() {
        return Ok(all);
    }
    let next =
        format!("set inputs.{input}.on_change to upsert if the new content is the right one");
    Err(refuse("have changed since", &changed, &next))
}

/// The first of some paths, and how many more there are.
fn named(paths: &[String]) -> String {
    let first = paths.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match paths.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// When new content of a file was received: after its earlier content, also where somebody kept
/// the time of the file.
fn received_again(file: &PendingFile, known: &Loaded) -> i64 {
    file.modified.max(known.modified.saturating_add(known.run))
}

/// A file that was only touched or copied again has not changed: where size
/// and time do not settle it, its bytes do.
fn has_changed(file: &PendingFile, known: &Loaded) -> Result<bool> {
    if i64::try_from(file.size) != Ok(known.size) {
        return Ok(true);
    }
    if file.modified == known.modified {
        return Ok(false);
    }
    let failed = |source| RunError::Io {
        path: file.path.clone(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(fs::File::open(&file.path).map_err(failed)?)
        .map_err(failed)?;
    Ok(hasher.finalize().to_hex().as_str() != known.hash)
}
