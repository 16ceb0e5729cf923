//! A run's configuration: a TOML file with the sections `[data]`, `[model]`, `[train]` and `[sample]`, of which only
//! what differs from the defaults is written, and `--set a.b=c` on top.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::IoContext;
use crate::generate::SampleConfig;
use crate::modality::{Layout, Modality};
use crate::model::ModelConfig;
use crate::train::TrainConfig;
use crate::{Error, Result};

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is learned.
    pub data: DataConfig,
    /// The hierarchy of transformers.
    pub model: ModelConfig,
    /// How it is trained.
    #[serde(default)]
    pub train: TrainConfig,
    /// How samples are drawn while it trains, and by `generate` when no flag says otherwise.
    #[serde(default)]
    pub sample: SampleConfig,
}

/// Where the bytes come from and how they are laid out. The layout's own keys stand beside these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// What the files are.
    pub modality: Modality,
    /// Files and folders, or folders that `prepare` wrote.
    #[serde(default)]
    pub sources: Vec<PathBuf>,
    /// Text and audio documents of more bytes than this are cut, in order, into 90 % train, 5 % valid and 5 % test
    /// (enwik8's convention); shorter ones go whole into the split that their content's hash says. 0: never cut.
    #[serde(default = "default_cut_over")]
    pub cut_over: u64,
    /// The layout's keys: see [`Layout`].
    #[serde(flatten)]
    pub layout: toml::Table,
}

fn default_cut_over() -> u64 {
    1 << 20
}

impl DataConfig {
    /// The default layout of a modality, with no sources.
    pub fn new(modality: Modality) -> Self {
        DataConfig { modality, sources: Vec::new(), cut_over: default_cut_over(), layout: toml::Table::new() }
    }

    /// The data of a layout that is known already, such as a model's.
    pub fn of(layout: &Layout) -> Self {
        DataConfig { layout: layout.keys(), ..DataConfig::new(layout.modality()) }
    }

    /// The layout that the keys describe.
    pub fn layout(&self) -> Result<Layout> {
        Layout::from_keys(self.modality, self.layout.clone())
    }
}

impl RunConfig {
    /// Reads a TOML file, applies `--set key=value` overrides in order, and validates the whole.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).at(path)?;
        let config = if overrides.is_empty() {
            // Straight from the text, so that an error shows the line.
            toml::from_str(&text).map_err(|error| Error::config_file(path, error.to_string().trim_end()))?
        } else {
            let mut table: toml::Table =
                toml::from_str(&text).map_err(|error| Error::config_file(path, error.to_string().trim_end()))?;
            for setting in overrides {
                set(&mut table, setting)?;
            }
            // There is no line to show, but the dotted key.
            RunConfig::deserialize(table).map_err(|error| {
                let error = error.to_string().trim_end().replace('\n', " ");
                Error::config_file(path, format!("with --set: {error}"))
            })?
        };
        config.validate()?;
        Ok(config)
    }

    /// The whole configuration as TOML, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration has no value that TOML lacks")
    }

    /// Checks everything that can be checked before data is read; the error names the dotted key.
    pub fn validate(&self) -> Result<()> {
        let layout = self.data.layout()?;
        self.model.validate()?;
        self.train.validate(&self.model)?;
        self.sample.validate()?;
        let adapter = layout.adapter();
        if let Some(length) = adapter.sequence_len()
            && length != self.model.context
        {
            let reason =
                format!("is {}, but one {} of this layout is {length} bytes", self.model.context, layout.modality());
            return Err(Error::config("model.context", reason));
        }
        let vocab = if adapter.ends_with_symbol() { 257 } else { 256 };
        if self.model.vocab > vocab {
            let reason =
                format!("is {}, but {} has no end-of-sequence symbol: use 256", self.model.vocab, layout.modality());
            return Err(Error::config("model.vocab", reason));
        }
        Ok(())
    }
}

/// Sets `a.b.c=value` in a table; the value is TOML, or a plain string where it isn't. `model.level.0.n_layer`
/// reaches into an array.
fn set(table: &mut toml::Table, setting: &str) -> Result<()> {
    let Some((key, value)) = setting.split_once('=') else {
        return Err(Error::Usage(format!("--set {setting}: expected key=value, such as train.lr=1e-3")));
    };
    let key = key.trim();
    let value = value.trim();
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));

    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty());
    let last = last.ok_or_else(|| Error::Usage(format!("--set {setting}: the key is empty")))?;
    let mut place = table;
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let next = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = match next {
            toml::Value::Table(inner) => inner,
            toml::Value::Array(items) => {
                let index = parts.next().unwrap_or(last);
                let count = items.len();
                let item = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                match item {
                    Some(toml::Value::Table(inner)) => inner,
                    _ => return Err(Error::config(key, format!("has no item {index}; there are {count}"))),
                }
            }
            _ => return Err(Error::config(key, format!("can't be set: `{part}` is a value, not a section"))),
        };
    }
    place.insert(last.to_owned(), parsed);
    Ok(())
}
