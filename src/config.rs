//! A run's configuration: a TOML file with the sections `[data]`, `[model]`, `[train]` and `[sample]`, of which only
//! what differs from the defaults is written, on top of what it extends, and `--set a.b=c` on top of that.

mod change;
mod check;
mod keys;
mod reference;
mod source;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::matches;
use crate::generate::SampleConfig;
use crate::modality::{Layout, Limits, Modality};
use crate::model::ModelConfig;
use crate::shown::shown;
use crate::train::TrainConfig;
use crate::{Error, Result};
pub use change::{Change, changes};
pub use keys::{KeyInfo, json_schema, list};
pub use reference::markdown;
pub use source::Source;

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = keys::add_extends)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataConfig {
    /// What the files are.
    pub modality: Modality,
    /// Files and folders, or one folder that `prepare` wrote; `--data` replaces them. Relative ones are looked up from
    /// the folder that the program is called in, whatever file names them.
    #[serde(default)]
    pub sources: Vec<PathBuf>,
    /// Documents of text, sound or bytes of more bytes than this are cut, in order, into 90 % train, 5 % valid and 5 %
    /// test (enwik8's convention); shorter ones go whole into the split that their content's hash says, but where these are
    /// so few that some split would have nothing, they are cut too. 0: never cut.
    #[serde(default = "default_cut_over")]
    pub cut_over: u64,
    /// Patterns of the names that are used, of files and of what is in archives; none: all. A pattern without `/` is
    /// matched on the last part of a name, any other on the whole of it below the source; `*` stays inside a part, and
    /// `**` goes through folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Patterns, like those of `include`, of the names that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The column of Parquet and CSV files, the key of JSON (dotted where it is nested) or the array of `.npz` files that
    /// holds the documents or pictures. Files of text that have no such column are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// `[width, height]`, 1 or more, of the pictures where each row of a picture file is a picture of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<[u32; 2]>,
    /// Pictures are turned left to right while a model is trained: half of them, others in each epoch. For pictures alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flip: bool,
    /// The share of the batches, relative to that of each `mix`; above 0.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(extend("default" = 1.0))] // which is left out of files
    pub weight: f64,
    /// The layout's keys: see [`Layout`].
    #[serde(flatten)]
    #[schemars(skip)]
    pub layout: toml::Table,
    /// What is refused as hostile or broken.
    #[serde(default, skip_serializing_if = "DataLimits::is_default")]
    pub limits: DataLimits,
    /// Other data to train on beside this: `[[data.mix]]` tables with the keys of `[data]`, each with a modality and a
    /// layout of its own. A batch is of one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix: Vec<DataConfig>,
}

/// How large things may get before they are refused. They stop broken and hostile files; none changes the bytes of what
/// is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataLimits {
    /// Most pixels of a picture, 1 or more.
    #[schemars(range(min = 1))]
    pub max_pixels: u64,
    /// Most bytes of one document, once encoded; 1 or more.
    #[schemars(range(min = 1))]
    pub max_document: u64,
    /// How many times its size an archive may become, beyond its first 64 MiB; 1 or more.
    #[schemars(range(min = 1))]
    pub max_expansion: u64,
}

impl Default for DataLimits {
    fn default() -> Self {
        DataLimits { max_pixels: 1 << 26, max_document: 64 << 30, max_expansion: 1000 }
    }
}

impl DataLimits {
    fn is_default(&self) -> bool {
        *self == DataLimits::default()
    }

    /// Checks ranges; the error names the dotted key.
    fn validate(&self) -> Result<()> {
        let DataLimits { max_pixels, max_document, max_expansion } = self;
        for (key, value) in
            [("max_pixels", max_pixels), ("max_document", max_document), ("max_expansion", max_expansion)]
        {
            if *value == 0 {
                return Err(Error::config(format!("data.limits.{key}"), "is 0, allowed is 1 or more"));
            }
        }
        Ok(())
    }

