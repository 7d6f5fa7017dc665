//! A registry that is thrown away, with the one release that is to be published.
//!
//! What is checked before publishing is loaded from here exactly as a host will load it: chosen,
//! verified, copied, opened. So what passes is the very bytes that are published, and not another
//! build of the same sources.

use std::collections::BTreeMap;
use std::fs;

use chrono::{DateTime, Utc};
use lake_pipeline::TransformRef;
use lake_plugin::{ColumnType, ParameterDeclaration, Plugin};
use lake_registry::{
    Error, Interface, NewRelease, Registry, SigningKey, TableColumn, TrustedKeys, private_copy,
};
use lake_run::{Releases, Stores};
use semver::VersionReq;

use crate::Machine;
use crate::error::{KitError, Result};
use crate::scratch::Scratch;
use crate::subject::Subject;

pub(crate) struct Stage {
    scratch: Scratch,
    registry: Registry,
    pub(crate) plugin: Plugin,
    pub(crate) subject: Subject,
}

impl Stage {
    /// Publishes `release` where nobody sees it, with what its library for this machine declares.
    pub(crate) async fn new(
        release: &NewRelease,
        key: &SigningKey,
        now: DateTime<Utc>,
        machine: &Machine,
    ) -> Result<Self> {
        let scratch = Scratch::below(&machine.temporary)?;
        let cache = scratch.path().join("cache");
        let place = scratch.path().join("registry");
        let library = release.artifacts.get(&machine.target).ok_or_else(|| {
            let built: Vec<&str> = release.artifacts.keys().map(String::as_str).collect();
            KitError::Unfit {
                message: format!(
                    "there is no library for this machine ({}), only for {}, so that nothing can be \
                     checked",
                    machine.target,
                    built.join(", ")
                ),
            }
        })?;
        // Where a host of this cache would put it, so that the system maps it once.
        let digest = lake_registry::Digest::of(library);
        let library = private_copy(&cache.join("releases"), &digest, library)?;
        let plugin = Plugin::load(&library).map_err(|source| lake_run::RunError::Load {
            name: release.name.clone(),
            source: Box::new(source),
        })?;
        let declaration = plugin.declaration().clone();
        let staged = NewRelease {
            interface: Interface::new(declaration.clone(), BTreeMap::new()),
            // That is for hosts; this one is asked about before.
            requires_host: None,
            ..release.clone()
        };
        let place = place.display().to_string();
        let registry = lake_run::registry(&place, &Stores::default())?;
        let _ = registry.publish(&staged, key, now).await.map_err(unfit)?;
        let trusted = scratch.path().join("trusted.toml");
        let entry = format!(
            "[[key]]\nname = \"the signing key\"\npublic = \"{}\"\n",
            key.public().to_base64()
        );
        fs::write(&trusted, entry).map_err(KitError::io(&trusted))?;
        let subject = Subject {
            transform: TransformRef {
                name: release.name.clone(),
                version: VersionReq::STAR,
                path: None,
                params: BTreeMap::new(),
                registry: Some(place),
                trusted_keys: Some(trusted),
            },
            releases: Releases {
                asked: Some((release.name.clone(), release.version.clone())),
                locked: false,
                allow: Vec::new(),
                target: machine.target.clone(),
            },
            declaration,
            cache,
        };
        Ok(Self {
            scratch,
            registry,
            plugin,
            subject,
        })
    }

    /// Whether hosts that trust these keys will believe the release.
    pub(crate) async fn believed(&self, trusted: &TrustedKeys) -> Result<()> {
        let Some((name, version)) = &self.subject.releases.asked else {
            return Ok(());
        };
        match self.registry.open(name, version, None, trusted).await {
            Ok(_) => Ok(()),
            Err(Error::Signature { reasons, .. }) => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                Err(KitError::Unfit {
                    message: format!(
                        "hosts with these trusted keys would not load {name} {version}: {}",
                        reasons.join("; ")
                    ),
                })
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Plans all SQL, as `lake validate` does; gives the columns of every table.
    pub(crate) async fn tables(
        &self,
        machine: &Machine,
    ) -> Result<BTreeMap<String, Vec<TableColumn>>> {
        let parameters = &self.subject.declaration.parameters;
        let unset = parameters
            .iter()
            .filter(|parameter| parameter.default.is_none());
        let params = unset.map(|parameter| (parameter.name.clone(), some_value(parameter)));
        let settings = self
            .subject
            .settings(&params.collect(), self.scratch.path(), machine);
        let settings = settings.map_err(|message| KitError::Unfit { message })?;
        let valid = lake_run::validate(&settings).await?;
        let tables = valid.tables.into_iter().map(|(table, columns)| {
            let columns = columns.into_iter();
            let columns = columns.map(|(name, written)| TableColumn::new(name, written));
            (table, columns.collect())
        });
        Ok(tables.collect())
    }
}

/// A release that no registry would take is the author's to mend.
fn unfit(error: Error) -> KitError {
    match error {
        Error::Refused { what } => KitError::Unfit { message: what },
        other => other.into(),
    }
}

/// Some value for a parameter that every pipeline has to set.
fn some_value(parameter: &ParameterDeclaration) -> String {
    let value = match parameter.parameter_type {
        ColumnType::Text => "text",
        ColumnType::Boolean => "true",
        ColumnType::Int32 | ColumnType::Int64 | ColumnType::Float64 => "1",
        ColumnType::Decimal { precision, scale } if precision == scale.unsigned_abs() => "0",
        ColumnType::Decimal { .. } => "1",
        ColumnType::Date => "2026-01-01",
        ColumnType::Timestamp => "2026-01-01T00:00:00Z",
        ColumnType::Duration => "1h",
    };
    value.to_owned()
}
