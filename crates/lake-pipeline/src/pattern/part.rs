//! One part of a pattern: what stands between two slashes.

use regex::Regex;

use super::{PathValues, hive_value};
use crate::fault::Problem;

/// Endings of files that somebody is still writing.
const UNFINISHED: [&str; 7] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    "._COPYING_",
];

/// One part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// `**`: any number of directories.
    Directories,
    /// One directory or file.
    Name {
        pieces: Vec<Piece>,
        /// All pieces, from the beginning of a name to its end.
        regex: Regex,
        /// The names in braces.
        names: Vec<String>,
    },
}

/// What a part is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(char),
    /// A regular expression for something that varies.
    Varies(String),
}

impl Part {
    pub(super) fn parse(written: &str) -> Result<Self, Problem> {
        if written == "**" {
            return Ok(Self::Directories);
        }
        if written.contains("**") {
            return Err(Problem::new(format!(
                "`**` stands beside something else in `{written}`"
            ))
            .help("`**` is for whole directories, as in `data/**/*.csv`; within a name, write `*`"));
        }
        let mut pieces = Vec::new();
        let mut names = Vec::new();
        let mut rest = written;
        while let Some(first) = rest.chars().next() {
            let behind = &rest[first.len_utf8()..];
            let (piece, behind) = match first {
                '*' => (Piece::Varies(".*?".to_owned()), behind),
                '?' => (Piece::Varies(".".to_owned()), behind),
                '[' => class(written, behind)?,
                '{' => {
                    let (name, behind) = braces(written, behind)?;
                    names.push(name.to_owned());
                    (Piece::Varies(format!("(?P<{name}>.+?)")), behind)
                }
                other => (Piece::Literal(other), behind),
            };
            pieces.push(piece);
            rest = behind;
        }
        let text: String = pieces.iter().map(Piece::regex).collect();
        // `s`: a name may contain a line break.
        let regex = Regex::new(&format!("(?s)^(?:{text})$")).map_err(|error| {
            Problem::new(format!("`{written}` is not a pattern: {error}"))
                .help("write `*` where anything may stand")
        })?;
        Ok(Self::Name {
            pieces,
            regex,
            names,
        })
    }

    /// The only name that the part takes, if nothing varies.
    pub(super) fn literal(&self) -> Option<String> {
        let Self::Name { pieces, .. } = self else {
            return None;
        };
        pieces.iter().map(Piece::literal).collect()
    }

    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Directories => &[],
            Self::Name { names, .. } => names,
        }
    }

    /// Whether the part takes this name, which it does not if that is hidden.
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Directories => !is_hidden(name),
            Self::Name { regex, .. } => {
                (!is_hidden(name) || self.begins_like(name)) && regex.is_match(name)
            }
        }
    }

    /// Whether the part itself says with which character `name` begins.
    pub(super) fn begins_like(&self, name: &str) -> bool {
        match self {
            Self::Directories => false,
            Self::Name { pieces, .. } => {
                let first = pieces.first().and_then(Piece::literal);
                first.is_some() && first == name.chars().next()
            }
        }
    }

    /// Whether the part itself says that a name is unfinished.
    pub(super) fn ends_like(&self, name: &str) -> bool {
        let Self::Name { pieces, .. } = self else {
            return false;
        };
        let mut end: Vec<char> = pieces.iter().rev().map_while(Piece::literal).collect();
        end.reverse();
        let end: String = end.into_iter().collect();
        is_unfinished(&end) && name.ends_with(&end)
    }

    /// Notes what `name`, which the part takes, says under the names in braces.
    pub(super) fn read(&self, name: &str, values: &mut PathValues) {
        let Self::Name { regex, names, .. } = self else {
            return;
        };
        let Some(found) = regex.captures(name) else {
            return;
        };
        for wanted in names {
            let Some(piece) = found.name(wanted) else {
                continue;
            };
            // `day={day}` is the same directory with and without braces.
            let whole_value = name.find('=').map(|equals| equals + 1) == Some(piece.start())
                && piece.end() == name.len();
            let value = if whole_value {
                hive_value(piece.as_str())
            } else {
                Some(piece.as_str().to_owned())
            };
            values.insert(wanted.clone(), value);
        }
    }
}

impl Piece {
    fn literal(&self) -> Option<char> {
        match self {
            Self::Literal(literal) => Some(*literal),
            Self::Varies(_) => None,
        }
    }

    fn regex(&self) -> String {
        match self {
            Self::Literal(literal) => regex::escape(literal.encode_utf8(&mut [0; 4])),
            Self::Varies(regex) => regex.clone(),
        }
    }
}

/// Whether a file or directory is one that people are not meant to see.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Whether a file is one that somebody is still writing.
pub(super) fn is_unfinished(name: &str) -> bool {
    UNFINISHED.iter().any(|ending| {
        let start = name.len().checked_sub(ending.len());
        start
            .and_then(|start| name.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(ending))
    })
}

/// `[abc]`, `[a-z]` or `[!a-z]`, and what stands behind it; `text` begins behind the bracket.
fn class<'t>(written: &str, text: &'t str) -> Result<(Piece, &'t str), Problem> {
    let (negated, members) = match text.strip_prefix('!') {
        Some(members) => (true, members),
        None => (false, text),
    };
    // A bracket that comes first is a member.
    let first = members.chars().next().map_or(0, char::len_utf8);
    let end = members
        .get(first..)
        .and_then(|rest| rest.find(']'))
        .map(|at| first + at);
    let Some(end) = end else {
        return Err(Problem::new(format!("a `[` in `{written}` is not closed"))
            .help("close it as in `[0-9]`, or write `[[]` for the character itself"));
    };
    let (members, behind) = (&members[..end], &members[end + 1..]);
    let characters: Vec<char> = members.chars().collect();
    if let ([only], false) = (characters.as_slice(), negated) {
        return Ok((Piece::Literal(*only), behind));
    }
    let mut regex = String::from(if negated { "[^" } else { "[" });
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [from, '-', to, behind @ ..] => {
                if from > to {
                    return Err(Problem::new(format!(
                        "the range `{from}-{to}` in `{written}` runs backwards"
                    ))
                    .help(format!("write `{to}-{from}`")));
                }
                regex.extend([member(*from), "-".to_owned(), member(*to)]);
                behind
            }
            [one, behind @ ..] => {
                regex.push_str(&member(*one));
                behind
            }
            [] => break,
        };
    }
    regex.push(']');
    Ok((Piece::Varies(regex), behind))
}

/// A character as the member of a class of a regular expression.
fn member(character: char) -> String {
    format!("\\x{{{:x}}}", u32::from(character))
}

/// The name in `{name}`, and what stands behind it; `text` begins behind the brace.
fn braces<'t>(written: &str, text: &'t str) -> Result<(&'t str, &'t str), Problem> {
    let Some((name, behind)) = text.split_once('}') else {
        return Err(
            Problem::new(format!("a `{{` in `{written}` is not closed")).help(
                "close it as in `{site}`, which names a piece of one part of the path, \
                 or write `[{]` for the character itself",
            ),
        );
    };
    let mut letters = name.chars();
    let is_name = letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(
            Problem::new(format!("`{{{name}}}` does not name a piece of the path"))
                .help("a name has letters, digits and `_`, as in `{site}`; alternatives are a list of paths"),
        );
    }
    Ok((name, behind))
}
