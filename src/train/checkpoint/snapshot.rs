//! What a checkpoint holds: a copy of a run at one step, so that training goes on while it is written.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::error::IoContext;
use crate::model::folder::{self, TensorCopy};
use crate::model::{Megabyte, checksums};
use crate::train::averages::Averages;
use crate::train::losses::Course;
use crate::train::optimizer::Optimizer;
use crate::train::shortage;
use crate::{Error, Result, native};

pub(super) const STATE: &str = "state.json";
/// The run's whole configuration.
pub(super) const CONFIG: &str = "run.toml";
/// The version of checkpoints: from 1 on they have checksums and the run's configuration.
pub(super) const FORMAT: u32 = 1;
const OPTIMIZER: &str = "optimizer.safetensors";
/// The weights that are trained, where `model.safetensors` holds their averages.
const RAW: &str = "raw.safetensors";

/// What was due at the last step and is not done, because the run was stopped: a run that goes on begins with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owed {
    /// Scoring held-out data.
    pub evaluation: bool,
    /// Drawing samples.
    pub samples: bool,
}

impl Owed {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self.evaluation || self.samples
    }
}

/// Where a run stands, beside its tensors. Data order and dropout are functions of the seed and these counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The version of the checkpoint that it is in; 0 for one that has no checksums.
    #[serde(default)]
    pub format: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Symbols trained on.
    pub bytes_seen: u64,
    /// The loader's next batch.
    pub next_batch: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// Time spent in training.
    pub minutes: f64,
    /// Nats since the last line of metrics.
    pub interval_nats: f64,
    /// Symbols since the last line of metrics.
    pub interval_bytes: u64,
    /// The lowest held-out bits per byte so far.
    pub best: Option<f64>,
    /// What the run trains on: see [`Dataset::fingerprint`](crate::data::Dataset::fingerprint).
    pub data: Vec<String>,
    /// What is held out of it, likewise; none where that is not known.
    #[serde(default)]
    pub valid: Vec<String>,
    /// Steps whose gradients were not finite, which changed nothing.
    #[serde(default)]
    pub skipped: u64,
    /// Those of them since the last step that was none.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// The last step that was not skipped.
    #[serde(default)]
    pub last_taken: u64,
    /// The losses so far, of which a sudden rise stands out.
    #[serde(default)]
    pub course: Course,
    /// What is still to be done at this step.
    #[serde(default)]
    pub owed: Owed,
}

impl State {
    /// Reads that of a checkpoint.
    pub fn read(checkpoint: &Path) -> Result<Self> {
        let path = checkpoint.join(STATE);
        let text = fs::read_to_string(&path).at(&path)?;
        serde_json::from_str(&text).map_err(|error| Error::file(&path, error))
    }
}

/// The tensors of a run.
#[derive(Debug, Clone, Copy)]
pub struct Tensors<'a> {
    /// The model that is trained.
    pub model: &'a Megabyte,
    /// What trains it.
    pub optimizer: &'a Optimizer,
    /// The averages of its weights.
    pub averages: Option<&'a Averages>,
}

