//! Names that a new transform can have.

use crate::error::{KitError, Result};

/// A release is found by this name, and a pipeline of the same name is a directory.
const MOST_CHARACTERS: usize = 64;

/// Words that Rust keeps for itself: no library can be called so.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Names of libraries that the crate of a transform can see already.
const TAKEN: [&str; 8] = [
    "alloc",
    "core",
    "lake-plugin",
    "lake_plugin",
    "proc-macro",
    "proc_macro",
    "std",
    "test",
];

/// Checks the name of a new transform: of its crate, of its releases, and of its first pipeline.
pub(crate) fn check(name: &str) -> Result<()> {
    let refuse = |why: String| {
        Err(KitError::usage(format!(
            "a transform cannot be called {name:?}: {why}"
        )))
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
        return refuse(
            "use lower-case letters, digits, `-` and `_`, starting with a letter".to_owned(),
        );
    }
    if name.len() > MOST_CHARACTERS {
        return refuse(format!(
            "it has {} characters, and {MOST_CHARACTERS} is the most",
            name.len()
        ));
    }
    if KEYWORDS.contains(&name) {
        return refuse("it is a word of the Rust language; add one to it".to_owned());
    }
    if TAKEN.contains(&name) {
        return refuse("there is a library of that name; choose another".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_and_a_pipeline_take_are_fine() {
        for name in ["orders", "o", "meter-readings_2", "selfie"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        let long = "a".repeat(65);
        for (name, why) in [
            ("", "lower-case letters"),
            ("Orders", "lower-case letters"),
            ("2orders", "starting with a letter"),
            ("../orders", "lower-case letters"),
            ("größe", "lower-case letters"),
            ("match", "a word of the Rust language"),
            ("gen", "a word of the Rust language"),
            ("std", "a library of that name"),
            ("lake-plugin", "a library of that name"),
            (&long, "65 characters"),
        ] {
            let message = check(name).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
