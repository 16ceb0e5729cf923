//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), one fused kernel a group.

use tch::{Device, Kind, Tensor};

use super::{Param, Scale};
use crate::Result;
use crate::native::{self, AdamWGroup, AdamWStep};
use crate::train::config::TrainConfig;

/// AdamW with weight decay on matrices only.
#[derive(Debug)]
pub struct AdamW {
    params: Vec<Param>,
    exp_avgs: Vec<Tensor>,
    exp_avg_sqs: Vec<Tensor>,
    /// Steps taken: a float32 scalar, which steps with a gradient that is not finite don't change.
    steps: Tensor,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

impl AdamW {
    /// Zero state for these parameters, all on `device`.
    pub fn new(params: Vec<Param>, config: &TrainConfig, device: Device) -> Self {
        let zeros = || params.iter().map(|param| param.tensor.detach().zeros_like()).collect();
        AdamW {
            exp_avgs: zeros(),
            exp_avg_sqs: zeros(),
            steps: Tensor::zeros([], (Kind::Float, device)),
            betas: (config.betas[0], config.betas[1]),
            eps: config.eps,
            weight_decay: config.weight_decay,
            params,
        }
    }

    /// One step with the gradients that the parameters hold.
    pub fn step(&mut self, lr: f64, scale: &Scale) -> Result<()> {
        let _ = self.steps.g_add_(&(1.0 - &scale.found_inf));
        for decayed in [true, false] {
            let in_group = |i: &usize| {
                let tensor = &self.params[*i].tensor;
                (tensor.dim() >= 2) == decayed && tensor.grad().defined()
            };
            let group: Vec<usize> = (0..self.params.len()).filter(in_group).collect();
            let pick = |list: &[Tensor]| -> Vec<Tensor> { group.iter().map(|&i| list[i].shallow_clone()).collect() };
            let params: Vec<Tensor> = group.iter().map(|&i| self.params[i].tensor.shallow_clone()).collect();
            let lists = AdamWGroup {
                grads: &params.iter().map(Tensor::grad).collect::<Vec<_>>(),
                params: &params,
                exp_avgs: &pick(&self.exp_avgs),
                exp_avg_sqs: &pick(&self.exp_avg_sqs),
                steps: &group.iter().map(|_| self.steps.shallow_clone()).collect::<Vec<_>>(),
            };
            let weight_decay = if decayed { self.weight_decay } else { 0.0 };
            let step = AdamWStep { lr, betas: self.betas, weight_decay, eps: self.eps };
            native::fused_adamw(&lists, step, &scale.divisor, &scale.found_inf)?;
        }
        Ok(())
    }

    /// Both averages of every parameter, and the number of steps.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let averages = [("exp_avg", &self.exp_avgs), ("exp_avg_sq", &self.exp_avg_sqs)];
        let averages = averages.into_iter().flat_map(|(kind, tensors)| {
            self.params.iter().zip(tensors).map(move |(param, tensor)| (format!("{kind}.{}", param.name), tensor))
        });
        averages.chain(std::iter::once(("step".to_owned(), &self.steps)))
    }
}
