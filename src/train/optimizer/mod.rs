//! What changes the parameters: clipping, then the update rule of each parameter. All state is visible by name.

mod adamw;
mod muon;

use tch::{Kind, Tensor};

use self::adamw::AdamW;
use self::muon::Muon;
use super::config::{OptimizerKind, TrainConfig};
use crate::model::Megabyte;
use crate::{Result, native};

/// A parameter that is trained.
#[derive(Debug)]
struct Param {
    name: String,
    tensor: Tensor,
}

/// What holds for all gradients of one step: float32 scalars on the parameters' device.
#[derive(Debug)]
struct Scale {
    /// Gradients are divided by it.
    divisor: Tensor,
    /// 1 where a gradient is not finite and nothing may change, else 0.
    found_inf: Tensor,
}

/// AdamW for all parameters, or Muon for the matrices of the blocks and AdamW for the rest. Nothing in a step waits for
/// the device.
#[derive(Debug)]
pub struct Optimizer {
    params: Vec<Tensor>,
    adamw: AdamW,
    muon: Option<Muon>,
    /// Norm of the last step's gradients.
    norm: Tensor,
    clip: f64,
}

impl Optimizer {
    /// Zero state for every parameter that needs a gradient.
    pub fn new(model: &Megabyte, config: &TrainConfig) -> Self {
        let trained = model.parameters().iter().filter(|(_, tensor)| tensor.requires_grad());
        let all: Vec<Param> =
            trained.map(|(name, tensor)| Param { name: name.to_owned(), tensor: tensor.shallow_clone() }).collect();
        let params = all.iter().map(|param| param.tensor.shallow_clone()).collect();
        let (matrices, rest) = match config.optimizer {
            OptimizerKind::AdamW => (Vec::new(), all),
            OptimizerKind::Muon => all.into_iter().partition(muon::suits),
        };
        Optimizer {
            params,
            adamw: AdamW::new(rest, config, model.device()),
            muon: (!matrices.is_empty()).then(|| Muon::new(matrices, config, model.kind())),
            norm: Tensor::zeros([], (Kind::Float, model.device())),
            clip: config.clip,
        }
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&self) -> Result<()> {
        let _optimizer = native::profile::span(native::profile::Span::Optimizer);
        native::clear_gradients(&self.params)
    }

    /// One step with the gradients that the parameters hold, scaled down to the clipping norm. Gives whether they were
    /// finite, a bool scalar on the device; where not, nothing changes. Where they are, they are scaled in their place.
    pub fn step(&mut self, lr: f64) -> Result<Tensor> {
        let _optimizer = native::profile::span(native::profile::Span::Optimizer);
        tch::no_grad(|| {
            // A table that nothing looked into has no gradient.
            let grads: Vec<Tensor> =
                self.params.iter().map(Tensor::grad).filter(|gradient| gradient.defined()).collect();
            native::total_norm(&grads, &self.norm)?;
            let finite = self.norm.isfinite();
            let divisor = if self.clip > 0.0 { (&self.norm / self.clip).clamp_min(1.0) } else { self.norm.ones_like() };
            let divisor = divisor.where_self(&finite, &self.norm.ones_like());
            let scale = Scale { divisor, found_inf: 1.0 - finite.to_kind(Kind::Float) };
            self.adamw.step(lr, &scale)?;
            if let Some(muon) = &mut self.muon {
                muon.step(lr, &scale);
            }
            Ok(finite)
        })
    }

    /// The norm of the last step's gradients before clipping; waits for the device.
    pub fn grad_norm(&self) -> Result<f64> {
        Ok(f64::try_from(&self.norm)?)
    }

    /// Everything that a resumed run needs, by name.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.adamw.state().chain(self.muon.iter().flat_map(Muon::state))
    }
}
