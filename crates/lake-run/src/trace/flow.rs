//! Which rows of a consumption table come from which rows of its sources, as far as its SQL shows.

use std::collections::BTreeMap;

use lake_plugin::Zone;

use crate::error::Result;
use crate::load::Load;
use crate::plan::schemas;
use crate::refresh;
use crate::run::Settings;
use crate::shape;
use crate::state::State;
use crate::transform::Transform;
use crate::work::Work;

/// A consumption table, and what it is computed from.
pub(super) struct Flow {
    /// The table, as `zone.name`.
    pub(super) table: String,
    /// The columns that its rows are shown in the order of.
    pub(super) order: Vec<String>,
    /// Of every source, the pairs of a column of the table and a column of the source whose values
    /// are the same in rows that belong together.
    pub(super) sources: BTreeMap<String, Vec<(String, String)>>,
}

/// What each consumption table is computed from.
pub(super) async fn flows(
    settings: &Settings,
    state: &State,
    transform: &Transform,
) -> Result<Vec<Flow>> {
    let load = Load::new(settings, state, transform, Work::default())?;
    let preparing = load.preparing();
    let planned = load.plan(&preparing).await?;
    let schemas = schemas(&planned);
    let mut flows = Vec::new();
    for planned in &planned {
        let (table, shaped) = (&planned.declared.table, &planned.shaped);
        if table.zone != Zone::Consumption {
            continue;
        }
        let sources = shape::sources(&shaped.plan).into_iter();
        let mut flow = Flow {
            table: dotted(&shaped.spec.name),
            order: match table.key.is_empty() {
                true => vec!["_run".to_owned()],
                false => table.key.clone(),
            },
            sources: sources
                .map(|source| (dotted(&source), Vec::new()))
                .collect(),
        };
        for field in shaped.spec.schema.fields() {
            let column = field.name();
            if field.data_type().is_nested() || column == "_run" {
                continue;
            }
            let session = &load.attempt.session;
            let parameters = &transform.parameters;
            let columns = std::slice::from_ref(column);
            let traced = refresh::traced(session, table, columns, parameters, &schemas).await?;
            for (source, columns) in traced {
                let [there] = columns.as_deref().unwrap_or_default() else {
                    continue;
                };
                let pairs = flow.sources.entry(dotted(&source)).or_default();
                pairs.push((column.clone(), there.clone()));
            }
        }
        flows.push(flow);
    }
    Ok(flows)
}

/// `zone/name` as SQL has it.
fn dotted(name: &str) -> String {
    name.replacen('/', ".", 1)
}
