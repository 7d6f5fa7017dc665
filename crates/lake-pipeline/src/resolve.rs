//! The file, the flags and the variables together, to a plan or its faults.

mod inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Faults, Place, Problem};
use crate::interpolate;
use crate::overrides::{Given, Overrides};
use crate::phrases::{about, members, named, one_value, unknown_flag, unknown_key, what_it_is};
use crate::pipeline::{Limits, Pipeline, TransformRef};
use crate::settings::{self, NameRule, Plain, Scalar, Setting, Shape, dotted};
use crate::yaml::{self, Content, Entry, Kind, Node};

/// Checks a pipeline file and resolves it to a plan.
///
/// - `source` is the text of `file`, which has an absolute path; relative paths
///   in the text start from its directory.
/// - `working_dir` is absolute too; relative paths in flags and variables start
///   from it.
/// - `environment` looks a variable up. An empty `LAKE_…` counts as not set.
/// - `overrides` are the flags.
///
/// # Errors
///
/// Everything that is wrong, at once. Text that is not YAML is reported alone,
/// as its keys and values cannot be known.
pub fn parse(
    source: &str,
    file: &Path,
    working_dir: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Pipeline, Faults> {
    let mut resolver = Resolver {
        source: source.strip_prefix('\u{feff}').unwrap_or(source),
        file: file.strip_prefix(working_dir).unwrap_or(file),
        file_dir: file.parent().unwrap_or(file),
        working_dir,
        environment,
        flags: BTreeMap::new(),
        faults: Vec::new(),
    };
    match resolver.pipeline(overrides) {
        Some(pipeline) if resolver.faults.is_empty() => Ok(pipeline),
        _ => Err(Faults::new(resolver.faults)),
    }
}

struct Resolver<'a> {
    source: &'a str,
    /// The file as messages show it.
    file: &'a Path,
    file_dir: &'a Path,
    working_dir: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// The flags that name a known setting, by dotted key.
    flags: BTreeMap<String, Given>,
    faults: Vec<Fault>,
}

/// A mapping of the file, or the place where it should have been.
struct Section<'n> {
    /// Its dotted key.
    key: String,
    /// The name of the input that it describes.
    input: Option<&'n str>,
    /// Where it is, or would be: what it lacks is reported there.
    at: usize,
    entries: &'n [Entry],
    /// Whether its own shape was reported, so that nothing is missing in it.
    reported: bool,
}

impl<'a> Resolver<'a> {
    /// The whole story. `None` only where a fault has been noted.
    fn pipeline(&mut self, overrides: &Overrides) -> Option<Pipeline> {
        let root = self.document()?;
        let file = self.file_section(&root)?;
        self.accept_flags(overrides, &file);

        let name = self.read(&file, &settings::NAME);
        let description = self.read(&file, &settings::DESCRIPTION);
        let transform = self.transform(&file);
        let root = self.read(&file, &settings::ROOT);
        let inputs = self.inputs(&file);
        let limits = self.limits(&file);
        let schedule = self.read(&file, &settings::SCHEDULE);
        let rollback_window = self.read(&file, &settings::ROLLBACK_WINDOW);
        Some(Pipeline {
            name: name?,
            description,
            transform: transform?,
            root: root?,
            inputs,
            limits,
            schedule,
            rollback_window: rollback_window.unwrap_or_default(),
        })
    }

    fn document(&mut self) -> Option<Node> {
        let document = match yaml::read(self.source) {
            Ok(document) => document,
            Err(found) => {
                self.fault_at(found.at, found.problem);
                return None;
            }
        };
        for found in document.problems {
            self.fault_at(found.at, found.problem);
        }
        if document.root.is_none() {
            self.fault_at(
                0,
                Problem::new("the file is empty")
                    .help("a pipeline has at least: name, transform, root, inputs"),
            );
        }
        document.root
    }

