//! What is wrong with SQL, in plain words, and where it stands in the author's text.
//!
//! The engine knows positions of most things that it complains about: parse
//! errors carry them in their text, and names carry their spans where
//! `sql_parser.collect_spans` is set. Where it knows none, the word that the
//! message is about is looked for among the tokens of the text.

use std::fmt::Write as _;

use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use crate::error::RunError;
use crate::sql::Sql;

/// How many names a message lists before it stops.
const MOST_NAMES: usize = 20;
/// How many characters of a line are shown on either side of the spot.
const AROUND: usize = 60;

/// A stretch of a line; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    line: usize,
    column: usize,
    width: usize,
}

impl Spot {
    /// The part of a parser's span that lies on its first line.
    pub(crate) fn of_span(span: Span) -> Option<Self> {
        Self::between(
            (span.start.line, span.start.column),
            (span.end.line, span.end.column),
        )
    }

    /// The first place where `word` stands as a word of its own, in any case.
    pub(crate) fn of_word(text: &str, word: &str) -> Option<Self> {
        let tokens = tokens(text);
        let found = tokens.iter().find(|token| is_word(&token.token, word))?;
        Self::of_span(found.span)
    }

    /// The first call of a function, and how many there are.
    fn of_call(text: &str, function: &str) -> Option<(Self, usize)> {
        let tokens = tokens(text);
        let mut calls = tokens
            .iter()
            .zip(tokens.iter().skip(1))
            .filter(|pair| is_word(&pair.0.token, function) && pair.1.token == Token::LParen);
        let first = Self::of_span(calls.next()?.0.span)?;
        Some((first, 1 + calls.count()))
    }

    /// Behind the last character.
    fn of_end(text: &str) -> Option<Self> {
        let text = text.trim_end();
        Some(Self {
            line: text.lines().count().max(1),
            column: text.lines().last().map_or(0, |line| line.chars().count()) + 1,
            width: 1,
        })
    }

    fn between(start: (u64, u64), end: (u64, u64)) -> Option<Self> {
        let line = usize::try_from(start.0).ok().filter(|line| *line > 0)?;
        let column = usize::try_from(start.1).ok().filter(|column| *column > 0)?;
        let width = match end.0 == start.0 {
            true => usize::try_from(end.1.saturating_sub(start.1)).ok()?,
            false => 1,
        };
        Some(Self {
            line,
            column,
            width: width.max(1),
        })
    }
}

/// An error of the engine, in plain words; `tables` are those that there are.
pub(crate) fn shown(sql: &Sql<'_>, error: &DataFusionError, tables: &[String]) -> RunError {
    // An expression that is wrong in several ways is said to be once for each.
    let mut parts: Vec<(Option<Spot>, String)> = Vec::new();
    for error in error.iter() {
        let part = explained(sql.text, error, tables);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let mut parts = parts.into_iter();
    let (spot, mut message) = parts.next().unwrap_or_default();
    if let Some(spot) = spot {
        message.push_str(&excerpt(sql.text, spot));
    }
    for (spot, more) in parts {
        let _ = write!(message, "\n{}{more}", position(spot));
        if let Some(spot) = spot {
            message.push_str(&excerpt(sql.text, spot));
        }
    }
    placed(sql, spot, message)
}

/// An error of ours, at a spot where there is one.
pub(crate) fn at(sql: &Sql<'_>, spot: Option<Spot>, mut message: String) -> RunError {
    if let Some(spot) = spot {
        message.push_str(&excerpt(sql.text, spot));
    }
    placed(sql, spot, message)
}

/// The known name that is most like `wanted`, if one is near.
pub(crate) fn nearest<'a>(wanted: &str, known: &[&'a str]) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let alike = |name: &str| {
        let name = name.to_lowercase();
        // `meter` is meant to be `meter_id` more often than another short word.
        let begins = name.starts_with(&wanted) && wanted.len() > 2;
        let likeness = strsim::normalized_damerau_levenshtein(&wanted, &name);
        if begins { likeness.max(0.8) } else { likeness }
    };
    let mut best: Option<(f64, &str)> = None;
    for name in known {
        let likeness = alike(name);
        if likeness >= 0.6 && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, name));
        }
    }
    best.map(|(_, name)| name)
}

