//! Audit: what is prepared is held against the pipeline's limits before it is sealed.
//!
//! A run that does not pass publishes nothing and takes no number. What it
//! rejected is kept under `_lake/stopped/<attempt>/`, to be looked at.

use bytes::Bytes;
use lake_delta::Prepared;
use lake_pipeline::Limits;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::json;

use crate::error::{Result, RunError};
use crate::prepare::Change;
use crate::record::{InputRecord, ReasonCount};
use crate::seal::data_path;
use crate::state::State;
use crate::table_checks::CheckRecord;

/// Everything that is wrong with a run that is prepared, if anything.
pub(crate) fn audit(
    limits: &Limits,
    inputs: &[InputRecord],
    checks: &[CheckRecord],
) -> Option<String> {
    let over = inputs
        .iter()
        .filter(|input| limits.rejected.is_exceeded_by(input.rejected, input.rows))
        .map(|input| {
            format!(
                "input {}: {} of {} rows were rejected, and limits.rejected allows {}",
                input.name, input.rejected, input.rows, limits.rejected
            )
        });
    let failing = checks.iter().filter(|check| check.stops());
    let wrong: Vec<String> = over.chain(failing.map(CheckRecord::sentence)).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Checks that no row of an input has got lost: every record that was read is
/// either accepted or in the rejection table.
///
/// # Errors
/// [`RunError::State`] with the figures.
pub(crate) fn every_row_is_somewhere(
    inputs: &[InputRecord],
    rejections: &[Prepared],
) -> Result<()> {
    for input in inputs {
        let table = format!("rejection/{}", input.name);
        let written = rejections.iter().find(|change| change.name() == table);
        let written = written.map_or(0, |change| change.counts.accepted());
        if input.rejected != written || input.accepted + input.rejected != input.rows {
            return Err(RunError::State {
                path: table,
                message: format!(
                    "of {} rows, {} were accepted, {} rejected and {written} written as rejected; \
                     nothing was published, please report this",
                    input.rows, input.accepted, input.rejected
                ),
            });
        }
    }
    Ok(())
}

/// Accepted rows of an input that a table's SQL left out.
///
/// # Errors
/// [`RunError::State`] where a table has more rows than its input: rows would
/// have come from nowhere.
pub(crate) fn filtered(change: &Change, inputs: &[InputRecord]) -> Result<u64> {
    let Some(input) = &change.driven_by else {
        return Ok(0);
    };
    let accepted = inputs
        .iter()
        .find(|i| i.name == *input)
        .map_or(0, |i| i.accepted);
    let known = change.prepared.counts.accepted();
    accepted.checked_sub(known).ok_or_else(|| RunError::State {
        path: change.prepared.name().to_owned(),
        message: format!("{known} rows were computed from {accepted} accepted rows of {input}"),
    })
}

/// Keeps what a stopped run rejected, and why it was stopped; gives the place.
pub(crate) async fn keep_stopped(
    state: &State,
    attempt: &str,
    why: &str,
    rejections: &[Prepared],
    reasons: &[ReasonCount],
    checks: &[CheckRecord],
) -> Result<String> {
    let store = state.root.store();
    let place = format!("_lake/stopped/{attempt}");
    let mut kept = Vec::new();
    for rejection in rejections {
        for (file, _) in rejection.new_files() {
            let from = data_path(rejection.name(), file)?;
            let name = format!(
                "{}.{}.parquet",
                rejection.name().replace('/', "."),
                kept.len()
            );
            let to = Path::from(format!("{place}/{name}"));
            store
                .rename(&from, &to)
                .await
                .map_err(|e| RunError::store(&from, e))?;
            kept.push(name);
        }
    }
    let failing: Vec<&CheckRecord> = checks.iter().filter(|check| !check.holds).collect();
    let summary = json!({
        "attempt": attempt,
        "why": why,
        "reasons": reasons,
        "checks": failing,
        "rejected": kept,
    });
    let path = Path::from(format!("{place}/stopped.json"));
    let body = Bytes::from(format!("{summary:#}\n"));
    store
        .put(&path, body.into())
        .await
        .map_err(|e| RunError::store(&path, e))?;
    Ok(format!(
        "{}/{place}",
        state.root.display().trim_end_matches('/')
    ))
}
