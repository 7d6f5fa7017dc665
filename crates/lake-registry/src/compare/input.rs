//! How an input differs from what it was: what files may look like, and what their values mean.

use lake_plugin::{
    Ambiguous, ColumnDeclaration, ExtraColumns, InputDeclaration, MissingColumns, Nonexistent,
    ValueRules, Whitespace,
};

use super::{Changes, Level, Side, is_reordered, pair};

impl Changes {
    pub(super) fn input(&mut self, old: &InputDeclaration, new: &InputDeclaration) {
        let thing = format!("input {}", old.name);
        if old.format != new.format {
            let what = "reads another format; files that were read are not any more";
            self.add(Level::Major, &thing, what);
        }
        if old.encoding != new.encoding {
            let what = "reads another encoding; files that were read are not any more";
            self.add(Level::Major, &thing, what);
        }
        self.policies(&thing, old, new);
        for side in pair(&old.columns, &new.columns, |column| &column.name) {
            self.input_column(&thing, &side);
        }
        let both = pair(&old.columns, &new.columns, |column| &column.name);
        for side in both {
            if let Side::Both(old_column, new_column) = side {
                let thing = format!("{thing}.{}", old_column.name);
                let of = |input: &InputDeclaration, column: &ColumnDeclaration| {
                    column.rules.or(&input.rules).for_type(&column.column_type)
                };
                let (was, is) = (of(old, old_column), of(new, new_column));
                self.rules(&thing, old_column, &was, &is);
            }
        }
        if is_reordered(&old.columns, &new.columns, |column| &column.name) {
            let level = match new.format.is_by_place() {
                true => Level::Major,
                false => Level::Patch,
            };
            self.add(level, &thing, "has its columns in another order");
        }
        self.checks(&thing, &old.checks, &new.checks);
    }

    fn policies(&mut self, thing: &str, old: &InputDeclaration, new: &InputDeclaration) {
        match (old.missing_columns, new.missing_columns) {
            (MissingColumns::Fail, MissingColumns::Null) => {
                self.add(
                    Level::Minor,
                    thing,
                    "takes files without some of its columns",
                );
            }
            (MissingColumns::Null, MissingColumns::Fail) => {
                let what = "takes no files without some of its columns any more";
                self.add(Level::Major, thing, what);
            }
            _ => {}
        }
        match (old.extra_columns, new.extra_columns) {
            (old, new) if old == new => {}
            (_, ExtraColumns::Fail) => {
                let what = "takes no files with columns of their own any more";
                self.add(Level::Major, thing, what);
            }
            (ExtraColumns::Fail, _) => {
                self.add(Level::Minor, thing, "takes files with columns of their own");
            }
            (_, ExtraColumns::Ignore) => {
                let what = "warns of columns that are not declared no more";
                self.add(Level::Patch, thing, what);
            }
            (_, ExtraColumns::Warn) => {
                self.add(
                    Level::Patch,
                    thing,
                    "warns of columns that are not declared",
                );
            }
        }
    }

