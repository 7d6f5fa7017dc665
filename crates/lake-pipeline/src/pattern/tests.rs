//! What a pattern takes, and what it reads from a path.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// What `pattern` reads from the absolute path `path`, as `name=value` pairs; `None` where it does
/// not take it.
fn read(pattern: &str, path: &str) -> Option<String> {
    let pattern = self::pattern(pattern);
    let relative = path.strip_prefix(pattern.fixed())?;
    let values = pattern.matches(relative.trim_start_matches('/'))?;
    let values = values
        .into_iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")));
    Some(values.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_pattern_takes_these_paths_and_reads_this() {
    for (pattern, path, expected) in [
        // One part.
        ("/d/a.csv", "/d/a.csv", Some("")),
        ("/d/a.csv", "/d/b.csv", None),
        ("/d/*.csv", "/d/a.csv", Some("")),
        ("/d/*.csv", "/d/a.csv.gz", None),
        ("/d/*.csv", "/d/e/a.csv", None),
        ("/d/*", "/d/a", Some("")),
        ("/d/a*.csv", "/d/a.csv", Some("")),
        ("/d/a.c*", "/d/axcsv", None),
        ("/d/?.csv", "/d/ä.csv", Some("")),
        ("/d/?.csv", "/d/.csv", None),
        ("/d/[ab].csv", "/d/b.csv", Some("")),
        ("/d/[a-c]x.csv", "/d/bx.csv", Some("")),
        ("/d/[!a-c]x.csv", "/d/bx.csv", None),
        ("/d/[!a-c]x.csv", "/d/dx.csv", Some("")),
        ("/d/[]].csv", "/d/].csv", Some("")),
        ("/d/[a-].csv", "/d/-.csv", Some("")),
        ("/d/[&&]x.csv", "/d/&x.csv", Some("")),
        ("/d/a b+(1).csv", "/d/a b+(1).csv", Some("")),
        ("/w[[]1]/[*]/*.csv", "/w[1]/*/a.csv", Some("")),
        // Many parts.
        ("/d/*/*.csv", "/d/e/a.csv", Some("")),
        ("/d/*/*.csv", "/d/a.csv", None),
        ("/d/**/*.csv", "/d/a.csv", Some("")),
        ("/d/**/*.csv", "/d/e/f/a.csv", Some("")),
        ("/d/**", "/d/e/f/a.csv", Some("")),
        ("/d/**/e/**/*.csv", "/d/e/e/a.csv", Some("")),
        ("/d/**/e/**/*.csv", "/d/x/a.csv", None),
        ("/d/**/{a}/**/{b}.csv", "/d/x/y/z.csv", Some("a=x b=z")),
        ("/**/a.csv", "/d/a.csv", Some("")),
        // Captures.
        (
            "/d/{year}/{month}/*.csv",
            "/d/2025/06/a.csv",
            Some("month=06 year=2025"),
        ),
        ("/d/{year}/*.csv", "/d/a.csv", None),
        (
            "/d/{site}_{kind}.csv",
            "/d/a_b_c.csv",
            Some("kind=b_c site=a"),
        ),
        ("/d/{site}.csv", "/d/.csv", None),
        ("/d/{a}.csv", "/d/100%25.csv", Some("a=100%25")),
        // Hive directories.
        ("/d/**/*.csv", "/d/k=v/a.csv", Some("k=v")),
        ("/d/*/*.csv", "/d/k=a%2Fb%20c/a.csv", Some("k=a/b c")),
        ("/d/*/*.csv", "/d/k=%zz/a.csv", Some("k=%zz")),
        ("/d/*/*.csv", "/d/k=%ff/a.csv", Some("k=%ff")),
        ("/d/*/*.csv", "/d/k=/a.csv", Some("k=")),
        ("/d/*/*.csv", "/d/k=a=b/a.csv", Some("k=a=b")),
        (
            "/d/*/*.csv",
            "/d/k=__HIVE_DEFAULT_PARTITION__/a.csv",
            Some("k=NULL"),
        ),
        ("/d/*/*.csv", "/d/=v/a.csv", Some("")),
        ("/d/*", "/d/k=v.csv", Some("")),
        ("/k=v/a.csv", "/k=v/a.csv", Some("k=v")),
        ("/d/**/*.csv", "/d/k=1/k=2/a.csv", Some("k=2")),
        ("/d/{k}/**/*.csv", "/d/x/k=2/a.csv", Some("k=x")),
        ("/d/day={day}/*.csv", "/d/day=a%20b/a.csv", Some("day=a b")),
        (
            "/d/day={d}/*.csv",
            "/d/day=__HIVE_DEFAULT_PARTITION__/a.csv",
            Some("d=NULL day=NULL"),
        ),
        // Hidden and unfinished files.
        ("/d/*.csv", "/d/_a.csv", None),
        ("/d/*.csv", "/d/.a.csv", None),
        ("/d/?a.csv", "/d/_a.csv", None),
        ("/d/[._]a.csv", "/d/_a.csv", None),
        ("/d/_*.csv", "/d/_a.csv", Some("")),
        ("/d/.*.csv", "/d/.a.csv", Some("")),
        ("/d/.*.csv", "/d/_a.csv", None),
        ("/d/**/*.csv", "/d/_temporary/0/a.csv", None),
        ("/d/**/*.csv", "/d/e/.git/a.csv", None),
        ("/d/**/_x/*.csv", "/d/e/_x/a.csv", Some("")),
        ("/d/*/*.csv", "/d/_k=v/a.csv", Some("_k=v")),
        ("/d/*/*.csv", "/d/.k=v/a.csv", None),
        ("/_d/.e/*.csv", "/_d/.e/a.csv", Some("")),
        ("/d/*", "/d/a.csv.tmp", None),
        ("/d/*", "/d/a.csv.TMP", None),
        ("/d/*", "/d/a.csv._COPYING_", None),
        ("/d/*", "/d/a.csv.crdownload", None),
        ("/d/*.tmp", "/d/a.tmp", Some("")),
        ("/d/*.part", "/d/a.tmp", None),
        ("/d/*/*", "/d/a.tmp/b", Some("")),
        ("/d/a.tmp", "/d/a.tmp", Some("")),
        // URLs.
        ("s3://b/p/{day}/*.csv", "s3://b/p/7/a.csv", Some("day=7")),
        ("s3://b/*.csv", "s3://b/a.csv", Some("")),
    ] {
        assert_eq!(
            read(pattern, path).as_deref(),
            expected,
            "{pattern} of {path}"
        );
    }
}

#[test]
fn what_stands_in_front_of_the_first_wildcard_is_fixed() {
    for (text, fixed, depth) in [
        ("/d/e/a.csv", "/d/e/a.csv", Some(0)),
        ("/d/e/*.csv", "/d/e", Some(1)),
        ("/d/{x}/e/*.csv", "/d", Some(3)),
        ("/*.csv", "/", Some(1)),
        ("/d/**/*.csv", "/d", None),
        ("/a[*]b/*.csv", "/a*b", Some(1)),
        ("s3://bucket/p/*.csv", "s3://bucket/p", Some(1)),
        ("s3://bucket", "s3://bucket", Some(0)),
    ] {
        let pattern = pattern(text);
        assert_eq!((pattern.fixed(), pattern.depth()), (fixed, depth), "{text}");
    }
}

#[test]
fn only_directories_that_can_lead_to_a_match_are_walked() {
    for (text, directory, leads) in [
        ("/d/{year}/06/*.csv", "2025", true),
        ("/d/{year}/06/*.csv", "2025/06", true),
        ("/d/{year}/06/*.csv", "2025/07", false),
        ("/d/{year}/06/*.csv", "2025/06/x", false),
        ("/d/*.csv", "x", false),
        ("/d/*/*.csv", "_x", false),
        ("/d/*/*.csv", "_x=1", true),
        ("/d/**/*.csv", "a/b/c", true),
        ("/d/**/*.csv", "a/.git/c", false),
        ("/d/**/_x/*.csv", "a/_x", true),
        ("/d/**/_x/*.csv", "a/.x", false),
    ] {
        assert_eq!(
            pattern(text).may_lead_through(directory),
            leads,
            "{text} through {directory}"
        );
    }
}

#[test]
fn what_is_no_pattern_says_why() {
    for (text, message) in [
        ("/d/[ab.csv", "a `[` in `[ab.csv` is not closed"),
        ("/d/[].csv", "a `[` in `[].csv` is not closed"),
        (
            "/d/[c-a].csv",
            "the range `c-a` in `[c-a].csv` runs backwards",
        ),
        ("/d/{a.csv", "a `{` in `{a.csv` is not closed"),
        ("/d/{a/b}.csv", "a `{` in `{a` is not closed"),
        ("/d/{}.csv", "`{}` does not name a piece of the path"),
        ("/d/{a,b}.csv", "`{a,b}` does not name a piece of the path"),
        ("/d/{1a}.csv", "`{1a}` does not name a piece of the path"),
        ("/d/{a}/{a}.csv", "`{a}` is in the path twice"),
        (
            "/d/a**.csv",
            "`**` stands beside something else in `a**.csv`",
        ),
    ] {
        let problem = Pattern::parse(text).unwrap_err();
        assert_eq!(problem.message, message, "{text}");
        assert!(problem.help.is_some(), "{text}");
    }
}

/// A name that is neither hidden nor unfinished, in characters with and without a meaning.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Zé0-9 \\[\\]{}*?!^&.+()|$\\\\-]{1,12}".prop_filter("hidden or unfinished", |name| {
        !is_hidden(name) && !is_unfinished(name) && !name.contains("**")
    })
}