fn placed(sql: &Sql<'_>, spot: Option<Spot>, message: String) -> RunError {
    let position = position(spot);
    let place = match position.strip_suffix(": ") {
        Some(position) => format!("{}, {position}", sql.place),
        None => sql.place.clone(),
    };
    RunError::Sql { place, message }
}

fn position(spot: Option<Spot>) -> String {
    spot.map_or_else(String::new, |spot| {
        format!("line {}, column {}: ", spot.line, spot.column)
    })
}

/// The line, and a caret below every character of the spot.
fn excerpt(text: &str, spot: Spot) -> String {
    let Some(line) = text.lines().nth(spot.line - 1) else {
        return String::new();
    };
    let line: Vec<char> = line.chars().collect();
    let from = (spot.column - 1).saturating_sub(AROUND);
    let to = (spot.column - 1 + spot.width + AROUND).min(line.len());
    let shown: String = line
        .get(from..to.max(from))
        .unwrap_or_default()
        .iter()
        .map(|c| if *c == '\t' { ' ' } else { *c })
        .collect();
    let before = if from > 0 { "… " } else { "" };
    let behind = if to < line.len() { " …" } else { "" };
    let number = spot.line.to_string();
    let width = spot
        .width
        .min((line.len() + 1).saturating_sub(spot.column - 1))
        .max(1);
    format!(
        "\n  {number} | {before}{shown}{behind}\n  {:>gap$} | {:>indent$}{}",
        "",
        "",
        "^".repeat(width),
        gap = number.len(),
        indent = before.chars().count() + spot.column - 1 - from,
    )
}

fn tokens(text: &str) -> Vec<TokenWithSpan> {
    let mut tokens = Vec::new();
    // Of a text with an error, the tokens before it.
    let _ = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens);
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    tokens
}

fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted))
}

/// Where an error is and what it means.
fn explained(text: &str, error: &DataFusionError, tables: &[String]) -> (Option<Spot>, String) {
    let diagnostic = error.diagnostic();
    let spot = diagnostic
        .and_then(|diagnostic| diagnostic.span)
        .and_then(of_engine);
    match error.find_root() {
        DataFusionError::SQL(error, _) => unparsed(text, error),
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let spot = spot.or_else(|| field.spans.first().and_then(of_engine));
                let spot = spot.or_else(|| Spot::of_word(text, &field.name));
                (spot, unknown_column(field, valid_fields))
            }
            SchemaError::AmbiguousReference { field } => (
                spot.or_else(|| Spot::of_word(text, &field.name)),
                ambiguous(field, diagnostic),
            ),
            other => (spot, other.to_string()),
        },
        root => {
            let message = root.message();
            if let Some(found) = unknown_table(&message, tables) {
                return (spot, found);
            }
            if let Some((function, message)) = wrong_call(&message) {
                return match Spot::of_call(text, &function) {
                    Some((first, 1)) => (Some(first), message),
                    Some((first, calls)) => (
                        Some(first),
                        format!("{message} (it is called {calls} times, here first)"),
                    ),
                    None => (spot, message),
                };
            }
            if let Some(message) = unknown_function(&message) {
                return (spot, message);
            }
            (spot, in_words(&message, diagnostic))
        }
    }
}

fn of_engine(span: datafusion::common::Span) -> Option<Spot> {
    Spot::between(
        (span.start.line, span.start.column),
        (span.end.line, span.end.column),
    )
}

