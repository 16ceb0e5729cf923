//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with visible state, one fused kernel a group.

use tch::{Kind, Tensor};

use super::config::TrainConfig;
use crate::Result;
use crate::model::Parameters;
use crate::native::{self, AdamWGroup, AdamWStep};

/// AdamW with weight decay on matrices only. Nothing in a step waits for the device.
#[derive(Debug)]
pub struct AdamW {
    names: Vec<String>,
    params: Vec<Tensor>,
    exp_avgs: Vec<Tensor>,
    exp_avg_sqs: Vec<Tensor>,
    /// Steps taken: a float32 scalar, which steps with a gradient that is not finite don't change.
    steps: Tensor,
    /// Norm of the last step's gradients.
    norm: Tensor,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    clip: f64,
}

impl AdamW {
    /// Zero state for every parameter.
    pub fn new(parameters: &Parameters, config: &TrainConfig) -> Self {
        let params = parameters.tensors();
        let zeros = || params.iter().map(|param| param.detach().zeros_like()).collect();
        let scalar = Tensor::zeros([], (Kind::Float, params[0].device()));
        AdamW {
            names: parameters.iter().map(|(name, _)| name.to_owned()).collect(),
            exp_avgs: zeros(),
            exp_avg_sqs: zeros(),
            steps: scalar.copy(),
            norm: scalar,
            betas: (config.betas[0], config.betas[1]),
            eps: config.eps,
            weight_decay: config.weight_decay,
            clip: config.clip,
            params,
        }
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&self) -> Result<()> {
        let _optimizer = native::profile::span(native::profile::Span::Optimizer);
        native::clear_gradients(&self.params)
    }

    /// One step with the gradients that the parameters hold, scaled down to the clipping norm. A gradient that is
    /// not finite changes nothing.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        let _optimizer = native::profile::span(native::profile::Span::Optimizer);
        tch::no_grad(|| {
            // A table that nothing looked into has no gradient.
            let used: Vec<usize> = (0..self.params.len()).filter(|&i| self.params[i].grad().defined()).collect();
            let grads: Vec<Tensor> = used.iter().map(|&i| self.params[i].grad()).collect();
            native::total_norm(&grads, &self.norm)?;
            let found_inf = 1.0 - self.norm.isfinite().to_kind(Kind::Float);
            let grad_scale =
                if self.clip > 0.0 { (&self.norm / self.clip).clamp_min(1.0) } else { self.norm.ones_like() };
            let _ = self.steps.g_add_(&(1.0 - &found_inf));

            for decayed in [true, false] {
                let of_group = |k: &usize| (self.params[used[*k]].dim() >= 2) == decayed;
                let members: Vec<usize> = (0..used.len()).filter(of_group).collect();
                let pick = |list: &[Tensor]| -> Vec<Tensor> {
                    members.iter().map(|&k| list[used[k]].shallow_clone()).collect()
                };
                let group = AdamWGroup {
                    params: &pick(&self.params),
                    grads: &members.iter().map(|&k| grads[k].shallow_clone()).collect::<Vec<_>>(),
                    exp_avgs: &pick(&self.exp_avgs),
                    exp_avg_sqs: &pick(&self.exp_avg_sqs),
                    steps: &members.iter().map(|_| self.steps.shallow_clone()).collect::<Vec<_>>(),
                };
                let weight_decay = if decayed { self.weight_decay } else { 0.0 };
                let step = AdamWStep { lr, betas: self.betas, weight_decay, eps: self.eps };
                native::fused_adamw(&group, step, &grad_scale, &found_inf)?;
            }
            Ok(())
        })
    }

    /// The norm of the last step's gradients before clipping; waits for the device.
    pub fn grad_norm(&self) -> Result<f64> {
        Ok(f64::try_from(&self.norm)?)
    }

    /// Everything that a resumed run needs, by name.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let averages = [("exp_avg", &self.exp_avgs), ("exp_avg_sq", &self.exp_avg_sqs)];
        let averages = averages.into_iter().flat_map(|(kind, tensors)| {
            self.names.iter().zip(tensors).map(move |(name, tensor)| (format!("{kind}.{name}"), tensor))
        });
        averages.chain(std::iter::once(("step".to_owned(), &self.steps)))
    }
}
