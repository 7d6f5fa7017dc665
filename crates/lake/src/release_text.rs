//! What the commands for releases say, to people and to programs.

use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use lake_kit::{NewKey, PublishReport, Shown, Verdict};
use lake_registry::{
    Interface, Listing, Published, Registry, Release, ReleaseSummary, Standing, TrustedKeys,
    Verified, Yank, Yanked,
};
use lake_run::{Settings, Update};
use semver::Version;
use serde_json::{Value, json};

use crate::edge;
use crate::plugin::counted;
use crate::summary::bytes;

pub(crate) fn key(made: &NewKey, trust: Option<&Path>) -> String {
    let mut text = format!(
        "The private key is in {}. Only you can read it, and nobody else should.\n\n",
        made.file.display()
    );
    // Writing to a string cannot fail.
    let _ = match trust {
        Some(file) => writeln!(
            text,
            "Its public half is now trusted in {}:\n",
            file.display()
        ),
        None => writeln!(
            text,
            "Hosts trust it with this entry in their file of trusted keys:\n"
        ),
    };
    for line in made.entry.lines() {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "\nMessages call it key {:#}.", made.id);
    text
}

pub(crate) fn key_json(made: &NewKey) -> Value {
    json!({
        "status": "done",
        "exit_code": 0,
        "file": made.file,
        "key_id": made.id.to_string(),
        "entry": made.entry,
    })
}

pub(crate) fn published(report: &PublishReport, registry: &Registry) -> String {
    let release = format!("{} {}", report.name, report.version);
    let mut text = match &report.outcome {
        Some(Published::Now { .. }) => format!("{release} is published in {registry}\n"),
        Some(Published::AlreadyThere { published_at, .. }) => format!(
            "{release} is there already, just like this, since {}; nothing was changed\n",
            minute(*published_at)
        ),
        Some(Published::Taken(_)) | None => {
            format!(
                "{release} could be published in {registry}; nothing was, as this is a dry run\n"
            )
        }
    };
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<10}{value}");
    };
    if let Some(Published::Now { digest } | Published::AlreadyThere { digest, .. }) = report.outcome
    {
        line("release", digest.to_string());
    }
    for (target, (digest, size)) in &report.libraries {
        line("library", format!("{digest}  {target}, {}", bytes(*size)));
    }
    line("checked", checked(report));
    let crates = report.licences.iter().map(|licence| licence.crates.len());
    let crates = counted(crates.sum(), "crate");
    let licences = counted(report.licences.len(), "licence");
    line("contains", format!("{crates}, under {licences}"));
    if let Some(commit) = &report.source_commit {
        line("commit", commit.clone());
    }
    line("version", verdict(&report.verdict));
    for change in &report.verdict.changes {
        let _ = writeln!(text, "            {change}");
    }
    text
}

/// `SQL of 2 tables, 1 function, 3 golden cases`
fn checked(report: &PublishReport) -> String {
    let checked = &report.checked;
    let cases = match checked.cases {
        Some(cases) => counted(cases, "golden case"),
        None => "no golden cases".to_owned(),
    };
    format!(
        "SQL of {}, {}, {cases}",
        counted(checked.tables, "table"),
        counted(checked.functions, "function")
    )
}

fn verdict(verdict: &Verdict) -> String {
    match (&verdict.previous, &verdict.smallest) {
        (Some(previous), Some(smallest)) if verdict.changes.is_empty() => {
            format!("nothing that others rely on changed since {previous}: {smallest} or higher")
        }
        (Some(previous), Some(smallest)) => format!(
            "the changes since {previous} are {}: {smallest} or higher",
            verdict.needs
        ),
        _ => "there is no release before it to compare with".to_owned(),
    }
}

