//! Checkpoints: `checkpoints/step_00000500/` is a model folder plus `optimizer.safetensors`, `state.json`, `run.toml`,
//! which is the run's whole configuration, `checksums.json`, and, where the model is an average, `raw.safetensors`;
//! `checkpoints/latest` and `checkpoints/best` are links to such folders.
//!
//! A checkpoint is written into a folder beside and renamed, so that every folder of that name is whole.

mod branch;
mod snapshot;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};

pub use branch::{branch, run_of};
pub use snapshot::{Owed, Snapshot, State, Tensors};
pub use writer::{Best, Writer, Written};

use self::snapshot::{CONFIG, STATE, sync};
use crate::error::IoContext;
use crate::model::checksums::{self, CHECKSUMS};
use crate::model::siblings::{newest_whole, steps, with_remedy};
use crate::shown::shown;
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

    /// The checkpoint that `latest` names, or where that link was lost, the one of the highest step. Whether it is whole,
    /// [`verify`](Self::verify) says.
    pub fn latest(&self) -> Option<PathBuf> {
        let linked = self.folder.join("latest");
        if linked.is_dir() { Some(linked) } else { Some(steps(&self.folder).pop()?.1) }
    }

    /// The latest one, with what a call that was killed has left in disorder put right.
    pub fn to_resume(&self) -> Result<PathBuf> {
        self.recover()?;
        let run = self.folder.parent().unwrap_or(&self.folder);
        self.latest()
            .ok_or_else(|| Error::file(run, "has no checkpoint to resume from: begin it again without --resume"))
    }

    /// The step of the checkpoint that [`latest`](Self::latest) gives.
    pub fn latest_step(&self) -> Option<u64> {
        State::read(&self.latest()?).ok().map(|state| state.step)
    }

    /// The step of the checkpoint that `best` names, where that is there.
    pub fn best_step(&self) -> Option<u64> {
        State::read(&self.folder.join("best")).ok().map(|state| state.step)
    }

    /// The newest whole checkpoint of a step below `before` at which the run was not skipping steps.
    pub fn good(&self, before: u64) -> Option<(u64, PathBuf)> {
        let is_good = |place: &Path| {
            self.check(place).is_ok() && State::read(place).is_ok_and(|state| state.skipped_in_a_row == 0)
        };
        steps(&self.folder).into_iter().rfind(|(step, place)| *step < before && is_good(place))
    }

    /// The checkpoints of steps above `step`.
    pub fn above(&self, step: u64) -> Vec<PathBuf> {
        steps(&self.folder).into_iter().filter(|(other, _)| *other > step).map(|(_, place)| place).collect()
    }

    /// Checks that a checkpoint is whole, and the sums of its files. The error names the file, and the newest whole
    /// checkpoint beside it.
    pub fn verify(&self, checkpoint: &Path) -> Result<()> {
        self.check(checkpoint).map_err(|error| self.refused(error, checkpoint))
    }

    /// An error about a checkpoint, with what to do.
    fn refused(&self, error: Error, checkpoint: &Path) -> Error {
        let remedy = match newest_whole(checkpoint, |other| self.check(other).is_ok()) {
            Some(other) => format!(
                "the newest whole checkpoint is {}: move {} away, and --resume goes on from there",
                shown(&other),
                fs::canonicalize(checkpoint).unwrap_or_else(|_| checkpoint.to_owned()).display()
            ),
            None => "there is no other whole checkpoint".to_owned(),
        };
        with_remedy(error, checkpoint, &remedy)
    }

    fn check(&self, checkpoint: &Path) -> Result<()> {
        if !checkpoint.join(STATE).is_file() {
            return Err(Error::file(checkpoint, format!("is damaged: it has no {STATE}")));
        }
        checksums::verify(checkpoint, &[])?;
        if !checkpoint.join(CHECKSUMS).is_file() && State::read(checkpoint)?.format > 0 {
            let reason = format!("is damaged: {CHECKSUMS} is lost, and nothing else tells whether the rest is whole");
            return Err(Error::file(checkpoint, reason));
        }
        Ok(())
    }

    /// The file that has the configuration which a checkpoint was written with: its own, whose sum is checked, or of
    /// earlier versions, which have none there, the run's.
    pub fn config_file(&self, checkpoint: &Path) -> Result<PathBuf> {
        let own = checkpoint.join(CONFIG);
        if own.is_file() {
            checksums::verify(checkpoint, &[CONFIG]).map_err(|error| self.refused(error, checkpoint))?;
            return Ok(own);
        }
        Ok(self.folder.with_file_name("config.toml"))
    }

    /// Puts back what a call that was killed while it replaced a checkpoint has set aside.
    fn recover(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(step) = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".old")) else {
                continue;
            };
            let place = self.folder.join(step);
            if step.starts_with("step_") && !place.exists() {
                fs::rename(entry.path(), &place).at(&place)?;
            }
        }
        Ok(())
    }

    /// Writes a checkpoint and makes it the latest, and where `best`, the best. The newest `keep`, this one among them, and
    /// the best stay, or where nothing is said, all.
    pub fn save(&self, snapshot: &Snapshot, best: bool, keep: Option<usize>) -> Result<PathBuf> {
        let step = snapshot.state.step;
        let name = folder_of(step);
        fs::create_dir_all(&self.folder).at(&self.folder)?;
        self.recover()?;
        let temporary = self.folder.join(format!(".{name}.tmp"));
        let place = self.folder.join(&name);
        if let Err(error) = snapshot.write(&temporary).and_then(|()| self.replace(&temporary, &place)) {
            // What is half-written would only fill the disk further.
            let _ = fs::remove_dir_all(&temporary);
            return Err(error);
        }
        // The best first: where a kill comes between the two, the run goes on from the checkpoint before and finds this
        // one again. The other way round, it would go on from here and never link what its state says is the best.
        if best {
            self.link("best", &name)?;
        }
        self.link("latest", &name)?;
        sync(&self.folder)?;
        if let Some(keep) = keep {
            self.retain(keep, step);
        }
        Ok(place)
    }

    /// Gives a checkpoint its name, in place of one that may be there. Where that fails, the one before is there as it was.
    fn replace(&self, temporary: &Path, place: &Path) -> Result<()> {
        if !place.exists() {
            return fs::rename(temporary, place).at(place);
        }
        // Aside in one step: a folder that is removed in its place is there in part for a while.
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let aside = self.folder.join(format!(".{name}.old"));
        if aside.exists() {
            fs::remove_dir_all(&aside).at(&aside)?;
        }
        fs::rename(place, &aside).at(place)?;
        fs::rename(temporary, place).at(place).inspect_err(|_| {
            // What fails here, the next call tries again.
            let _ = fs::rename(&aside, place);
        })
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

    /// Removes old checkpoints, but neither the best one nor the one just `written`; and what calls that were killed
    /// left beside.
    fn retain(&self, keep: usize, written: u64) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".step_") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let best = fs::canonicalize(self.folder.join("best")).ok();
        let mut others = steps(&self.folder);
        others.retain(|(step, _)| *step != written);
        // Those of later steps are of a part of the run that is done again: they go first.
        others.sort_by_key(|(step, _)| (*step < written, *step));
        others.truncate(others.len().saturating_sub(keep.saturating_sub(1)));
        for (_, old) in others {
            if fs::canonicalize(&old).ok() != best {
                // One checkpoint too many harms nobody.
                let _ = fs::remove_dir_all(&old);
            }
        }
    }
}

