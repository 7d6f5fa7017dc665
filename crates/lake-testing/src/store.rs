//! The store in front of the store.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, UploadPart,
};

use crate::fault::{Fault, On, Rule};

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Write a whole object.
    Put,
    /// One step of an upload in parts: its start, a part, its end.
    Multipart,
    /// Read an object or ranges of it.
    Get,
    /// Ask for an object's size.
    Head,
    /// List a prefix.
    List,
    /// Delete an object.
    Delete,
    /// Copy an object; the path is the one it comes from.
    Copy,
    /// Move an object; the path is the one it comes from.
    Rename,
}

impl Kind {
    /// Whether the operation changes what is in the store.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Head | Self::List)
    }
}

/// One thing that a store was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// With which object or prefix.
    pub path: String,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path)
    }
}

/// A store that does what another store does, notes every operation, and
/// fails where its script says so. Clones share the script and the notes.
#[derive(Debug, Clone)]
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    operations: Vec<Operation>,
    faults: Vec<Rule<Fault>>,
    stalls: Vec<Rule<Option<Held>>>,
    /// Puts that were answered with an error and land later.
    under_way: Vec<UnderWay>,
    writes: usize,
    /// Nothing gets through after so many operations.
    stop_after: usize,
    /// Nothing gets through after so many writes.
    stop_after_writes: usize,
    /// The first operation that did not get through.
    stopped_at: Option<Operation>,
}

impl Script {
    fn is_stopped(&self) -> bool {
        self.operations.len() > self.stop_after || self.writes > self.stop_after_writes
    }
}

/// A put that is on its way to the store.
#[derive(Debug)]
struct UnderWay {
    /// It lands before the operation with this number, or one after that.
    before: usize,
    path: Path,
    payload: PutPayload,
    options: PutOptions,
}

/// What becomes of one operation.
#[derive(Debug)]
struct Fate {
    /// Its number, counted from 1 and from the store's creation.
    number: usize,
    /// What lands before it.
    landing: Vec<UnderWay>,
    held: Option<Held>,
    fault: Option<Fault>,
}

/// The store's side of an operation that a test holds.
#[derive(Debug)]
struct Held {
    reached: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
}

/// An operation that waits for its test.
///
/// Dropping this lets the operation go on.
#[derive(Debug)]
pub struct Stalled {
    reached: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Stalled {
    /// Waits until the operation has come; nothing of it is done then.
    ///
    /// Gives `false` where the store is gone and it will never come.
    pub async fn reached(&mut self) -> bool {
        (&mut self.reached).await.is_ok()
    }

    /// Lets the operation go on.
    pub fn release(self) {
        // An operation that nobody waits for any more needs no permission.
        let _ = self.release.send(());
    }
}

impl FailingStore {
    /// A store in front of `inner`, without faults.
    pub fn new(inner: impl ObjectStore) -> Self {
        Self {
            inner: Arc::new(inner),
            script: Arc::new(Mutex::new(Script {
                operations: Vec::new(),
                faults: Vec::new(),
                stalls: Vec::new(),
                under_way: Vec::new(),
                writes: 0,
                stop_after: usize::MAX,
                stop_after_writes: usize::MAX,
                stopped_at: None,
            })),
        }
    }

    /// Adds a line to the script. Where several lines mean the same
    /// operation, the first one counts.
    pub fn inject(&self, on: On, fault: Fault) {
        self.script().faults.push(Rule::new(on, fault));
    }

    /// The process is killed: every operation from the `n`th on fails,
    /// counted from 1 and from the store's creation.
    ///
    /// Where the script has a fault for the `n`th one that leaves something behind, it does: with
    /// [`Fault::FailAfter`] the process is killed right after the operation, with [`Fault::Empty`]
    /// the power goes, and with [`Fault::LandsLater`] its last request outlives it.
    pub fn stop_from(&self, n: usize) {
        self.script().stop_after = n.saturating_sub(1);
    }

