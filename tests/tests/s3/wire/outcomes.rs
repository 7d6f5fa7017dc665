//! What the client of `object_store` makes of every fault.

use std::fmt::Write;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use lake_testing::{Requests, WireFault};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, MultipartId, ObjectStore, ObjectStoreExt, PutMode, PutPayload, Result,
    UpdateVersion,
};

use super::{Setup, client, io_kind, kind, setup};

const OLD: usize = 100_000;
const NEW: usize = 200_000;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Get,
    Head,
    List,
    Overwrite,
    Create,
    Update,
    Part,
    Complete,
    Delete,
}

const OPERATIONS: [Operation; 9] = [
    Operation::Get,
    Operation::Head,
    Operation::List,
    Operation::Overwrite,
    Operation::Create,
    Operation::Update,
    Operation::Part,
    Operation::Complete,
    Operation::Delete,
];

/// What an operation needs to be there.
struct Prepared {
    path: Path,
    e_tag: Option<String>,
    upload: MultipartId,
    part: PartId,
}

impl Operation {
    async fn prepare(self, direct: &AmazonS3, path: Path) -> Result<Prepared> {
        let mut e_tag = None;
        if !matches!(self, Self::Create) {
            e_tag = direct.put(&path, vec![b'o'; OLD].into()).await?.e_tag;
        }
        let upload = direct.create_multipart(&path).await?;
        let content = vec![b'n'; NEW].into();
        let part = direct.put_part(&path, &upload, 0, content).await?;
        Ok(Prepared {
            path,
            e_tag,
            upload,
            part,
        })
    }

    /// Gives what there is to say about a success.
    async fn perform(self, store: &AmazonS3, prepared: Prepared) -> Result<String> {
        let Prepared { path, upload, .. } = prepared;
        let content = PutPayload::from(vec![b'n'; NEW]);
        let mut said = String::new();
        match self {
            Self::Get => {
                let bytes = store.get(&path).await?.bytes().await?;
                if bytes.len() != OLD {
                    said = format!(" with {} bytes", bytes.len());
                }
            }
            Self::Head => {
                let size = store.head(&path).await?.size;
                if size != OLD as u64 {
                    said = format!(" with a size of {size}");
                }
            }
            Self::List => {
                let above = Path::from_iter(path.parts().take(4));
                let list: Vec<_> = store.list(Some(&above)).try_collect().await?;
                if list.is_empty() {
                    said = " with nothing".to_owned();
                }
            }
            Self::Overwrite => drop(store.put(&path, content).await?),
            Self::Create => {
                let mode = PutMode::Create;
                store.put_opts(&path, content, mode.into()).await?;
            }
            Self::Update => {
                let mode = PutMode::Update(UpdateVersion {
                    e_tag: prepared.e_tag,
                    version: None,
                });
                store.put_opts(&path, content, mode.into()).await?;
            }
            Self::Part => drop(store.put_part(&path, &upload, 1, content).await?),
            Self::Complete => {
                let parts = vec![prepared.part];
                store.complete_multipart(&path, &upload, parts).await?;
            }
            Self::Delete => {
                let paths = futures::stream::iter([Ok(path)]).boxed();
                store.delete_stream(paths).try_collect::<Vec<_>>().await?;
            }
        }
        Ok(said)
    }

    /// Whether what it was to do is done.
    async fn landed(self, direct: &AmazonS3, path: &Path) -> bool {
        let size = direct.head(path).await.map(|meta| meta.size);
        match self {
            Self::Delete => matches!(size, Err(Error::NotFound { .. })),
            _ => size.is_ok_and(|size| size == NEW as u64),
        }
    }
}

fn describe(error: &Error) -> String {
    let mut said = match error {
        Error::Generic { .. } => "Generic",
        Error::NotFound { .. } => "NotFound",
        Error::AlreadyExists { .. } => "AlreadyExists",
        Error::Precondition { .. } => "Precondition",
        Error::PermissionDenied { .. } => "PermissionDenied",
        Error::Unauthenticated { .. } => "Unauthenticated",
        _ => "other",
    }
    .to_owned();
    if let Some(kind) = kind(error) {
        write!(said, " {kind:?}").unwrap();
    }
    if let Some(kind) = io_kind(error) {
        write!(said, " {kind:?}").unwrap();
    }
    said
}

