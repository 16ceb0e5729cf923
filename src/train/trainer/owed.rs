//! What is owed at a step: the held-out data is scored, and samples are drawn.

use super::{Outside, Trainer};
use crate::density::{EvalOptions, Evaluation, Inference, evaluate};
use crate::generate::{Request, generate};
use crate::model::Megabyte;
use crate::progress::Progress;
use crate::train::checkpoint::Best;
use crate::train::levels;
use crate::train::log::Log;
use crate::train::metrics::Metric;
use crate::train::observer::Event;
use crate::train::shortage::{self, Part};
use crate::{Error, Result};

impl Trainer {
    /// Does what is owed, unless the observer stops it. Whether the model is the best so far.
    pub(super) fn look(&mut self, to: &mut Outside<'_>) -> Result<Option<Best>> {
        let mut best = None;
        if self.state.owed.evaluation {
            match self.evaluate(to) {
                Err(Error::Interrupted) => return Ok(None),
                found => best = found?,
            }
            self.state.owed.evaluation = false;
        }
        if self.state.owed.samples {
            match self.sample(&mut to.log, to.observer.progress()) {
                Err(Error::Interrupted) => return Ok(best),
                Err(error) => {
                    to.observer.event(Event::Note(&format!("no samples at step {}: {error}", self.state.step)));
                }
                Ok(()) => {}
            }
            self.state.owed.samples = false;
        }
        Ok(best)
    }

    /// Scores held-out data; whether the model is the best so far.
    fn evaluate(&mut self, to: &mut Outside<'_>) -> Result<Option<Best>> {
        if to.writer.writes_best() {
            // Whether the best so far is on the disk decides what is better.
            self.finish_writing(to);
        }
        let histograms = self.optimizer.grad_norm().and_then(|norm| levels::histograms(&self.model, norm));
        if let Err(error) = histograms.and_then(|histograms| to.log.gradients(self.state.step, &histograms)) {
            to.observer.event(Event::Note(&format!("no histograms at step {}: {error}", self.state.step)));
        }
        let progress = to.observer.progress();
        let scored = shortage::guard(Part::Evaluation, &self.config, || self.score(&self.evaluated()?, progress))?;
        let Some((parts, found)) = scored else {
            return Ok(None);
        };
        let raw = match &self.averages {
            Some(_) => shortage::guard(Part::Evaluation, &self.config, || self.score(&self.model.twin()?, progress))?,
            None => None,
        };
        // A model whose loss is NaN or infinite is never saved over one that was better.
        if !found.nats.is_finite() {
            let reason = format!(
                "the held-out loss is {} at step {}: lower train.lr or raise train.warmup_steps",
                found.nats, self.state.step
            );
            return Err(self.ended(to, &reason));
        }
        let metric = Metric::Valid {
            step: self.state.step,
            bytes: self.state.bytes_seen,
            nats: found.nats,
            bits_per_byte: found.bits_per_byte,
            raw_bits_per_byte: raw.map(|(_, raw)| raw.bits_per_byte),
            std_error: found.std_error,
            scored_bytes: found.bytes,
            parts: if parts.len() > 1 { parts.iter().map(|part| part.bits_per_byte).collect() } else { Vec::new() },
        };
        if let Err(error) = to.log.valid(&metric) {
            to.observer.event(Event::Note(&format!("{error}; it is tried again")));
        }
        to.observer.event(Event::Evaluated(&metric));
        let before = self.state.best;
        if before.is_some_and(|best| found.bits_per_byte >= best) {
            return Ok(None);
        }
        self.state.best = Some(found.bits_per_byte);
        Ok(Some(Best { before }))
    }

    /// What is evaluated and sampled from: the averages of the weights, where there are any, or the weights; with matrices
    /// that are cast once, and not anew for every byte.
    fn evaluated(&self) -> Result<Megabyte> {
        match &self.averages {
            Some(averages) => {
                self.model.frozen_with(averages.tensors().iter().map(tch::Tensor::shallow_clone).collect())
            }
            None => self.model.twin(),
        }
    }

    /// What each held-out data set costs a model, and all of them together; none where nothing is held out.
    fn score(&self, model: &Megabyte, progress: &dyn Progress) -> Result<Option<(Vec<Evaluation>, Evaluation)>> {
        let batch = self.config.train.rows(&self.config.model);
        let options = EvalOptions { batch, limit_bytes: self.config.train.eval_bytes, inference: Inference::Plain };
        let parts = self.valid.iter().map(|valid| evaluate(model, valid, options, progress));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Evaluation::sum(&parts).map(|found| (parts, found)))
    }

    /// Draws a few sequences from nothing and writes them as files of the modality.
    fn sample(&self, log: &mut Log, progress: &dyn Progress) -> Result<()> {
        let adapter = self.config.data.layout()?.adapter();
        let length = match (adapter.sequence_len(), adapter.bytes_per_second()) {
            (Some(length), _) => length,
            // A few seconds tell what a minute would.
            (None, Some(rate)) => self.config.model.context.min((4.0 * rate) as usize),
            (None, None) => self.config.model.context.min(1024),
        };
        let request = Request { prompt: Vec::new(), length, count: 2, sample: self.config.sample };
        let sequences = shortage::catch(|| generate(&self.evaluated()?, &request, progress))?;
        log.samples(self.state.step, &sequences, adapter.as_ref())
    }
}
