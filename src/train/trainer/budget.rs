//! Whether the time that a run may take is enough for its steps.

use std::time::Instant;

use tch::{Kind, Tensor};

use super::Trainer;
use crate::Result;
use crate::config::RunConfig;
use crate::model::gradients;
use crate::train::shortage::{self, Part};
use crate::train::speed::synchronize;

/// Of fewer steps a model learns next to nothing.
const FEW: u64 = 100;

/// A warning where `train.max_minutes` ends a run after so few `steps`, each of so many `seconds`; with what to lower.
pub fn few_steps(config: &RunConfig, steps: u64, seconds: f64) -> Option<String> {
    let (train, context) = (&config.train, config.model.context);
    if train.max_minutes == 0.0 || steps >= train.max_steps.min(FEW) {
        return None;
    }
    let bytes = train.bytes_per_step;
    let of_steps = if steps == 1 { "step" } else { "steps" };
    let smaller = if bytes > context {
        format!("lower train.bytes_per_step ({bytes}; {context} is the least) or the model's size, ")
    } else {
        "lower the model's size or model.context, ".to_owned()
    };
    Some(format!(
        "train.max_minutes = {} ends this run after about {steps} {of_steps} of {seconds:.2} s, of which a model learns next to \
         nothing: {smaller}or raise train.max_minutes",
        train.max_minutes
    ))
}

impl Trainer {
    /// The same of this run. Passes that change nothing say how long a step takes.
    pub(super) fn few_steps(&self) -> Result<Option<String>> {
        let train = &self.config.train;
        let left = (train.max_minutes - self.state.minutes) * 60.0;
        let wanted = train.max_steps.min(FEW).saturating_sub(self.state.step);
        if train.max_minutes == 0.0 || wanted == 0 || left <= 0.0 {
            return Ok(None);
        }
        let mut seconds = self.passes()?;
        if seconds * wanted as f64 > left {
            // The first ones load what libtorch loads at first.
            seconds = seconds.min(self.passes()?);
        }
        let steps = self.state.step.saturating_add((left / seconds).ceil() as u64);
        Ok(few_steps(&self.config, steps, seconds))
    }

    /// Seconds of the passes of a step, without its update: one is measured, and its gradients are forgotten.
    fn passes(&self) -> Result<f64> {
        let (model, train) = (&self.config.model, &self.config.train);
        let shape = [train.rows(model) as i64, model.context as i64];
        let started = Instant::now();
        shortage::guard(Part::Step, &self.config, || {
            let device = self.model.device();
            let symbols = Tensor::arange(shape[0] * shape[1], (Kind::Int64, device)).remainder(256).view(shape);
            let _nats = gradients::accumulate(&self.model, &symbols, model.dropout, 0.0, &train.memory())?;
            synchronize(device);
            Ok(())
        })?;
        let seconds = started.elapsed().as_secs_f64();
        self.optimizer.zero_grad()?;
        Ok(seconds * train.micro_batches(model) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_for_fewer_than_a_hundred_steps_is_warned_of() {
        let mut config: RunConfig = toml::from_str(
            "[data]\nmodality = \"bytes\"\n[model]\ncontext = 4096\n[[model.level]]\nunit = 1\nn_embd = 8\nn_layer = 1\nn_head = 1\n\
             [train]\nmax_steps = 4000\nmax_minutes = 2.0\nbytes_per_step = 16384\n",
        )
        .unwrap();
        let said = few_steps(&config, 12, 9.8).unwrap();
        for part in ["train.max_minutes = 2 ", "12 steps of 9.80 s", "train.bytes_per_step (16384; 4096 is the least)"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(few_steps(&config, 100, 1.2), None);
        config.train.bytes_per_step = 4096;
        assert!(few_steps(&config, 99, 1.2).unwrap().contains("lower the model's size or model.context"));
        config.train.max_steps = 12;
        assert_eq!(few_steps(&config, 12, 9.8), None, "no more were asked for");
        config.train = crate::train::TrainConfig { max_steps: 4000, max_minutes: 0.0, ..config.train };
        assert_eq!(few_steps(&config, 12, 9.8), None, "time is no limit");
    }
}
