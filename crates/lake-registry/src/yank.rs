//! Yanking: hiding a release from those who choose one anew.
//!
//! A yank is an object beside the release, and taking it away undoes it. It is not signed, because
//! a signature would promise what it cannot hold: whoever can write to a registry can delete a
//! yank, or the release itself, as easily as they can add one. What stops a release for sure is
//! elsewhere: its key is revoked, or a pipeline blocks its digest.

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, plain};
use crate::registry::{Registry, object_path, release_path};
use crate::store::Put;

const YANKED: &str = "yanked.json";
const MOST: u64 = 1 << 20;

/// That a release is hidden from new choices, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Yank {
    /// When; unknown where the yank cannot be read.
    pub yanked_at: Option<DateTime<Utc>>,
    /// Who did it, as they call themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked_by: Option<String>,
    /// Why, for those who use the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a yank, or its undoing, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Yanked {
    /// It was not so before, and is now.
    Now,
    /// It was yanked before; the earlier yank stays as it was.
    Already(Yank),
}

impl Registry {
    /// Hides a release from those who choose one anew. Whoever has locked it keeps it.
    ///
    /// # Errors
    /// [`Error::NoRelease`]; [`Error::Store`].
    pub async fn yank(
        &self,
        name: &str,
        version: &Version,
        reason: Option<String>,
        by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Yanked> {
        self.must_have(name, version).await?;
        if let Some(before) = self.yanked(name, version).await? {
            return Ok(Yanked::Already(before));
        }
        let yank = Yank {
            yanked_at: Some(now.trunc_subsecs(0)),
            yanked_by: by,
            reason,
        };
        let body = format!("{:#}\n", serde_json::json!(yank));
        let path = object_path(name, version, YANKED)?;
        match self.objects.put_new(&path, &body.into(), MOST).await? {
            Put::There => Ok(Yanked::Now),
            Put::Other(found) => Ok(Yanked::Already(read(&path, &found))),
        }
    }

    /// Undoes a yank. Gives `false` where there was none.
    ///
    /// # Errors
    /// [`Error::NoRelease`]; [`Error::Store`].
    pub async fn unyank(&self, name: &str, version: &Version) -> Result<bool> {
        self.must_have(name, version).await?;
        if self.yanked(name, version).await?.is_none() {
            return Ok(false);
        }
        let path = object_path(name, version, YANKED)?;
        self.objects.delete(&path).await?;
        Ok(true)
    }

    /// The yank of a release. One that cannot be read counts: it was somebody's wish.
    pub(crate) async fn yanked(&self, name: &str, version: &Version) -> Result<Option<Yank>> {
        let path = object_path(name, version, YANKED)?;
        match self.objects.get(&path, MOST).await {
            Ok(found) => Ok(found.map(|bytes| read(&path, &bytes))),
            Err(error) if error.is_of_release() => Ok(Some(unreadable(&path, &error.to_string()))),
            Err(error) => Err(error),
        }
    }

    async fn must_have(&self, name: &str, version: &Version) -> Result<()> {
        let path = release_path(name, version)?;
        match self.objects.store.head(&path).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(Error::NoRelease {
                place: self.place().to_owned(),
                name: name.to_owned(),
                version: version.clone(),
            }),
            Err(error) => Err(self.objects.failed(&path, error)),
        }
    }
}

fn read(path: &Path, bytes: &Bytes) -> Yank {
    match serde_json::from_slice::<Yank>(bytes) {
        // Anybody can have written it, and it is shown on terminals.
        Ok(yank) => Yank {
            yanked_at: yank.yanked_at,
            yanked_by: yank.yanked_by.as_deref().map(plain),
            reason: yank.reason.as_deref().map(plain),
        },
        Err(error) => unreadable(path, &plain(&error.to_string())),
    }
}

fn unreadable(path: &Path, why: &str) -> Yank {
    Yank {
        yanked_at: None,
        yanked_by: None,
        reason: Some(format!("{path} cannot be read: {why}")),
    }
}