/// `Expected: …, found: … at Line: 2, Column: 5`
fn unparsed(text: &str, error: &ParserError) -> (Option<Spot>, String) {
    let said = match error {
        ParserError::TokenizerError(said) | ParserError::ParserError(said) => said.as_str(),
        ParserError::RecursionLimitExceeded => {
            return (
                None,
                "it is nested too deeply; give its parts names, as in WITH part AS (SELECT …)"
                    .to_owned(),
            );
        }
    };
    let (said, position) = match said.split_once(" at Line: ") {
        Some((said, position)) => (said, Some(position)),
        None => (said, None),
    };
    let position = position.and_then(|position| {
        let (line, column) = position.split_once(", Column: ")?;
        let digits = column.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((line.parse().ok()?, digits.parse().ok()?))
    });
    let spot = match position {
        Some(start) => {
            let at =
                |token: &&TokenWithSpan| (token.span.start.line, token.span.start.column) == start;
            let tokens = tokens(text);
            let token = tokens.iter().find(at);
            token.map_or_else(
                || Spot::between(start, start),
                |token| Spot::of_span(token.span),
            )
        }
        // Only the end of the text has no position.
        None => Spot::of_end(text),
    };
    let said = said
        .replace("Expected: ", "expected ")
        .replace(", found: EOF", ", found the end")
        .replace(", found: ", ", found ");
    let mut said = said.chars();
    let first = said.next().map(|c| c.to_ascii_lowercase());
    let said: String = first.into_iter().chain(said).collect();
    (spot, format!("this is no SQL: {said}"))
}

fn unknown_column(field: &Column, valid: &[Column]) -> String {
    let mut message = format!("there is no column {}", field.name);
    let mut candidates: Vec<&Column> = valid.iter().collect();
    if let Some(relation) = &field.relation {
        let of_it = |column: &&Column| {
            let table = column.relation.as_ref();
            table.is_some_and(|table| table.resolved_eq(relation))
        };
        let own: Vec<&Column> = candidates.iter().copied().filter(of_it).collect();
        let _ = write!(message, " in {relation}");
        if own.is_empty() {
            let mut known: Vec<String> = Vec::new();
            for table in valid.iter().filter_map(|column| column.relation.as_ref()) {
                if !known.contains(&table.to_string()) {
                    known.push(table.to_string());
                }
            }
            if !known.is_empty() {
                return format!("there is no {relation} here; there is {}", listed(&known));
            }
        } else {
            candidates = own;
        }
    }
    let twice = |name: &str| candidates.iter().filter(|c| c.name == name).count() > 1;
    let names: Vec<String> = candidates
        .iter()
        .map(|column| match &column.relation {
            Some(table) if twice(&column.name) => format!("{table}.{}", column.name),
            _ => column.name.clone(),
        })
        .collect();
    let known: Vec<&str> = candidates
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    match known
        .iter()
        .find(|name| name.eq_ignore_ascii_case(&field.name))
    {
        Some(name) => {
            let _ = write!(message, "; names of mixed case are quoted: \"{name}\"");
        }
        None => {
            if let Some(name) = nearest(&field.name, &known) {
                let _ = write!(message, "; did you mean {name}?");
            }
        }
    }
    if !names.is_empty() {
        let end = if message.ends_with('?') { " T" } else { "; t" };
        let _ = write!(message, "{end}he columns are {}", listed(&names));
    }
    message
}

fn ambiguous(field: &Column, diagnostic: Option<&Diagnostic>) -> String {
    let candidates: Vec<String> = diagnostic
        .map(|diagnostic| diagnostic.notes.as_slice())
        .unwrap_or_default()
        .iter()
        .filter_map(|note| note.message.strip_prefix("possible column "))
        .map(str::to_owned)
        .collect();
    let say = match candidates.is_empty() {
        true => format!("say which, as in table.{}", field.name),
        false => format!("say which: {}", candidates.join(" or ")),
    };
    format!("the column {} is in several tables; {say}", field.name)
}

