//! What messages say about settings: what belongs into a mapping, what somebody
//! most likely meant, what is there instead.

use crate::fault::Problem;
use crate::settings::{self, Setting, Shape, dotted, nearest};
use crate::yaml::{Content, Kind, Node};

/// The same problem, with the setting that it is about.
pub(crate) fn about(key: &str, problem: Problem) -> Problem {
    Problem {
        message: format!("{key}: {}", problem.message),
        help: problem.help,
    }
}

/// A flag or variable, with the name of the input or parameter that it is for.
pub(crate) fn named(way: &str, name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    way.replace("<name>", name)
        .replace("<NAME>", &name.to_uppercase())
}

/// What belongs into a mapping.
pub(crate) fn members(shape: &Shape, one_of_the_named: bool) -> String {
    let keys = |members: &[&Setting]| {
        let keys: Vec<&str> = members.iter().map(|member| member.key).collect();
        keys.join(", ")
    };
    match shape {
        Shape::Scalar { .. } | Shape::OneOrMore { .. } => String::new(),
        Shape::Named { name, members } if !one_of_the_named => {
            format!("a `name:` per {}, and in it {}", name.of, keys(members))
        }
        Shape::Group(members) | Shape::Named { members, .. } => keys(members),
        Shape::Values { name, .. } => format!("a `name: value` per {}", name.of),
    }
}

/// What to write for `key`, which is `setting`.
pub(crate) fn one_value(key: &str, setting: &Setting) -> String {
    let example = setting.example.unwrap_or("…");
    format!("give it one value, for example `{key}: {example}`")
}

/// What stands there, in words.
pub(crate) fn what_it_is(node: &Node) -> String {
    match &node.content {
        Content::Scalar(scalar) => match scalar.kind {
            Kind::Null => "empty".to_owned(),
            Kind::Boolean => format!("the boolean `{}`", scalar.text),
            Kind::Number => format!("the number `{}`", scalar.text),
            Kind::Text => "text".to_owned(),
        },
        Content::Mapping(_) => "a mapping".to_owned(),
        Content::List(_) => "a list".to_owned(),
        Content::Refused => "something else".to_owned(),
    }
}

/// About `key` in the mapping `parent`, which takes the keys `known`.
pub(crate) fn unknown_key(parent: &str, key: &str, known: &[&str]) -> Problem {
    let problem = Problem::new(format!("unknown key `{}`", dotted(parent, key)));
    if let Some(guess) = nearest(key, known.iter().copied()) {
        return problem.help(format!("did you mean `{guess}`?"));
    }
    // The right key in the wrong mapping is as common as a misspelt one.
    let elsewhere = settings::settings()
        .into_iter()
        .find_map(|setting| up_to(&setting.key, key));
    problem.help(match elsewhere {
        Some(place) => format!("its place is `{place}`"),
        None => format!("known here: {}", known.join(", ")),
    })
}

/// The dotted key `whole`, cut behind its part `key`.
fn up_to(whole: &str, key: &str) -> Option<String> {
    let parts: Vec<&str> = whole.split('.').collect();
    let at = parts.iter().position(|part| *part == key)?;
    Some(parts[..=at].join("."))
}

/// About a flag for `key`, in a file with these settings and inputs.
pub(crate) fn unknown_flag(
    key: &str,
    known: &[(String, &'static Setting)],
    inputs: &[&str],
) -> Problem {
    let input = key
        .strip_prefix("inputs.")
        .and_then(|rest| rest.split('.').next())
        .filter(|name| !inputs.contains(name));
    if let Some(input) = input {
        let problem = Problem::new(format!("the file has no input `{input}`"));
        return match nearest(input, inputs.iter().copied()) {
            Some(guess) => problem.help(format!("did you mean `{guess}`?")),
            None if inputs.is_empty() => problem.help("add it to `inputs` in the file"),
            None => problem.help(format!("its inputs: {}", inputs.join(", "))),
        };
    }
    let prefix = format!("{key}.");
    let below: Vec<&str> = known
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|known| known.starts_with(&prefix))
        .collect();
    if !below.is_empty() {
        return Problem::new(format!("`{key}` is a group of settings"))
            .help(format!("set one of: {}", below.join(", ")));
    }
    let problem = Problem::new(format!("there is no setting `{key}`"));
    let keys = || known.iter().map(|(key, _)| key.as_str());
    match nearest(key, keys()) {
        Some(guess) => problem.help(format!("did you mean `{guess}`?")),
        None => problem.help(format!(
            "known are: {}",
            keys().collect::<Vec<_>>().join(", ")
        )),
    }
}