/// The name of a step's checkpoint.
fn folder_of(step: u64) -> String {
    format!("step_{step:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints() -> (tempfile::TempDir, Checkpoints) {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(run.path());
        (run, checkpoints)
    }

    fn state(step: u64) -> State {
        State { step, ..State::default() }
    }

    /// The numbers of those that are there.
    fn numbers(checkpoints: &Checkpoints) -> Vec<u64> {
        steps(&checkpoints.folder).into_iter().map(|(step, _)| step).collect()
    }

    #[test]
    fn the_newest_and_the_best_stay() {
        let (_run, checkpoints) = checkpoints();
        let save = |step, best, keep| checkpoints.save(&Snapshot::of(state(step)), best, keep).unwrap();
        save(99_999_998, true, Some(2));
        for step in [99_999_999, 100_000_000, 100_000_001] {
            save(step, false, Some(2));
        }
        assert_eq!(numbers(&checkpoints), [99_999_998, 100_000_000, 100_000_001]);
        assert_eq!(checkpoints.best_step(), Some(99_999_998));
        // Where nothing is to be removed, nothing is; and none to keep is one.
        save(100_000_002, false, None);
        assert_eq!(numbers(&checkpoints).len(), 4);
        save(100_000_003, false, Some(0));
        assert_eq!(numbers(&checkpoints), [99_999_998, 100_000_003]);
    }

    #[test]
    fn later_steps_that_are_done_again_go_first() {
        let (_run, checkpoints) = checkpoints();
        for step in [2, 4, 6, 8] {
            checkpoints.save(&Snapshot::of(state(step)), false, None).unwrap();
        }
        checkpoints.save(&Snapshot::of(state(5)), false, Some(2)).unwrap();
        assert_eq!(numbers(&checkpoints), [4, 5]);
    }

    #[test]
    fn a_checkpoint_that_can_not_be_replaced_stays() {
        let (_run, checkpoints) = checkpoints();
        let place = checkpoints.save(&Snapshot::of(state(5)), false, None).unwrap();
        let before = fs::read(place.join(STATE)).unwrap();
        let nowhere = checkpoints.folder.join("nowhere");
        assert!(checkpoints.replace(&nowhere, &place).is_err());
        assert_eq!(fs::read(place.join(STATE)).unwrap(), before);
        checkpoints.verify(&place).unwrap();
    }

    #[test]
    fn a_checkpoint_that_was_set_aside_comes_back() {
        let (_run, checkpoints) = checkpoints();
        let place = checkpoints.save(&Snapshot::of(state(5)), false, None).unwrap();
        let aside = checkpoints.folder.join(".step_00000005.old");
        fs::rename(&place, &aside).unwrap();
        assert_eq!(checkpoints.latest(), None);
        checkpoints.recover().unwrap();
        checkpoints.verify(&checkpoints.latest().unwrap()).unwrap();
        // The one that has the name is newer.
        fs::create_dir(&aside).unwrap();
        checkpoints.recover().unwrap();
        checkpoints.verify(&place).unwrap();
    }

    #[test]
    fn one_that_lacks_a_file_is_damaged_and_the_one_before_is_named() {
        let (_run, checkpoints) = checkpoints();
        for file in [STATE, CHECKSUMS, CONFIG] {
            let before = checkpoints.save(&Snapshot::of(state(5)), false, None).unwrap();
            let place = checkpoints.save(&Snapshot::of(state(6)), false, None).unwrap();
            fs::remove_file(place.join(file)).unwrap();
            let error = checkpoints.verify(&checkpoints.latest().unwrap()).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(before.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn good_is_what_is_whole_and_of_no_skipped_step() {
        let (_run, checkpoints) = checkpoints();
        for (step, skipped_in_a_row) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
            checkpoints.save(&Snapshot::of(State { skipped_in_a_row, ..state(step) }), false, None).unwrap();
        }
        let good = |before| checkpoints.good(before).map(|(step, _)| step);
        assert_eq!((good(9), good(3), good(1)), (Some(3), Some(2), None));
        fs::write(checkpoints.folder.join("step_00000003").join(CONFIG), "cut").unwrap();
        assert_eq!(good(9), Some(2));
        assert_eq!(checkpoints.above(2).len(), 2);
    }
}
