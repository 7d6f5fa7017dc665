//! `docs/tutorial.md`, done literally: each file is written, each command run, each output compared.
//!
//! What a fenced block is, its first line says:
//!
//! - `sh`: commands for `sh -eu`. The working directory and exported variables last until the next
//!   such block. `exit=2` is the exit code that the last command has to end with.
//! - `text`: what the commands before it print. `…` in a line stands for any text, and alone on a
//!   line for any lines.
//! - `file=PATH`: a file that is written.
//! - `diff file=PATH`: lines of a file that are replaced.
//! - `in=PATH`: lines that a file has, with the same `…`.
//!
//! Any other block is a mistake, so that nothing in the tutorial is left to believe. As a page in a
//! browser does not show these first lines, the text before a block has to name its file.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lake_tests::{binary, target, workspace};

#[test]
fn the_tutorial_works_as_it_is_written() {
    let text = fs::read_to_string(workspace().join("docs/tutorial.md")).unwrap();
    let blocks = blocks(&text);
    let shells = blocks.iter().filter(|block| block.language == "sh").count();
    assert!(shells > 0, "the tutorial has no commands");
    let mut reader = Reader::new();
    let mut wrong = Vec::new();
    for block in &blocks {
        match reader.follow(block) {
            Ok(()) => {}
            Err(Fault::Differs(message)) => wrong.push(message),
            Err(Fault::Stuck(message)) => {
                wrong.push(message);
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/tutorial.md is not what happens (all that was printed is in {}):\n\n{}",
        reader.transcript.display(),
        wrong.join("\n\n")
    );
    fs::remove_dir_all(&reader.desk).unwrap();
}

/// A fenced block of the tutorial.
struct Block {
    /// The line on which its content begins; the first line of the file is 1.
    line: usize,
    language: String,
    attributes: Vec<(String, String)>,
    lines: Vec<String>,
    /// The text before it.
    said: String,
}

impl Block {
    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        let lines = self.lines.iter();
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// What a reader may find.
enum Fault {
    /// Something else is printed, or stands there; the reader goes on.
    Differs(String),
    /// There is no way on.
    Stuck(String),
}

/// Somebody with a shell, `lake`, cargo and an empty directory.
struct Reader {
    /// The directory with everything of this reader; it goes when the tutorial has worked.
    desk: PathBuf,
    /// What the next shell begins with: the working directory, and what was exported.
    state: PathBuf,
    /// Everything that was typed and printed.
    transcript: PathBuf,
    /// The commands that were run last: their line, their text, and what they printed.
    last: Option<(usize, String, Vec<String>)>,
}

impl Reader {
    fn new() -> Self {
        // Outside of the repository, and the same directory every time: what cargo keeps of it is
        // replaced, and does not grow.
        let mut hasher = DefaultHasher::new();
        target().hash(&mut hasher);
        let desk = env::temp_dir().join(format!("lake-tutorial-{:x}", hasher.finish()));
        let _ = fs::remove_dir_all(&desk);
        fs::create_dir_all(desk.join("bin")).unwrap();
        fs::create_dir(desk.join("work")).unwrap();
        symlink(binary(), desk.join("bin/lake")).unwrap();
        let state = desk.join("state.sh");
        fs::write(&state, format!("cd '{}'\n", desk.join("work").display())).unwrap();
        Self {
            transcript: desk.join("transcript.txt"),
            desk,
            state,
            last: None,
        }
    }

    fn follow(&mut self, block: &Block) -> Result<(), Fault> {
        if let Some(file) = block.attribute("file").or(block.attribute("in"))
            && !block.said.contains(&format!("`{file}`"))
        {
            return Err(Fault::Stuck(format!(
                "line {}: the text before this block does not name `{file}`",
                block.line
            )));
        }
        let place = |name| {
            block
                .attribute(name)
                .map(|path| self.directory().join(path))
        };
        match (block.language.as_str(), place("file"), place("in")) {
            ("sh", None, None) => self.run(block),
            ("text", None, None) => self.compare(block),
            ("diff", Some(path), None) => edit(block, &path),
            (_, Some(path), None) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, block.text()).unwrap();
                Ok(())
            }
            (_, None, Some(path)) => contains(block, &path),
            _ => Err(Fault::Stuck(format!(
                "line {}: nothing is known of a block like this",
                block.line
            ))),
        }
    }

    /// Where the reader is.
    fn directory(&self) -> PathBuf {
        let state = fs::read_to_string(&self.state).unwrap();
        let last = state.lines().last().unwrap();
        let path = last.strip_prefix("cd '").and_then(|l| l.strip_suffix('\''));
        PathBuf::from(path.unwrap())
    }

    fn run(&mut self, block: &Block) -> Result<(), Fault> {
        let state = self.state.display();
        let commands = block.text();
        let script = format!(
            "exec 2>&1\n. '{state}'\n{commands}\n\
             {{ export -p; printf \"cd '%s'\\n\" \"$PWD\"; }} >'{state}'\n"
        );
        let mut shell = Command::new("sh");
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("LAKE_") || name.starts_with("CARGO_PROFILE_") {
                shell.env_remove(&*name);
            }
        }
        let path = env::var_os("PATH").unwrap();
        let path = env::join_paths(
            [self.desk.join("bin")]
                .into_iter()
                .chain(env::split_paths(&path)),
        );
        let ended = shell
            .args(["-eu", "-c", &script])
            .env("PATH", path.unwrap())
            .env("LAKE_CACHE", self.desk.join("cache"))
            // What transforms stand on is compiled once for all tests.
            .env("CARGO_TARGET_DIR", target().join("lake-tests/kit"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // A release is built from its own profile; how fast its code is, nothing here asks.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("COLUMNS")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ended.stdout);
        let code = ended.status.code();
        let expected = block.attribute("exit").unwrap_or("0");
        let right = code.map(|code| code.to_string()).as_deref() == Some(expected);
        let result = match right {
            true => Ok(()),
            false => Err(Fault::Stuck(format!(
                "line {}: ends with {code:?} and not with {expected}:\n{commands}{printed}",
                block.line
            ))),
        };
        let mut transcript = OpenOptions::new();
        let mut transcript = transcript
            .create(true)
            .append(true)
            .open(&self.transcript)
            .unwrap();
        write!(transcript, "{}:\n{commands}\n{printed}\n", block.line).unwrap();
        self.last = Some((block.line, commands, trimmed(printed.lines())));
        self.lock_crates();
        result
    }

    /// Gives a crate without a lock the versions that the workspace uses, which have been
    /// downloaded for it. The reader has a network instead.
    fn lock_crates(&self) {
        for place in fs::read_dir(self.desk.join("work")).unwrap() {
            let place = place.unwrap().path();
            let lock = place.join("Cargo.lock");
            if place.join("Cargo.toml").is_file() && !lock.is_file() {
                fs::copy(workspace().join("Cargo.lock"), lock).unwrap();
            }
        }
    }

    fn compare(&self, block: &Block) -> Result<(), Fault> {
        let Some((line, commands, printed)) = &self.last else {
            return Err(Fault::Stuck(format!(
                "line {}: there is no command before",
                block.line
            )));
        };
        let expected = trimmed(block.lines.iter().map(String::as_str));
        match matches(&expected, printed) {
            Ok(()) => Ok(()),
            Err(far) => Err(Fault::Differs(format!(
                "line {}: these commands print something else:\n{commands}\
                 first different: {}\n--- printed (from line {line})\n{}",
                block.line + far,
                Shown(expected.get(far)),
                printed.join("\n")
            ))),
        }
    }
}

/// A line, or that there is none.
struct Shown<'a>(Option<&'a String>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, "`{line}`"),
            None => f.write_str("more is printed than expected"),
        }
    }
}

