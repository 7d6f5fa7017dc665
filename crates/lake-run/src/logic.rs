//! Logic: what a table was built with, and whether that still is what would build it now.
//!
//! A table is computed by its declaration, by the code of a release and by the parameters of a
//! pipeline. The record of a run keeps for each table which logic *all* of its rows come from.
//! Where that differs from the present one, a consumption table is work, even without new files.
//! A standard table is not: its rows come from files that need not be there any more, so it is
//! built again only when somebody asks for that.

use std::collections::BTreeMap;

use lake_plugin::{Declaration, TableDeclaration, Zone};

use crate::parameters::ParameterRecord;
use crate::record::RunRecord;
use crate::shape::table_name;

/// The logic of every table of a transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logic {
    tables: BTreeMap<String, String>,
}

/// How a table's logic relates to the one that its rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Built {
    /// All rows come from this logic.
    Same,
    /// No run has made the table.
    Never,
    /// Some rows come from another logic; why that is known.
    Otherwise(String),
}

impl Logic {
    /// `release` names the code: a version, with more where that does not settle it.
    pub(crate) fn of(
        declaration: &Declaration,
        release: &str,
        parameters: &[ParameterRecord],
    ) -> Self {
        let tables = declaration.tables.iter().map(|table| {
            let mut hasher = blake3::Hasher::new();
            // What a value means is said by the inputs.
            let inputs = (table.zone == Zone::Standard).then_some(&declaration.inputs);
            // Text survives JSON, so there is nothing to fail.
            let said = serde_json::to_vec(&(meaning(table), inputs, parameters));
            hasher.update(&said.unwrap_or_default());
            let digest = hasher.finalize().to_hex();
            let logic = format!("{release} {}", &digest[..16]);
            (table_name(table), logic)
        });
        Self {
            tables: tables.collect(),
        }
    }

    /// How `table` relates to what the last run recorded.
    pub(crate) fn built(&self, table: &str, last: Option<&RunRecord>) -> Built {
        let Some(row) = last.and_then(|run| run.tables.iter().find(|row| row.name == table)) else {
            return Built::Never;
        };
        let Some(now) = self.tables.get(table) else {
            return Built::Same;
        };
        if row.logic == *now {
            return Built::Same;
        }
        let (before, after) = (release(&row.logic), release(now));
        Built::Otherwise(if before == after {
            "its declaration or a parameter has changed since it was built".to_owned()
        } else if before.is_empty() {
            "some of its rows were never computed".to_owned()
        } else {
            format!("it was built by release {before}, and this is {after}")
        })
    }

    /// What to record for `table` after a run that computed all of it, or only its new rows.
    pub(crate) fn after(&self, table: &str, last: Option<&RunRecord>, whole: bool) -> String {
        let now = self.tables.get(table).cloned().unwrap_or_default();
        if whole || last.is_none() {
            return now;
        }
        let row = last.and_then(|run| run.tables.iter().find(|row| row.name == table));
        // A table that is new in a pipeline with runs lacks the rows of those.
        row.map(|row| row.logic.clone()).unwrap_or_default()
    }
}

/// Everything of a table's declaration that decides what its rows are: checks only look at them.
fn meaning(table: &TableDeclaration) -> TableDeclaration {
    TableDeclaration {
        checks: Vec::new(),
        ..table.clone()
    }
}

/// The release in a recorded logic.
fn release(logic: &str) -> &str {
    logic.split_once(' ').map_or("", |(release, _)| release)
}

#[cfg(test)]
mod tests {
    use lake_plugin::prelude::*;

    use super::*;
    use crate::record::TableRecord;

    fn declaration(sql: &str) -> Declaration {
        Transform::new()
            .input(Input::csv("plays").header().column("song", text()))
            .table(Table::standard("plays").sql("SELECT song FROM plays"))
            .table(
                Table::consumption("songs")
                    .sql(sql)
                    .check(TableCheck::rows(1..)),
            )
            .declaration()
    }

    fn logic(sql: &str, release: &str) -> Logic {
        Logic::of(&declaration(sql), release, &[])
    }

    fn recorded(logic: &Logic, table: &str) -> RunRecord {
        let row = TableRecord {
            name: table.to_owned(),
            logic: logic.after(table, None, true),
            ..TableRecord::default()
        };
        RunRecord {
            tables: vec![row],
            ..RunRecord::default()
        }
    }

    #[test]
    fn a_table_is_built_otherwise_after_another_release_another_sql_or_another_parameter() {
        const SONGS: &str = "consumption/songs";
        let before = logic("SELECT 1", "1.0.0");
        let last = recorded(&before, SONGS);
        assert_eq!(before.built(SONGS, Some(&last)), Built::Same);
        assert_eq!(before.built(SONGS, None), Built::Never);
        assert_eq!(before.built("standard/plays", Some(&last)), Built::Never);
        let says = |after: Logic| match after.built(SONGS, Some(&last)) {
            Built::Otherwise(why) => why,
            other => format!("{other:?}"),
        };
        assert_eq!(
            says(logic("SELECT 1", "1.1.0")),
            "it was built by release 1.0.0, and this is 1.1.0"
        );
        assert!(says(logic("SELECT 2", "1.0.0")).starts_with("its declaration"));
        let parameters = [ParameterRecord {
            name: "top".to_owned(),
            value: "9".to_owned(),
        }];
        let other = Logic::of(&declaration("SELECT 1"), "1.0.0", &parameters);
        assert!(says(other).starts_with("its declaration"));
    }

    #[test]
    fn a_check_does_not_change_what_a_table_is_built_with() {
        let mut without = declaration("SELECT 1");
        without.tables[1].checks.clear();
        assert_eq!(
            Logic::of(&without, "1.0.0", &[]),
            logic("SELECT 1", "1.0.0")
        );
    }

    #[test]
    fn rows_of_another_logic_are_remembered_until_all_are_computed_again() {
        const PLAYS: &str = "standard/plays";
        let last = recorded(&logic("SELECT 1", "1.0.0"), PLAYS);
        let now = logic("SELECT 1", "1.1.0");
        let mixed = now.after(PLAYS, Some(&last), false);
        assert_eq!(release(&mixed), "1.0.0");
        assert_eq!(release(&now.after(PLAYS, Some(&last), true)), "1.1.0");
        // A table that later runs bring lacks the rows of the earlier ones.
        let other = recorded(&now, "standard/other");
        assert_eq!(now.after(PLAYS, Some(&other), false), "");
    }
}
