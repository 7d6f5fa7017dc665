//! Patterns of paths: which files an input takes, and what their paths say about them.
//!
//! A pattern is a path or a URL whose parts, the pieces between slashes, may hold:
//!
//! | written | takes |
//! |---|---|
//! | `*` | any characters of one part, also none |
//! | `?` | one character |
//! | `[abc]`, `[a-z]`, `[!a-z]` | one character of these, or none of these |
//! | `{name}` | at least one character, which becomes the value `name` of the file |
//! | `**`, alone in its part | any number of directories, also none; at the end, every file below |
//!
//! What stands in front of the first of them is fixed: a file system is walked from there, and an
//! object store is listed with it as prefix. Matching itself looks at nothing but text.
//!
//! A directory `key=value`, wherever it is in the path, is a value too, as Hive and Spark write it:
//! percent-decoded, and `__HIVE_DEFAULT_PARTITION__` is NULL. A name in braces wins over such a
//! directory of the same name, and of two such directories the deeper one wins.
//!
//! Hidden and temporary files are left out, as
//! [Spark does](https://github.com/apache/spark/blob/master/core/src/main/scala/org/apache/spark/util/HadoopFSUtils.scala)
//! (`shouldFilterOutPathName`) and the programs that write them expect: a part that begins with `.`,
//! or with `_` unless it is a directory `_key=value`, and a file whose name ends in `.tmp`, `.temp`,
//! `.part`, `.partial`, `.filepart`, `.crdownload` or `._COPYING_`. A pattern takes them where its
//! own part says so, that is, begins or ends with the same letters.

mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::Problem;
use part::{Part, is_hidden, is_unfinished};

/// What the path of a file says about it, by name; `None` is NULL.
pub type PathValues = BTreeMap<String, Option<String>>;