/// Replaces the lines of a file that begin with `-` and ` ` by those with `+` and ` `.
fn edit(block: &Block, path: &Path) -> Result<(), Fault> {
    let part = |sign: char| -> String {
        let lines = block.lines.iter();
        let kept = lines.filter_map(|line| line.strip_prefix([sign, ' ']).or(none_left(line)));
        kept.map(|line| format!("{line}\n")).collect()
    };
    let (from, to) = (part('-'), part('+'));
    let text = fs::read_to_string(path).unwrap();
    let found = text.matches(&from).count();
    if found != 1 {
        return Err(Fault::Stuck(format!(
            "line {}: {} has these lines {found} times:\n{from}\nit is\n{text}",
            block.line,
            path.display()
        )));
    }
    fs::write(path, text.replacen(&from, &to, 1)).unwrap();
    Ok(())
}

/// An empty line of a diff: editors take away the blank that it begins with.
fn none_left(line: &str) -> Option<&str> {
    line.is_empty().then_some(line)
}

/// That a file has the lines of a block, in one piece.
fn contains(block: &Block, path: &Path) -> Result<(), Fault> {
    let text = fs::read_to_string(path).unwrap();
    let lines = trimmed(text.lines());
    let mut expected = vec!["…".to_owned()];
    expected.extend(trimmed(block.lines.iter().map(String::as_str)));
    expected.push("…".to_owned());
    matches(&expected, &lines).map_err(|far| {
        Fault::Differs(format!(
            "line {}: {} has no such lines; it is\n{text}",
            block.line + far.saturating_sub(1),
            path.display()
        ))
    })
}