pub(crate) fn published_json(report: &PublishReport, registry: &Registry) -> Value {
    let (outcome, digest) = match &report.outcome {
        Some(Published::Now { digest }) => ("published", Some(digest)),
        Some(Published::AlreadyThere { digest, .. }) => ("already_there", Some(digest)),
        Some(Published::Taken(taken)) => ("taken", Some(&taken.digest)),
        None => ("dry_run", None),
    };
    let libraries = report.libraries.iter().map(|(target, (digest, size))| {
        (target.clone(), json!({ "digest": digest, "size": size }))
    });
    json!({
        "status": "done",
        "exit_code": 0,
        "outcome": outcome,
        "registry": registry.place(),
        "name": report.name,
        "version": report.version,
        "release": digest,
        "artifacts": libraries.collect::<serde_json::Map<_, _>>(),
        "tables": report.interface.tables,
        "licences": report.licences,
        "source_commit": report.source_commit,
        "checked": {
            "tables": report.checked.tables,
            "functions": report.checked.functions,
            "golden_cases": report.checked.cases,
        },
        "previous": report.verdict.previous,
        "changes": report.verdict.changes,
        "needs": report.verdict.needs,
        "smallest": report.verdict.smallest,
        "warnings": report.warnings,
    })
}

pub(crate) fn list(listing: &Listing, registry: &Registry, trusted: &TrustedKeys) -> String {
    if listing.releases.is_empty() && listing.strange.is_empty() {
        return format!("{registry} has no such release; `lake plugin publish` makes one\n");
    }
    let mut text = String::new();
    let versions = listing.releases.iter().map(|r| r.version.to_string().len());
    let width = versions.max().unwrap_or_default();
    let mut name = "";
    for release in &listing.releases {
        if release.name != name {
            let gap = if name.is_empty() { "" } else { "\n" };
            name = &release.name;
            let _ = writeln!(text, "{gap}{name}");
        }
        let said = release.standing.release();
        let when = said
            .map(|said| minute(said.published_at))
            .unwrap_or_default();
        // Aligned by hand, as a version does not take a width.
        let version = release.version.to_string();
        let _ = writeln!(
            text,
            "  {version:<width$}  {when:<20}  {}",
            state(release, trusted)
        );
    }
    for strange in &listing.strange {
        let _ = writeln!(text, "\n{strange} is no version, and is left alone");
    }
    if trusted.keys().is_empty() {
        text.push_str(
            "\nNobody has checked who signed these: name a file of trusted keys with --trusted-keys \
             or LAKE_TRUSTED_KEYS.\n",
        );
    }
    text
}

/// `signed by meters team 2026, yanked (loses rows)`
fn state(release: &ReleaseSummary, trusted: &TrustedKeys) -> String {
    let mut state = match &release.standing {
        Standing::Verified(verified) => format!("signed by {}", signers(verified)),
        Standing::Unverified { .. } if trusted.keys().is_empty() => "not checked".to_owned(),
        Standing::Unverified { why, .. } | Standing::Broken(why) => {
            format!("cannot be used: {why}")
        }
    };
    if let Some(yank) = &release.yanked {
        let _ = write!(state, ", {}", yanked(yank));
    }
    state
}

