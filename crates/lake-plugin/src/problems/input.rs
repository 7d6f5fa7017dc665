//! What is wrong with the declaration of an input.

use std::collections::BTreeMap;

use super::Problems;
use crate::{
    ColumnDeclaration, ColumnType, Encoding, ExtraColumns, InputDeclaration, InputFormat,
    InputType, MissingColumns, NestedType, ValueRules, Whitespace,
};

/// What separates names and values in the schemas of other engines, so that no field can have it.
const NOT_IN_FIELDS: [char; 10] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// What names an instant where it is not written with `strftime`.
const EPOCH: &str = "epoch";

impl Problems {
    pub(super) fn input(&mut self, input: &InputDeclaration) {
        let thing = format!("input `{}`", input.name);
        self.name(&thing, &input.name);
        if ["standard", "consumption", "rejection"].contains(&input.name.as_str()) {
            self.add(
                &thing,
                "it has the name of a zone, which means something else in SQL",
                "choose another name",
            );
        }
        self.dialect(&thing, &input.format);
        self.policies(&thing, input);
        if !input.rules.formats.is_empty() {
            self.add(
                &thing,
                "it says formats for all of its columns",
                "say them of each date and timestamp: .column(\"name\", date().formats([…]))",
            );
        }
        if input.columns.is_empty() {
            self.add(
                &thing,
                "it has no columns",
                "name them: .column(\"name\", text())",
            );
        }
        for column in &input.columns {
            let thing = format!("{thing}, column `{}`", column.name);
            self.name(&thing, &column.name);
            if column.column_type.has_parts() && input.format.is_delimited() {
                self.add(
                    &thing,
                    format!(
                        "it is a {}, which delimited text cannot say",
                        column.column_type
                    ),
                    "declare it as json(), or read another format",
                );
            }
            if column.named.is_some() && column.from_path {
                self.add(
                    &thing,
                    "a value from the path has the column's name there",
                    "leave out .named()",
                );
            }
            if column.from_path && column.column_type.scalar().is_none() {
                self.add(
                    &thing,
                    format!("a part of a path is no {}", column.column_type),
                    "declare it as text()",
                );
            }
            self.value(&thing, column, &input.rules);
        }
        if !input.columns.is_empty() && input.columns.iter().all(|column| column.from_path) {
            self.add(
                &thing,
                "all of its columns come from the path, so nothing is read from its files",
                "name a column of the files",
            );
        }
        self.twice(
            input
                .columns
                .iter()
                .map(|column| format!("{thing}, column `{}`", column.name)),
        );
        for check in &input.checks {
            let thing = format!("{thing}, check `{}`", check.name);
            if check.name.trim().is_empty() {
                self.add(
                    &thing,
                    "it has no name",
                    "say in words what holds: it is the reason people see on a rejected row",
                );
            }
            if check.sql.trim().is_empty() {
                self.add(
                    &thing,
                    "it has no SQL",
                    "give a boolean expression, such as amount >= 0",
                );
            }
        }
        self.twice(
            input
                .checks
                .iter()
                .map(|check| format!("{thing}, check `{}`", check.name)),
        );
    }

    fn dialect(&mut self, thing: &str, format: &InputFormat) {
        let dialect = format.dialect();
        if !format.is_delimited() {
            let said = [
                ("header", dialect.header),
                ("delimiter", dialect.delimiter.is_some()),
                ("quote", dialect.quote.is_some()),
                ("escape", dialect.escape.is_some()),
                ("comment", dialect.comment.is_some()),
            ];
            for (what, _) in said.into_iter().filter(|(_, said)| *said) {
                self.add(
                    format!("{thing}, {what}"),
                    "only delimited text has one",
                    "leave it out, or say Input::csv(…) or Input::tsv(…)",
                );
            }
            return;
        }
        let mut taken: BTreeMap<char, &str> = BTreeMap::new();
        for (what, character) in [
            ("delimiter", Some(format.delimiter())),
            ("quote", format.quote()),
            ("escape", dialect.escape),
            ("comment", dialect.comment),
        ] {
            let Some(character) = character else {
                continue;
            };
            let thing = format!("{thing}, {what}");
            if !character.is_ascii() || matches!(character, '\n' | '\r' | '\0') {
                self.add(
                    thing,
                    format!(
                        "it is {character:?}, and has to be one ASCII character that ends no line"
                    ),
                    "choose another one",
                );
            } else if let Some(other) = taken.insert(character, what) {
                self.add(
                    thing,
                    format!("it is {character:?}, and so is the {other}"),
                    "choose another one for one of them",
                );
            }
        }
    }

