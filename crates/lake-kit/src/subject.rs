//! A transform under test, and pipelines for it that are thrown away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lake_pipeline::{Overrides, Pipeline, TransformRef};
use lake_plugin::Declaration;
use lake_run::{Process, Profile, Releases, Root, Settings, Stores};
use serde_json::json;

use crate::{Machine, clock};

/// A transform under test: where a pipeline finds it, and what it declares.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) transform: TransformRef,
    pub(crate) releases: Releases,
    pub(crate) declaration: Declaration,
    /// Where libraries are kept that a pipeline loads.
    pub(crate) cache: PathBuf,
}

impl Subject {
    /// A pipeline that runs the transform in the directory `scratch`, with raw files from
    /// `files/*/**/<input>.*` there, at the time at which [`clock`] stands. It is made as text, so
    /// that the values of parameters are read as they are in any pipeline file.
    pub(crate) fn settings(
        &self,
        params: &BTreeMap<String, String>,
        scratch: &Path,
        machine: &Machine,
    ) -> Result<Settings, String> {
        let inputs: serde_json::Map<_, _> = self
            .declaration
            .inputs
            .iter()
            .map(|input| {
                let path = format!("files/*/**/{}.*", input.name);
                (input.name.clone(), json!({ "path": path }))
            })
            .collect();
        let written = json!({
            "name": "golden",
            "transform": { "name": self.transform.name, "version": "*" },
            "root": "lake",
            "inputs": inputs,
            "limits": { "rejected": "100%" },
        });
        let file = scratch.join("pipeline.yaml");
        let overrides = Overrides::default();
        let text = written.to_string();
        let parsed = lake_pipeline::parse(&text, &file, scratch, &|_| None, &overrides);
        let pipeline = Pipeline {
            transform: TransformRef {
                params: params.clone(),
                ..self.transform.clone()
            },
            ..parsed.map_err(|faults| faults.to_string())?
        };
        let stores = Stores::default();
        Ok(Settings {
            root: Root::open(&pipeline.root, &stores).map_err(|e| e.to_string())?,
            stores,
            pipeline,
            file,
            cache: self.cache.clone(),
            profile: Profile::Dev,
            releases: self.releases.clone(),
            clock: clock::now,
            host: machine.host.clone(),
            threads: machine.threads,
            progress: Arc::default(),
            process: Process::default(),
            wait: false,
            accept_loss: Vec::new(),
        })
    }
}
