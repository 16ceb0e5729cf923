//! The model's tensors by name, in one fixed order.

use tch::{Device, Kind, Tensor};

/// How a parameter starts.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// Normal with this standard deviation, cut at two of them (paper, appendix A.1).
    TruncatedNormal(f64),
    /// Every element this value.
    Constant(f64),
}

/// Named parameters in the order in which the model was built, so that optimizer, norms and files agree on it.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<(String, Tensor)>,
    /// Those of another model, which stand for what would be drawn.
    given: std::vec::IntoIter<Tensor>,
    device: Device,
    kind: Kind,
}

impl Parameters {
    /// No parameters yet; those added live on `device` as `kind` (float32, or float64 in proofs).
    pub fn new(device: Device, kind: Kind) -> Self {
        Parameters { entries: Vec::new(), given: Vec::new().into_iter(), device, kind }
    }

    /// No parameters yet; those added are those of `other`, in its order: a second model on the same storage.
    pub(super) fn shared(other: &Parameters) -> Self {
        let given = other.tensors().into_iter();
        Parameters { entries: Vec::new(), given, device: other.device, kind: other.kind }
    }

    /// Adds a parameter. It is drawn on the CPU, so that a seed gives the same model on every device.
    pub fn add(&mut self, name: String, shape: &[i64], init: Init) -> Tensor {
        let tensor = self.given.next().unwrap_or_else(|| {
            let value = match init {
                Init::Constant(value) => Tensor::full(shape, value, (self.kind, Device::Cpu)),
                Init::TruncatedNormal(std) => truncated_normal(shape, std).to_kind(self.kind),
            };
            value.to_device(self.device).set_requires_grad(true)
        });
        debug_assert!(tensor.size() == shape, "{name} is of another shape");
        debug_assert!(self.entries.iter().all(|(other, _)| *other != name), "two parameters named {name}");
        self.entries.push((name, tensor.shallow_clone()));
        tensor
    }

    /// The type of all of them.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Name and tensor, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensors, in order; clones share their storage.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.entries.iter().map(|(_, tensor)| tensor.shallow_clone()).collect()
    }

    /// Elements of all parameters.
    pub fn count(&self) -> u64 {
        self.entries.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
    }

    /// Elements of the parameters whose name begins with `prefix`.
    pub fn count_of(&self, prefix: &str) -> u64 {
        self.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, tensor)| tensor.numel() as u64).sum()
    }
}

/// The level that a parameter is named for, `level.{l}.…`, where it is.
pub fn named_level(name: &str) -> Option<usize> {
    name.strip_prefix("level.")?.split_once('.')?.0.parse().ok()
}

/// Inverse transform sampling between the cuts: erf⁻¹ of a uniform draw, scaled.
fn truncated_normal(shape: &[i64], std: f64) -> Tensor {
    // Φ(2) - Φ(-2) = erf(2 / √2), the mass between the cuts.
    let mass = 0.954_499_736_103_641_6;
    let uniform = Tensor::empty(shape, (Kind::Double, Device::Cpu)).uniform_(-mass, mass);
    uniform.erfinv() * (std * std::f64::consts::SQRT_2)
}
