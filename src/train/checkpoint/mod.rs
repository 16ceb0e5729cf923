//! Checkpoints: `checkpoints/step_00000500/` is a model folder plus `optimizer.safetensors`, `state.json` and, where the
//! model is an average, `raw.safetensors`; `checkpoints/latest` and `checkpoints/best` are links to such folders.
//!
//! A checkpoint is written into a folder beside and renamed, so that every folder of that name is whole.

mod snapshot;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};

pub use snapshot::{Owed, Snapshot, State, Tensors};
pub use writer::{Writer, Written};

use self::snapshot::STATE;
use crate::error::IoContext;
use crate::model::checksums;
use crate::{Error, Result};

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
    pub fn save(&self, snapshot: &Snapshot, best: bool, keep: usize) -> Result<PathBuf> {
        let name = format!("step_{:08}", snapshot.state.step);
        fs::create_dir_all(&self.folder).at(&self.folder)?;
        let temporary = self.folder.join(format!(".{name}.tmp"));
        if let Err(error) = snapshot.write(&temporary) {
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
