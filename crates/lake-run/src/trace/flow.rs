//! Which rows of a consumption table come from which rows of its sources, as far as its SQL shows.

use std::collections::BTreeMap;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
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
    /// Whether a NULL can stand for a row that is not there.
    pub(super) has_outer_join: bool,
}

/// What a transform says about where rows come from.
#[derive(Default)]
pub(super) struct Flows {
    /// The consumption tables that were asked for, and those that are computed from them.
    pub(super) tables: Vec<Flow>,
    /// The input that each standard table is made of, by its name as `zone.name`.
    pub(super) inputs: BTreeMap<String, String>,
}

/// Finds out what is computed from what, as far as it concerns one table, or all of them.
pub(super) async fn flows(
    settings: &Settings,
    state: &State,
    transform: &Transform,
    concerned: Option<&str>,
) -> Result<Flows> {
    let load = Load::new(settings, state, transform, Work::default())?;
    let preparing = load.preparing();
    let planned = load.plan(&preparing).await?;
    let schemas = schemas(&planned);
    let mut flows = Flows::default();
    for planned in &planned {
        let (table, shaped) = (&planned.declared.table, &planned.shaped);
        let name = dotted(&shaped.spec.name);
        if table.zone != Zone::Consumption {
            let input = shape::driving_input(&shaped.plan);
            flows.inputs.extend(input.map(|input| (name, input)));
            continue;
        }
        let sources = shape::sources(&shaped.plan).into_iter();
        let sources: Vec<String> = sources.map(|source| dotted(&source)).collect();
        let concerns =
            |concerned: &str| concerned == name || sources.iter().any(|s| s == concerned);
        if !concerned.is_none_or(concerns) {
            continue;
        }
        let mut flow = Flow {
            table: name,
            order: match table.key.is_empty() {
                true => vec!["_run".to_owned()],
                false => table.key.clone(),
            },
            has_outer_join: has_outer_join(&shaped.plan),
            sources: sources
                .into_iter()
                .map(|source| (source, Vec::new()))
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
        flows.tables.push(flow);
    }
    Ok(flows)
}

/// `zone/name` as SQL has it.
fn dotted(name: &str) -> String {
    name.replacen('/', ".", 1)
}

fn has_outer_join(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The visitor never fails.
    let _ = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Join(join) if join.join_type.is_outer());
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
