//! The next version of a transform: chosen by its tags, written down, tagged and pushed.
//!
//! ```text
//! tags of the remote → what has changed → the next version → commit → tag → one push
//! ```
//!
//! A release is the tag `<name>-v<version>` of a remote, whatever tags there are here. The push
//! moves the branch and makes the tag together, or neither: of two who release at once, the remote
//! takes one, and what the other has written is taken back. `git` does all of that as a program
//! (`git`), with the configuration, the identity and the hooks of whoever calls.
//!
//! Whether the crate has changed is asked of its directory and of what `Cargo.lock` says of
//! dependencies. A crate of the same repository that it is built from is not looked at: to release
//! for its sake, edit the version by hand.

mod changelog;
mod git;
mod manifest;
mod needs;
mod next;
mod tags;
mod written;

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use lake_registry::{Level, Registry, TrustedKeys};
use semver::Version;

use crate::Machine;
use crate::error::{KitError, Result};
use crate::manifest::Package;
use git::Git;
use next::{Asked, Known};
use tags::Tag;
use written::Written;

/// So many files that are in the way are named.
const MOST_FILES: usize = 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct BumpOptions {
    /// What the release brings, where somebody has said so; a minor one otherwise.
    pub level: Option<Level>,
    /// The remote whose tags count.
    pub remote: String,
    /// The branch of the remote that the release is committed to.
    pub branch: String,
    /// Whether branch and tag are pushed.
    pub push: bool,
    /// Whether nothing is changed.
    pub dry_run: bool,
    /// Libraries that were built elsewhere, by target triple; for the comparison.
    pub libraries: Vec<(String, PathBuf)>,
}

/// Published releases, with which the crate is compared.
#[derive(Debug)]
pub struct Published<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The keys that are trusted for what is in it.
    pub trusted: &'a TrustedKeys,
}

/// What became of a transform's next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bump {
    /// The transform.
    pub name: String,
    /// The last version that is tagged or published; `None` before the first.
    pub previous: Option<Version>,
    /// The version that the crate has now; where nothing was released, the last one.
    pub version: Version,
    /// Its tag.
    pub tag: String,
    /// What the version promises; `None` where none was chosen, as for the first.
    pub level: Option<Level>,
    /// How it ended.
    pub outcome: BumpOutcome,
    /// Whether the remote has it because of this.
    pub pushed: bool,
    /// Why it is this version, in sentences.
    pub why: Vec<String>,
    /// The files that the release changes, in the repository.
    pub files: Vec<PathBuf>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BumpOutcome {
    /// The version is written, committed and tagged.
    Tagged,
    /// It would be.
    Planned,
    /// This commit has a tag already.
    AlreadyTagged,
    /// The crate is what it was when it was tagged the last time.
    NothingToRelease,
}

