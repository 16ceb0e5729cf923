//! What a run tells while it goes, and to whom.

use std::path::Path;

use super::metrics::{Metric, Speed};
use crate::progress::{Progress, Quiet};

/// What a run tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A line of metrics was written.
    Logged(&'a Metric, &'a Speed),
    /// Held-out data was scored.
    Evaluated(&'a Metric),
    /// A checkpoint was written.
    Saved(&'a Path),
    /// Something the person should see.
    Note(&'a str),
}

/// Who is told, and who may stop the run.
pub trait Observer {
    /// Called for each event.
    fn event(&mut self, event: Event<'_>);
    /// Whether to save and stop after this step.
    fn stop(&mut self) -> bool;
    /// Who is told of evaluations and samples, and may stop them: these are then done when the run goes on.
    fn progress(&self) -> &dyn Progress {
        &Quiet
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it was stopped before its end; `--resume` continues.
    pub interrupted: bool,
    /// Steps done.
    pub step: u64,
    /// The lowest held-out bits per byte.
    pub best: Option<f64>,
}
