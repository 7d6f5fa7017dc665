//! Settings that come from the command line instead of the file.

/// What the flags of a command say about settings.
///
/// A flag wins over a variable (`LAKE_ROOT`, `LAKE_INPUT_<NAME>`,
/// `LAKE_PARAM_<NAME>`, …), which wins over the file. A value that is overridden is not looked at, so
/// `root: ${LAKE_ROOT}` is fine without the variable where `--root` is given.
/// Relative paths in flags and variables start from the working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--root PATH`.
    pub root: Option<String>,
    /// `--input NAME=PATH`, as name and path.
    pub inputs: Vec<(String, String)>,
    /// `--set KEY=VALUE`, as dotted key and value. Inputs have to be in the
    /// file; parameters (`transform.params.<name>`) need not.
    pub set: Vec<(String, String)>,
}

/// One overriding value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The dotted key of the setting.
    pub(crate) key: String,
    /// What it is set to.
    pub(crate) value: String,
    /// The flag or variable, as messages name it.
    pub(crate) origin: String,
}

impl Overrides {
    /// Every flag as one list, in the order in which messages should name them.
    pub(crate) fn given(&self) -> Vec<Given> {
        let root = self.root.iter().map(|value| Given {
            key: "root".to_owned(),
            value: value.clone(),
            origin: "--root".to_owned(),
        });
        let inputs = self.inputs.iter().map(|(name, value)| Given {
            key: format!("inputs.{name}.path"),
            value: value.clone(),
            origin: format!("--input {name}"),
        });
        let set = self.set.iter().map(|(key, value)| Given {
            key: key.clone(),
            value: value.clone(),
            origin: format!("--set {key}"),
        });
        root.chain(inputs).chain(set).collect()
    }
}
