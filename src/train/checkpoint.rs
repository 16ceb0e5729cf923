//! Checkpoints: `checkpoints/step_00000500/` is a model folder plus `optimizer.safetensors` and `state.json`;
//! `checkpoints/latest` and `checkpoints/best` are links to such folders.
//!
//! A checkpoint is written into a folder beside and renamed, so that every folder of that name is whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;
use crate::error::IoContext;
use crate::modality::Layout;
use crate::model::{Megabyte, checksums, folder};
use crate::{Error, Result};

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

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
    /// What is still to be done at this step.
    #[serde(default)]
    pub owed: Owed,
}

/// A run's `checkpoints` folder.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Of the run in `run`.
    pub fn new(run: &Path) -> Self {
        Checkpoints { folder: run.join("checkpoints") }
    }

    /// The checkpoint that `latest` names, or where that link was lost, the one of the highest step.
    pub fn latest(&self) -> Option<PathBuf> {
        let linked = self.folder.join("latest");
        if linked.join(STATE).is_file() {
            return Some(linked);
        }
        self.steps().pop()
    }

    /// Checks the sums of a checkpoint's files. The error names the file, and the newest whole checkpoint beside it.
    pub fn verify(&self, checkpoint: &Path) -> Result<()> {
        let Err(error) = checksums::verify(checkpoint, &[]) else {
            return Ok(());
        };
        let Ok(damaged) = fs::canonicalize(checkpoint) else {
            return Err(error);
        };
        // Not by the order of names: in a copy of a run that followed links, `latest` is a folder of its own.
        let is_whole = |step: &PathBuf| {
            let place = fs::canonicalize(step);
            place.is_ok_and(|place| place != damaged) && checksums::verify(step, &[]).is_ok()
        };
        let remedy = match self.steps().into_iter().rfind(is_whole) {
            Some(other) => format!(
                "the newest whole checkpoint is {}: move {} away, and --resume goes on from there",
                other.display(),
                damaged.display()
            ),
            None => "there is no other whole checkpoint".to_owned(),
        };
        let reason = match error {
            Error::File { reason, path } => return Err(Error::File { path, reason: format!("{reason}; {remedy}") }),
            error => error.to_string(),
        };
        Err(Error::file(checkpoint, format!("is damaged: {reason}; {remedy}")))
    }

    /// Writes a checkpoint and makes it the latest, and where `best`, the best. Of those that are neither, the
    /// newest `keep` stay.
    pub fn save(
        &self,
        layout: &Layout,
        model: &Megabyte,
        optimizer: &AdamW,
        state: &State,
        best: bool,
        keep: usize,
    ) -> Result<PathBuf> {
        let name = format!("step_{:08}", state.step);
        fs::create_dir_all(&self.folder).at(&self.folder)?;
        let temporary = self.folder.join(format!(".{name}.tmp"));
        let written = self.write(&temporary, layout, model, optimizer, state);
        if let Err(error) = written {
            // What is half-written would only fill the disk further.
            let _ = fs::remove_dir_all(&temporary);
            return Err(error);
        }
        let place = self.folder.join(&name);
        if place.exists() {
            // Aside in one step: a folder that is removed in its place is there in part for a while.
            let aside = self.folder.join(format!(".{name}.old"));
            let _ = fs::remove_dir_all(&aside);
            fs::rename(&place, &aside).at(&place)?;
        }
        fs::rename(&temporary, &place).at(&place)?;
        // The best first: where a kill comes between the two, the run goes on from the checkpoint before and finds this
        // one again. The other way round, it would go on from here and never link what its state says is the best.
        if best {
            self.link("best", &name)?;
        }
        self.link("latest", &name)?;
        self.retain(keep, &place);
        Ok(place)
    }

    fn write(&self, folder: &Path, layout: &Layout, model: &Megabyte, optimizer: &AdamW, state: &State) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
        fs::create_dir(folder).at(folder)?;
        folder::save(folder, layout, model)?;
        let tensors: Vec<_> = optimizer.state().collect();
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        folder::write_tensors(&folder.join(OPTIMIZER), tensors)?;
        let path = folder.join(STATE);
        let text = serde_json::to_string_pretty(state).expect("a state has no value that JSON lacks");
        fs::write(&path, text).at(&path)?;
        checksums::write(folder)?;
        for entry in fs::read_dir(folder).at(folder)? {
            let path = entry.at(folder)?.path();
            fs::File::open(&path).and_then(|file| file.sync_all()).at(&path)?;
        }
        Ok(())
    }

    /// Points a link at a checkpoint, replacing it in one step.
    fn link(&self, link: &str, name: &str) -> Result<()> {
        let temporary = self.folder.join(format!(".{link}.tmp"));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(name, &temporary).at(&temporary)?;
        let place = self.folder.join(link);
        if fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
            // A copy of the run that followed links has a folder here, no newer than the checkpoint just written.
            fs::remove_dir_all(&place).at(&place)?;
        }
        fs::rename(&temporary, &place).at(&place)
    }

    /// The checkpoints, oldest first.
    fn steps(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let is_step = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("step_") && path.join(STATE).is_file()
        };
        let mut steps: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_step).collect();
        steps.sort();
        steps
    }

    /// Removes old checkpoints, but neither the best one nor the one just `written`; and what calls that were killed
    /// left beside.
    fn retain(&self, keep: usize, written: &Path) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".step_") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let best = fs::canonicalize(self.folder.join("best")).ok();
        let mut steps = self.steps();
        steps.retain(|step| step != written);
        let keep = keep - 1;
        steps.truncate(steps.len().saturating_sub(keep));
        for old in steps {
            if fs::canonicalize(&old).ok() != best {
                // One checkpoint too many harms nobody.
                let _ = fs::remove_dir_all(&old);
            }
        }
    }
}

/// Restores weights and optimizer from a checkpoint, and gives where the run stood.
pub fn restore(checkpoint: &Path, model: &Megabyte, optimizer: &AdamW) -> Result<State> {
    folder::load_weights(checkpoint, model)?;
    let tensors: Vec<_> = optimizer.state().collect();
    let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
    folder::read_tensors(&checkpoint.join(OPTIMIZER), tensors)?;
    let path = checkpoint.join(STATE);
    let text = fs::read_to_string(&path).at(&path)?;
    serde_json::from_str(&text).map_err(|error| Error::file(&path, error))
}
