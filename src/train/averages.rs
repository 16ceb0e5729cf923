//! An exponential moving average of the weights, which is what a run with `train.ema` evaluates and saves.

use tch::Tensor;

use crate::model::Megabyte;
use crate::{Result, native};

/// The averages of a model's parameters, in their order.
#[derive(Debug)]
pub struct Averages {
    decay: f64,
    params: Vec<Tensor>,
    tensors: Vec<Tensor>,
}

impl Averages {
    /// Of a model whose weights are where the average begins.
    pub fn new(model: &Megabyte, decay: f64) -> Self {
        let params = model.parameters().tensors();
        let tensors = params.iter().map(|param| param.detach().copy()).collect();
        Averages { decay, params, tensors }
    }

    /// Moves towards the weights after step number `step`, from 1. At the start the average is of the steps so far, so
    /// that it is not of weights that have learned nothing.
    pub fn update(&mut self, step: u64) -> Result<()> {
        let _optimizer = native::profile::span(native::profile::Span::Optimizer);
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64);
        tch::no_grad(|| native::lerp(&self.tensors, &self.params, 1.0 - decay))
    }

    /// The averages, in the order of the parameters.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}
