//! The largest micro-batch that fits into memory: measured at two small sizes, extrapolated in a straight line, and tried.

use tch::{Device, Kind, Tensor};

use super::built::Built;
use super::memory::{self, Footprint};
use super::numerics::CudnnAttention;
use super::shortage::Part;
use super::{dtype, numerics, shortage};
use crate::config::RunConfig;
use crate::model::gradients;
use crate::{Error, Result};

/// The share of the available memory that a step may take: evaluation, samples and other programs need some too.
pub const SHARE: f64 = 0.8;

/// No step that is tried is so many times larger than what was measured before: a line from small sizes is not exact.
const STRIDE: usize = 16;

/// A micro-batch, and why it is that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Sequences of a forward pass.
    pub micro_batch: usize,
    /// Bytes that a step of these takes at most, measured; on a CPU with the copy of a checkpoint that is written
    /// meanwhile.
    pub peak: u64,
    /// Bytes that were available before anything was built.
    pub available: u64,
    /// The next larger size that divides the step; none where a pass is the whole step.
    pub larger: Option<Larger>,
}

/// A micro-batch that does not fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Larger {
    /// Sequences of a forward pass.
    pub micro_batch: usize,
    /// Bytes that a step of these takes: measured where it was tried, else by the straight line, or where that would fit, by
    /// the formula.
    pub bytes: u64,
    /// Whether memory was not to be had when it was tried, or fewer sequences were, whatever the line says.
    pub failed: bool,
}

impl Fit {
    /// The bytes that a step may take.
    pub fn budget(&self) -> u64 {
        budget(self.available, SHARE)
    }
}

impl Fit {
    /// The same, or where what the trial took is not all back, the largest size of the `line` of bytes that there is memory for
    /// by the formula: the run begins in the same program.
    fn within_what_is_back(self, config: &RunConfig, device: Device, line: &[(usize, u64)], back: u64) -> Self {
        let fits = |size: usize| Footprint::of(&with_rows(config, size), device).needed(device) <= back;
        let smaller = || line.iter().rposition(|&(size, _)| size < self.micro_batch && fits(size));
        match (fits(self.micro_batch), smaller()) {
            (false, Some(at)) => {
                let ((micro_batch, peak), (next, bytes)) = (line[at], line[at + 1]);
                let larger = Some(Larger { micro_batch: next, bytes, failed: true });
                Fit { micro_batch, peak: peak.min(self.peak), larger, ..self }
            }
            _ => self,
        }
    }
}

fn budget(available: u64, share: f64) -> u64 {
    (available as f64 * share) as u64
}

/// The largest micro-batch that divides the step and fits into [`SHARE`] of the memory that is available now. Builds the
/// model and trains it for a few steps on random symbols, and leaves nothing of it. Fails where not even one sequence fits;
/// nothing is tried for which there is too little memory by the formula.
pub fn fit(config: &RunConfig, device: Device) -> Result<Fit> {
    memory::release_cached(device)?;
    within(config, device, memory::available(device)?)
}

/// The same as if so many bytes were available.
pub fn within(config: &RunConfig, device: Device, available: u64) -> Result<Fit> {
    // Tried in the type that it is trained in: the formula depends on it.
    let config = &dtype::resolved(config, device)?;
    let sizes = config.train.micro_batch_sizes(&config.model);
    let mut trial = Trial::new(config, device, available, budget(available, SHARE))?;
    let mut best = (1, trial.first()?);
    // The smallest size that is too large, and what it took.
    let mut above: Option<(usize, Option<u64>)> = None;
    if sizes.len() > 1 && trial.room_for_second() && trial.may(2) {
        match trial.measure(2) {
            Ok(peak) if peak > trial.budget => above = Some((2, Some(peak))),
            Ok(peak) if sizes.contains(&2) => best = (2, peak),
            Ok(_) => {}
            Err(Error::Memory(_)) => above = Some((2, None)),
            Err(error) => return Err(error),
        }
        loop {
            let open = |size: usize| size > best.0 && above.is_none_or(|(above, _)| size < above);
            let mut candidates = sizes
                .iter()
                .copied()
                .filter(|&size| open(size) && trial.predicted(size) <= trial.budget && trial.may(size));
            let Some(least) = candidates.next() else { break };
            // Where none is in reach, what divides nothing makes the line longer.
            let reach = STRIDE * trial.largest();
            let tried = candidates.rfind(|&size| size <= reach).unwrap_or(least.min(reach));
            match trial.measure(tried) {
                Ok(peak) if peak > trial.budget => above = Some((tried, Some(peak))),
                Ok(peak) if sizes.contains(&tried) => best = (tried, peak),
                Ok(_) => {}
                Err(Error::Memory(_)) => above = Some((tried, None)),
                Err(error) => return Err(error),
            }
        }
    }
    let larger = sizes.iter().find(|&&size| size > best.0).map(|&size| {
        let tried = above.filter(|&(at, _)| at <= size);
        let measured = tried.filter(|&(at, _)| at == size).and_then(|(_, peak)| peak);
        Larger {
            micro_batch: size,
            bytes: measured.unwrap_or_else(|| match trial.predicted(size) {
                within if within <= trial.budget => trial.formula(size),
                beyond => beyond,
            }),
            failed: tried.is_some_and(|(_, peak)| peak.is_none()),
        }
    });
    let line: Vec<(usize, u64)> = sizes.iter().map(|&size| (size, trial.predicted(size))).collect();
    trial.end()?;
    let fit = Fit { micro_batch: best.0, peak: best.1, available, larger };
    Ok(fit.within_what_is_back(config, device, &line, memory::available(device)?))
}

