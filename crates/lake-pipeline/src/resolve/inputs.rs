//! The inputs of a pipeline file.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Resolver, Section, find};
use crate::fault::Problem;
use crate::input::InputSource;
use crate::settings::{self, Scalar, dotted};
use crate::yaml::{Content, Entry};

impl Resolver<'_> {
    pub(super) fn inputs(&mut self, file: &Section<'_>) -> BTreeMap<String, InputSource> {
        let inputs = self.open(file, &settings::INPUTS);
        if inputs.entries.is_empty() && !inputs.reported {
            self.fault_at(
                inputs.at,
                Problem::new("inputs: there is none, and a transform reads at least one")
                    .help("name one: `readings: { path: ../data/*.csv }`"),
            );
        }
        let mut sources = BTreeMap::new();
        for entry in inputs.entries {
            if let Some(source) = self.input(&inputs, entry) {
                sources.entry(entry.key.clone()).or_insert(source);
            }
        }
        sources
    }

    fn input(&mut self, inputs: &Section<'_>, entry: &Entry) -> Option<InputSource> {
        let input = self.open_input(inputs, entry);
        let paths = self.read_some(&input, &settings::PATH);
        let source = InputSource {
            paths: Vec::new(),
            on_change: self.read(&input, &settings::ON_CHANGE).unwrap_or_default(),
            on_empty: self.read(&input, &settings::ON_EMPTY).unwrap_or_default(),
            on_truncated: self
                .read(&input, &settings::ON_TRUNCATED)
                .unwrap_or_default(),
            settle: self
                .read(&input, &settings::SETTLE)
                .unwrap_or(Duration::ZERO),
            done_marker: self.read(&input, &settings::DONE_MARKER),
            expect_every: self.read(&input, &settings::EXPECT_EVERY),
            on_late: self.read(&input, &settings::ON_LATE).unwrap_or_default(),
            order: self.read(&input, &settings::ORDER).unwrap_or_default(),
            max_files: self.read(&input, &settings::MAX_FILES),
            max_bytes: self.read(&input, &settings::MAX_BYTES),
            archive: self.read(&input, &settings::ARCHIVE).unwrap_or_default(),
        };
        Some(InputSource {
            paths: paths?,
            ..source
        })
    }

    /// The values of a setting that takes one or a list of them; a flag or a variable gives one.
    fn read_some<T>(
        &mut self,
        section: &Section<'_>,
        scalar: &'static Scalar<T>,
    ) -> Option<Vec<T>> {
        let key = dotted(&section.key, scalar.setting.key);
        let is_given = self.given(&key, section.input, &scalar.setting).is_some();
        let entry = find(section, scalar.setting.key);
        let items = match entry.map(|entry| &entry.value.content) {
            Some(Content::List(items)) if !is_given => items,
            _ => return self.read(section, scalar).map(|one| vec![one]),
        };
        let at = entry.map_or(section.at, |entry| entry.value.at);
        if items.is_empty() {
            let example = scalar.setting.example.unwrap_or("…");
            self.fault_at(
                at,
                Problem::new(format!("{key}: the list is empty"))
                    .help(format!("name at least one, for example `- {example}`")),
            );
            return None;
        }
        // Each of them is looked at, so that all faults are told.
        let values: Vec<Option<T>> = items
            .iter()
            .map(|item| {
                if let Content::List(_) = item.content {
                    let problem = Problem::new(format!("{key}: a list in a list"));
                    self.fault_at(item.at, problem.help("write its paths beside the others"));
                    return None;
                }
                self.parsed(&key, (item.at, item), scalar)
            })
            .collect();
        values.into_iter().collect()
    }
}
