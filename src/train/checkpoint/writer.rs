//! Checkpoints written beside training, one at a time.

use std::path::PathBuf;
use std::thread::JoinHandle;

use super::{Checkpoints, Snapshot};
use crate::{Error, Result};

/// Writes snapshots on a thread of its own. One that is being written when this ends is finished first.
#[derive(Debug)]
pub struct Writer {
    checkpoints: Checkpoints,
    job: Option<Job>,
}

#[derive(Debug)]
struct Job {
    step: u64,
    best_before: Option<f64>,
    thread: JoinHandle<Result<PathBuf>>,
}

/// A checkpoint that was written, or could not be.
#[derive(Debug)]
pub struct Written {
    /// The step that it is of.
    pub step: u64,
    /// The run's best result without it.
    pub best_before: Option<f64>,
    /// Where it is.
    pub place: Result<PathBuf>,
}

impl Writer {
    /// Into this folder.
    pub fn new(checkpoints: Checkpoints) -> Self {
        Writer { checkpoints, job: None }
    }

    /// Begins to write: see [`Checkpoints::save`]. The one before has to be finished.
    pub fn start(&mut self, snapshot: Snapshot, best: bool, best_before: Option<f64>, keep: usize) {
        assert!(self.job.is_none(), "one checkpoint is written at a time");
        let checkpoints = self.checkpoints.clone();
        let step = snapshot.state.step;
        let thread = std::thread::spawn(move || checkpoints.save(&snapshot, best, keep));
        self.job = Some(Job { step, best_before, thread });
    }

    /// What became of the one that was begun, if it is written by now.
    pub fn poll(&mut self) -> Option<Written> {
        if self.job.as_ref().is_some_and(|job| job.thread.is_finished()) { self.finish() } else { None }
    }

    /// Waits for the one that was begun.
    pub fn finish(&mut self) -> Option<Written> {
        let job = self.job.take()?;
        let place = job.thread.join().unwrap_or_else(|_| {
            Err(Error::Content("a checkpoint could not be written: this is a bug of megabyte".to_owned()))
        });
        Some(Written { step: job.step, best_before: job.best_before, place })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}