/// The same run with so many sequences at once.
fn with_rows(config: &RunConfig, rows: usize) -> RunConfig {
    let mut other = config.clone();
    other.train.micro_batch = rows;
    other
}

/// A model that is trained only to see what memory that takes.
struct Trial<'c> {
    config: &'c RunConfig,
    device: Device,
    built: Built,
    /// Bytes used before the model was built, those that were available then, and those that a step may take.
    before: u64,
    available: u64,
    budget: u64,
    /// Bytes that were there in truth, which nothing that is tried may need more than.
    there: u64,
    /// Sizes that were measured, in order, and the bytes that each took; the largest two make the line.
    measured: Vec<(usize, u64)>,
}

impl<'c> Trial<'c> {
    fn new(config: &'c RunConfig, device: Device, available: u64, budget: u64) -> Result<Self> {
        config.validate()?;
        numerics::apply(&config.train, device)?;
        memory::release_cached(device)?;
        let (before, there) = (memory::used(device)?, memory::available(device)?);
        shortage::check_model(config, device, budget)?;
        shortage::check_within(&with_rows(config, 1), device, there)?;
        let (built, ()) = Built::new(config, device, true, |_| Ok(()))?;
        Ok(Trial { config, device, built, before, available, budget, there, measured: Vec::new() })
    }

    /// Bytes of a run with so many sequences at once, by the formula.
    fn formula(&self, rows: usize) -> u64 {
        Footprint::of(&with_rows(self.config, rows), self.device).needed(self.device)
    }

    /// Whether there is enough for so many sequences, by the formula, and a little more: not all that the trial takes is back
    /// when the run begins.
    fn may(&self, rows: usize) -> bool {
        self.formula(rows) <= self.there / 16 * 15
    }

    /// One sequence, after a step that loads what libtorch loads at first.
    fn first(&mut self) -> Result<u64> {
        let single = with_rows(self.config, 1);
        let first = shortage::guard(Part::Step, &single, || {
            self.step(1)?;
            self.measure(1)
        })?;
        if first > self.budget {
            return Err(shortage::too_large(first, self.budget, &single));
        }
        Ok(first)
    }

    /// Two take at most what one takes twice, but for the model's own.
    fn room_for_second(&self) -> bool {
        let one = self.measured[0].1;
        one + one.saturating_sub(Footprint::of(self.config, self.device).least(self.device)) <= self.available
    }

    fn measure(&mut self, rows: usize) -> Result<u64> {
        let peak = self.step(rows)?;
        self.measured.push((rows, peak));
        self.measured.sort_unstable();
        Ok(peak)
    }

    fn largest(&self) -> usize {
        self.measured.last().map_or(1, |&(rows, _)| rows)
    }

    /// Bytes of a step with so many sequences, by the line through the largest that were measured.
    fn predicted(&self, rows: usize) -> u64 {
        match self.measured[..] {
            [.., (few, low), (many, high)] if many > few => {
                let each = high.saturating_sub(low) as f64 / (many - few) as f64;
                (high as f64 + each * (rows as f64 - many as f64)).max(0.0) as u64
            }
            // One size says least: as if nothing were the model's own.
            [.., (size, peak)] => peak.saturating_mul(rows as u64) / size as u64,
            [] => 0,
        }
    }

    /// Gives back what it took, for the run itself.
    fn end(self) -> Result<()> {
        let device = self.device;
        drop(self);
        memory::release_cached(device)
    }

    /// Forward and back with gradients of a pass before that are still there, as between the passes of a step, and an
    /// update by nothing. Gives the bytes that it took at most, the model's own included, and on a CPU a checkpoint's.
    fn step(&mut self, rows: usize) -> Result<u64> {
        memory::release_cached(self.device)?;
        memory::reset_peak(self.device)?;
        let (model, train) = (&self.config.model, &self.config.train);
        let _cudnn = CudnnAttention::begin(train, self.device)?;
        shortage::catch(|| {
            // Two passes: what the first one leaves of an allocator's order is there in the second.
            for _ in 0..2 {
                let symbols = Tensor::randint(256, [rows as i64, model.context as i64], (Kind::Int64, self.device));
                let _nats = gradients::accumulate(&self.built.model, &symbols, model.dropout, 0.0, &train.memory())?;
            }
            let _finite = self.built.optimizer.step(0.0)?;
            self.built.averages.as_mut().map_or(Ok(()), |averages| averages.update(1))
        })?;
        super::speed::synchronize(self.device);
        let footprint = Footprint::of(self.config, self.device);
        // Memory that was kept before and is used again shows nowhere, but the model does take what it takes.
        let taken = memory::peak(self.device)?.saturating_sub(self.before).max(footprint.total());
        Ok(taken + footprint.snapshot(self.device))
    }
}
