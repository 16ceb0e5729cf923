//! MEGABYTE for any number of levels: equations 1 to 6 of the paper are the case of two.
//!
//! Shapes: B sequences of T bytes, V symbols; level l has width D and units of u bytes, n of them in a parent.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;
use super::level::Level;
use super::parameters::{Init, Parameters, named_level};
use crate::{Error, Result, native};

/// The model.
#[derive(Debug)]
pub struct Megabyte {
    config: ModelConfig,
    params: Parameters,
    /// Those with parameters: a first level without blocks only says where patches begin.
    levels: Vec<Level>,
    /// (V, D of the last level), where it is not the byte table or is a cast copy of it.
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
        Self::build(config, kind, Parameters::new(device, master(kind)), device)
    }

    /// The same, whose weights hold nothing yet: they are to be read from a file.
    pub(crate) fn unset(config: &ModelConfig, kind: Kind, device: Device) -> Result<Self> {
        config.validate()?;
        Self::build(config, kind, Parameters::unset(device, master(kind)), device)
    }

    /// A frozen model on the same parameters, for another thread: tensors may move between threads, but no two threads
    /// may use one.
    pub(crate) fn twin(&self) -> Result<Self> {
        self.frozen_with(self.params.tensors())
    }

    /// A frozen model on other tensors of the same order and shapes, whose matrices are cast once. Where nothing is to be
    /// cast it takes no memory.
    pub(crate) fn frozen_with(&self, tensors: Vec<Tensor>) -> Result<Self> {
        let mut frozen = Self::build(&self.config, self.kind, Parameters::given(&self.params, tensors), self.device)?;
        frozen.freeze();
        Ok(frozen)
    }

    fn build(config: &ModelConfig, kind: Kind, mut params: Parameters, device: Device) -> Result<Self> {
        // Whether what chooses the kernels can be understood.
        native::attention::level()?;
        if device.is_cuda() {
            native::cuda::prepare()?;
        }
        let master = params.kind();
        let levels: Vec<Level> = (config.first_level()..config.levels.len())
            .map(|l| Level::new(&mut params, config, l, master, device))
            .collect();
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

    /// Level `l`, which is not a first one without blocks.
    pub(crate) fn level(&self, l: usize) -> &Level {
        &self.levels[l - self.config.first_level()]
    }

    /// The type of matrix work.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The level of a parameter, by its name: what is named for none belongs to the output, and so to the last.
    pub(crate) fn level_of(&self, name: &str) -> usize {
        named_level(name).unwrap_or(self.config.levels.len() - 1)
    }

    /// Training leaves these levels as they are.
    pub fn hold(&self, levels: &[usize]) {
        for (_, tensor) in self.params.iter().filter(|(name, _)| levels.contains(&self.level_of(name))) {
            let _ = tensor.set_requires_grad(false);
        }
    }

    /// Casts the matrices once: for a model that no longer trains.
    pub fn freeze(&mut self) {
        for level in &mut self.levels {
            level.freeze(self.kind);
        }
        self.output = Some(self.output_matrix().detach().to_kind(self.kind));
    }

    /// Logits (B, T, V), float32 or wider, of symbols (B, T): position t's are for symbol t given those before it. With
    /// [`ModelConfig::latents`] only the last ones are there. T is a multiple of the coarsest unit and at most the
    /// context. Dropout is for training; 0 elsewhere.
    pub fn forward(&self, symbols: &Tensor, dropout: f64) -> Result<Tensor> {
        self.check(symbols)?;
        let rows = symbols.size()[0];
        let coarse = self.coarse(symbols, dropout);
        let out = self.fine(symbols, coarse, dropout);
        Ok(self.logits(&out).view([rows, -1, self.config.vocab as i64]))
    }

    /// Whether symbols are (B, T) with a T that the model takes.
    pub(crate) fn check(&self, symbols: &Tensor) -> Result<()> {
        let (_, length) = symbols.size2()?;
        let (patch, context) = (self.config.patch_size() as i64, self.config.context as i64);
        if length == 0 || length > context || length % patch != 0 {
            let reason = format!("a sequence of {length} symbols: expected a multiple of {patch} up to {context}");
            return Err(Error::Usage(reason));
        }
        Ok(())
    }

    /// The first level of whole sequences (B, T): (B, n, D), or none where it has no blocks.
    pub(crate) fn coarse(&self, symbols: &Tensor, dropout: f64) -> Option<Tensor> {
        (self.config.first_level() == 0).then(|| {
            let (inputs, parents) = self.inputs(0, symbols, None);
            let level = self.level(0);
            level.forward(inputs, &level.pass(self.kind, dropout, 0, parents))
        })
    }

    /// The levels below the first, of consecutive coarsest units of each sequence: symbols (B, m u) and the first
    /// level's output (B, m, D), where there is one, to the last level's (S, n, D).
    pub(crate) fn fine(&self, symbols: &Tensor, coarse: Option<Tensor>, dropout: f64) -> Tensor {
        let out = (1..self.config.levels.len()).fold(coarse, |above, l| {
            let (inputs, parents) = self.inputs(l, symbols, above.as_ref());
            let level = self.level(l);
            Some(level.forward(inputs, &level.pass(self.kind, dropout, 0, parents)))
        });
        out.expect("one level at least has blocks")
    }

    /// What level `l` reads (S, n, D) of consecutive coarsest units, symbols (B, m u) and what the level above made of
    /// them, and how many parents each sequence has among them.
    pub(crate) fn inputs(&self, l: usize, symbols: &Tensor, above: Option<&Tensor>) -> (Tensor, i64) {
        let unit = self.config.levels[l].unit as i64;
        let length = symbols.size()[1];
        let span = if l == 0 { length } else { self.config.parent_unit(l) as i64 };
        let inside = symbols.reshape([-1, span]); // (S, span)
        // The last unit of a parent is no unit's predecessor.
        let before = inside.narrow(1, 0, span - unit);
        let level = self.level(l);
        let from_parent = above.and_then(|above| level.children(&above.reshape([-1, above.size()[2]])));
        (level.inputs(&before, from_parent.as_ref(), 0, self.kind), length / span)
    }

    /// The last level's output (…, D) to logits (…, V) in float32 or wider (equation 6).
    pub(crate) fn logits(&self, out: &Tensor) -> Tensor {
        out.linear(&self.output_matrix().to_kind(out.kind()), None::<&Tensor>).to_kind(self.params.kind())
    }

    fn output_matrix(&self) -> &Tensor {
        let last = self.level(self.config.levels.len() - 1);
        self.output.as_ref().or(last.byte_table()).expect("an output matrix or a table that is one")
    }
}

/// The type of the parameters of a model whose matrix work is in `kind`.
fn master(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}