/// What Hive and Spark call the directory of rows whose partition value is NULL.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A path or URL that names one file or describes many.
#[derive(Clone)]
pub struct Pattern {
    /// As it was given: an absolute path, or a URL.
    text: String,
    /// The path in front of the first part that is not fixed, without a slash at its end.
    fixed: String,
    /// The parts behind it; the last one is never `**`. Empty where nothing varies.
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads an absolute path or a URL.
    ///
    /// # Errors
    /// Brackets and braces that are not closed, names that are none or are there twice, and `**`
    /// beside something else.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        // The scheme and the bucket of a URL are fixed, whatever they look like.
        let bucket = text
            .find("://")
            .and_then(|colon| text[colon + 3..].find('/').map(|at| colon + 3 + at));
        let (mut fixed, path) = match bucket {
            Some(slash) => (text[..slash].to_owned(), &text[slash + 1..]),
            None if text.contains("://") => (text.to_owned(), ""),
            None => (String::new(), text.strip_prefix('/').unwrap_or(text)),
        };
        let mut parts = Vec::new();
        for written in path.split('/').filter(|written| !written.is_empty()) {
            let part = Part::parse(written)?;
            match part.literal() {
                Some(name) if parts.is_empty() => {
                    fixed.push('/');
                    fixed.push_str(&name);
                }
                _ => parts.push(part),
            }
        }
        if let Some(Part::Directories) = parts.last() {
            parts.push(Part::parse("*")?);
        }
        let mut names: Vec<&String> = parts.iter().flat_map(Part::names).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(
                Problem::new(format!("`{{{}}}` is in the path twice", twice[0]))
                    .help("give each piece a name of its own, or write `*` for one of them"),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            fixed,
            parts,
        })
    }

    /// Reads a pattern that paths are held against which are known already: one that does not begin
    /// with a slash may begin at any of their parts, as in `2026-11-*/*.csv`.
    ///
    /// # Errors
    /// As in a pipeline file, in words.
    pub fn anywhere(text: &str) -> Result<Self, String> {
        let said = |problem: Problem| match problem.help {
            Some(help) => format!("{}; {help}", problem.message),
            None => problem.message,
        };
        let written = text.split('/').filter(|written| !written.is_empty());
        let parts = written.map(Part::parse).collect::<Result<Vec<_>, _>>();
        let mut parts = parts.map_err(said)?;
        if parts.is_empty() {
            return Err(format!("`{text}` names nothing"));
        }
        if let Some(Part::Directories) = parts.last() {
            parts.push(Part::parse("*").map_err(said)?);
        }
        Ok(Self {
            text: text.to_owned(),
            fixed: String::new(),
            parts,
        })
    }

    /// Whether it takes a path, from its beginning or, where the pattern does not begin with a slash,
    /// from any of its parts on.
    #[must_use]
    pub fn selects(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let begins = match self.text.starts_with('/') {
            true => 1,
            false => names.len(),
        };
        (0..begins).any(|from| {
            names
                .get(from..)
                .is_some_and(|names| self.taken(names).is_some())
        })
    }

    /// The pattern as text: an absolute path, or a URL exactly as written.
    ///
    /// Only what the user wrote is a pattern: characters with a meaning in the directory that a
    /// relative path starts from are escaped, as `[*]`, `[?]`, `[[]` and `[{]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a URL and not a path of this machine.
    #[must_use]
    pub fn is_url(&self) -> bool {
        self.text.contains("://")
    }

    /// The path in front of the first part that varies: the directory below which every match is,
    /// or the file itself where nothing varies.
    #[must_use]
    pub fn fixed(&self) -> &str {
        match self.fixed.as_str() {
            "" => "/",
            fixed => fixed,
        }
    }

    /// Whether nothing varies: it names one file.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many parts a match has below [`fixed`](Self::fixed), where they are always as many.
    #[must_use]
    pub fn depth(&self) -> Option<usize> {
        let varies = self
            .parts
            .iter()
            .any(|part| matches!(part, Part::Directories));
        (!varies).then_some(self.parts.len())
    }

    /// Whether there can be a match below a directory; `relative` is its path below
    /// [`fixed`](Self::fixed), with slashes between its parts.
    #[must_use]
    pub fn may_lead_through(&self, relative: &str) -> bool {
        let mut parts = self.parts.as_slice();
        let mut names = relative.split('/');
        while let Some(name) = names.next() {
            match parts.split_first() {
                Some((Part::Directories, rest)) => {
                    let passes = |name: &str| {
                        !is_hidden(name) || rest.iter().any(|part| part.begins_like(name))
                    };
                    return passes(name) && names.all(passes);
                }
                Some((part, rest)) if part.takes(name) => parts = rest,
                _ => return false,
            }
        }
        !parts.is_empty()
    }

    /// What the path of a file says about it, if it is a match; `relative` is its path below
    /// [`fixed`](Self::fixed), with slashes between its parts, and empty where nothing varies.
    #[must_use]
    pub fn matches(&self, relative: &str) -> Option<PathValues> {
        let names: Vec<&str> = match relative {
            "" => Vec::new(),
            path => path.split('/').collect(),
        };
        let taken = self.taken(&names)?;
        let mut directories: Vec<&str> = self.fixed.split('/').chain(names.clone()).collect();
        directories.pop();
        let mut values: PathValues = directories.into_iter().filter_map(hive).collect();
        for (part, name) in taken {
            part.read(name, &mut values);
        }
        Some(values)
    }

    /// Which name each part takes. Of several ways, the one in which `**` takes fewer directories.
    fn taken<'a>(&'a self, names: &[&'a str]) -> Option<Vec<(&'a Part, &'a str)>> {
        let mut taken: Vec<(&Part, &str)> = Vec::new();
        let (mut parts, mut at) = (self.parts.as_slice(), 0);
        // The last `**`: what comes behind it, where that begins now, and what was taken before.
        // A `**` in front of it need not be tried again: what it could take, the last one can.
        let mut again: Option<(&[Part], usize, usize)> = None;
        loop {
            match (parts.split_first(), names.get(at)) {
                (None, None) => return Some(taken),
                (Some((Part::Directories, rest)), _) => {
                    again = Some((rest, at, taken.len()));
                    parts = rest;
                    continue;
                }
                (Some((part, rest)), Some(name))
                    if part.takes(name)
                        && (!rest.is_empty() || !is_unfinished(name) || part.ends_like(name)) =>
                {
                    taken.push((part, name));
                    parts = rest;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let (rest, from, before) = again?;
            if names.get(from).is_none_or(|name| is_hidden(name)) {
                return None;
            }
            again = Some((rest, from + 1, before));
            parts = rest;
            at = from + 1;
            taken.truncate(before);
        }
    }
}

/// The value that a directory `key=value` gives.
fn hive(directory: &str) -> Option<(String, Option<String>)> {
    let (key, value) = directory.split_once('=')?;
    (!key.is_empty()).then(|| (decoded(key), hive_value(value)))
}

fn hive_value(text: &str) -> Option<String> {
    (text != HIVE_NULL).then(|| decoded(text))
}

/// Text without its `%2F`; what is no text afterwards stays as it is written.
fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Into::into)
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}
