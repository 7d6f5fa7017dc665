//! Whether a store keeps the one promise that everything rests on: that a put where nothing may
//! be fails where something is.

use bytes::Bytes;
use lake_delta::Root;
use object_store::path::Path;
use object_store::{Error, PutMode};

use crate::error::{Result, RunError};

const PLACE: &str = "_lake/probe";
/// A store that answers an error is asked this often.
const PUT_ATTEMPTS: usize = 5;

/// Puts one object where absent, and once more where the first time made it. The object stays, so
/// that later runs need one request.
///
/// # Errors
/// [`RunError::State`] where the store puts it over what is there; and of the store.
pub(crate) async fn probe(root: &Root) -> Result<()> {
    let path = Path::from(PLACE);
    let store = root.store();
    let mut failure = None;
    let mut taken = 0;
    for _ in 0..PUT_ATTEMPTS {
        let body = Bytes::from_static(b"A put where absent must fail here.\n");
        match store
            .put_opts(&path, body.into(), PutMode::Create.into())
            .await
        {
            Err(Error::AlreadyExists { .. }) => return Ok(()),
            Ok(_) => taken += 1,
            Err(error) => failure = Some(error),
        }
        if taken == 2 {
            break;
        }
    }
    if let Some(error) = failure
        && taken < 2
    {
        return Err(RunError::store(PLACE, error));
    }
    Err(RunError::State {
        path: PLACE.to_owned(),
        message: format!(
            "the store at {} puts an object over another although it was asked to put it only \
             where absent (If-None-Match), so that two runs could both believe to be the next; \
             nothing was written; use a store with conditional puts, such as Amazon S3 or MinIO",
            root.display()
        ),
    })
}
