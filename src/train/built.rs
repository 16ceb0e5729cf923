//! A model with all that training keeps beside it.

use tch::{Device, Kind};

use super::averages::Averages;
use super::dtype;
use super::optimizer::Optimizer;
use super::shortage::{self, Part};
use crate::Result;
use crate::config::RunConfig;
use crate::model::Megabyte;

/// What a step changes.
#[derive(Debug)]
pub(super) struct Built {
    pub model: Megabyte,
    pub optimizer: Optimizer,
    pub averages: Option<Averages>,
}

impl Built {
    /// Builds it as `config` says. Weights are `drawn`, or hold nothing yet, where all of them are read from a checkpoint.
    /// `begin` may give the model others than those that are drawn: averages begin with them. Fails with advice where there
    /// is too little memory.
    pub fn new<T>(
        config: &RunConfig,
        device: Device,
        drawn: bool,
        begin: impl FnOnce(&Megabyte) -> Result<T>,
    ) -> Result<(Self, T)> {
        let train = &config.train;
        let kind = dtype::resolved(config, device)?.train.dtype.kind().unwrap_or(Kind::Float);
        shortage::guard(Part::Model, config, || {
            let model = match drawn {
                true => Megabyte::new(&config.model, kind, device, train.seed)?,
                false => Megabyte::unset(&config.model, kind, device)?,
            };
            let begun = begin(&model)?;
            // An optimizer keeps nothing for weights that are held.
            model.hold(&train.freeze_levels);
            let optimizer = Optimizer::new(&model, train);
            let averages = (train.ema > 0.0).then(|| Averages::new(&model, train.ema));
            Ok((Built { model, optimizer, averages }, begun))
        })
    }
}