/// Gives the transform whose crate is in `directory` its next version.
///
/// # Errors
/// [`KitError::Git`] where git refuses something or somebody else was faster, and
/// [`KitError::Crate`] where the version cannot be written down. Nothing is left behind then,
/// neither here nor in the remote.
pub async fn bump(
    directory: &Path,
    options: &BumpOptions,
    published: Option<&Published<'_>>,
    now: DateTime<Utc>,
    machine: &Machine,
) -> Result<Bump> {
    for (what, value) in [("remote", &options.remote), ("branch", &options.branch)] {
        if value.is_empty() || value.starts_with('-') {
            return Err(KitError::usage(format!("{value:?} is no name of a {what}")));
        }
    }
    let package = Package::read(directory)?;
    let repository = Repository::open(&package, options)?;
    if let Some(tag) = repository.tag_of_head()? {
        return repository.already_tagged(tag);
    }
    repository.check()?;
    let mut why = Vec::new();
    let latest = tags::latest(&repository.tags).cloned();
    if let Some(tag) = &latest {
        repository.fetch(tag)?;
        repository.follows(tag, &mut why)?;
        if repository.is_unchanged_since(tag)? {
            return Ok(repository.nothing_to_release(tag));
        }
    }
    let needs = match published {
        Some(published) => needs::of(&package, published, options, now, machine).await?,
        None => needs::Needs::default(),
    };
    let next = next::next(&Known {
        tagged: repository.tags.iter().map(|tag| &tag.version).collect(),
        published: &needs.published,
        written: &package.semver()?,
        asked: options.level.map_or(Asked::Nothing, Asked::For),
        needs: needs.since.as_ref(),
    });
    why.extend(next.why);
    why.extend(needs.changes.iter().map(ToString::to_string));
    let mut bump = Bump {
        name: package.name.clone(),
        previous: next.previous,
        tag: tags::name(&package.name, &next.version),
        version: next.version,
        level: next.level,
        outcome: BumpOutcome::Planned,
        pushed: false,
        why,
        files: Vec::new(),
    };
    let subjects = match &latest {
        Some(tag) => repository.subjects_since(tag)?,
        None => vec!["The first release.".to_owned()],
    };
    let release = Release::of(&repository, &bump.version, now, &subjects)?;
    bump.files = release.files(&repository.top);
    if options.dry_run {
        return Ok(bump);
    }
    repository.refuse_other_tag(&bump.tag)?;
    release.make(&repository, &bump)?;
    bump.outcome = BumpOutcome::Tagged;
    bump.pushed = options.push;
    Ok(bump)
}

/// The repository that a crate is in, and what its remote has.
struct Repository<'a> {
    git: Git,
    /// The same, in the directory of `Cargo.lock`.
    workspace: Git,
    package: &'a Package,
    options: &'a BumpOptions,
    /// The repository's directory.
    top: PathBuf,
    head: String,
    tags: Vec<Tag>,
    /// Whether `Cargo.lock` is under version control.
    has_lock: bool,
}