fn signers(verified: &Verified) -> String {
    let names = verified
        .signed_by()
        .iter()
        .map(|signer| signer.key.as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// `yanked (loses rows)`
fn yanked(yank: &Yank) -> String {
    match &yank.reason {
        Some(reason) => format!("yanked ({reason})"),
        None => "yanked".to_owned(),
    }
}

pub(crate) fn list_json(listing: &Listing, registry: &Registry) -> Value {
    let releases = listing.releases.iter().map(summary_json);
    json!({
        "status": "done",
        "exit_code": 0,
        "registry": registry.place(),
        "releases": releases.collect::<Vec<_>>(),
        "strange": listing.strange,
    })
}

fn summary_json(release: &ReleaseSummary) -> Value {
    let verified = release.standing.verified();
    let signers = verified
        .map(|verified| verified.signed_by())
        .unwrap_or_default();
    let signers = signers
        .iter()
        .map(|signer| json!({ "key": signer.key, "key_id": signer.id.to_string() }));
    let digest = match &release.standing {
        Standing::Verified(verified) => Some(verified.digest()),
        Standing::Unverified { digest, .. } => Some(*digest),
        Standing::Broken(_) => None,
    };
    json!({
        "name": release.name,
        "version": release.version,
        "release": digest,
        "verified": verified.is_some(),
        "problem": release.standing.problem().map(ToString::to_string),
        "signed_by": signers.collect::<Vec<_>>(),
        "published_at": release.standing.release().map(|said| said.published_at),
        "yanked": release.yanked,
    })
}

pub(crate) fn show(shown: &Shown) -> String {
    let summary = &shown.summary;
    let mut text = format!("{} {}\n", summary.name, summary.version);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<12}{value}");
    };
    match &summary.standing {
        Standing::Verified(verified) => {
            for signer in verified.signed_by() {
                line(
                    "signed by",
                    &format!("{} (key {:#})", signer.key, signer.id),
                );
            }
            line("release", &verified.digest().to_string());
        }
        Standing::Unverified { why, digest, .. } => {
            line("NOT TRUSTED", &why.to_string());
            line("release", &digest.to_string());
        }
        Standing::Broken(why) => line("BROKEN", &why.to_string()),
    }
    if let Some(yank) = &summary.yanked {
        line(
            "yanked",
            yank.reason.as_deref().unwrap_or("without a reason"),
        );
    }
    let Some(release) = summary.standing.release() else {
        return text;
    };
    let by = match &release.published_by {
        Some(who) => format!(" by {who}"),
        None => String::new(),
    };
    line(
        "published",
        &format!("{}{by}", minute(release.published_at)),
    );
    if let Some(commit) = &release.source_commit {
        line("commit", commit);
    }
    if let Some(notes) = &release.notes {
        line("notes", notes);
    }
    let host = match &release.requires_host {
        Some(needs) => format!("lake {needs}"),
        None => "any lake".to_owned(),
    };
    line("needs", &format!("{host}; tested with {}", release.lake));
    line(
        "built with",
        &format!("{}, boundary {}", release.sdk, release.boundary),
    );
    for (target, blob) in &release.artifacts {
        let size = bytes(blob.size);
        line("library", &format!("{}  {target}, {size}", blob.digest));
    }
    line("interface", &release.interface.digest.to_string());
    line("sbom", &release.sbom.digest.to_string());
    licences(&mut text, release);
    if let Some(interface) = &shown.interface {
        interface_text(&mut text, interface);
    }
    text
}

fn licences(text: &mut String, release: &Release) {
    text.push_str("\n  licences\n");
    for licence in &release.licences {
        let _ = writeln!(
            text,
            "    {}: {}",
            licence.expression,
            licence.crates.join(", ")
        );
    }
}

fn interface_text(text: &mut String, interface: &Interface) {
    let declaration = &interface.declaration;
    for input in &declaration.inputs {
        let columns = input.columns.iter().map(|column| {
            let required = if column.required { " required" } else { "" };
            format!("{} {}{required}", column.name, column.column_type)
        });
        let columns: Vec<String> = columns.collect();
        let _ = writeln!(text, "\n  input {}\n    {}", input.name, columns.join(", "));
    }
    for (table, columns) in &interface.tables {
        let columns = columns.iter();
        let columns: Vec<String> = columns
            .map(|c| format!("{} {}", c.name, c.column_type))
            .collect();
        let _ = writeln!(text, "\n  table {table}\n    {}", columns.join(", "));
    }
    for parameter in &declaration.parameters {
        let default = match &parameter.default {
            Some(value) => format!(", {value} where none is set"),
            None => ", has to be set".to_owned(),
        };
        let kind = parameter.parameter_type;
        let _ = writeln!(text, "\n  parameter {}: {kind}{default}", parameter.name);
    }
}

pub(crate) fn show_json(shown: &Shown) -> Value {
    let mut object = summary_json(&shown.summary);
    object["status"] = json!("done");
    object["exit_code"] = json!(0);
    object["says"] = json!(shown.summary.standing.release());
    object["interface"] = json!(shown.interface);
    object
}

