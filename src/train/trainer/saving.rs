//! The checkpoints of a run: which of them are waited for, what becomes of them, and what is left where a run ends.

use std::path::PathBuf;

use super::{Outside, Trainer};
use crate::error::IoContext;
use crate::shown::shown;
use crate::train::checkpoint::{Best, Snapshot, Tensors, Written};
use crate::train::observer::{Event, Observer};
use crate::{Error, Result};

impl Trainer {
    /// Begins a checkpoint where one is due or this one is the `best`; `now` is one without which the run may not end. Only
    /// these two are waited for: training goes on beside others.
    pub(super) fn save(&mut self, to: &mut Outside<'_>, best: Option<Best>, now: bool) -> Result<()> {
        let waits = now || best.is_some();
        if !waits && !to.writer.is_due() {
            return Ok(());
        }
        self.settle(to)?;
        // Weights of which steps are skipped may be ruined: nothing is removed for them, and what can wait does so until a
        // step was none of these.
        let doubtful = self.state.skipped_in_a_row > 0;
        if doubtful && !waits {
            return Ok(());
        }
        self.finish_writing(to);
        let work = self.checkpoint(to, best.is_some(), !doubtful);
        to.writer.start(self.state.step, best, work);
        if now {
            match to.writer.finish() {
                Some(Written { place: Err(error), .. }) => {
                    let step = self.state.step;
                    return Err(self.ended(to, &format!("{error}: step {step} is not saved")));
                }
                Some(written) => self.tell(written, to.observer),
                None => {}
            }
        }
        Ok(())
    }

    /// Where an error ends the run that is not the weights' fault, such as too little memory for an evaluation, what was
    /// trained so far is saved.
    pub(super) fn rescue(&mut self, error: &Error, to: &mut Outside<'_>) {
        let at_fault = matches!(error, Error::Content(_)) || self.state.skipped_in_a_row > 0;
        if at_fault || !self.whole || self.state.step == 0 {
            return;
        }
        let step = self.state.step;
        let note = match self.save(to, None, true) {
            Ok(()) => format!("saved at step {step}: --resume goes on from there"),
            Err(error) => error.to_string(),
        };
        to.observer.event(Event::Note(&note));
    }

    /// What writes a checkpoint of the run as it is now.
    fn checkpoint(
        &self,
        to: &mut Outside<'_>,
        best: bool,
        prune: bool,
    ) -> Result<impl FnOnce() -> Result<PathBuf> + Send + 'static> {
        // What a checkpoint says is done is in the metrics: else a run that goes on from it would miss lines.
        let (metrics, path) = (to.log.metrics_file()?, self.folder.join("metrics.jsonl"));
        let tensors = Tensors { model: &self.model, optimizer: &self.optimizer, averages: self.averages.as_ref() };
        let snapshot = Snapshot::take(&self.config, tensors, &self.state)?;
        let keep = prune.then_some(self.config.train.keep_checkpoints);
        let checkpoints = self.checkpoints.clone();
        Ok(move || {
            metrics.sync_data().at(path)?;
            checkpoints.save(&snapshot, best, keep)
        })
    }

    /// Waits for the checkpoint that is being written.
    pub(super) fn finish_writing(&mut self, to: &mut Outside<'_>) {
        if let Some(written) = to.writer.finish() {
            self.tell(written, to.observer);
        }
    }

    /// Tells what became of a checkpoint. Where it is not there, the run is worth more than this checkpoint, what was saved
    /// before is untouched, and a result that was the best with it is not the run's.
    pub(super) fn tell(&mut self, written: Written, observer: &mut dyn Observer) {
        match written.place {
            Ok(place) => observer.event(Event::Saved(&place)),
            Err(error) => {
                if let Some(best) = written.best {
                    self.state.best = best.before;
                }
                observer.event(Event::Note(&format!("no checkpoint at step {}: {error}", written.step)));
            }
        }
    }

    /// An error that ends the run, with what is left of it.
    pub(super) fn ended(&mut self, to: &mut Outside<'_>, reason: &str) -> Error {
        // It may be the last good one.
        self.finish_writing(to);
        Error::Content(format!("{reason}; {}", self.last_good()))
    }

    /// From where the run can go on.
    fn last_good(&self) -> String {
        let Some((step, good)) = self.checkpoints.good(self.state.step + 1) else {
            return "no good checkpoint was written before".to_owned();
        };
        let above: Vec<String> = self.checkpoints.above(step).iter().map(|place| place.display().to_string()).collect();
        let mut text = if self.checkpoints.latest_step() == Some(step) {
            format!("--resume goes on from the last good checkpoint, {}", shown(&good))
        } else if above.is_empty() {
            format!("the last good checkpoint is {}", shown(&good))
        } else {
            format!(
                "the last good checkpoint is {}: move {} away, and --resume goes on from there",
                shown(&good),
                above.join(" and ")
            )
        };
        // Its weights are those of which the first of the last steps was skipped.
        let doubtful = self.state.skipped_in_a_row > 0 && step == self.state.last_taken;
        if let Some((_, before)) = self.checkpoints.good(step).filter(|_| doubtful) {
            text.push_str(&format!(
                "; where its next step is skipped too, move it away, and --resume goes on from {}",
                shown(&before)
            ));
        }
        text
    }
}
