//! `lake plugin bump`: the next version of a transform, and what it says of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lake_kit::{BumpOptions, BumpOutcome, Published};
use lake_registry::Level;
use serde_json::{Value, json};

use crate::args::Format;
use crate::edge;
use crate::exit::Failure;
use crate::release;

/// Which version, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Bump {
    /// The directory of its crate
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
    /// What the release brings, and more where its changes need more [default: minor]
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Part>,
    /// The remote whose tags count
    #[arg(long, default_value = "origin")]
    remote: String,
    /// The branch of the remote that the version is committed to
    #[arg(long, default_value = "main")]
    branch: String,
    /// Push branch and tag, both or none of them
    #[arg(long)]
    push: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: release::Place,
    /// A library that was built elsewhere, for the comparison with the last published release;
    /// may be given several times
    #[arg(long = "library", value_name = "TARGET=FILE", value_parser = release::library)]
    libraries: Vec<(String, PathBuf)>,
    /// How to say what came of it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// A part of a version. Before 1.0.0 they mean what they mean to Cargo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nobody has to know
    Patch,
    /// There is more than before
    Minor,
    /// Something that worked does not work any more
    Major,
}

pub(crate) fn perform(wanted: Bump) -> Result<String, Failure> {
    let options = BumpOptions {
        level: wanted.level.map(|part| match part {
            Part::Patch => Level::Patch,
            Part::Minor => Level::Minor,
            Part::Major => Level::Major,
        }),
        remote: wanted.remote,
        branch: wanted.branch,
        push: wanted.push,
        dry_run: wanted.dry_run,
        libraries: wanted.libraries,
    };
    let registry = wanted.place.registry_if_said()?;
    let trusted = wanted.place.trusted()?.unwrap_or_default();
    let published = registry.as_ref().map(|registry| Published {
        registry,
        trusted: &trusted,
    });
    let machine = edge::machine();
    let bump = lake_kit::bump(
        &wanted.directory,
        &options,
        published.as_ref(),
        edge::now(),
        &machine,
    );
    let bump = edge::block_on(bump)??;
    Ok(match wanted.output {
        Format::Text => text(&bump, &options),
        Format::Json => format!("{}\n", to_json(&bump)),
    })
}

fn text(bump: &lake_kit::Bump, options: &BumpOptions) -> String {
    let lake_kit::Bump {
        name, version, tag, ..
    } = bump;
    let BumpOptions { remote, branch, .. } = options;
    // A URL can have a token in it.
    let remote = lake_run::shown(remote);
    let place = match bump.pushed {
        true => format!(", and pushed to {branch} of {remote}"),
        false => String::new(),
    };
    let mut text = match bump.outcome {
        BumpOutcome::Tagged => format!("{name} {version} is tagged {tag}{place}"),
        BumpOutcome::Planned => format!("{name} {version} would be tagged {tag}"),
        BumpOutcome::AlreadyTagged => {
            format!("{name} {version}: this commit is tagged {tag} already{place}")
        }
        BumpOutcome::NothingToRelease => {
            format!("{name} {version}: nothing to release since {tag}")
        }
    };
    if let Some(previous) = bump
        .previous
        .as_ref()
        .filter(|previous| *previous != version)
    {
        // Writing to a string cannot fail.
        let _ = write!(text, "; before it was {previous}");
    }
    text.push('\n');
    for why in &bump.why {
        let _ = writeln!(text, "  {why}");
    }
    for file in &bump.files {
        let changed = match bump.outcome {
            BumpOutcome::Planned => "would change",
            _ => "changed",
        };
        let _ = writeln!(text, "  {changed} {}", file.display());
    }
    if bump.outcome == BumpOutcome::Tagged && !bump.pushed {
        let _ = writeln!(
            text,
            "\nNext:  git push --atomic {remote} HEAD:refs/heads/{branch} refs/tags/{tag}"
        );
    }
    text
}

/// The outcome for programs: stable names, one object.
fn to_json(bump: &lake_kit::Bump) -> Value {
    let status = match bump.outcome {
        BumpOutcome::Tagged => "tagged",
        BumpOutcome::Planned => "planned",
        BumpOutcome::AlreadyTagged => "already_tagged",
        BumpOutcome::NothingToRelease => "nothing_to_release",
    };
    json!({
        "status": status,
        "name": bump.name,
        "previous": bump.previous.as_ref().map(ToString::to_string),
        "version": bump.version.to_string(),
        "tag": bump.tag,
        "level": bump.level,
        "pushed": bump.pushed,
        "why": bump.why,
        "files": bump.files,
    })
}