/// `table 'datafusion.standard.nothing' not found`
fn unknown_table(message: &str, tables: &[String]) -> Option<String> {
    let name = message
        .strip_suffix("' not found")?
        .strip_prefix("table '")?;
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    let name = name.strip_prefix("public.").unwrap_or(name);
    let known: Vec<&str> = tables.iter().map(String::as_str).collect();
    let meant = nearest(name, &known);
    let meant = meant.map_or_else(String::new, |n| format!("; did you mean {n}?"));
    Some(match known.is_empty() {
        true => format!("there is no table {name}{meant}"),
        false if meant.is_empty() => {
            format!("there is no table {name}; there is {}", listed(tables))
        }
        false => format!(
            "there is no table {name}{meant} There is {}",
            listed(tables)
        ),
    })
}

/// `Invalid function 'a'.\nDid you mean 'b'?`
fn unknown_function(message: &str) -> Option<String> {
    let rest = message.strip_prefix("Invalid function '")?;
    let (name, rest) = rest.split_once('\'')?;
    let offered = rest
        .rsplit_once("Did you mean '")
        .map_or("", |(_, name)| name);
    let offered = offered.trim_end_matches(['?', '\'']);
    let meant = nearest(name, &[offered]);
    let meant = meant.map_or_else(
        || "; declare it with .function(…), or use one of SQL's".to_owned(),
        |n| format!("; did you mean {n}?"),
    );
    Some(format!("there is no function {name}{meant}"))
}

/// A call whose arguments no signature takes: the function, and what to say.
fn wrong_call(message: &str) -> Option<(String, String)> {
    let (_, call) = message.split_once("argument types '")?;
    let (call, rest) = call.split_once("'. You might")?;
    let (function, given) = call.split_once('(')?;
    let given = in_our_types(given.strip_suffix(')').unwrap_or(given));
    let (_, candidates) = rest.split_once("Candidate functions:")?;
    let takes: Vec<String> = candidates
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(function))
        .map(in_our_types)
        .collect();
    let mut said = format!("{function} is called with ({given}); it is declared as ");
    said.push_str(&takes.join(", or "));
    said.push_str("; cast what does not fit");
    Some((function.to_owned(), said))
}

/// What else the engine says.
fn in_words(message: &str, diagnostic: Option<&Diagnostic>) -> String {
    let message = message.lines().next().unwrap_or_default();
    let of_types = [
        (
            "Cannot infer common argument type for comparison operation ",
            "cannot be compared",
        ),
        ("Cannot coerce arithmetic expression ", "cannot be computed"),
    ];
    for (start, meaning) in of_types {
        if let Some(rest) = message.strip_prefix(start) {
            let operands = in_our_types(rest.trim_end_matches(" to valid types"));
            return format!("{operands} {meaning}; cast one side to the type of the other");
        }
    }
    if let Some((_, rest)) = message.split_once("column \"")
        && let Some((column, _)) = rest.split_once("\" must appear in the GROUP BY")
    {
        let column = column.rsplit('.').next().unwrap_or(column);
        return format!(
            "{column} is neither in GROUP BY nor in an aggregate; \
             add it to GROUP BY, or say which value is meant, as in max({column})"
        );
    }
    let mut said = match diagnostic {
        Some(diagnostic) => diagnostic.message.clone(),
        None => message.to_owned(),
    };
    for help in diagnostic.iter().flat_map(|diagnostic| &diagnostic.helps) {
        let _ = write!(said, "; {}", help.message);
    }
    in_our_types(&said)
}

/// Names of types as authors write them.
pub(crate) fn in_our_types(text: &str) -> String {
    const NAMES: [(&str, &str); 14] = [
        ("Timestamp(µs, \"UTC\")", "timestamp"),
        ("Timestamp(ns, \"UTC\")", "timestamp"),
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("Boolean", "boolean"),
        ("Int64", "integer"),
        ("Int32", "int32"),
        ("Float64", "float"),
        ("Decimal128", "decimal"),
        ("Date32", "date"),
        ("String", "text"),
        ("Timestamp", "timestamp"),
        ("Decimal", "decimal"),
    ];
    let mut text = text.to_owned();
    for (theirs, ours) in NAMES {
        text = text.replace(theirs, ours);
    }
    text
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
