//! The losses of steps as the device gives them: summed for the next line of metrics, without the steps that were
//! skipped, and with an eye on sudden rises.
//!
//! Reading a number makes the host wait for the device, so that steps are looked at some at a time. What comes of them
//! does not depend on when: a checkpoint between two lines of metrics, or another interval, changes none of it.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::checkpoint::State;
use super::config::TrainConfig;
use super::metrics::Metric;
use crate::Result;

/// Steps that wait at most.
const WAITING: usize = 64;
/// How slowly the mean and the variance of the losses follow.
const DECAY: f64 = 0.95;
/// Steps before a rise counts: the first ones fall steeply.
const SETTLED: u64 = 50;

/// One step that the host has not looked at.
#[derive(Debug)]
struct Waiting {
    step: u64,
    /// Nats of all micro-batches together, a float64 scalar.
    nats: Tensor,
    /// Whether the gradients were finite, a bool scalar.
    finite: Tensor,
    symbols: u64,
    /// The first of the step's batches, and the last.
    batches: [u64; 2],
}

/// The steps since the host last looked, and the rises among those before that are not written yet.
#[derive(Debug, Default)]
pub struct Losses {
    waiting: Vec<Waiting>,
    spikes: Vec<Metric>,
}

/// Mean and variance of the losses so far, in bits per byte: exponential averages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Steps in it.
    pub steps: u64,
    /// Of the losses.
    pub mean: f64,
    /// About that mean.
    pub variance: f64,
}

impl Losses {
    /// A step with these `nats` over `symbols`, on `batches` from the first to the last; `finite` says whether it was
    /// not skipped.
    pub fn add(&mut self, step: u64, nats: Tensor, finite: Tensor, symbols: u64, batches: [u64; 2]) {
        self.waiting.push(Waiting { step, nats, finite, symbols, batches });
    }

    /// Whether enough steps wait.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING
    }

    /// Looks at the steps that wait: counts in `state` what they add.
    pub fn settle(&mut self, config: &TrainConfig, state: &mut State) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let column = |of: fn(&Waiting) -> &Tensor| Tensor::stack(&self.waiting.iter().map(of).collect::<Vec<_>>(), 0);
        let nats = Vec::<f64>::try_from(column(|step| &step.nats))?;
        let finite = Vec::<bool>::try_from(column(|step| &step.finite))?;
        for ((step, nats), finite) in self.waiting.drain(..).zip(nats).zip(finite) {
            if !finite || !nats.is_finite() {
                state.skipped += 1;
                state.skipped_in_a_row += 1;
                // The run ends here, so that the steps after it are not looked at.
                if config.max_skipped > 0 && state.skipped_in_a_row >= config.max_skipped {
                    break;
                }
                continue;
            }
            state.skipped_in_a_row = 0;
            state.last_taken = step.step;
            state.interval_nats += nats;
            state.interval_bytes += step.symbols;
            if config.spike_sigma > 0.0 {
                let loss = nats / std::f64::consts::LN_2 / step.symbols.max(1) as f64;
                if let Some(mean) = state.course.follow(loss, config.spike_sigma) {
                    self.spikes.push(Metric::Spike {
                        step: step.step,
                        bits_per_byte: loss,
                        mean,
                        batches: step.batches,
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether rises were found that are not taken yet.
    pub fn has_spikes(&self) -> bool {
        !self.spikes.is_empty()
    }

    /// The rises that were found and not taken yet.
    pub fn take_spikes(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.spikes)
    }
}

impl Course {
    /// Takes in the loss of a step. Gives the mean before it, where it is more than `sigma` standard deviations above.
    fn follow(&mut self, loss: f64, sigma: f64) -> Option<f64> {
        let bound = self.mean + sigma * self.variance.sqrt();
        let before = (self.steps >= SETTLED && loss > bound).then_some(self.mean);
        // A rise counts as no more than the bound, or the next one would hide behind it.
        let loss = if before.is_some() { bound } else { loss };
        self.steps += 1;
        // Averages of the steps so far, until these are many.
        let weight = (1.0 - DECAY).max(1.0 / self.steps as f64);
        let distance = loss - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
        before
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn add(losses: &mut Losses, step: u64, nats: f64, finite: bool) {
        let scalar = |value: f64| Tensor::full([], value, (Kind::Double, Device::Cpu));
        losses.add(step, scalar(nats), scalar(f64::from(u8::from(finite))).to_kind(Kind::Bool), 10, [step, step]);
    }

    #[test]
    fn skipped_steps_are_counted_and_not_summed() {
        let config = TrainConfig { max_skipped: 3, ..TrainConfig::default() };
        let (mut losses, mut state) = (Losses::default(), State::default());
        for (step, nats, finite) in [(1, 20.0, true), (2, f64::NAN, false), (3, 5.0, false), (4, 30.0, true)] {
            add(&mut losses, step, nats, finite);
        }
        losses.settle(&config, &mut state).unwrap();
        assert_eq!((state.skipped, state.skipped_in_a_row, state.last_taken), (2, 0, 4));
        assert_eq!((state.interval_nats, state.interval_bytes), (50.0, 20));
        // What comes after the steps that end a run is not looked at.
        for step in 5..9 {
            add(&mut losses, step, f64::INFINITY, true);
        }
        losses.settle(&config, &mut state).unwrap();
        assert_eq!((state.skipped, state.skipped_in_a_row), (5, 3));
    }

    #[test]
    fn mean_and_variance_are_those_of_the_steps_so_far() {
        let mut course = Course::default();
        let values: Vec<f64> = (0..20).map(|i| 3.0 + (f64::from(i) * 1.7).sin()).collect();
        for &value in &values {
            assert!(course.follow(value, 6.0).is_none());
        }
        let mean = values.iter().sum::<f64>() / 20.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 20.0;
        assert!((course.mean - mean).abs() < 1e-12 && (course.variance - variance).abs() < 1e-12, "{course:?}");
    }

    #[test]
    fn a_sudden_rise_is_found_however_the_steps_are_cut() {
        let config = TrainConfig { spike_sigma: 6.0, ..TrainConfig::default() };
        let found = |at_once: usize| {
            let (mut losses, mut state, mut found) = (Losses::default(), State::default(), Vec::new());
            for step in 1..=200 {
                let rise = if step == 120 || step == 121 { 4.0 } else { 0.0 };
                let bits = 5.0 - 0.01 * step as f64 + 0.05 * (step as f64 * 2.3).sin() + rise;
                add(&mut losses, step, bits * 10.0 * std::f64::consts::LN_2, true);
                if (step as usize).is_multiple_of(at_once) {
                    losses.settle(&config, &mut state).unwrap();
                    found.extend(losses.take_spikes());
                }
            }
            (found, state)
        };
        let (spikes, state) = found(1);
        let steps: Vec<u64> = spikes.iter().map(Metric::step).collect();
        assert_eq!(steps, [120, 121]);
        assert_eq!(found(40), (spikes, state));
    }
}
