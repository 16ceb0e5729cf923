//! MEGABYTE for any number of levels: equations 1 to 6 of the paper are the case of two.
//!
//! Shapes: B sequences of T bytes, V symbols; level l has width D and units of u bytes, n of them in a parent.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;
use super::level::Level;
use super::parameters::{Init, Parameters};
use crate::{Error, Result};

/// The model.
#[derive(Debug)]
pub struct Megabyte {
    config: ModelConfig,
    params: Parameters,
    levels: Vec<Level>,
    /// (V, D of the last level), where it is not the byte table.
    output: Option<Tensor>,
    kind: Kind,
    device: Device,
}

impl Megabyte {
    /// A model with fresh weights drawn from `seed`. Matrix work is done in `kind`; the parameters are float32, or
    /// float64 where `kind` is.
    pub fn new(config: &ModelConfig, kind: Kind, device: Device, seed: u64) -> Result<Self> {
        config.validate()?;
        tch::manual_seed(seed as i64);
        let master = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        let mut params = Parameters::new(device, master);
        let levels: Vec<Level> =
            (0..config.levels.len()).map(|l| Level::new(&mut params, config, l, master, device)).collect();
        let output = (!config.tie).then(|| {
            let width = config.levels[config.levels.len() - 1].n_embd as i64;
            let shape = [config.vocab as i64, width];
            params.add("output.weight".to_owned(), &shape, Init::TruncatedNormal(config.init_std))
        });
        Ok(Megabyte { config: config.clone(), params, levels, output, kind, device })
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The parameters, in a fixed order.
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// The levels, coarse first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The type of matrix work.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Casts the matrices once: for a model that no longer trains.
    pub fn freeze(&mut self) {
        for level in &mut self.levels {
            level.freeze(self.kind);
        }
    }

    /// Logits (B, T, V), float32 or wider, of symbols (B, T): position t's are for symbol t given those before it.
    /// T is a multiple of the coarsest unit and at most the context. Dropout is for training; 0 elsewhere.
    pub fn forward(&self, symbols: &Tensor, dropout: f64) -> Result<Tensor> {
        let (rows, length) = symbols.size2()?;
        let (patch, context) = (self.config.patch_size() as i64, self.config.context as i64);
        if length == 0 || length > context || length % patch != 0 {
            let reason = format!("a sequence of {length} symbols: expected a multiple of {patch} up to {context}");
            return Err(Error::Usage(reason));
        }
        let mut parents: Option<Tensor> = None; // (S, D) of the level above
        for (l, level) in self.levels.iter().enumerate() {
            let unit = self.config.levels[l].unit as i64;
            let span = if l == 0 { length } else { self.config.parent_unit(l) as i64 };
            let inside = symbols.reshape([-1, span]); // (S, span)
            // The last unit of a parent is no unit's predecessor.
            let before = inside.narrow(1, 0, span - unit);
            let from_parent = parents.as_ref().map(|parents| level.children(parents));
            let inputs = level.inputs(&before, from_parent.as_ref(), 0, self.kind);
            let out = level.forward(inputs, self.kind, dropout, None);
            parents = Some(out.reshape([-1, out.size()[2]]));
        }
        let out = parents.expect("a model has a level");
        Ok(self.logits(&out).view([rows, length, -1]))
    }

    /// The last level's output (…, D) to logits (…, V) in float32 or wider (equation 6).
    pub(crate) fn logits(&self, out: &Tensor) -> Tensor {
        let last = &self.levels[self.levels.len() - 1];
        let matrix = self.output.as_ref().unwrap_or(last.byte_table());
        out.linear(&matrix.to_kind(out.kind()), None::<&Tensor>).to_kind(matrix.kind())
    }
}