pub(crate) fn verified(verified: &Verified) -> String {
    let release = verified.release();
    let mut text = format!("{verified} is whole, and signed by {}\n", signers(verified));
    let _ = writeln!(text, "  release   {}", verified.digest());
    for (target, blob) in &release.artifacts {
        let _ = writeln!(text, "  library   {}  {target}", blob.digest);
    }
    let _ = writeln!(text, "  interface {}", release.interface.digest);
    let _ = writeln!(text, "  sbom      {}", release.sbom.digest);
    text
}

pub(crate) fn verified_json(verified: &Verified) -> Value {
    let release = verified.release();
    let names = verified.signed_by().iter().map(|signer| &signer.key);
    json!({
        "status": "done",
        "exit_code": 0,
        "name": release.name,
        "version": release.version,
        "release": verified.digest(),
        "signed_by": names.collect::<Vec<_>>(),
        "artifacts": release.artifacts,
    })
}

/// What was done about a yank.
pub(crate) enum Yanking {
    /// A release was to be yanked.
    Done(Yanked),
    /// A yank was to be taken back; whether there was one.
    Undone(bool),
}

pub(crate) fn yank(release: &str, outcome: &Yanking) -> String {
    match outcome {
        Yanking::Done(Yanked::Now) => format!(
            "{release} is yanked: no pipeline chooses it any more; those that pin it keep it\n"
        ),
        Yanking::Done(Yanked::Already(before)) => {
            format!(
                "{release} was {} before; nothing was changed\n",
                yanked(before)
            )
        }
        Yanking::Undone(true) => format!("{release} is not yanked any more\n"),
        Yanking::Undone(false) => format!("{release} was not yanked; nothing was changed\n"),
    }
}

pub(crate) fn yank_json(name: &str, version: &Version, outcome: &Yanking) -> Value {
    let (yanked, changed) = match outcome {
        Yanking::Done(Yanked::Now) => (true, true),
        Yanking::Done(Yanked::Already(_)) => (true, false),
        Yanking::Undone(changed) => (false, *changed),
    };
    json!({
        "status": "done",
        "exit_code": 0,
        "name": name,
        "version": version,
        "yanked": yanked,
        "changed": changed,
    })
}

/// `utility 1.2.0 → 1.3.0: newest within 1; 1.4.0 is yanked`
pub(crate) fn updated(update: &Update, settings: &Settings) -> String {
    let (name, chosen) = (&update.after.transform, &update.chosen);
    let mut text = match &update.before {
        Some(before) if *before == update.after => {
            format!("{name} stays at {chosen}\n")
        }
        Some(before) if before.transform != *name => {
            format!(
                "{} {} → {name} {chosen}\n",
                before.transform, before.version
            )
        }
        Some(before) => format!("{name} {} → {chosen}\n", before.version),
        None => format!("{name} is pinned to {chosen}\n"),
    };
    let lock = lake_run::lock_path(settings);
    let lock = lock.file_name().unwrap_or_default().display();
    if update.before.as_ref() != Some(&update.after) {
        let _ = writeln!(
            text,
            "\nNext:  {} plan says what it changes; commit {lock} with the pipeline file",
            edge::program()
        );
    }
    if let Some(path) = &settings.pipeline.transform.path {
        let _ = writeln!(
            text,
            "\ntransform.path wins over {lock}: runs use what is built from {}",
            path.display()
        );
    }
    text
}

pub(crate) fn updated_json(update: &Update, settings: &Settings) -> Value {
    let before = update.before.as_ref();
    json!({
        "status": "done",
        "exit_code": 0,
        "pipeline": settings.pipeline.name,
        "lock": lake_run::lock_path(settings),
        "transform": update.after.transform,
        "before": before.map(|entry| &entry.version),
        "after": update.after.version,
        "release": update.after.release,
        "changed": before != Some(&update.after),
        "chosen": update.chosen,
        "warnings": update.warnings,
    })
}

/// `2026-03-01 12:00 UTC`
fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}