    fn policies(&mut self, thing: &str, input: &InputDeclaration) {
        let is_parquet = matches!(input.format, InputFormat::Parquet(_));
        if is_parquet && input.encoding != Encoding::default() {
            self.add(
                format!("{thing}, encoding"),
                "Parquet says itself how its text is encoded",
                "leave it out",
            );
        }
        let said = [
            (
                "missing_columns",
                input.missing_columns != MissingColumns::default(),
            ),
            (
                "extra_columns",
                input.extra_columns != ExtraColumns::default(),
            ),
        ];
        for (what, said) in said {
            if said && input.format.is_by_place() {
                self.add(
                    format!("{thing}, {what}"),
                    "its files have no header, so a line has the declared columns or is rejected",
                    "leave it out, or say .header()",
                );
            }
        }
    }

    /// What is wrong with a column, and with its parts.
    fn value(&mut self, thing: &str, column: &ColumnDeclaration, defaults: &ValueRules) {
        match &column.column_type {
            InputType::Scalar(ColumnType::Duration) => self.add(
                thing,
                "lengths of time are for functions, and no table can hold one",
                "write it as integer, and say in its name what it counts",
            ),
            InputType::Scalar(scalar) => self.column_type(thing, *scalar),
            InputType::Nested(_) => {}
        }
        self.out_of_place(thing, column);
        let rules = column.rules.or(defaults).for_type(&column.column_type);
        self.rules(thing, &column.column_type, &rules);
        if let InputType::Nested(NestedType::Struct(fields)) = &column.column_type {
            if fields.is_empty() {
                self.add(
                    thing,
                    "it is a struct without fields",
                    "name them: structure().field(\"name\", text())",
                );
            }
            for field in fields {
                self.field_name(&format!("{thing}, field `{}`", field.name), &field.name);
            }
            self.twice(
                fields
                    .iter()
                    .map(|field| format!("{thing}, field `{}`", field.name)),
            );
        }
        for part in column.column_type.parts() {
            let thing = match &column.column_type {
                InputType::Nested(NestedType::List(_)) => format!("{thing}, element"),
                InputType::Nested(NestedType::Map(_)) => format!("{thing}, value"),
                _ => format!("{thing}, field `{}`", part.name),
            };
            if part.named.is_some() {
                self.add(
                    &thing,
                    "a field is called what the file calls it",
                    "leave out .named()",
                );
            }
            if part.from_path {
                self.add(
                    &thing,
                    "only a column can come from the path",
                    "leave out .from_path(), or make it a column",
                );
            }
            self.value(&thing, part, &column.rules.or(defaults));
        }
    }

    /// The fields of a struct are called what files call them, if other engines can.
    fn field_name(&mut self, thing: &str, name: &str) {
        if name.is_empty() {
            self.add(thing, "it has no name", "give it one");
        } else if let Some(bad) = name.chars().find(|c| NOT_IN_FIELDS.contains(c)) {
            self.add(
                thing,
                format!("its name has a {bad:?}, which tables of other engines cannot have"),
                "declare what it is in as json(), and take the value out in SQL",
            );
        }
    }

    /// What a column says about its values, and cannot, because they are of another type. What an
    /// input says is for the columns that it fits.
    fn out_of_place(&mut self, thing: &str, column: &ColumnDeclaration) {
        let said = &column.rules;
        let fits = said.clone().for_type(&column.column_type);
        // The form of a value with parts is that of its parts, which say it themselves.
        let formats =
            !said.formats.is_empty() && (fits.formats.is_empty() || column.column_type.has_parts());
        for (what, is_misplaced, whose) in [
            (
                "spellings",
                (&said.true_values, &said.false_values) != (&fits.true_values, &fits.false_values),
                "a boolean",
            ),
            ("formats", formats, "a date or a timestamp"),
            ("zone", said.zone != fits.zone, "a timestamp"),
            ("ambiguous", said.ambiguous != fits.ambiguous, "a timestamp"),
            (
                "nonexistent",
                said.nonexistent != fits.nonexistent,
                "a timestamp",
            ),
            (
                "decimal_separator",
                said.decimal_separator != fits.decimal_separator,
                "a number",
            ),
            (
                "group_separator",
                said.group_separator != fits.group_separator,
                "a number",
            ),
        ] {
            if is_misplaced {
                self.add(
                    format!("{thing}, {what}"),
                    format!("that is for {whose}, and this is {}", column.column_type),
                    "leave it out, or give the column another type",
                );
            }
        }
    }

