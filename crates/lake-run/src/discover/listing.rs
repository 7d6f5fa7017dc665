//! The files of an input, in the order of their paths, wherever they are.

use std::cmp::Ordering;
use std::pin::Pin;
use std::vec;

use futures::StreamExt;
use futures::stream::{BoxStream, Peekable};
use lake_pipeline::{InputSource, Pattern};
use lake_store::{Bucket, Stores};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{Content, PendingFile, walk};
use crate::error::{Result, RunError};
use crate::raw::Stat;

/// The files that the paths of an input describe, each of them once. What a directory holds is in
/// memory; what a bucket holds comes page by page.
pub(super) struct Listing<'a> {
    input: &'a str,
    source: &'a InputSource,
    /// One for each pattern.
    parts: Vec<Part<'a>>,
}

/// The files of one pattern.
struct Part<'a> {
    pattern: &'a Pattern,
    files: Files<'a>,
    /// The file that comes next, once it is known.
    next: Option<PendingFile>,
    is_empty: bool,
}

enum Files<'a> {
    Listed(vec::IntoIter<PendingFile>),
    Objects(BoxStream<'a, Result<PendingFile>>),
}

impl<'a> Listing<'a> {
    /// Begins to list. Where there are copies (`has_copies`), a place that is gone is a warning.
    pub(super) async fn of(
        input: &'a str,
        source: &'a InputSource,
        (stores, has_copies): (&Stores, bool),
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let mut parts = Vec::new();
        for pattern in &source.paths {
            let files = match (pattern.is_url(), pattern.is_fixed()) {
                (true, true) => {
                    let found = object(pattern, input, (stores, has_copies), warnings).await?;
                    Files::Listed(found.into_iter().collect::<Vec<_>>().into_iter())
                }
                (true, false) => Files::Objects(objects(pattern, input, stores)?),
                (false, _) => {
                    let found = walk::list(pattern, input, has_copies, warnings)?;
                    Files::Listed(found.into_iter())
                }
            };
            parts.push(Part {
                pattern,
                files,
                next: None,
                is_empty: true,
            });
        }
        Ok(Self {
            input,
            source,
            parts,
        })
    }

    /// The next files, `most` of them where there are so many.
    pub(super) async fn chunk(&mut self, most: usize) -> Result<Vec<PendingFile>> {
        let mut files = Vec::new();
        while files.len() < most {
            match self.next().await? {
                Some(file) => files.push(file),
                None => break,
            }
        }
        Ok(files)
    }

    /// The next file. Of one that several patterns describe, the first one's stays.
    async fn next(&mut self) -> Result<Option<PendingFile>> {
        loop {
            for part in &mut self.parts {
                part.fill().await?;
            }
            let heads = self.parts.iter().filter_map(|part| part.next.as_ref());
            let Some(path) = heads.map(|file| &file.path).min().cloned() else {
                return Ok(None);
            };
            let same = self.parts.iter_mut().filter_map(|part| {
                let is_same = part.next.as_ref().is_some_and(|file| file.path == path);
                is_same.then(|| part.next.take()).flatten()
            });
            // All of them are taken.
            let file = same.collect::<Vec<_>>().into_iter().next();
            let marker = self.source.done_marker.as_ref();
            let is_marker = marker.is_some_and(|marker| marker.is_marker(name_of(&path)));
            if !is_marker {
                return Ok(file);
            }
        }
    }

    /// What there is to say about patterns that have shown no file, when all are listed.
    pub(super) fn tell(&self, warnings: &mut Vec<String>) {
        let is_strange = |part: &&Part<'_>| part.is_empty && !part.pattern.is_fixed();
        for part in self.parts.iter().filter(is_strange) {
            let (input, pattern) = (self.input, part.pattern);
            // A directory that is gone has been told already.
            if part.pattern.is_url() || walk::is_there(part.pattern) {
                warnings.push(format!("input {input}: no file matches {pattern}"));
            }
        }
    }
}