/// A name as a pattern takes it literally.
fn escaped(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '*' | '?' | '[' | '{' => format!("[{c}]"),
            other => other.to_string(),
        })
        .collect()
}

/// A name, with the piece between two places replaced by what `kind` says.
fn varied(name: &str, places: (usize, usize), kind: u8, number: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    let (a, b) = (
        places.0 % (characters.len() + 1),
        places.1 % (characters.len() + 1),
    );
    let (from, to) = (a.min(b), a.max(b));
    let piece = |range: &[char]| escaped(&range.iter().collect::<String>());
    let middle = match kind % 5 {
        0 => "*".to_owned(),
        1 => "?".repeat(to - from),
        2 if to > from => format!("{{v{number}}}"),
        3 if to > from && !['!', ']', '-'].contains(&characters[from]) => {
            format!(
                "[{}x]{}",
                characters[from],
                piece(&characters[from + 1..to])
            )
        }
        _ => piece(&characters[from..to]),
    };
    format!(
        "{}{middle}{}",
        piece(&characters[..from]),
        piece(&characters[to..])
    )
}

proptest! {
    #[test]
    fn a_pattern_made_of_a_path_takes_it(
        parts in prop::collection::vec((name(), any::<(usize, usize)>(), any::<u8>()), 1..6),
        directories in prop::option::of(any::<(usize, usize)>()),
    ) {
        let path: Vec<&str> = parts.iter().map(|(name, ..)| name.as_str()).collect();
        let mut written: Vec<String> = parts
            .iter()
            .enumerate()
            .map(|(n, (name, places, kind))| varied(name, *places, *kind, n))
            .collect();
        if let Some((from, to)) = directories {
            // Some directories of the path, as `**`.
            let (from, to) = (from % written.len(), to % written.len());
            written.splice(from.min(to)..from.max(to), ["**".to_owned()]);
        }
        let text = format!("/base/{}", written.join("/"));
        let pattern = match Pattern::parse(&text) {
            Ok(pattern) => pattern,
            // `*` beside `*`.
            Err(problem) => {
                prop_assert!(problem.message.starts_with("`**`"), "{text}: {}", problem.message);
                return Ok(());
            }
        };
        let whole = format!("/base/{}", path.join("/"));
        let relative = whole.strip_prefix(pattern.fixed());
        prop_assert!(relative.is_some(), "{text} is fixed to {}", pattern.fixed());
        let relative = relative.unwrap_or_default().trim_start_matches('/');
        let values = pattern.matches(relative);
        prop_assert!(values.is_some(), "{text} does not take {whole}");
        for (name, value) in values.unwrap_or_default() {
            let value = value.unwrap_or_default();
            prop_assert!(whole.contains(&value), "{name}={value} of {whole}");
        }
        // Every directory above the file is walked.
        for (at, _) in relative.match_indices('/') {
            prop_assert!(pattern.may_lead_through(&relative[..at]), "{text}: {}", &relative[..at]);
        }
    }

    #[test]
    fn no_text_and_no_path_panics(text in ".*", path in ".*") {
        if let Ok(pattern) = Pattern::parse(&text) {
            let _ = pattern.matches(&path);
            let _ = pattern.may_lead_through(&path);
        }
    }

    #[test]
    fn the_time_for_a_path_does_not_explode(depth in 1_usize..12) {
        // Many `**` and a long path: one that tries all ways would not come back.
        let text = format!("/{}a.csv", "**/x/".repeat(depth));
        let path = format!("{}b.csv", "x/".repeat(200));
        prop_assert_eq!(pattern(&text).matches(&path), None);
    }
}