    /// Those that adapters know.
    pub(crate) fn adapter(&self) -> Limits {
        Limits { max_pixels: self.max_pixels, ..Limits::default() }
    }
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

fn default_cut_over() -> u64 {
    1 << 20
}

impl DataConfig {
    /// The default layout of a modality, with no sources.
    pub fn new(modality: Modality) -> Self {
        DataConfig {
            modality,
            sources: Vec::new(),
            cut_over: default_cut_over(),
            include: Vec::new(),
            exclude: Vec::new(),
            column: None,
            sheet: None,
            flip: false,
            weight: 1.0,
            layout: toml::Table::new(),
            limits: DataLimits::default(),
            mix: Vec::new(),
        }
    }

    /// The data of a layout that is known already, such as a model's.
    pub fn of(layout: &Layout) -> Self {
        DataConfig { layout: layout.keys(), ..DataConfig::new(layout.modality()) }
    }

    /// The layout that the keys describe.
    pub fn layout(&self) -> Result<Layout> {
        Layout::from_keys(self.modality, self.layout.clone())
    }

    /// This, and what is mixed with it.
    pub fn parts(&self) -> impl Iterator<Item = &DataConfig> {
        std::iter::once(self).chain(&self.mix)
    }

    /// Whether a model of this context and vocabulary can learn from it; the error names the dotted key.
    fn validate(&self, model: &ModelConfig) -> Result<()> {
        let layout = self.layout()?;
        let adapter = layout.adapter();
        layout.check_context(model.context)?;
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(Error::config("data.weight", format!("is {}, allowed is above 0", self.weight)));
        }
        if self.flip && adapter.sequence_len().is_none() {
            return Err(Error::config("data.flip", format!("is for pictures, not for {}", layout.modality())));
        }
        self.limits.validate()?;
        for (key, patterns) in [("data.include", &self.include), ("data.exclude", &self.exclude)] {
            let _can_be_read = matches(key, patterns)?;
        }
        for source in &self.sources {
            check_name(source, "data.sources")?;
        }
        self.check_sheet()
    }

    /// Whether pictures of a sheet have a size; the error names the key.
    pub(crate) fn check_sheet(&self) -> Result<()> {
        match self.sheet {
            Some([0, _] | [_, 0]) => Err(Error::config("data.sheet", "must be a width and a height above 0")),
            _ => Ok(()),
        }
    }
}

impl RunConfig {
    /// Reads a TOML file, applies `--set key=value` overrides in order, and validates the whole.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let mut source = Source::read(path)?;
        for setting in overrides {
            source.set(setting)?;
        }
        source.run_config()
    }

    /// The whole configuration as TOML, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration has no value that TOML lacks")
    }

    /// Checks everything that can be checked before data is read; the error names the dotted key.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.train.validate(&self.model)?;
        self.sample.validate()?;
        if let Some(other) = &self.train.init_from {
            check_name(other, "train.init_from")?;
        }
        let mut ends = false;
        for (part, data) in self.data.parts().enumerate() {
            data.validate(&self.model).map_err(|error| match (part, error) {
                (1.., Error::Config { key, reason }) => {
                    // A part of the mixture calls its own keys those of [data].
                    Error::config(key.replacen("data.", &format!("data.mix.{}.", part - 1), 1), reason)
                }
                (_, error) => error,
            })?;
            ends |= data.layout()?.adapter().ends_with_symbol();
        }
        if self.data.mix.iter().any(|data| !data.mix.is_empty()) {
            return Err(Error::config("data.mix", "can't have a mix of its own"));
        }
        if let Some(data) = self.data.mix.iter().find(|data| data.sources.is_empty()) {
            return Err(Error::config("data.mix", format!("names no sources for {}", data.modality)));
        }
        if self.model.vocab > 256 && !ends {
            let modality = self.data.modality;
            let reason = format!("is {}, but {modality} has no end-of-sequence symbol: use 256", self.model.vocab);
            return Err(Error::config("model.vocab", reason));
        }
        Ok(())
    }
}

/// A path can be written to the run's configuration only where it is text.
fn check_name(path: &Path, key: &str) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Error::config(key, format!("has a name that is not UTF-8: rename {}", shown(path)))),
    }
}
