//! From bytes to the vectors of units: equation 1, the reshape of equation 2, and the convolutions of section 2.3.
//!
//! Shapes: S parents, m units of u bytes in each, D width of the level, C width of a byte's code.

use tch::{Kind, Tensor};

use super::config::{Embedding, ModelConfig, Position};
use super::layers::{cast, section};
use super::parameters::{Init, Parameters};

/// Widths of the convolutions, in bytes (paper, section 2.3).
pub(super) const FILTERS: [i64; 3] = [3, 5, 7];
/// Bytes before a byte that the convolutions carry into its code.
const HALO: i64 = FILTERS[0] + FILTERS[1] + FILTERS[2] - FILTERS.len() as i64;

/// The bytes' codes and how they become units.
#[derive(Debug)]
pub struct Encoder {
    /// (V, C)
    byte_embedding: Tensor,
    /// (span, C)
    position: Option<Tensor>,
    convolutions: Vec<Convolution>,
    /// (D, u C)
    embed: Option<Tensor>,
    /// (D)
    pad: Tensor,
    unit: i64,
}

impl Encoder {
    /// The encoder of level `l`, its parameters named `{name}.…`, with the byte table that it is to use.
    pub fn new(params: &mut Parameters, name: &str, config: &ModelConfig, l: usize, byte_embedding: &Tensor) -> Self {
        let level = &config.levels[l];
        let [width, unit, code] = [level.n_embd, level.unit, config.code_dim(l)].map(|n| n as i64);
        let normal = Init::TruncatedNormal(config.init_std);
        let mut table = |name: String, shape: &[i64]| params.add(name, shape, normal);
        let position = (config.position == Position::Learned)
            .then(|| table(format!("{name}.position"), &[config.parent_unit(l) as i64, code]));
        let embed = (config.embedding == Embedding::Linear && unit > 1)
            .then(|| table(format!("{name}.embed"), &[width, unit * code]));
        let pad = table(format!("{name}.pad"), &[width]);
        let filters = if config.has_encoder(l) { &FILTERS[..] } else { &[] };
        let convolution = |(i, &filter)| Convolution::new(params, &format!("{name}.conv.{i}"), code, filter, config);
        Encoder {
            byte_embedding: byte_embedding.shallow_clone(),
            position,
            convolutions: filters.iter().enumerate().map(convolution).collect(),
            embed,
            pad,
            unit,
        }
    }

    /// How many symbols before those of the unit at place `first` its vector depends on.
    pub fn halo(&self, first: i64) -> i64 {
        if self.convolutions.is_empty() { 0 } else { HALO.min(first * self.unit) }
    }

    /// The vectors of m units: symbols (S, halo + m u) to (S, m, D), the first unit at place `first` of its parent.
    fn units(&self, symbols: &Tensor, first: i64, kind: Kind) -> Tensor {
        let (sequences, bytes) = symbols.size2().expect("symbols are (S, halo + m u)");
        let halo = self.halo(first);
        let mut codes = Tensor::embedding(&self.byte_embedding, symbols, -1, false, false); // (S, halo + m u, C)
        if let Some(position) = &self.position {
            codes += section(position, 0, first * self.unit - halo, bytes);
        }
        for convolution in &self.convolutions {
            codes = convolution.forward(codes, kind);
        }
        let codes = section(&codes, 1, halo, bytes - halo);
        let units = codes.reshape([sequences, (bytes - halo) / self.unit, -1]);
        match &self.embed {
            Some(embed) => units.to_kind(kind).linear(&embed.to_kind(kind), None::<&Tensor>).to_kind(units.kind()),
            None => units,
        }
    }

    /// Each unit's predecessor, or the pad where there is none, for the units from place `first` on: (S, n, D).
    /// `before` holds the symbols of the predecessors behind the halo of the first of them: (S, halo + n u), or
    /// (S, (n - 1) u) from place 0 on.
    pub fn shifted(&self, before: &Tensor, first: i64, kind: Kind) -> Tensor {
        let (sequences, bytes) = before.size2().expect("symbols are (S, m u)");
        if first > 0 {
            return self.units(before, first - 1, kind);
        }
        let pad = self.pad.view([1, 1, -1]).expand([sequences, 1, -1], false);
        if bytes == 0 { pad } else { Tensor::cat(&[pad, self.units(before, 0, kind)], 1) }
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        if let Some(embed) = &mut self.embed {
            *embed = embed.detach().to_kind(kind);
        }
        self.convolutions.iter_mut().for_each(|convolution| convolution.freeze(kind));
    }
}

/// A causal convolution over the codes of a parent's bytes, added to them. The paper says neither the channels nor what
/// stands between the layers: here all C channels of a code, ReLU, and a residual stream.
#[derive(Debug)]
struct Convolution {
    /// (C, C, filter)
    weight: Tensor,
    bias: Option<Tensor>,
    filter: i64,
}

impl Convolution {
    fn new(params: &mut Parameters, name: &str, code: i64, filter: i64, config: &ModelConfig) -> Self {
        let init = Init::TruncatedNormal(config.init_std);
        let weight = params.add(format!("{name}.weight"), &[code, code, filter], init);
        let bias = config.bias.then(|| params.add(format!("{name}.bias"), &[code], Init::Constant(0.0)));
        Convolution { weight, bias, filter }
    }

    /// (S, bytes, C) to the same, with zeros before the first byte.
    fn forward(&self, codes: Tensor, kind: Kind) -> Tensor {
        // (S, bytes, C) -> (S, C, filter - 1 + bytes)
        let padded = codes.to_kind(kind).transpose(1, 2).constant_pad_nd([self.filter - 1, 0]);
        let (weight, bias) = (self.weight.to_kind(kind), cast(&self.bias, kind));
        let found = padded.conv1d(&weight, bias, [1], [0], [1], 1).relu().transpose(1, 2);
        codes + found
    }

    fn freeze(&mut self, kind: Kind) {
        self.weight = self.weight.detach().to_kind(kind);
        self.bias = self.bias.as_ref().map(|bias| bias.detach().to_kind(kind));
    }
}
