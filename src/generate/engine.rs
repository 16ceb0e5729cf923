//! Cached decoding: one step of level 0 a patch, one step of the last level a byte.
//!
//! A step is the model's own forward pass over the units that are new; what it saw before stands in the caches.

use tch::{Kind, Tensor};

use crate::model::Megabyte;
use crate::model::cache::LevelCache;
use crate::{Error, Result};

/// Sequences being decoded together, all of one length.
pub struct Engine<'m> {
    model: &'m Megabyte,
    rows: usize,
    /// What was fed so far, row by row.
    history: Vec<Vec<i64>>,
    caches: Vec<LevelCache>,
    /// What the current parent says to its children, a tensor (rows, n, D) a level; none at level 0.
    from_parent: Vec<Option<Tensor>>,
}

impl<'m> Engine<'m> {
    /// `rows` empty sequences.
    pub fn new(model: &'m Megabyte, rows: usize) -> Self {
        let (config, device) = (model.config(), model.device());
        let levels = config.levels.len();
        // Float64 proofs keep float64 caches; else they have the type of the matrix work.
        let caches = (0..levels).map(|l| LevelCache::new(config, l, rows, model.kind(), device)).collect();
        Engine {
            model,
            rows,
            history: vec![Vec::new(); rows],
            caches,
            from_parent: (0..levels).map(|_| None).collect(),
        }
    }

    /// Symbols fed so far.
    pub fn len(&self) -> usize {
        self.history[0].len()
    }

    /// Whether nothing was fed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts over with `prompts`, one a row and all of one length below the context, in one pass a level. Gives the
    /// logits (rows, V) of the next symbol.
    pub fn prefill(&mut self, prompts: &[Vec<i64>]) -> Result<Tensor> {
        let context = self.model.config().context;
        let length = prompts.first().map_or(0, Vec::len);
        if prompts.len() != self.rows || prompts.iter().any(|prompt| prompt.len() != length) {
            return Err(Error::Usage(format!("expected {} prompts of one length", self.rows)));
        }
        if length >= context {
            let reason = format!("a prompt of {length} bytes leaves nothing to generate in a context of {context}");
            return Err(Error::Usage(reason));
        }
        self.history = prompts.to_vec();
        let _guard = tch::no_grad_guard();
        Ok(self.descend(0, 0))
    }

    /// Adds a symbol to each row and gives the logits (rows, V) of the next. The last symbol of a context has no
    /// successor: then, and where it is longer, this fails.
    pub fn push(&mut self, symbols: &[i64]) -> Result<Tensor> {
        assert_eq!(symbols.len(), self.rows, "a symbol a row");
        if self.len() + 1 >= self.model.config().context {
            let context = self.model.config().context;
            return Err(Error::Usage(format!("the context of {context} bytes is full")));
        }
        for (row, &symbol) in self.history.iter_mut().zip(symbols) {
            row.push(symbol);
        }
        let _guard = tch::no_grad_guard();
        // The coarsest level at which a unit has just been completed takes a step; finer levels begin a new parent.
        let config = self.model.config();
        let at = self.len();
        let l = (0..config.levels.len())
            .find(|&l| at.is_multiple_of(config.levels[l].unit))
            .expect("the last level's unit is one byte");
        let out = self.step(l);
        Ok(if l + 1 == config.levels.len() {
            self.logits(&out)
        } else {
            self.begin_children(l, &out);
            self.descend(l + 1, at)
        })
    }

    /// From level `l` down, whose parent begins at `start`: every level reads what its parent holds so far, in one
    /// pass. Gives the logits of the next symbol.
    fn descend(&mut self, l: usize, start: usize) -> Tensor {
        let config = self.model.config();
        let unit = config.levels[l].unit;
        let complete = (self.len() - start) / unit;
        let before = self.symbols(start, start + complete * unit);
        let from_parent = self.from_parent[l].as_ref().map(|all| all.narrow(1, 0, complete as i64 + 1));

        let level = &self.model.levels()[l];
        let inputs = level.inputs(&before, from_parent.as_ref(), 0, self.model.kind());
        self.caches[l].len = 0;
        let out = level.forward(inputs, self.model.kind(), 0.0, Some(&mut self.caches[l])); // (rows, complete + 1, D)
        let out = out.select(1, complete as i64);
        if l + 1 == config.levels.len() {
            return self.logits(&out);
        }
        self.begin_children(l, &out);
        self.descend(l + 1, start + complete * unit)
    }

    /// One more unit at level `l`, whose predecessor has just been completed. Gives its output (rows, D).
    fn step(&mut self, l: usize) -> Tensor {
        let level = &self.model.levels()[l];
        let unit = self.model.config().levels[l].unit;
        let place = self.caches[l].len;
        let before = self.symbols(self.len() - unit, self.len());
        let from_parent = self.from_parent[l].as_ref().map(|all| all.narrow(1, place, 1));
        let inputs = level.inputs(&before, from_parent.as_ref(), place, self.model.kind());
        level.forward(inputs, self.model.kind(), 0.0, Some(&mut self.caches[l])).select(1, 0)
    }

    fn begin_children(&mut self, l: usize, out: &Tensor) {
        self.from_parent[l + 1] = Some(self.model.levels()[l + 1].children(out));
    }

    fn logits(&self, out: &Tensor) -> Tensor {
        self.model.logits(out)
    }

    /// Symbols `from..to` of every row: (rows, to - from).
    fn symbols(&self, from: usize, to: usize) -> Tensor {
        let flat: Vec<i64> = self.history.iter().flat_map(|row| row[from..to].iter().copied()).collect();
        Tensor::from_slice(&flat).view([self.rows as i64, (to - from) as i64]).to_device(self.model.device())
    }
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("rows", &self.rows).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Host copy of logits (rows, V), a vector a row.
pub(super) fn to_rows(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    let vocab = logits.size()[1] as usize;
    let flat = Vec::<f32>::try_from(logits.to_kind(Kind::Float).view(-1))?;
    Ok(flat.chunks(vocab).map(<[f32]>::to_vec).collect())
}
