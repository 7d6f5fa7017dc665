//! The program `git`, asked in one directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::{KitError, Result};

/// `git` in a directory. Arguments are handed over one by one, and no shell reads them.
#[derive(Debug)]
pub(super) struct Git {
    directory: PathBuf,
}

impl Git {
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut git = Command::new("git");
        let output = git.arg("-C").arg(&self.directory).args(arguments).output();
        output.map_err(|e| KitError::git(format!("git cannot be run ({e}); install it")))
    }

    /// What git prints. `failed` says what it means where it does not work.
    pub(super) fn ask(&self, failed: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(KitError::git(format!("{failed}:\n{}", said(&output))))
    }

    /// What git prints, without the end of the line; `None` where it says no.
    pub(super) fn said_if_any(&self, arguments: &[&str]) -> Result<Option<String>> {
        let output = self.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(output
            .status
            .success()
            .then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Whether git says yes.
    pub(super) fn holds(&self, arguments: &[&str]) -> Result<bool> {
        Ok(self.run(arguments)?.status.success())
    }

    /// That commits and tags can be made in somebody's name.
    pub(super) fn identity(&self) -> Result<()> {
        for who in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            let output = self.run(&["var", who])?;
            if !output.status.success() {
                return Err(KitError::git(format!(
                    "git does not know in whose name it commits; set it with `git config user.name \
                     \"Your Name\"` and `git config user.email you@example.com`, or as \
                     GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL:\n{}",
                    said(&output)
                )));
            }
        }
        Ok(())
    }
}

/// What git complained about, without passwords: a remote can be a URL with a token in it.
fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.trim().is_empty() {
        text = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    hidden(text.trim_end())
}

fn hidden(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    words.map(lake_run::shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_url_of_a_remote_is_not_repeated() {
        let text =
            "fatal: unable to access 'https://oauth2:glpat-secret@git.example.com/a.git/': no\n";
        assert_eq!(
            hidden(text),
            "fatal: unable to access 'https://…@git.example.com/a.git/': no\n"
        );
    }
}