/// What every operation comes to, with a client that tries again twice.
async fn row(number: usize, often: &str, fault: WireFault) -> String {
    let setup = setup();
    let direct = setup.direct();
    let impatient = matches!(fault, WireFault::Stall(_) | WireFault::StallInBody(..));
    let patience = Duration::from_millis(if impatient { 400 } else { 20_000 });
    let store = client(&setup.wire, 2, ClientOptions::new().with_timeout(patience));
    let mut outcomes = Vec::<(String, String)>::new();
    for operation in OPERATIONS {
        let outcome = outcome(&setup, &direct, &store, (number, often), &fault, operation).await;
        let name = format!("{operation:?}").to_lowercase();
        match outcomes.iter_mut().find(|(other, _)| *other == outcome) {
            Some((_, names)) => write!(names, " {name}").unwrap(),
            None => outcomes.push((outcome, name)),
        }
    }
    let mut row = format!("{fault:?}, {often}\n");
    for (outcome, names) in outcomes {
        writeln!(row, "    {names}: {outcome}").unwrap();
    }
    row
}

async fn outcome(
    setup: &Setup,
    direct: &AmazonS3,
    store: &AmazonS3,
    (number, often): (usize, &str),
    fault: &WireFault,
    operation: Operation,
) -> String {
    let path = Path::from(format!("outcomes/{number}/{often}/{operation:?}/object"));
    let prepared = operation.prepare(direct, path.clone()).await.unwrap();
    let before = setup.wire.requests().len();
    setup.wire.heal();
    let on = match often {
        "always" => Requests::any().always(),
        _ => Requests::any(),
    };
    setup.wire.inject(on, fault.clone());
    let result = operation.perform(store, prepared).await;
    let mut said = match result {
        Ok(said) => format!("ok{said}"),
        Err(error) => describe(&error),
    };
    match setup.wire.requests().len() - before {
        1 => said.push_str(", not retried"),
        tries => write!(said, ", {tries} tries").unwrap(),
    }
    if operation.landed(direct, &path).await {
        said.push_str(", done");
    }
    said
}

fn refuse(status: u16, code: &'static str) -> WireFault {
    WireFault::Refuse { status, code }
}

/// It says how this version of the client is, and not how it has to be: where it changes, what is
/// built on it wants another look.
#[tokio::test]
async fn faults_come_to_what_the_table_says() {
    let (hour, code) = (Duration::from_secs(3_600), "InternalError");
    let landed = WireFault::LandsThenRefuse { status: 500, code };
    let rows = [
        ("always", refuse(500, "InternalError")),
        ("always", refuse(503, "SlowDown")),
        ("once", refuse(503, "SlowDown")),
        ("always", refuse(200, "InternalError")),
        ("once", refuse(200, "InternalError")),
        ("always", refuse(409, "ConditionalRequestConflict")),
        ("once", refuse(409, "ConditionalRequestConflict")),
        ("always", refuse(412, "PreconditionFailed")),
        ("always", refuse(404, "NoSuchBucket")),
        ("always", refuse(403, "ExpiredToken")),
        ("always", refuse(401, "Unauthorized")),
        ("always", refuse(400, "ExpiredToken")),
        ("always", WireFault::Reset),
        ("once", WireFault::Reset),
        ("always", WireFault::ResetInRequest(50_000)),
        ("always", WireFault::ResetInBody(10)),
        ("once", WireFault::ResetInBody(10)),
        ("always", WireFault::Truncate(10)),
        ("once", WireFault::Truncate(10)),
        ("always", WireFault::LandsUnanswered),
        ("once", WireFault::LandsUnanswered),
        ("always", WireFault::LandsThenReset),
        ("once", WireFault::LandsThenReset),
        ("always", landed.clone()),
        ("once", landed),
        ("always", WireFault::LandsLater(hour)),
        ("once", WireFault::LandsLater(hour)),
        ("always", WireFault::Stall(hour)),
        ("once", WireFault::Stall(hour)),
        ("always", WireFault::StallInBody(10, hour)),
    ];
    // A few at a time: more would have the impatient clients wait for one another.
    let rows = rows.into_iter().enumerate();
    let rows = rows.map(|(number, (often, fault))| row(number, often, fault));
    let table: Vec<String> = futures::stream::iter(rows).buffered(4).collect().await;
    let table = table.concat();
    let expected = include_str!("outcomes.txt");
    assert!(table == expected, "the table is now:\n{table}");
}