    fn file_section<'n>(&mut self, root: &'n Node) -> Option<Section<'n>> {
        let Content::Mapping(entries) = &root.content else {
            if !matches!(root.content, Content::Refused) {
                self.fault_at(
                    root.at,
                    Problem::new(format!(
                        "a pipeline file is a mapping, and this is {}",
                        what_it_is(root)
                    ))
                    .help("start with `name: …`"),
                );
            }
            return None;
        };
        let section = Section {
            key: String::new(),
            input: None,
            at: root.at,
            entries,
            reported: false,
        };
        self.check_keys(&section, &settings::FILE);
        Some(section)
    }

    fn transform(&mut self, file: &Section<'_>) -> Option<TransformRef> {
        let transform = self.open(file, &settings::TRANSFORM);
        let name = self.read(&transform, &settings::TRANSFORM_NAME);
        let version = self.read(&transform, &settings::TRANSFORM_VERSION);
        let path = self.read(&transform, &settings::TRANSFORM_PATH);
        let params = self.params(&transform);
        let registry = self.read(&transform, &settings::REGISTRY);
        let trusted_keys = self.read(&transform, &settings::TRUSTED_KEYS);
        Some(TransformRef {
            name: name?,
            version: version?,
            path,
            params,
            registry,
            trusted_keys,
        })
    }

    fn params(&mut self, transform: &Section<'_>) -> BTreeMap<String, String> {
        let params = self.open(transform, &settings::PARAMS);
        for entry in params.entries {
            self.check_name(&params, entry, &settings::PARAMETER_NAME);
        }
        let prefix = dotted(&params.key, "");
        let added = self
            .flags
            .keys()
            .filter_map(|key| key.strip_prefix(&prefix));
        let in_file = params.entries.iter().map(|entry| entry.key.as_str());
        let names: BTreeSet<String> = in_file.chain(added).map(str::to_owned).collect();
        names
            .into_iter()
            .filter_map(|name| {
                let key = dotted(&params.key, &name);
                let given = self.given(&key, Some(&name), &settings::PARAMETER.setting);
                let entry = find(&params, &name);
                let value = self.value(&key, given, entry, &settings::PARAMETER)?;
                Some((name, value))
            })
            .collect()
    }

    fn limits(&mut self, file: &Section<'_>) -> Limits {
        let limits = self.open(file, &settings::LIMITS);
        Limits {
            memory: self.read(&limits, &settings::MEMORY),
            rejected: self.read(&limits, &settings::REJECTED).unwrap_or_default(),
            max_record_bytes: self
                .read(&limits, &settings::MAX_RECORD_BYTES)
                .unwrap_or(Limits::default().max_record_bytes),
        }
    }
}