    fn input_column(&mut self, input: &str, side: &Side<'_, ColumnDeclaration>) {
        let thing = |column: &ColumnDeclaration| format!("{input}.{}", column.name);
        match side {
            Side::Removed(column) => {
                self.add(
                    Level::Major,
                    thing(column),
                    "is removed; files still have it",
                );
            }
            Side::Added(column) if column.required => {
                let what = "is new and required; files without it are rejected";
                self.add(Level::Major, thing(column), what);
            }
            Side::Added(column) => self.add(Level::Minor, thing(column), "is new and optional"),
            Side::Both(old, new) => {
                if old.column_type != new.column_type {
                    let what = match (old.column_type.to_string(), new.column_type.to_string()) {
                        // The types are spelled alike: a part of them is written otherwise.
                        (old, new) if old == new => {
                            format!("is still {old}, with parts that are written in another way")
                        }
                        (old, new) => format!("was {old} and is {new}"),
                    };
                    self.add(Level::Major, thing(old), what);
                }
                match (old.required, new.required) {
                    (false, true) => {
                        let what = "is required now; rows without a value are rejected";
                        self.add(Level::Major, thing(old), what);
                    }
                    (true, false) => self.add(Level::Minor, thing(old), "is optional now"),
                    _ => {}
                }
                if old.name_in_file() != new.name_in_file() {
                    let what = format!(
                        "is '{}' in files now, and was '{}'",
                        new.name_in_file(),
                        old.name_in_file()
                    );
                    self.add(Level::Major, thing(old), what);
                }
                match (old.from_path, new.from_path) {
                    (false, true) => {
                        let what = "comes from the path of a file now; what files say is not read";
                        self.add(Level::Major, thing(old), what);
                    }
                    (true, false) => {
                        let what = "comes from the path of a file no more; files have to say it";
                        self.add(Level::Major, thing(old), what);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Compares how the values of a column are written.
    fn rules(
        &mut self,
        thing: &str,
        column: &ColumnDeclaration,
        old: &ValueRules,
        new: &ValueRules,
    ) {
        let changed = |old: bool| if old { Level::Major } else { Level::Minor };
        if same(&old.nulls.clone().unwrap_or_default())
            != same(&new.nulls.clone().unwrap_or_default())
        {
            self.add(Level::Minor, thing, "has other spellings of NULL");
        }
        if old.whitespace.unwrap_or_default() != new.whitespace.unwrap_or_default() {
            // Around anything but text, keeping spaces means to reject.
            let rejects = new.whitespace == Some(Whitespace::Keep)
                && column.column_type.scalar() != Some(lake_plugin::ColumnType::Text);
            let what = "deals in another way with spaces around values";
            self.add(changed(rejects), thing, what);
        }
        let usual = |values: &[String], usual: &str| match values {
            [] => same(&[usual.to_owned()]),
            values => same(&values.iter().map(|v| v.to_lowercase()).collect::<Vec<_>>()),
        };
        let spellings = |rules: &ValueRules| {
            [
                usual(&rules.true_values, "true"),
                usual(&rules.false_values, "false"),
            ]
        };
        let (was, is) = (spellings(old), spellings(new));
        if was != is {
            let lost = was
                .iter()
                .zip(&is)
                .any(|(was, is)| was.iter().any(|spelling| !is.contains(spelling)));
            let what = match lost {
                true => "lost spellings of true or false; files that have them are rejected",
                false => "has more spellings of true or false",
            };
            self.add(changed(lost), thing, what);
        }
        if old.formats != new.formats {
            // Without any, it is the usual form, which the declared ones replace.
            let lost = match (old.formats.is_empty(), new.formats.is_empty()) {
                (false, false) => old.formats.iter().any(|form| !new.formats.contains(form)),
                _ => true,
            };
            let what = match lost {
                true => "lost formats; files that have them are rejected",
                false => "has other formats, and those that it had",
            };
            self.add(changed(lost), thing, what);
        }
        self.clocks(thing, old, new);
        let separators = |rules: &ValueRules| {
            let point = rules.decimal_separator.unwrap_or('.');
            (point, rules.group_separator)
        };
        let (was, is) = (separators(old), separators(new));
        if was != is {
            let lost = was.0 != is.0 || was.1.is_some();
            let what = match lost {
                true => "has numbers with other separators; files that were read are rejected",
                false => "has a separator between groups of digits",
            };
            self.add(changed(lost), thing, what);
        }
    }

    fn clocks(&mut self, thing: &str, old: &ValueRules, new: &ValueRules) {
        let zone = |rules: &ValueRules| rules.zone.clone().unwrap_or_else(|| "UTC".to_owned());
        if zone(old) != zone(new) {
            let what = format!(
                "has times of {} without a zone, which were {}",
                zone(new),
                zone(old)
            );
            self.add(Level::Minor, thing, what);
        }
        let ambiguous = |rules: &ValueRules| rules.ambiguous.unwrap_or_default();
        if ambiguous(old) != ambiguous(new) {
            let (level, what) = match ambiguous(new) {
                Ambiguous::Reject => (
                    Level::Major,
                    "takes no times any more that a clock shows twice",
                ),
                _ => (
                    Level::Minor,
                    "takes times in another way that a clock shows twice",
                ),
            };
            self.add(level, thing, what);
        }
        let nonexistent = |rules: &ValueRules| rules.nonexistent.unwrap_or_default();
        if nonexistent(old) != nonexistent(new) {
            let (level, what) = match nonexistent(new) {
                Nonexistent::Reject => (Level::Major, "takes no times any more that a clock skips"),
                Nonexistent::Shift => (Level::Minor, "takes times that a clock skips"),
            };
            self.add(level, thing, what);
        }
    }
}

/// The same whatever the order.
fn same(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}