    /// The process is killed at its `n`th write: that one and every operation
    /// after it fails, counted from 1 and from the store's creation.
    ///
    /// What is in the store after a kill depends only on the writes before
    /// it, so trying every `n` tries every state that a kill can leave.
    pub fn stop_from_write(&self, n: usize) {
        self.script().stop_after_writes = n.saturating_sub(1);
    }

    /// The operation at which the process was killed, if it came that far.
    pub fn stopped_at(&self) -> Option<Operation> {
        self.script().stopped_at.clone()
    }

    /// Holds the first operation that `on` means until it is released.
    pub fn stall(&self, on: On) -> Stalled {
        let (reached, has_come) = oneshot::channel();
        let (go_on, release) = oneshot::channel();
        let held = Held { reached, release };
        self.script().stalls.push(Rule::new(on, Some(held)));
        Stalled {
            reached: has_come,
            release: go_on,
        }
    }

    /// From now on nothing fails. A put that is under way still lands when its time comes.
    pub fn heal(&self) {
        let mut script = self.script();
        script.faults.clear();
        script.stalls.clear();
        script.stop_after = usize::MAX;
        script.stop_after_writes = usize::MAX;
    }

    /// What the store was asked to do so far, in the order in which it was asked.
    pub fn operations(&self) -> Vec<Operation> {
        self.script().operations.clone()
    }

