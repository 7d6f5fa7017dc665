//! What there is to do: files to load, and tables that another logic built.

use std::collections::{BTreeMap, HashSet};

use lake_delta::Impact;
use lake_plugin::Zone;

use crate::apply::said;
use crate::discover::{Discovered, Files, discover};
use crate::error::Result;
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
    /// No files, but tables that another logic built.
    Recompute,
}

impl Kind {
    /// The word for it in `_lake/runs`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Reload => "reload",
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
}

impl Work {
    /// Finds it, but for the files `besides`, by name.
    pub(crate) async fn find(
        settings: &Settings,
        state: &State,
        transform: &Transform,
        files: Files,
        besides: &HashSet<String>,
    ) -> Result<Self> {
        let now = (settings.clock)().timestamp_micros();
        let mut found = discover(&settings.pipeline, state, files, (now, besides)).await?;
        found.warnings.extend(transform.warnings.iter().cloned());
        let mut stale = BTreeMap::new();
        if state.last.is_some() {
            stale = outside(state, transform).await?;
            stale.extend(self::stale(state, transform));
        }
        let kind = match files {
            _ if found.is_empty() => Kind::Recompute,
            Files::Pending => Kind::Load,
            Files::All => Kind::Reload,
        };
        Ok(Self { kind, found, stale })
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

/// The consumption tables that do not know of what others have changed, and what that was.
async fn outside(state: &State, transform: &Transform) -> Result<BTreeMap<String, String>> {
    let app = app(&state.pipeline);
    let mut stale = BTreeMap::new();
    let tables = &transform.plugin.declaration().tables;
    let consumption = || {
        tables
            .iter()
            .filter(|table| table.zone == Zone::Consumption)
    };
    for table in tables {
        let name = table_name(table);
        let last = state.last.iter().flat_map(|last| &last.tables);
        let noted = last
            .filter(|row| row.name == name)
            .find_map(|row| row.outside.clone());
        let since = match state.left(&name) {
            Some(left) => lake_delta::outside_changes(&state.root, &name, left, &app).await?,
            None => None,
        };
        let since = since.filter(|outside| outside.impact >= Impact::Rows);
        let Some(what) = since.as_ref().map(said).or(noted) else {
            continue;
        };
        match table.zone {
            Zone::Consumption => {
                stale.insert(name, format!("it was changed by somebody else: {what}"));
            }
            Zone::Standard => {
                let why = format!(
                    "{} was changed by somebody else: {what}",
                    name.replace('/', ".")
                );
                stale.extend(consumption().map(|table| (table_name(table), why.clone())));
            }
        }
    }
    Ok(stale)
}