impl Tensors<'_> {
    /// Those of the averages, by the names of the parameters.
    fn averaged<'a>(&'a self, averages: &'a Averages) -> impl Iterator<Item = (&'a str, &'a tch::Tensor)> {
        self.model.parameters().iter().map(|(name, _)| name).zip(averages.tensors())
    }

    /// Bytes of a copy of all.
    fn bytes(&self) -> u64 {
        let size = |tensor: &tch::Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let optimizer: u64 = self.optimizer.state().map(|(_, tensor)| size(tensor)).sum();
        let averages = self.averages.iter().flat_map(|averages| averages.tensors());
        optimizer + self.model.parameters().iter().map(|(_, tensor)| tensor).chain(averages).map(size).sum::<u64>()
    }

    /// Whether the weights, and their averages, are finite; the error says what to do. Waits for the device.
    fn check_finite(&self) -> Result<()> {
        let mut all = self.model.parameters().tensors();
        all.extend(self.averages.iter().flat_map(|averages| averages.tensors()).map(tch::Tensor::shallow_clone));
        let all: Vec<_> = all.iter().map(tch::Tensor::detach).collect();
        // One number from the device. Weights whose squares are beyond float32 are as lost as those that are infinite.
        let norm = tch::Tensor::zeros([], (tch::Kind::Double, self.model.device()));
        native::total_norm(&all, &norm)?;
        if f64::try_from(norm)?.is_finite() {
            return Ok(());
        }
        Err(Error::Content("weights are not finite: lower train.lr or raise train.warmup_steps".to_owned()))
    }

    /// Restores all of them from a checkpoint, and gives where the run stood.
    pub fn restore(&self, checkpoint: &Path) -> Result<State> {
        match self.averages {
            None => folder::load_weights(checkpoint, self.model)?,
            Some(averages) => {
                folder::read_tensors(&checkpoint.join(RAW), self.model.parameters().iter())?;
                folder::read_tensors(&checkpoint.join(folder::WEIGHTS), self.averaged(averages))?;
            }
        }
        let tensors: Vec<_> = self.optimizer.state().collect();
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        folder::read_tensors(&checkpoint.join(OPTIMIZER), tensors)?;
        State::read(checkpoint)
    }
}

/// A run at one step, in memory.
#[derive(Debug)]
pub struct Snapshot {
    run: String,
    config: String,
    weights: Vec<TensorCopy>,
    raw: Option<Vec<TensorCopy>>,
    optimizer: Vec<TensorCopy>,
    pub(super) state: State,
}

impl Snapshot {
    /// Copies the tensors; the model is that of the averages, where there are any. Fails where weights are not finite: from
    /// such a checkpoint no run could go on. Fails where the host has no memory for the copy.
    pub fn take(run: &RunConfig, tensors: Tensors<'_>, state: &State) -> Result<Self> {
        tensors.check_finite()?;
        shortage::check_host(tensors.bytes())?;
        let trained = || folder::copies(tensors.model.parameters().iter());
        let (weights, raw) = match tensors.averages {
            None => (trained()?, None),
            Some(averages) => (folder::copies(tensors.averaged(averages))?, Some(trained()?)),
        };
        let optimizer: Vec<_> = tensors.optimizer.state().collect();
        Ok(Snapshot {
            run: run.to_toml(),
            config: folder::config_text(&run.data.layout()?, tensors.model),
            weights,
            raw,
            optimizer: folder::copies(optimizer.iter().map(|(name, tensor)| (name.as_str(), *tensor)))?,
            state: State { format: FORMAT, ..state.clone() },
        })
    }

    /// Of a run without tensors.
    #[cfg(test)]
    pub(super) fn of(state: State) -> Self {
        let [run, config] = [String::new(), String::new()];
        Snapshot {
            run,
            config,
            weights: vec![],
            raw: None,
            optimizer: vec![],
            state: State { format: FORMAT, ..state },
        }
    }

    /// Writes all files into `folder`, which is made anew, and waits until the disk has them.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
        fs::create_dir(folder).at(folder)?;
        folder::save_copies(folder, &self.config, &self.weights)?;
        if let Some(raw) = &self.raw {
            folder::write_copies(&folder.join(RAW), raw)?;
        }
        folder::write_copies(&folder.join(OPTIMIZER), &self.optimizer)?;
        let path = folder.join(STATE);
        let text = serde_json::to_string_pretty(&self.state).expect("a state has no value that JSON lacks");
        fs::write(&path, text).at(&path)?;
        let path = folder.join(CONFIG);
        fs::write(&path, &self.run).at(&path)?;
        checksums::write(folder)?;
        sync_all(folder)
    }
}

/// Waits until the disk has the files of a folder, and their names.
pub(super) fn sync_all(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder)? {
        sync(&entry.at(folder)?.path())?;
    }
    sync(folder)
}

/// Waits until the disk has a file, or the names in a folder.
pub(super) fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).at(path)
}
