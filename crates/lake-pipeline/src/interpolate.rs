//! `${NAME}` and `${NAME:-default}` in values.
//!
//! Substitution happens after YAML has been parsed, so positions stay true and
//! a variable can never add a key or change the structure of the file.

use crate::fault::Problem;

/// A value after substitution.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Whether the text starts with the content of a variable. A relative path
    /// that does was written for the working directory, not for the file.
    pub(crate) starts_with_variable: bool,
}

/// Substitutes the variables of `text`; `$$` becomes `$`.
///
/// As in a shell, `:-` also replaces a variable that is set but empty.
///
/// # Errors
///
/// Everything that is wrong, each with its byte offset in `text`.
pub(crate) fn expand(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, Vec<(usize, Problem)>> {
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        starts_with_variable: false,
    };
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.text.push_str(before);
        let at = text.len() - after.len() - 1;
        if let Some(literal) = after.strip_prefix('$') {
            expanded.text.push('$');
            rest = literal;
            continue;
        }
        let Some((reference, behind)) = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
        else {
            problems.push((at, lone_dollar(after)));
            rest = after;
            continue;
        };
        match resolve(reference, environment) {
            Ok((value, from_variable)) => {
                expanded.starts_with_variable |=
                    expanded.text.is_empty() && from_variable && !value.is_empty();
                expanded.text.push_str(&value);
            }
            Err(problem) => problems.push((at, problem)),
        }
        rest = behind;
    }
    expanded.text.push_str(rest);
    if problems.is_empty() {
        Ok(expanded)
    } else {
        Err(problems)
    }
}

/// The value of what stands between `${` and `}`, and whether it is the
/// variable's own.
fn resolve(
    reference: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, bool), Problem> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(
            Problem::new(format!("`${{{reference}}}` is not a variable"))
                .help("write ${NAME} or ${NAME:-default}"),
        );
    }
    // Said whether the default is used or not, so that a file that is right on
    // one machine is right on every other.
    if default.is_some_and(|default| default.contains('$')) {
        return Err(
            Problem::new(format!("the default of `{name}` contains a `$`"))
                .help("a default is plain text; it cannot contain `$` or `}`"),
        );
    }
    match (environment(name), default) {
        (Some(value), _) if !value.is_empty() => Ok((value, true)),
        (_, Some(default)) => Ok((default.to_owned(), false)),
        (Some(empty), None) => Ok((empty, true)),
        (None, None) => Err(Problem::new(format!("the variable `{name}` is not set"))
            .help(format!("set it, or give a default: ${{{name}:-…}}"))),
    }
}

fn lone_dollar(after: &str) -> Problem {
    if after.starts_with('{') {
        return Problem::new("`${` is not closed").help("write ${NAME} or ${NAME:-default}");
    }
    let name: String = after
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    let problem = Problem::new(format!("`${name}` is neither text nor a variable"));
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        problem.help(format!(
            "write ${{{name}}} for the variable, or $$ for a dollar sign"
        ))
    } else {
        problem.help("write $$ for a dollar sign")
    }
}
