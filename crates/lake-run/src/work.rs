//! What there is to do: files to load, and tables that another logic built.

use std::collections::{BTreeMap, HashSet};

use futures::future::try_join_all;
use lake_delta::Impact;
use lake_plugin::Zone;

use crate::apply::said;
use crate::discover::{Discovered, Files, discover};
use crate::error::{Result, RunError};
use crate::logic::{Built, Logic};
use crate::record::app;
use crate::run::Settings;
use crate::shape::table_name;
use crate::state::State;
use crate::transform::Transform;

/// The kind of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// New files are loaded.
    #[default]
    Load,
    /// All files are loaded once more.
    Reload,
    /// Some of the loaded files are loaded once more, in the place of what they had yielded.
    ReloadSome,
    /// Rejected rows are read once more.
    Replay,
    /// No files, but tables that another logic built.
    Recompute,
}

impl Kind {
    /// The word for it in `_lake/runs`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Reload | Self::ReloadSome => "reload",
            Self::Replay => "replay",
            Self::Recompute => "recompute",
        }
    }
}

/// What a run has to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) found: Discovered,
    /// Consumption tables that have to be computed in full whatever the files bring, and why.
    pub(crate) stale: BTreeMap<String, String>,
    /// The version of each table up to which it is known what others have done.
    pub(crate) seen: BTreeMap<String, i64>,
}

impl Work {
    /// Finds it, but for the files `besides`, by name.
    pub(crate) async fn find(
        settings: &Settings,
        state: &State,
        transform: &Transform,
        files: &Files,
        besides: &HashSet<String>,
    ) -> Result<Self> {
        let now = (settings.clock)().timestamp_micros();
        let mut found = discover(settings, state, files, (now, besides)).await?;
        found.warnings.extend(transform.warnings.iter().cloned());
        let kind = match files {
            _ if found.is_empty() => Kind::Recompute,
            Files::Pending => Kind::Load,
            Files::All => Kind::Reload,
            Files::Again(_) => Kind::ReloadSome,
        };
        let mut work = Self::of(kind, found, state, transform).await?;
        if matches!(files, Files::All) && state.last.is_some() {
            let tables = transform.plugin.declaration().tables.iter();
            let tables = tables.filter(|table| table.zone == Zone::Consumption);
            for name in tables.map(table_name) {
                let why = || "everything is loaded again".to_owned();
                work.stale.entry(name).or_insert_with(why);
            }
        }
        Ok(work)
    }

    /// What is to be done beside loading what was `found`.
    pub(crate) async fn of(
        kind: Kind,
        found: Discovered,
        state: &State,
        transform: &Transform,
    ) -> Result<Self> {
        let (mut stale, mut seen) = (BTreeMap::new(), BTreeMap::new());
        if state.last.is_some() {
            (stale, seen) = outside(state, transform).await?;
            stale.extend(self::stale(state, transform));
        }
        Ok(Self {
            kind,
            found,
            stale,
            seen,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.stale.is_empty()
    }
}

fn stale(state: &State, transform: &Transform) -> BTreeMap<String, String> {
    let logic: &Logic = &transform.logic;
    let tables = transform.plugin.declaration().tables.iter();
    tables
        .filter(|table| table.zone == Zone::Consumption)
        .filter_map(|table| {
            let name = table_name(table);
            let why = match logic.built(&name, state.last.as_ref()) {
                Built::Same => return None,
                Built::Never => "no run has made it".to_owned(),
                Built::Otherwise(why) => why,
            };
            Some((name, why))
        })
        .collect()
}

type Reasons = BTreeMap<String, String>;
type Versions = BTreeMap<String, i64>;

/// The consumption tables that do not know of what others have changed, and what that was.
async fn outside(state: &State, transform: &Transform) -> Result<(Reasons, Versions)> {
    let (mut stale, mut seen) = (BTreeMap::new(), BTreeMap::new());
    let tables = &transform.plugin.declaration().tables;
    let consumption = || {
        tables
            .iter()
            .filter(|table| table.zone == Zone::Consumption)
    };
    let changed = tables.iter().map(|table| async move {
        let name = table_name(table);
        Ok::<_, RunError>((table, changed(state, &name).await?, name))
    });
    for (table, (what, version), name) in try_join_all(changed).await? {
        seen.extend(version.map(|version| (name.clone(), version)));
        let Some(what) = what else {
            continue;
        };
        match table.zone {
            Zone::Consumption => {
                stale.insert(name, format!("it was changed by somebody else: {what}"));
            }
            Zone::Standard => {
                let name = name.replace('/', ".");
                let why = format!("{name} was changed by somebody else: {what}");
                stale.extend(consumption().map(|table| (table_name(table), why.clone())));
            }
        }
    }
    Ok((stale, seen))
}

/// What others have done to the rows of a table that its last run does not know of. It costs two
/// requests where nothing has happened. The number is the last version that this is about.
async fn changed(state: &State, name: &str) -> Result<(Option<String>, Option<i64>)> {
    let last = state.last.iter().flat_map(|last| &last.tables);
    let noted = last
        .filter(|row| row.name == name)
        .find_map(|row| row.outside.clone());
    let Some(left) = state.left(name) else {
        return Ok((noted, None));
    };
    if !lake_delta::has_version(&state.root, name, left).await? {
        // Whoever cleans up a log leaves the table as it is; other losses are an error here, unless
        // the table can be computed again.
        return Ok(match state.table(name).await? {
            Some(table) if table.version() >= left => (noted, Some(table.version())),
            Some(table) => (
                Some("its log has lost commits".to_owned()),
                Some(table.version()),
            ),
            None => (Some("it is gone".to_owned()), None),
        });
    }
    let app = app(&state.pipeline);
    let (since, last) = lake_delta::outside_changes(&state.root, name, left, &app).await?;
    let since = since.filter(|outside| outside.impact >= Impact::Rows);
    Ok((since.as_ref().map(said).or(noted), Some(last)))
}