/// Lines without blanks at their end, and without empty lines around them.
fn trimmed<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lines: Vec<&str> = lines.map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty());
    let last = lines.iter().rposition(|line| !line.is_empty());
    match (first, last) {
        (Some(first), Some(last)) => lines[first..=last]
            .iter()
            .map(ToString::to_string)
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether lines are as expected; if not, how many of the expected ones are at most.
fn matches(expected: &[String], lines: &[String]) -> Result<(), usize> {
    // The numbers of lines that the expected ones so far can stand for.
    let mut ends = vec![0];
    for (place, wanted) in expected.iter().enumerate() {
        let next: Vec<usize> = match wanted.trim() {
            "…" => (ends[0]..=lines.len()).collect(),
            _ => ends
                .iter()
                .filter(|end| {
                    lines
                        .get(**end)
                        .is_some_and(|line| line_matches(wanted, line))
                })
                .map(|end| end + 1)
                .collect(),
        };
        if next.is_empty() {
            return Err(place);
        }
        ends = next;
    }
    match ends.contains(&lines.len()) {
        true => Ok(()),
        false => Err(expected.len()),
    }
}

/// Whether a line is as expected, where `…` stands for any text.
fn line_matches(wanted: &str, line: &str) -> bool {
    let Some((first, rest)) = wanted.split_once('…') else {
        return wanted.trim_end() == line;
    };
    let Some(mut line) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default().trim_end();
    for part in parts {
        match line.find(part) {
            Some(at) => line = &line[at + part.len()..],
            None => return false,
        }
    }
    line.ends_with(end)
}

/// The fenced blocks of a Markdown file.
fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    let mut said = String::new();
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                let mut words = info.split_whitespace();
                let language = words.next().unwrap_or_default().to_owned();
                let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.into(), v.into()));
                found.push(Block {
                    line: number + 2,
                    language,
                    attributes: words.filter_map(pair).collect(),
                    lines: Vec::new(),
                    said: std::mem::take(&mut said),
                });
            }
            None if open => {
                if let Some(block) = found.last_mut() {
                    block.lines.push(line.to_owned());
                }
            }
            None => said.push_str(line),
        }
    }
    assert!(!open, "the last block has no end");
    found
}

#[test]
fn three_dots_stand_for_any_text_and_any_lines_and_nothing_else_does() {
    let lines = |text: &str| trimmed(text.lines());
    let check = |expected: &str, printed: &str| matches(&lines(expected), &lines(printed));
    assert_eq!(check("a\nb", "a  \nb\n\n"), Ok(()));
    assert_eq!(check("run … in … s", "run 1 in 0.2 s"), Ok(()));
    assert_eq!(check("a\n…\nz", "a\nz"), Ok(()));
    assert_eq!(check("a\n…\ny\n…", "a\nx\ny\nz"), Ok(()));
    assert_eq!(check("a\nb", "a\nc"), Err(1));
    assert_eq!(check("a", "a\nb"), Err(1));
    assert_eq!(check("run … s", "run 1 m"), Err(0));
    assert_eq!(check("a … a", "a "), Err(0));
}