/// Mappings.
impl Resolver<'_> {
    /// The mapping of `setting` in `parent`.
    fn open<'n>(&mut self, parent: &Section<'n>, setting: &'static Setting) -> Section<'n> {
        let key = dotted(&parent.key, setting.key);
        match find(parent, setting.key) {
            Some(entry) => self.section(key, None, entry, setting),
            None => {
                // A flag can supply what the file leaves out altogether.
                let prefix = format!("{key}.");
                let supplied = self.flags.keys().any(|flag| flag.starts_with(&prefix));
                let missing = setting.required && !supplied && !parent.reported;
                if missing {
                    self.missing(parent, &key, setting);
                }
                Section {
                    key,
                    input: None,
                    at: parent.at,
                    entries: &[],
                    reported: missing || parent.reported,
                }
            }
        }
    }

    /// The mapping of one input.
    fn open_input<'n>(&mut self, inputs: &Section<'n>, entry: &'n Entry) -> Section<'n> {
        self.check_name(inputs, entry, &settings::INPUT_NAME);
        let key = dotted(&inputs.key, &entry.key);
        self.section(key, Some(&entry.key), entry, &settings::INPUTS)
    }

    /// The mapping behind a key that is there; its keys are checked.
    fn section<'n>(
        &mut self,
        key: String,
        input: Option<&'n str>,
        entry: &'n Entry,
        setting: &'static Setting,
    ) -> Section<'n> {
        let (entries, reported) = match &entry.value.content {
            Content::Mapping(entries) => (entries.as_slice(), false),
            Content::Refused => (&[][..], true),
            _ => {
                let help = format!(
                    "write below it: {}",
                    members(&setting.shape, input.is_some())
                );
                let value = (entry.at, &entry.value);
                self.wrong_type(&key, value, "a mapping of `key: value` lines", &help);
                (&[][..], true)
            }
        };
        let section = Section {
            key,
            input,
            at: entry.at,
            entries,
            reported,
        };
        self.check_keys(&section, setting);
        section
    }

    /// Reports a key that cannot be chosen as a name.
    fn check_name(&mut self, section: &Section<'_>, entry: &Entry, rule: &NameRule) {
        if let Err(problem) = (rule.check)(&entry.key) {
            self.fault_at(entry.at, about(&section.key, problem));
        }
    }

    /// Reports keys that are unknown or given twice.
    fn check_keys(&mut self, section: &Section<'_>, setting: &'static Setting) {
        for (index, entry) in section.entries.iter().enumerate() {
            let earlier = section.entries[..index]
                .iter()
                .find(|earlier| earlier.key == entry.key);
            if let Some(earlier) = earlier {
                let (line, _) = self.position(earlier.at);
                self.fault_at(
                    entry.at,
                    Problem::new(format!(
                        "`{}` is here twice; the first is in line {line}",
                        dotted(&section.key, &entry.key)
                    ))
                    .help("keep one of them"),
                );
            }
            let known: Vec<&str> = match (&setting.shape, section.input) {
                (Shape::Group(members), _) | (Shape::Named { members, .. }, Some(_)) => {
                    members.iter().map(|member| member.key).collect()
                }
                // Any name may be chosen here.
                _ => continue,
            };
            if !known.contains(&entry.key.as_str()) {
                self.fault_at(entry.at, unknown_key(&section.key, &entry.key, &known));
            }
        }
    }

    fn missing(&mut self, parent: &Section<'_>, key: &str, setting: &Setting) {
        let add = match (setting.example, &setting.shape) {
            (Some(example), _) => format!("add it, for example `{}: {example}`", setting.key),
            (None, shape) => format!("add `{}:` with {}", setting.key, members(shape, false)),
        };
        let ways: Vec<String> = setting.ways().map(|way| named(way, parent.input)).collect();
        let help = if ways.is_empty() {
            add
        } else {
            format!("{add}, or set {}", ways.join(" or "))
        };
        self.fault_at(
            parent.at,
            Problem::new(format!("`{key}` is missing")).help(help),
        );
    }
}

/// Single values.
impl Resolver<'_> {
    /// The value of `setting`: of its flag, else its variable, else the file.
    fn read<T>(&mut self, section: &Section<'_>, scalar: &'static Scalar<T>) -> Option<T> {
        let setting = &scalar.setting;
        let key = dotted(&section.key, setting.key);
        let given = self.given(&key, section.input, setting);
        let entry = find(section, setting.key);
        if given.is_none() && entry.is_none() && setting.required && !section.reported {
            self.missing(section, &key, setting);
        }
        self.value(&key, given, entry, scalar)
    }

    /// The value at `key`: what is given for it, else what the file says.
    fn value<T>(
        &mut self,
        key: &str,
        given: Option<Given>,
        entry: Option<&Entry>,
        scalar: &'static Scalar<T>,
    ) -> Option<T> {
        if let Some(given) = given {
            return match (scalar.parse)(&given.value, self.working_dir) {
                Ok(value) => Some(value),
                Err(problem) => {
                    self.fault(Place::Override(given.origin), problem);
                    None
                }
            };
        }
        let entry = entry?;
        self.parsed(key, (entry.at, &entry.value), scalar)
    }

    /// One value that stands in the file: where its key is, and what it is.
    fn parsed<T>(
        &mut self,
        key: &str,
        (at, value): (usize, &Node),
        scalar: &'static Scalar<T>,
    ) -> Option<T> {
        let (text, base) = self.written(key, (at, value), &scalar.setting)?;
        match (scalar.parse)(&text, &base) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault_at(value.at, about(key, problem));
                None
            }
        }
    }

    /// What a flag or variable says about a setting, of the input or parameter
    /// with that name.
    fn given(&self, key: &str, name: Option<&str>, setting: &Setting) -> Option<Given> {
        if let Some(flag) = self.flags.get(key) {
            return Some(flag.clone());
        }
        let origin = named(setting.variable?, name);
        let value = (self.environment)(&origin).filter(|value| !value.is_empty())?;
        Some(Given {
            key: key.to_owned(),
            value,
            origin,
        })
    }

    /// The text in the file, with its variables substituted, and the directory
    /// that it starts from if it is a relative path.
    fn written(
        &mut self,
        key: &str,
        (at, value): (usize, &Node),
        setting: &Setting,
    ) -> Option<(String, PathBuf)> {
        let (plain, expected) = match setting.shape {
            Shape::Scalar { plain, .. } => (plain, plain.in_words()),
            Shape::OneOrMore { .. } => (Plain::Text, "text or a list of it"),
            _ => (Plain::Text, Plain::Text.in_words()),
        };
        let scalar = match &value.content {
            Content::Refused => return None,
            Content::Scalar(scalar) if plain.takes(scalar.kind) => scalar,
            content => {
                let help = match content {
                    Content::Scalar(scalar)
                        if plain == Plain::Text && scalar.kind != Kind::Null =>
                    {
                        format!("put it in quotes: \"{}\"", scalar.text)
                    }
                    _ => one_value(key.rsplit_once('.').map_or(key, |(_, last)| last), setting),
                };
                self.wrong_type(key, (at, value), expected, &help);
                return None;
            }
        };
        match interpolate::expand(&scalar.text, self.environment) {
            Ok(expanded) => {
                let base = if expanded.starts_with_variable {
                    self.working_dir
                } else {
                    self.file_dir
                };
                Some((expanded.text, base.to_owned()))
            }
            Err(problems) => {
                for (offset, problem) in problems {
                    // Behind escapes or folded lines only the start is certain.
                    let at = scalar.verbatim_at.map_or(value.at, |start| start + offset);
                    self.fault_at(at, about(key, problem));
                }
                None
            }
        }
    }

    /// A value of the wrong type, or none. `help` says what to write instead.
    fn wrong_type(&mut self, key: &str, (at, value): (usize, &Node), expected: &str, help: &str) {
        let (at, message) = match &value.content {
            // What is not there has no place of its own.
            Content::Scalar(scalar) if scalar.kind == Kind::Null => {
                (at, format!("`{key}` has no value"))
            }
            _ => {
                let found = what_it_is(value);
                let message = format!("{key}: expected {expected}, found {found}");
                (value.at, message)
            }
        };
        self.fault_at(at, Problem::new(message).help(help));
    }
}