impl<'a> Repository<'a> {
    fn open(package: &'a Package, options: &'a BumpOptions) -> Result<Self> {
        let git = Git::at(&package.directory);
        let workspace = Git::at(&package.workspace);
        let Some(top) = git.said_if_any(&["rev-parse", "--show-toplevel"])? else {
            return Err(KitError::git(format!(
                "{} is in no git repository, and versions are tags of one",
                package.directory.display()
            )));
        };
        let Some(head) = git.said_if_any(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?
        else {
            return Err(KitError::git("there is no commit yet: commit the crate"));
        };
        let has_lock = workspace.holds(&["ls-files", "--error-unmatch", "Cargo.lock"])?;
        let mut repository = Self {
            git,
            workspace,
            package,
            options,
            top: top.into(),
            head,
            tags: Vec::new(),
            has_lock,
        };
        repository.tags = repository.remote_tags()?;
        Ok(repository)
    }

    /// The remote as it can be told: a URL can have a token in it.
    fn remote(&self) -> String {
        lake_run::shown(&self.options.remote)
    }

    fn remote_tags(&self) -> Result<Vec<Tag>> {
        let (remote, name) = (&self.options.remote, &self.package.name);
        let pattern = format!("refs/tags/{}*", tags::prefix(name));
        let listed = self.git.ask(
            &format!(
                "the tags of the remote {} cannot be read (name another one with --remote)",
                self.remote()
            ),
            &["ls-remote", "--tags", "--", remote, &pattern],
        )?;
        Ok(tags::parse(&listed, name))
    }

    /// The tag of this commit, in the remote or here alone.
    fn tag_of_head(&self) -> Result<Option<Tag>> {
        let here = self.git.ask(
            "the tags of this commit cannot be read",
            &["tag", "--points-at", &self.head],
        )?;
        let name = &self.package.name;
        let here = here.lines().filter_map(|tag| {
            let version = tags::version(tag, name)?;
            Some(Tag::new(tag, version, &self.head))
        });
        let there = self.tags.iter().filter(|tag| tag.commit == self.head);
        let all = there.cloned().chain(here);
        Ok(all.max_by(|one, other| one.version.cmp(&other.version)))
    }

    fn already_tagged(&self, tag: Tag) -> Result<Bump> {
        let there = self.tags.iter().find(|known| known.name == tag.name);
        if let Some(other) = there.filter(|known| known.commit != self.head) {
            let short = other.commit.get(..10).unwrap_or(&other.commit);
            return Err(KitError::git(format!(
                "{0} is this commit here, and {short} in {1}: somebody else has released it meanwhile; \
                 take yours back (git tag --delete {0}), bring this branch up to date (git pull \
                 --rebase {1} {2}), and run this again",
                tag.name,
                self.remote(),
                self.options.branch
            )));
        }
        let mut why = vec![format!("this commit is tagged {} already", tag.name)];
        let mut pushed = false;
        if self.options.push && !self.options.dry_run && there.is_none() {
            self.may_push()?;
            self.push(&tag.name)?;
            why.push(format!("{} did not have it", self.remote()));
            pushed = true;
        }
        Ok(Bump {
            outcome: BumpOutcome::AlreadyTagged,
            pushed,
            why,
            ..self.of_tag(&tag)
        })
    }

    fn nothing_to_release(&self, tag: &Tag) -> Bump {
        Bump {
            outcome: BumpOutcome::NothingToRelease,
            previous: Some(tag.version.clone()),
            why: vec![format!(
                "nothing of the crate has changed since {}",
                tag.name
            )],
            ..self.of_tag(tag)
        }
    }

    /// The state in which nothing is done because of a tag.
    fn of_tag(&self, tag: &Tag) -> Bump {
        let before = self.tags.iter().map(|other| &other.version);
        let before = before.filter(|version| version.pre.is_empty() && **version < tag.version);
        Bump {
            name: self.package.name.clone(),
            previous: before.max().cloned(),
            version: tag.version.clone(),
            tag: tag.name.clone(),
            level: None,
            outcome: BumpOutcome::NothingToRelease,
            pushed: false,
            why: Vec::new(),
            files: Vec::new(),
        }
    }

    /// What has to hold before anything is written.
    fn check(&self) -> Result<()> {
        let read = "the state of the working tree cannot be read";
        let status = ["status", "--porcelain", "--untracked-files=all", "--"];
        let mut changed = self.git.ask(read, &[&status[..], &["."]].concat())?;
        if self.has_lock && self.package.workspace != self.package.directory {
            let status = [&status[..], &["Cargo.lock"]].concat();
            changed.push_str(&self.workspace.ask(read, &status)?);
        }
        let changed: Vec<&str> = changed.lines().filter_map(|line| line.get(3..)).collect();
        if !changed.is_empty() {
            let named: Vec<&str> = changed.iter().take(MOST_FILES).copied().collect();
            let more = match changed.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(KitError::git(format!(
                "files of the crate are not committed: {}{more}; a version is a commit, so commit \
                 them, put them away (git stash), or have git ignore them",
                named.join(", ")
            )));
        }
        if self.options.push {
            self.may_push()?;
        }
        Ok(())
    }

    /// A branch that somebody works on is not pushed under the name of another one.
    fn may_push(&self) -> Result<()> {
        let on = self
            .git
            .said_if_any(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        match on {
            Some(on) if on != self.options.branch => Err(KitError::git(format!(
                "this is the branch {on}, and a release is pushed to {}: check that out, or name the \
                 branch with --branch",
                self.options.branch
            ))),
            _ => Ok(()),
        }
    }

    /// Brings the commit of a tag here, and no tag: those that are here stay what they are.
    fn fetch(&self, tag: &Tag) -> Result<()> {
        let commit = format!("{}^{{commit}}", tag.commit);
        if self.git.holds(&["cat-file", "-e", &commit])? {
            return Ok(());
        }
        let reference = format!("refs/tags/{}", tag.name);
        self.fetch_quietly(&["--", &self.options.remote, &reference])
    }

    fn fetch_quietly(&self, arguments: &[&str]) -> Result<()> {
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        let failed = format!("nothing can be fetched of the remote {}", self.remote());
        self.git.ask(&failed, &[&fetch[..], arguments].concat())?;
        Ok(())
    }

    /// Refuses to release what does not follow the last release.
    fn follows(&self, tag: &Tag, why: &mut Vec<String>) -> Result<()> {
        let is_behind = ["merge-base", "--is-ancestor", &tag.commit, &self.head];
        if self.git.holds(&is_behind)? {
            return Ok(());
        }
        let short = tag.commit.get(..10).unwrap_or(&tag.commit);
        let parent = format!("{}^", tag.commit);
        let parent = ["rev-parse", "--verify", "--quiet", &parent];
        if self.git.said_if_any(&parent)?.as_ref() == Some(&self.head) {
            return Err(KitError::git(format!(
                "this commit was released already, as {}, whose commit {short} follows it; nothing \
                 was tagged",
                tag.name
            )));
        }
        let shallow = ["rev-parse", "--is-shallow-repository"];
        let mut is_shallow = self.git.said_if_any(&shallow)?.as_deref() == Some("true");
        if is_shallow && !self.options.dry_run {
            let whole = self.fetch_quietly(&["--unshallow", "--", &self.options.remote]);
            if whole.is_ok() && self.git.holds(&is_behind)? {
                return Ok(());
            }
            is_shallow = self.git.said_if_any(&shallow)?.as_deref() == Some("true");
        }
        if is_shallow {
            why.push(format!(
                "the history of this clone is cut off, so that nobody can see whether {} is behind \
                 this commit, and the changelog may lack commits; `git fetch --unshallow` (GIT_DEPTH: \
                 0 in GitLab) brings it",
                tag.name
            ));
            return Ok(());
        }
        Err(KitError::git(format!(
            "{} is not behind this commit: somebody released {short} from elsewhere; bring this \
             branch up to date (git pull --rebase {} {}) and run this again; nothing was tagged",
            tag.name,
            self.remote(),
            self.options.branch
        )))
    }

    fn is_unchanged_since(&self, tag: &Tag) -> Result<bool> {
        let same = ["diff", "--quiet", &tag.commit, &self.head, "--", "."];
        if !self.git.holds(&same)? {
            return Ok(false);
        }
        if !self.has_lock {
            return Ok(true);
        }
        let lock_of = |commit: &str| {
            let file = format!("{commit}:./Cargo.lock");
            self.workspace.said_if_any(&["show", &file])
        };
        let (before, now) = (lock_of(&tag.commit)?, lock_of(&self.head)?);
        Ok(before.map(|text| manifest::dependencies(&text))
            == now.map(|text| manifest::dependencies(&text)))
    }

    /// The first lines of the commits that touch the crate, newest first.
    fn subjects_since(&self, tag: &Tag) -> Result<Vec<String>> {
        let range = format!("{}..{}", tag.commit, self.head);
        let log = ["log", "--no-merges", "--format=%s", &range, "--", "."];
        let said = self.git.ask("the history cannot be read", &log)?;
        // Commits of releases, such as pre-releases, say nothing new.
        let name = &self.package.name;
        let is_release = |subject: &str| {
            let version = subject.strip_prefix(name.as_str());
            version.is_some_and(|version| version.trim().parse::<Version>().is_ok())
        };
        let subjects = said.lines().filter(|subject| !is_release(subject));
        Ok(subjects.map(str::to_owned).collect())
    }

    /// A tag that is only here would be in the way.
    fn refuse_other_tag(&self, tag: &str) -> Result<()> {
        let reference = format!("refs/tags/{tag}");
        let found = ["rev-parse", "--verify", "--quiet", &reference];
        match self.git.said_if_any(&found)? {
            None => Ok(()),
            Some(_) => Err(KitError::git(format!(
                "there is a tag {tag} here that the remote {} does not have, on another commit; push \
                 it, or take it away with `git tag -d {tag}`",
                self.remote()
            ))),
        }
    }

    /// Pushes branch and tag, both or none.
    fn push(&self, tag: &str) -> Result<()> {
        let BumpOptions { remote, branch, .. } = self.options;
        let here = format!("HEAD:refs/heads/{branch}");
        let reference = format!("refs/tags/{tag}");
        let push = ["push", "--atomic", "--no-follow-tags", "--"];
        let push = [&push[..], &[remote.as_str(), &here, &reference]].concat();
        let remote = self.remote();
        let doing = format!("the remote {remote} did not take {tag} and the branch {branch}");
        let Err(refused) = self.git.ask(&doing, &push) else {
            return Ok(());
        };
        // An answer can be lost on the way, so what the remote has decides.
        let own = self.git.said_if_any(&["rev-parse", &reference])?;
        let Ok(there) = self.remote_tags() else {
            return Err(KitError::git(format!(
                "{refused}\nand it does not say whether it has the tag: run this again"
            )));
        };
        match there.iter().find(|known| known.name == tag) {
            Some(known) if Some(&known.object) == own.as_ref() => Ok(()),
            Some(_) => Err(KitError::git(format!(
                "somebody else was faster, and has tagged {tag} meanwhile; bring this branch up to \
                 date (git pull --rebase {remote} {branch}) and run this again\n{refused}"
            ))),
            None => Err(KitError::git(format!(
                "{refused}\nIf it has moved on, bring this branch up to date (git pull --rebase {remote} \
                 {branch}) and run this again"
            ))),
        }
    }
}

/// What a release writes down.
struct Release {
    /// The files, and what they say afterwards.
    texts: Vec<(PathBuf, String)>,
    /// What is new, for the tag.
    notes: String,
}

impl Release {
    fn of(
        repository: &Repository<'_>,
        version: &Version,
        now: DateTime<Utc>,
        subjects: &[String],
    ) -> Result<Self> {
        let package = repository.package;
        let mut texts = Vec::new();
        let mut change = |path: PathBuf, text: String, before: Option<String>| {
            if before.as_ref() != Some(&text) {
                texts.push((path, text));
            }
        };
        let path = package.manifest();
        let before = read(&path)?;
        let text = manifest::with_version(&before, version);
        let text = text.map_err(|message| KitError::Crate {
            path: path.clone(),
            message,
        })?;
        change(path, text, Some(before));
        let path = package.directory.join("CHANGELOG.md");
        let before = path.is_file().then(|| read(&path)).transpose()?;
        let date = now.date_naive();
        let changelog = changelog::with(before.as_deref(), version, date, subjects);
        change(path, changelog.text, before);
        if repository.has_lock {
            let path = package.workspace.join("Cargo.lock");
            let before = read(&path)?;
            if let Some(text) = manifest::lock_with_version(&before, &package.name, version) {
                change(path, text, Some(before));
            }
        }
        Ok(Self {
            texts,
            notes: changelog.section,
        })
    }

    fn files(&self, top: &Path) -> Vec<PathBuf> {
        let files = self.texts.iter().map(|(path, _)| {
            let relative = path.strip_prefix(top);
            relative.unwrap_or(path).to_owned()
        });
        files.collect()
    }

    /// Writes, commits, tags and pushes, or takes back what of it was done.
    fn make(&self, repository: &Repository<'_>, bump: &Bump) -> Result<()> {
        let git = &repository.git;
        git.identity()?;
        let mut written = Written::new(git, &repository.head);
        let done = self.steps(repository, bump, &mut written);
        done.map_err(|error| written.take_back(error))
    }

    fn steps(
        &self,
        repository: &Repository<'_>,
        bump: &Bump,
        written: &mut Written<'_>,
    ) -> Result<()> {
        let title = format!("{} {}", bump.name, bump.version);
        for (path, text) in &self.texts {
            written.write(path, text)?;
        }
        written.commit(&title)?;
        written.tag(&bump.tag, &title, &self.notes)?;
        match repository.options.push {
            true => repository.push(&bump.tag),
            false => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(KitError::io(path))
}
