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
    source: Source,
    device: Device,
    kind: Kind,
}

/// Where the numbers come from.
#[derive(Debug)]
enum Source {
    /// As each parameter starts.
    Drawn,
    /// Nowhere yet: they are read from a file.
    Unset,
    /// From tensors that are there, in the order of the parameters.
    Given(std::vec::IntoIter<Tensor>),
}

impl Parameters {
    /// No parameters yet; those added live on `device` as `kind` (float32, or float64 in proofs).
    pub fn new(device: Device, kind: Kind) -> Self {
        Parameters { entries: Vec::new(), source: Source::Drawn, device, kind }
    }

    /// No parameters yet; what those added hold is not decided: for a model that is read from a file.
    pub(super) fn unset(device: Device, kind: Kind) -> Self {
        Parameters { source: Source::Unset, ..Self::new(device, kind) }
    }

    /// No parameters yet; those added are `tensors`, in the order of `like`: another model on storage that is there.
    pub(super) fn given(like: &Parameters, tensors: Vec<Tensor>) -> Self {
        Parameters { source: Source::Given(tensors.into_iter()), ..Self::new(like.device, like.kind) }
    }

    /// Adds a parameter. It is drawn on the CPU, so that a seed gives the same model on every device.
    pub fn add(&mut self, name: String, shape: &[i64], init: Init) -> Tensor {
        let tensor = match &mut self.source {
            Source::Given(tensors) => tensors.next().expect("there is a tensor for each parameter"),
            Source::Unset => Tensor::empty(shape, (self.kind, self.device)).set_requires_grad(true),
            Source::Drawn => {
                let value = match init {
                    Init::Constant(value) => Tensor::full(shape, value, (self.kind, Device::Cpu)),
                    Init::TruncatedNormal(std) => truncated_normal(shape, std).to_kind(self.kind),
                };
                value.to_device(self.device).set_requires_grad(true)
            }
        };
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