/// Flags.
impl Resolver<'_> {
    /// Keeps the flags that name a setting of this file and reports the others.
    fn accept_flags(&mut self, overrides: &Overrides, file: &Section<'_>) {
        let inputs = match find(file, settings::INPUTS.key).map(|entry| &entry.value.content) {
            Some(Content::Mapping(entries)) => entries.iter().map(|e| e.key.as_str()).collect(),
            _ => Vec::new(),
        };
        let known = settings::scalars(&inputs);
        let params = dotted(settings::TRANSFORM.key, settings::PARAMS.key);
        let params = dotted(&params, "");
        for given in overrides.given() {
            let accepted = match given.key.strip_prefix(&params) {
                // The file need not mention a parameter, so any name will do.
                Some(name) => (settings::PARAMETER_NAME.check)(name),
                None if known.iter().any(|(key, _)| *key == given.key) => Ok(()),
                None => Err(unknown_flag(&given.key, &known, &inputs)),
            };
            if let Err(problem) = accepted {
                self.fault(Place::Override(given.origin), problem);
            } else if let Some(earlier) = self.flags.get(&given.key) {
                let problem = Problem::new(format!(
                    "`{}` is set twice; the first is {}",
                    given.key, earlier.origin
                ))
                .help("keep one of them");
                self.fault(Place::Override(given.origin), problem);
            } else {
                self.flags.insert(given.key.clone(), given);
            }
        }
    }
}

/// Faults and their positions.
impl Resolver<'_> {
    fn fault(&mut self, place: Place, problem: Problem) {
        self.faults.push(problem.at(place));
    }

    fn fault_at(&mut self, at: usize, problem: Problem) {
        let (line, column) = self.position(at);
        let file = self.file.to_owned();
        self.fault(Place::File { file, line, column }, problem);
    }

    /// Line and column of a byte offset, both from 1, the column in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.source.get(..at).unwrap_or(self.source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// The first entry of that key; further ones have been reported.
fn find<'n>(section: &Section<'n>, key: &str) -> Option<&'n Entry> {
    section.entries.iter().find(|entry| entry.key == key)
}
