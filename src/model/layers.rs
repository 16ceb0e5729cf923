//! Layers with parameters: a matrix that works in the type of its input, and norms that work in float32.

use tch::{Kind, Tensor};

use super::config::{ModelConfig, Norm as NormKind};
use super::parameters::{Init, Parameters};

/// `x Wᵀ + b` in the type of `x`: float32 master weights are cast as they are used, which stands for autocast.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Maps `from` features to `to`, named `{name}.weight` and `{name}.bias`.
    pub fn new(params: &mut Parameters, name: &str, from: usize, to: usize, config: &ModelConfig) -> Self {
        let init = Init::TruncatedNormal(config.init_std);
        let weight = params.add(format!("{name}.weight"), &[to as i64, from as i64], init);
        let bias = config.bias.then(|| params.add(format!("{name}.bias"), &[to as i64], Init::Constant(0.0)));
        Linear { weight, bias }
    }

    /// (…, from) to (…, to).
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        x.linear(&self.weight.to_kind(kind), cast(&self.bias, kind))
    }

    /// (…, from) to the `count` features from `first` on.
    pub fn forward_part(&self, x: &Tensor, first: i64, count: i64) -> Tensor {
        let kind = x.kind();
        let bias = self.bias.as_ref().map(|bias| bias.narrow(0, first, count).to_kind(kind));
        x.linear(&self.weight.narrow(0, first, count).to_kind(kind), bias)
    }

    /// Casts the weights once, for a model that no longer trains.
    pub fn freeze(&mut self, kind: Kind) {
        self.weight = self.weight.detach().to_kind(kind);
        self.bias = self.bias.as_ref().map(|bias| bias.detach().to_kind(kind));
    }
}

/// A bias, where there is one, in another type.
pub fn cast(bias: &Option<Tensor>, kind: Kind) -> Option<Tensor> {
    bias.as_ref().map(|bias| bias.to_kind(kind))
}

/// `count` of a dimension from `first` on. All of it is the tensor itself: the gradient of a view would be a copy.
pub fn section(x: &Tensor, dim: i64, first: i64, count: i64) -> Tensor {
    if first == 0 && count == x.size()[dim as usize] { x.shallow_clone() } else { x.narrow(dim, first, count) }
}

/// LayerNorm or RMSNorm over the last dimension.
#[derive(Debug)]
pub struct Norm {
    kind: NormKind,
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl Norm {
    /// The configured norm over `width` features, named `{name}.weight` and, for LayerNorm, `{name}.bias`.
    pub fn new(params: &mut Parameters, name: &str, width: usize, config: &ModelConfig) -> Self {
        Self::with_kind(params, name, width, config, config.norm)
    }

    /// RMSNorm whatever the configuration says, for queries and keys.
    pub fn rms(params: &mut Parameters, name: &str, width: usize, config: &ModelConfig) -> Self {
        Self::with_kind(params, name, width, config, NormKind::RmsNorm)
    }

    fn with_kind(params: &mut Parameters, name: &str, width: usize, config: &ModelConfig, kind: NormKind) -> Self {
        let width = [width as i64];
        let weight = params.add(format!("{name}.weight"), &width, Init::Constant(1.0));
        let bias = (config.bias && kind == NormKind::LayerNorm)
            .then(|| params.add(format!("{name}.bias"), &width, Init::Constant(0.0)));
        Norm { kind, weight, bias, eps: config.norm_eps }
    }

    /// Normalises in float32 or wider and gives the result as `out`.
    pub fn forward(&self, x: &Tensor, out: Kind) -> Tensor {
        let shape = self.weight.size();
        let x = x.to_kind(self.weight.kind());
        let normed = match self.kind {
            NormKind::LayerNorm => x.layer_norm(shape, Some(&self.weight), self.bias.as_ref(), self.eps, true),
            NormKind::RmsNorm => x.rms_norm(shape, Some(&self.weight), self.eps),
        };
        normed.to_kind(out)
    }
}