impl Part<'_> {
    async fn fill(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = match &mut self.files {
                Files::Listed(files) => files.next(),
                Files::Objects(files) => files.next().await.transpose()?,
            };
            self.is_empty &= self.next.is_none();
        }
        Ok(())
    }
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The object that a URL without wildcards names.
async fn object(
    pattern: &Pattern,
    input: &str,
    (stores, has_copies): (&Stores, bool),
    warnings: &mut Vec<String>,
) -> Result<Option<PendingFile>> {
    let refuse = |message: String| RunError::Input {
        place: format!("input {input}"),
        message,
    };
    let url = pattern.fixed();
    let (store, path) = stores.at(url).map_err(|error| refuse(error.to_string()))?;
    if path.as_ref().is_empty() {
        return Err(refuse(format!(
            "{url} is a bucket; name its files, for instance {url}/*.csv"
        )));
    }
    match store.head(&path).await {
        Ok(meta) => {
            let captures = pattern.matches("").unwrap_or_default();
            let stat = Stat::of_object(&meta);
            Ok(Some(PendingFile::found(url.to_owned(), stat, captures)))
        }
        Err(StoreError::NotFound { .. }) if has_copies => {
            warnings.push(format!("input {input}: {url} is gone"));
            Ok(None)
        }
        Err(StoreError::NotFound { .. }) => Err(refuse(format!(
            "{url} does not exist; mend the path in the pipeline file, or give --input {input}=PATH"
        ))),
        Err(error) => Err(refuse(format!("{url}: {error}"))),
    }
}

/// The objects below the part of a URL in front of its first wildcard that match it.
fn objects<'a>(
    pattern: &'a Pattern,
    input: &'a str,
    stores: &Stores,
) -> Result<BoxStream<'a, Result<PendingFile>>> {
    let refuse = move |message: String| RunError::Input {
        place: format!("input {input}"),
        message,
    };
    let base = pattern.fixed();
    let (bucket, prefix) = Bucket::split(base).map_err(|error| refuse(error.to_string()))?;
    let store = stores.bucket(&bucket);
    let store = store.map_err(|error| refuse(error.to_string()))?;
    let listed = store.list(Some(&prefix)).peekable();
    let state = (listed, String::new());
    let files = futures::stream::try_unfold(state, move |(mut listed, mut before)| {
        let (bucket, prefix) = (bucket.clone(), prefix.clone());
        async move {
            while let Some(found) = listed.next().await {
                let meta = found.map_err(|error| refuse(format!("{base}: {error}")))?;
                let key = meta.location.as_ref();
                let is_behind = key.cmp(before.as_str()) != Ordering::Greater;
                // A directory marker, an empty object whose name ends with a slash: the library gives
                // its name without that.
                if meta.size == 0 && (is_behind || begins_a_directory(&mut listed, key).await) {
                    continue;
                }
                // What is read along with the listing relies on its order.
                if is_behind {
                    return Err(refuse(format!(
                        "{base}: the store lists {key} behind {before}, and lake reads listings in \
                         the order of names (as Amazon S3 has it for general purpose buckets, and \
                         not for directory buckets); keep raw files in another kind of bucket"
                    )));
                }
                key.clone_into(&mut before);
                let relative = match prefix.as_ref() {
                    "" => Some(key),
                    prefix => key
                        .strip_prefix(prefix)
                        .and_then(|rest| rest.strip_prefix('/')),
                };
                if let Some(captures) = relative.and_then(|relative| pattern.matches(relative)) {
                    let url = bucket.url_of(&meta.location);
                    let file = PendingFile::found(url, Stat::of_object(&meta), captures);
                    return Ok(Some((file, (listed, before))));
                }
            }
            Ok(None)
        }
    });
    Ok(files.boxed())
}

type Listed = Peekable<BoxStream<'static, object_store::Result<ObjectMeta>>>;

/// Whether what is listed next is below an object.
async fn begins_a_directory(listed: &mut Listed, key: &str) -> bool {
    match Pin::new(listed).peek().await {
        Some(Ok(next)) => next
            .location
            .as_ref()
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('/')),
        _ => false,
    }
}

impl PendingFile {
    /// A file as it was found.
    pub(super) fn found(path: String, stat: Stat, captures: lake_pipeline::PathValues) -> Self {
        Self {
            path,
            size: stat.size,
            modified: stat.modified,
            received_at: stat.modified,
            etag: stat.etag,
            captures,
            content: Content::File,
        }
    }
}