    /// How many operations of a kind there were whose path contains `part`.
    pub fn count(&self, kind: Kind, part: &str) -> usize {
        let script = self.script();
        let matching = script.operations.iter();
        matching
            .filter(|operation| operation.kind == kind && operation.path.contains(part))
            .count()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an operation, and says what becomes of it.
    fn next(&self, kind: Kind, path: &Path) -> Fate {
        let mut script = self.script();
        let operation = Operation {
            kind,
            path: path.to_string(),
        };
        let mut held = None;
        for stall in &mut script.stalls {
            if stall.meets(&operation) && held.is_none() {
                held = stall.then.take();
            }
        }
        let mut fault = None;
        for rule in &mut script.faults {
            if rule.meets(&operation) && fault.is_none() {
                fault = Some(rule.then.clone());
            }
        }
        script.writes += usize::from(kind.writes());
        script.operations.push(operation.clone());
        let number = script.operations.len();
        if script.is_stopped() {
            fault = match (&script.stopped_at, fault) {
                (None, Some(fault)) => Some(fault.of_the_dying()),
                _ => Some(Fault::Fail),
            };
            script.stopped_at.get_or_insert(operation);
        }
        let due = |put: &mut UnderWay| put.before <= number;
        let landing = script.under_way.extract_if(.., due).collect();
        Fate {
            number,
            landing,
            held,
            fault,
        }
    }

    /// Notes an operation and waits until it may begin; gives its number and what goes wrong
    /// with it.
    async fn begin(&self, kind: Kind, path: &Path) -> (usize, Option<Fault>) {
        let fate = self.next(kind, path);
        for put in fate.landing {
            // Its sender has had its answer, so nobody hears how it went.
            let _ = self
                .inner
                .put_opts(&put.path, put.payload, put.options)
                .await;
        }
        if let Some(held) = fate.held {
            // Both ends may be gone, when the test has moved on.
            let _ = held.reached.send(());
            let _ = held.release.await;
        }
        (fate.number, fate.fault)
    }

    async fn perform<T>(
        &self,
        kind: Kind,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (_, fault) = self.begin(kind, path).await;
        self.suffer(fault, path, work).await
    }

    /// Does what the operation asks for, or what its fault makes of it.
    async fn suffer<T>(
        &self,
        fault: Option<Fault>,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match fault {
            None | Some(Fault::IgnoresConditions) => work.await,
            Some(Fault::Fail | Fault::LandsLater(_) | Fault::Empty) => Err(failed(path)),
            Some(Fault::FailAfter) => {
                work.await?;
                Err(failed(path))
            }
            Some(Fault::AlreadyExistsAfter) => {
                work.await?;
                Err(Error::AlreadyExists {
                    path: path.to_string(),
                    source: "a fault that the test asked for".into(),
                })
            }
            Some(Fault::StorageFull) => Err(Error::Generic {
                store: "FailingStore",
                source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
            }),
            Some(Fault::Preempted(bytes)) => {
                self.inner.put(path, bytes.into()).await?;
                work.await
            }
        }
    }

    /// A stream fails as a whole, with its first item. It is opened when it is asked for that, so
    /// that it shows what is there by then.
    fn perform_stream<T: Send + 'static>(
        &self,
        kind: Kind,
        path: Option<&Path>,
        open: impl FnOnce(&dyn ObjectStore) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let path = path.cloned().unwrap_or_default();
        let store = self.clone();
        let begun = async move {
            let opened = async { Ok(open(store.inner.as_ref())) };
            store.perform(kind, &path, opened).await
        };
        let items = begun.map(|begun| match begun {
            Ok(stream) => stream,
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        });
        items.flatten_stream().boxed()
    }
}

fn failed(path: &Path) -> Error {
    Error::Generic {
        store: "FailingStore",
        source: format!("{path}: a fault that the test asked for").into(),
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailingStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (number, fault) = self.begin(Kind::Put, location).await;
        match fault {
            Some(Fault::LandsLater(operations)) => {
                self.script().under_way.push(UnderWay {
                    before: number.saturating_add(operations).saturating_add(1),
                    path: location.clone(),
                    payload,
                    options,
                });
                Err(failed(location))
            }
            Some(Fault::Empty) => {
                let empty = PutPayload::default();
                self.inner.put_opts(location, empty, options).await?;
                Err(failed(location))
            }
            Some(Fault::IgnoresConditions) => {
                let options = PutOptions {
                    mode: PutMode::Overwrite,
                    ..options
                };
                self.inner.put_opts(location, payload, options).await
            }
            fault => {
                let work = self.inner.put_opts(location, payload, options);
                self.suffer(fault, location, work).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let work = self.inner.put_multipart_opts(location, options);
        let inner = self.perform(Kind::Multipart, location, work).await?;
        Ok(Box::new(FailingUpload {
            store: self.clone(),
            path: location.clone(),
            inner,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { Kind::Head } else { Kind::Get };
        let work = self.inner.get_opts(location, options);
        self.perform(kind, location, work).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let work = self.inner.get_ranges(location, ranges);
        self.perform(Kind::Get, location, work).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                let work = store.inner.delete(&location);
                store.perform(Kind::Delete, &location, work).await?;
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let below = prefix.cloned();
        self.perform_stream(Kind::List, prefix, move |store| store.list(below.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (below, offset) = (prefix.cloned(), offset.clone());
        self.perform_stream(Kind::List, prefix, move |store| {
            store.list_with_offset(below.as_ref(), &offset)
        })
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let work = self.inner.list_with_delimiter(prefix);
        self.perform(Kind::List, &path, work).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let work = self.inner.copy_opts(from, to, options);
        self.perform(Kind::Copy, from, work).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let work = self.inner.rename_opts(from, to, options);
        self.perform(Kind::Rename, from, work).await
    }
}

/// An upload in parts, each of which can fail.
#[derive(Debug)]
struct FailingUpload {
    store: FailingStore,
    path: Path,
    inner: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, path) = (self.store.clone(), self.path.clone());
        let work = self.inner.put_part(data);
        async move { store.perform(Kind::Multipart, &path, work).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (_, fault) = self.store.begin(Kind::Multipart, &self.path).await;
        if fault == Some(Fault::Empty) {
            self.inner.abort().await?;
            let empty = PutPayload::default();
            self.store.inner.put(&self.path, empty).await?;
        }
        let work = self.inner.complete();
        self.store.suffer(fault, &self.path, work).await
    }

    async fn abort(&mut self) -> Result<()> {
        let work = self.inner.abort();
        self.store.perform(Kind::Multipart, &self.path, work).await
    }
}
