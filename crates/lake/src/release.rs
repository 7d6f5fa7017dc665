//! `lake plugin key, publish, list, show, verify, yank, update`: releases on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lake_kit::{Destination, KitError, PublishOptions};
use lake_registry::{Registry, TrustedKeys};
use semver::{Version, VersionReq};

use crate::args::{self, Common, Format, Pipeline, release};
use crate::edge;
use crate::exit::Failure;
use crate::release_text as text;

#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Make a key that signs releases
    Key {
        /// Whose key it is, and since when, as in "meters team 2026"
        name: String,
        /// Where to write the private key, NAME.pem, which only you can read
        #[arg(long, value_name = "DIRECTORY", default_value = ".")]
        out: PathBuf,
        /// Append the public key to this file of trusted keys
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// How to say what was made
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Build a transform, check it as a host would load it, and publish it as a release
    Publish {
        /// The directory of its crate
        #[arg(value_name = "DIRECTORY", default_value = ".")]
        directory: PathBuf,
        /// The file with the private key that signs [env: LAKE_SIGNING_KEY; LAKE_SIGNING_KEY_PEM
        /// is the key itself]
        // A key that is put here by mistake begins with hyphens, and clap would show it.
        #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
        key: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
        /// A library that was built elsewhere, such as
        /// aarch64-unknown-linux-gnu=target/liborders.so; may be given several times
        #[arg(long = "library", value_name = "TARGET=FILE", value_parser = library)]
        libraries: Vec<(String, PathBuf)>,
        /// The versions of lake that may run it, such as ">=0.2"
        #[arg(long, value_name = "REQUIREMENT")]
        requires_host: Option<VersionReq>,
        /// What is new, in words
        #[arg(long, value_name = "TEXT")]
        notes: Option<String>,
        /// Do everything but the publishing
        #[arg(long)]
        dry_run: bool,
        /// Leave out the golden cases
        #[arg(long)]
        no_test: bool,
        /// How to say what came of it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// List the releases of a registry
    List {
        /// Only those of this transform
        name: Option<String>,
        #[command(flatten)]
        place: Place,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Show what a release is: who signed it, what it makes, what is in it
    Show {
        #[command(flatten)]
        release: One,
        #[command(flatten)]
        place: Place,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Read everything that a release consists of, for all targets, and check it
    Verify {
        #[command(flatten)]
        release: One,
        #[command(flatten)]
        place: Place,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Hide a release from pipelines that choose one anew; those that pin it keep it
    Yank {
        #[command(flatten)]
        release: One,
        /// Why, for those who use it
        #[arg(long, value_name = "TEXT", conflicts_with = "undo")]
        reason: Option<String>,
        /// Take the yank back
        #[arg(long)]
        undo: bool,
        /// Where releases are: a directory [env: LAKE_REGISTRY]
        #[arg(long, value_name = "PLACE")]
        registry: Option<String>,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Choose the release of a pipeline anew, and pin it in lake.lock
    Update {
        #[command(flatten)]
        pipeline: Pipeline,
        #[command(flatten)]
        common: Common,
        /// Pin this release, and not the newest that the pipeline file allows
        #[arg(long, value_name = "NAME@VERSION", value_parser = release)]
        transform: Option<(String, Version)>,
        #[command(flatten)]
        place: Place,
        /// How to say it
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
}

/// A registry, and who is trusted there.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where releases are: a directory [env: LAKE_REGISTRY]
    #[arg(long, value_name = "PLACE")]
    registry: Option<String>,
    /// The file with the public keys that may sign releases [env: LAKE_TRUSTED_KEYS]
    #[arg(long, value_name = "FILE")]
    trusted_keys: Option<PathBuf>,
}

impl Place {
    /// The registry, where a flag or the environment names one.
    pub(crate) fn registry_if_said(&self) -> Result<Option<Registry>, Failure> {
        edge::registry_if_said(self.registry.as_deref())
    }

    pub(crate) fn trusted(&self) -> Result<Option<TrustedKeys>, Failure> {
        edge::trusted_keys(self.trusted_keys.as_deref())
    }
}

/// One release.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The release, as in utility@1.2.0
    #[arg(value_name = "NAME@VERSION", value_parser = args::release)]
    release: (String, Version),
}

pub(crate) fn library(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((target, file)) if !target.is_empty() && !file.is_empty() => {
            Ok((target.to_owned(), file.into()))
        }
        _ => Err("it has the form TARGET=FILE".to_owned()),
    }
}

impl ReleaseCommand {
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Key { output, .. }
            | Self::Publish { output, .. }
            | Self::List { output, .. }
            | Self::Show { output, .. }
            | Self::Verify { output, .. }
            | Self::Yank { output, .. }
            | Self::Update { output, .. } => *output == Format::Json,
        }
    }
}

pub(crate) fn perform(command: ReleaseCommand) -> Result<String, Failure> {
    match command {
        ReleaseCommand::Key {
            name,
            out,
            trust,
            output,
        } => {
            let made = lake_kit::new_key(&name, &out, trust.as_deref(), edge::random()?)?;
            Ok(said(
                output,
                || text::key(&made, trust.as_deref()),
                || text::key_json(&made),
            ))
        }
        ReleaseCommand::Publish {
            directory,
            key,
            place,
            libraries,
            requires_host,
            notes,
            dry_run,
            no_test,
            output,
        } => {
            let options = PublishOptions {
                libraries,
                requires_host,
                notes,
                published_by: edge::user(),
                dry_run,
                no_test,
            };
            let registry = edge::registry(place.registry.as_deref())?;
            let key = edge::signing_key(key.as_deref())?;
            let trusted = place.trusted()?;
            let destination = Destination {
                registry: &registry,
                key: &key,
                trusted: trusted.as_ref(),
                now: edge::now(),
            };
            let machine = edge::machine();
            let report = lake_kit::publish(&directory, &options, &destination, &machine);
            let report = edge::block_on(report)??;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            Ok(said(
                output,
                || text::published(&report, &registry),
                || text::published_json(&report, &registry),
            ))
        }
        ReleaseCommand::List {
            name,
            place,
            output,
        } => {
            let registry = edge::registry(place.registry.as_deref())?;
            let trusted = place.trusted()?.unwrap_or_default();
            let listing = edge::block_on(registry.list(name.as_deref(), &trusted))?;
            let listing = listing.map_err(KitError::from)?;
            Ok(said(
                output,
                || text::list(&listing, &registry, &trusted),
                || text::list_json(&listing, &registry),
            ))
        }
        ReleaseCommand::Show {
            release,
            place,
            output,
        } => {
            let registry = edge::registry(place.registry.as_deref())?;
            let trusted = place.trusted()?.unwrap_or_default();
            let (name, version) = release.release;
            let shown = lake_kit::show(&registry, &name, &version, &trusted);
            let shown = edge::block_on(shown)??;
            Ok(said(
                output,
                || text::show(&shown),
                || text::show_json(&shown),
            ))
        }
        ReleaseCommand::Verify {
            release,
            place,
            output,
        } => {
            let registry = edge::registry(place.registry.as_deref())?;
            let trusted = place.trusted()?.unwrap_or_default();
            let (name, version) = release.release;
            let verified = edge::block_on(async {
                let verified = registry.open(&name, &version, None, &trusted).await?;
                registry.verify(&verified).await.map(|()| verified)
            })?;
            let verified = verified.map_err(KitError::from)?;
            Ok(said(
                output,
                || text::verified(&verified),
                || text::verified_json(&verified),
            ))
        }
        ReleaseCommand::Yank {
            release,
            reason,
            undo,
            registry,
            output,
        } => {
            let registry = edge::registry(registry.as_deref())?;
            let (name, version) = release.release;
            let outcome = edge::block_on(async {
                if undo {
                    let undone = registry.unyank(&name, &version).await?;
                    return Ok(text::Yanking::Undone(undone));
                }
                let (by, now) = (edge::user(), edge::now());
                let yanked = registry.yank(&name, &version, reason, by, now).await?;
                Ok(text::Yanking::Done(yanked))
            })?;
            let outcome = outcome.map_err(|e: lake_registry::Error| KitError::from(e))?;
            let release = format!("{name} {version}");
            Ok(said(
                output,
                || text::yank(&release, &outcome),
                || text::yank_json(&name, &version, &outcome),
            ))
        }
        ReleaseCommand::Update {
            pipeline,
            common,
            transform,
            place,
            output,
        } => {
            let mut overrides = common.overrides();
            let named = place.trusted_keys.map(|file| file.display().to_string());
            let flags = [("registry", place.registry), ("trusted_keys", named)];
            overrides.set.extend(
                flags
                    .into_iter()
                    .filter_map(|(key, value)| Some((format!("transform.{key}"), value?))),
            );
            let mut settings = edge::settings(pipeline.file.as_deref(), &overrides)?;
            settings.releases.asked = transform;
            let update = edge::block_on(lake_run::update(&settings))??;
            for warning in &update.warnings {
                tracing::warn!("{warning}");
            }
            Ok(said(
                output,
                || text::updated(&update, &settings),
                || text::updated_json(&update, &settings),
            ))
        }
    }
}

fn said(
    output: Format,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> serde_json::Value,
) -> String {
    match output {
        Format::Text => text(),
        Format::Json => format!("{}\n", json()),
    }
}
