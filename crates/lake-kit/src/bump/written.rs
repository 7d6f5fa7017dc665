//! What a release has written here, which can be taken back until the remote has it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bump::git::Git;
use crate::error::{KitError, Result};

/// Files, a commit and a tag that nobody else has seen yet.
#[derive(Debug)]
pub(super) struct Written<'a> {
    git: &'a Git,
    /// The commit on which all of it stands.
    head: &'a str,
    /// The files, and what was in them; `None` where there was none.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
    is_committed: bool,
    tag: Option<String>,
}

impl<'a> Written<'a> {
    pub(super) fn new(git: &'a Git, head: &'a str) -> Self {
        Self {
            git,
            head,
            files: Vec::new(),
            is_committed: false,
            tag: None,
        }
    }

    pub(super) fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let failed = || KitError::io(path);
        let before = match path.is_file() {
            true => Some(fs::read(path).map_err(failed())?),
            false => None,
        };
        self.files.push((path.to_owned(), before));
        fs::write(path, text).map_err(failed())
    }

    /// Commits the files, and nothing else that may lie in the index. Where there are none, the
    /// commit is there already.
    pub(super) fn commit(&mut self, title: &str) -> Result<()> {
        let names = self.names();
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let failed = "the new version cannot be committed";
        let add = ["add", "--"];
        self.git.ask(failed, &[&add[..], &names].concat())?;
        let commit = ["commit", "--quiet", "--message", title, "--only", "--"];
        self.git.ask(failed, &[&commit[..], &names].concat())?;
        self.is_committed = true;
        Ok(())
    }

    /// Makes an annotated tag of the commit. No two are the same: of two processes that release the
    /// same commit in the same second, under the same name, the remote has to take only one.
    pub(super) fn tag(&mut self, name: &str, title: &str, notes: &str) -> Result<()> {
        // Headings begin as comments of git do.
        let mut tag = vec![
            "tag",
            "--annotate",
            "--cleanup=whitespace",
            "--message",
            title,
        ];
        if !notes.is_empty() {
            tag.extend(["--message", notes]);
        }
        let attempt = format!("Attempt: {}", uuid::Uuid::new_v4());
        tag.extend(["--message", &attempt]);
        tag.extend(["--", name]);
        self.git.ask("the version cannot be tagged", &tag)?;
        self.tag = Some(name.to_owned());
        Ok(())
    }

    /// Takes everything back because of an error; gives the error, with what could not be.
    pub(super) fn take_back(self, error: KitError) -> KitError {
        match self.undo() {
            Ok(()) => match error {
                KitError::Git { message } => KitError::git(format!(
                    "{message}\nNothing of the new version is left here."
                )),
                other => other,
            },
            Err(left) => {
                let mut commands = Vec::new();
                if let Some(tag) = &self.tag {
                    commands.push(format!("git tag --delete {tag}"));
                }
                commands.push(format!("git reset --soft {}", self.head));
                let names = self.names().join(" ");
                commands.push(format!("git checkout {} -- {names}", self.head));
                KitError::git(format!(
                    "{error}\nNot all that was written here could be taken back ({left}). This does it, and \
                     leaves everything else as it is:\n  {}",
                    commands.join("\n  ")
                ))
            }
        }
    }

    fn undo(&self) -> Result<()> {
        if let Some(tag) = &self.tag {
            let delete = ["tag", "--delete", tag];
            self.git.ask("the tag cannot be deleted", &delete)?;
        }
        let failed = "the commit cannot be undone";
        if self.is_committed {
            self.git
                .ask(failed, &["reset", "--quiet", "--soft", self.head])?;
        }
        for (path, before) in &self.files {
            let restored = match before {
                Some(before) => fs::write(path, before),
                None if path.is_file() => fs::remove_file(path),
                None => Ok(()),
            };
            restored.map_err(KitError::io(path))?;
        }
        let names = self.names();
        if !names.is_empty() {
            let names = names.iter().map(String::as_str);
            let reset = ["reset", "--quiet", self.head, "--"];
            let reset: Vec<&str> = reset.into_iter().chain(names).collect();
            self.git.ask(failed, &reset)?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let files = self.files.iter();
        files.map(|(path, _)| path.display().to_string()).collect()
    }
}
