//! The largest micro-batch that fits into memory: measured at two small sizes, extrapolated in a straight line, and tried.

use tch::{Device, Kind, Tensor};

use super::memory::{self, Footprint};
use super::optimizer::Optimizer;
use super::{numerics, shortage};
use crate::config::RunConfig;
use crate::model::{Megabyte, gradients};
use crate::{Error, Result};

/// The share of the available memory that a step may take: evaluation, samples and other programs need some too.
pub const SHARE: f64 = 0.8;

/// No step that is tried is so many times larger than what was measured before: a line from small sizes is not exact.
const STRIDE: usize = 16;

const ONE: &str = "a training step of one sequence";

/// A micro-batch, and why it is that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Sequences of a forward pass.
    pub micro_batch: usize,
    /// Bytes that a step of these takes at most, measured.
    pub peak: u64,
    /// Bytes that were available before anything was built.
    pub available: u64,
    /// The next larger size that divides the step, and the bytes that it takes or would take; none where a pass is the
    /// whole step.
    pub larger: Option<(usize, u64)>,
}

impl Fit {
    /// The bytes that a step may take.
    pub fn budget(&self) -> u64 {
        budget(self.available, SHARE)
    }
}

fn budget(available: u64, share: f64) -> u64 {
    (available as f64 * share) as u64
}

/// What a step with the micro-batch that `config` asks for takes, in bytes: measured at one sequence and at two, and from
/// there in a straight line. Fails where that is more than is available, and names what would need less.
pub fn estimate(config: &RunConfig, device: Device) -> Result<u64> {
    let rows = config.train.rows(&config.model);
    memory::release_cached(device)?;
    let available = memory::available(device)?;
    let mut trial = Trial::new(config, device, available, available)?;
    let mut needed = trial.first()?;
    if rows > 1 && trial.room_for_second() {
        trial.measure(2)?;
    }
    if rows > 1 {
        needed = trial.predicted(rows);
    }
    trial.end()?;
    if needed > available {
        return Err(shortage::too_large("a training step", needed, available, config));
    }
    Ok(needed)
}

/// The largest micro-batch that divides the step and fits into [`SHARE`] of the memory that is available now. Builds the
/// model and trains it for a few steps on random symbols, and leaves nothing of it. Fails where not even one sequence fits.
pub fn fit(config: &RunConfig, device: Device) -> Result<Fit> {
    memory::release_cached(device)?;
    within(config, device, memory::available(device)?)
}

/// The same as if so many bytes were available.
pub fn within(config: &RunConfig, device: Device, available: u64) -> Result<Fit> {
    let sizes = config.train.micro_batch_sizes(&config.model);
    let mut trial = Trial::new(config, device, available, budget(available, SHARE))?;
    let mut best = (1, trial.first()?);
    // The smallest size that is too large, and what it took.
    let mut above: Option<(usize, Option<u64>)> = None;
    if sizes.len() > 1 && trial.room_for_second() {
        match trial.measure(2) {
            Ok(peak) if peak > trial.budget => above = Some((2, Some(peak))),
            Ok(peak) if sizes.contains(&2) => best = (2, peak),
            Ok(_) => {}
            Err(Error::Memory(_)) => above = Some((2, None)),
            Err(error) => return Err(error),
        }
        let fits =
            |trial: &Trial, size: usize| size <= STRIDE * trial.largest() && trial.predicted(size) <= trial.budget;
        while let Some(&size) = sizes
            .iter()
            .filter(|&&size| size > best.0 && above.is_none_or(|(above, _)| size < above))
            .rfind(|&&size| fits(&trial, size))
        {
            match trial.measure(size) {
                Ok(peak) if peak <= trial.budget => best = (size, peak),
                Ok(peak) => above = Some((size, Some(peak))),
                Err(Error::Memory(_)) => above = Some((size, None)),
                Err(error) => return Err(error),
            }
        }
    }
    let larger = sizes.iter().find(|&&size| size > best.0).map(|&size| {
        let measured = above.and_then(|(at, peak)| peak.filter(|_| at == size));
        (size, measured.unwrap_or_else(|| trial.predicted(size)))
    });
    trial.end()?;
    Ok(Fit { micro_batch: best.0, peak: best.1, available, larger })
}

/// A model that is trained only to see what memory that takes.
struct Trial<'c> {
    config: &'c RunConfig,
    device: Device,
    model: Megabyte,
    optimizer: Optimizer,
    /// Bytes used before the model was built, those that were available then, and those that a step may take.
    before: u64,
    available: u64,
    budget: u64,
    /// Sizes that were measured, in order, and the bytes that each took; the largest two make the line.
    measured: Vec<(usize, u64)>,
}

impl<'c> Trial<'c> {
    fn new(config: &'c RunConfig, device: Device, available: u64, budget: u64) -> Result<Self> {
        config.validate()?;
        numerics::apply(&config.train, device)?;
        memory::release_cached(device)?;
        let before = memory::used(device)?;
        // Before it is built: the system might end a program that takes what is not there.
        let least = Footprint::of(&config.model).total();
        if least > budget {
            let (least, budget) = (memory::human(least), memory::human(budget));
            return Err(Error::Memory(format!(
                "weights, gradients and optimizer state of this model need {least} of memory, and {budget} are there for \
                 them: make model.level smaller"
            )));
        }
        let kind = config.train.dtype.kind();
        let model = shortage::catch(|| Megabyte::new(&config.model, kind, device, config.train.seed))?;
        let optimizer = Optimizer::new(&model, &config.train);
        Ok(Trial { config, device, model, optimizer, before, available, budget, measured: Vec::new() })
    }

    /// One sequence, after a step that loads what libtorch loads at first.
    fn first(&mut self) -> Result<u64> {
        let mut single = self.config.clone();
        single.train.micro_batch = 1;
        let first = shortage::guard(ONE, &single, || {
            self.step(1)?;
            self.measure(1)
        })?;
        if first > self.budget {
            return Err(shortage::too_large(ONE, first, self.budget, &single));
        }
        Ok(first)
    }

    /// Two take at most what one takes twice, but for the model's own.
    fn room_for_second(&self) -> bool {
        let one = self.measured[0].1;
        one + one.saturating_sub(Footprint::of(&self.config.model).total()) <= self.available
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
    /// update by nothing. Gives the bytes that it took at most, the model's own included.
    fn step(&mut self, rows: usize) -> Result<u64> {
        memory::release_cached(self.device)?;
        memory::reset_peak(self.device)?;
        let (model, train) = (&self.config.model, &self.config.train);
        shortage::catch(|| {
            // Two passes: what the first one leaves of an allocator's order is there in the second.
            for _ in 0..2 {
                let symbols = Tensor::randint(256, [rows as i64, model.context as i64], (Kind::Int64, self.device));
                let _nats = gradients::accumulate(&self.model, &symbols, model.dropout, 0.0, &train.memory())?;
            }
            self.optimizer.step(0.0).map(drop)
        })?;
        super::speed::synchronize(self.device);
        Ok(memory::peak(self.device)?.saturating_sub(self.before))
    }
}