    /// What contradicts itself in the rules that hold for values of a type.
    fn rules(&mut self, thing: &str, column_type: &InputType, rules: &ValueRules) {
        let Some(scalar) = column_type.scalar() else {
            return;
        };
        match scalar {
            ColumnType::Boolean => self.spellings(thing, rules),
            ColumnType::Date | ColumnType::Timestamp => {
                for format in rules.formats.iter().filter(|format| !has_day(format)) {
                    self.add(
                        format!("{thing}, format '{format}'"),
                        "it does not say which day it is",
                        "write it as in %Y-%m-%d or %d.%m.%Y",
                    );
                }
            }
            _ => {}
        }
        if scalar == ColumnType::Timestamp {
            let policy = rules.ambiguous.is_some() || rules.nonexistent.is_some();
            if policy && rules.zone.is_none() {
                self.add(
                    thing,
                    "it says what times are that a clock shows twice or never, and not whose clock",
                    "say .zone(\"Europe/Berlin\"), or leave out .ambiguous(…) and .nonexistent(…)",
                );
            }
            if let Some(zone) = rules.zone.as_ref().filter(|zone| !is_zone(zone)) {
                self.add(
                    format!("{thing}, zone '{zone}'"),
                    "the IANA database has no such name",
                    "write it as in Europe/Berlin, America/New_York or UTC",
                );
            }
        }
        if !scalar.is_number() {
            return;
        }
        let point = rules.decimal_separator.unwrap_or('.');
        for (what, separator) in [
            ("decimal_separator", rules.decimal_separator),
            ("group_separator", rules.group_separator),
        ] {
            let Some(separator) = separator else {
                continue;
            };
            if separator.is_ascii_alphanumeric() || matches!(separator, '+' | '-' | '\n' | '\r') {
                self.add(
                    format!("{thing}, {what}"),
                    format!("{separator:?} can be a part of a number itself"),
                    "choose another one",
                );
            }
        }
        if rules.group_separator == Some(point) {
            self.add(
                format!("{thing}, group_separator"),
                format!("it is {point:?}, and so is what is before the fraction"),
                "say .decimal_separator(',') too, or choose another one",
            );
        }
    }

    fn spellings(&mut self, thing: &str, rules: &ValueRules) {
        let (of_true, of_false) = (&rules.true_values, &rules.false_values);
        if of_true.is_empty() != of_false.is_empty() {
            self.add(
                format!("{thing}, spellings"),
                "only one of true and false has a spelling",
                "name both: .spellings([\"yes\"], [\"no\"])",
            );
        }
        let usual = ["true", "false"].map(str::to_owned);
        let (of_true, of_false) = match of_true.is_empty() && of_false.is_empty() {
            true => (&usual[..1], &usual[1..]),
            false => (&of_true[..], &of_false[..]),
        };
        let nulls = rules.nulls.as_deref().unwrap_or_default();
        for spelling in of_true.iter().chain(of_false) {
            let same = |other: &&String| other.to_lowercase() == spelling.to_lowercase();
            if spelling.is_empty() {
                self.add(
                    format!("{thing}, spellings"),
                    "an empty value is NULL, and is said to be true or false",
                    "leave it out",
                );
            } else if nulls.iter().any(|null| same(&null)) {
                self.add(
                    format!("{thing}, spelling '{spelling}'"),
                    "it is NULL, and true or false",
                    "give it one meaning; .nulls([…]) of the column goes before that of the input",
                );
            }
            let blank = spelling.trim() != spelling.as_str();
            if blank && rules.whitespace != Some(Whitespace::Keep) {
                self.add(
                    format!("{thing}, spelling '{spelling}'"),
                    "spaces around a value are ignored, so that no value is ever this",
                    "leave the spaces out, or say .whitespace(Whitespace::Keep)",
                );
            }
        }
        for spelling in of_true {
            let same = |other: &&String| other.to_lowercase() == spelling.to_lowercase();
            if of_false.iter().any(|other| same(&other)) {
                self.add(
                    format!("{thing}, spelling '{spelling}'"),
                    "it is both true and false",
                    "give it one meaning",
                );
            }
        }
    }
}

/// Whether a form of a date or timestamp says the day.
fn has_day(format: &str) -> bool {
    if format.starts_with(EPOCH) {
        return true;
    }
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            continue;
        }
        // Padding comes before the letter.
        let letter = characters.find(|c| !matches!(c, '-' | '_' | '0' | ':'));
        if let Some('d' | 'e' | 'D' | 'x' | 'F' | 'v' | 'j' | 'c' | '+' | 's' | 'u' | 'w') = letter
        {
            return true;
        }
    }
    false
}

/// Whether this can be the name of a time zone. Which there are, the host knows.
fn is_zone(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+'))
        && !name.starts_with(['+', '-', '/'])
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
