//! Cached decoding: one step of the first level a patch, one step of the last level a byte.
//!
//! A step is the model's own forward pass over the units that are new; what it saw before stands in the caches.

use tch::{Kind, Tensor};

use crate::model::Megabyte;
use crate::model::cache::LevelCache;
use crate::model::loss::symbols_on;
use crate::{Error, Result};

/// Sequences being decoded together, all of one length.
pub struct Engine<'m> {
    model: &'m Megabyte,
    rows: usize,
    /// What was fed so far, row by row.
    history: Vec<Vec<i64>>,
    caches: Vec<LevelCache>,
    /// What the current parent says to its children, a tensor (rows, n, D) a level; none where nothing stands above.
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
        self.replay()
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
        let config = self.model.config();
        let at = self.len();
        if config.latents_begin(at) != config.latents_begin(at - 1) {
            // Other latents: all that follows from them changes.
            return self.replay();
        }
        // The coarsest level at which a unit has just been completed takes a step; finer levels begin a new parent.
        let completed = (0..config.levels.len()).find(|&l| at.is_multiple_of(config.levels[l].unit));
        let completed = completed.expect("the last level's unit is one byte");
        let mut out = None;
        for l in completed.max(config.first_level())..config.levels.len() {
            if l > completed {
                self.begin_parent(l, out.as_ref());
            }
            out = Some(self.step(l)?);
        }
        Ok(self.model.logits(&out.expect("the last level takes a step")))
    }

    /// As if `prompts`, one a row and all of one length below the context, had been fed, but for the time that would take:
    /// what caches hold is made up. For samples of how this machine computes, whose numbers mean nothing.
    pub(crate) fn pretend(&mut self, prompts: &[Vec<i64>]) -> Result<()> {
        let config = self.model.config();
        if config.latents > 0 {
            // Their caches hold other numbers of units in other blocks; such models are small.
            return self.prefill(prompts).map(drop);
        }
        self.history = prompts.to_vec();
        let len = self.len();
        for l in config.first_level()..config.levels.len() {
            let (span, unit) = (config.parent_unit(l), config.levels[l].unit);
            // The unit after the last complete one has been computed too.
            self.caches[l].pretend(((len % span) / unit + 1) as i64, len >= span);
            let above = (l > config.first_level()).then(|| config.levels[l - 1].n_embd as i64);
            let parents = above.map(|width| {
                let numbers = Tensor::arange(width, (Kind::Int64, self.model.device())).remainder(7) - 3;
                numbers.to_kind(self.model.kind()).expand([self.rows as i64, width], false).contiguous()
            });
            self.from_parent[l] = parents.and_then(|parents| self.model.level(l).children(&parents));
        }
        Ok(())
    }

    /// Everything from the history alone. Gives the logits of the next symbol.
    fn replay(&mut self) -> Result<Tensor> {
        let config = self.model.config();
        let len = self.len();
        // Outputs (rows, n, D) of the level above, and the index of the first of its units among these.
        let mut above: Option<(usize, Tensor)> = None;
        for l in config.first_level()..config.levels.len() {
            let (span, all) = (config.parent_unit(l), config.units(l));
            let current = if l == 0 { 0 } else { len / span };
            // Earlier parents matter where their last keys are attended to.
            let first = current.saturating_sub(config.history(l));
            self.caches[l].clear();
            let mut outs = Vec::new();
            for parent in first..=current {
                let out = above.as_ref().map(|(from, outs)| outs.select(1, (parent - from) as i64));
                if parent > first {
                    self.begin_parent(l, out.as_ref());
                } else {
                    self.from_parent[l] = out.and_then(|out| self.model.level(l).children(&out));
                }
                let start = parent * span;
                // The unit after the last complete one is the one that goes on.
                let units = ((len - start) / config.levels[l].unit + 1).min(all);
                outs.push(self.units(l, start, units)?);
            }
            above = Some((first * all, Tensor::cat(&outs, 1)));
        }
        let (_, out) = above.expect("the last level has something to say");
        Ok(self.model.logits(&out.select(1, out.size()[1] - 1)))
    }

    /// The first `units` units of level `l`'s parent that begins at symbol `start`: (rows, units, D).
    fn units(&mut self, l: usize, start: usize, units: usize) -> Result<Tensor> {
        let (level, config) = (self.model.level(l), self.model.config());
        let before = self.symbols(start, start + (units - 1) * config.levels[l].unit)?;
        let from_parent = self.from_parent[l].as_ref().map(|all| all.narrow(1, 0, units as i64));
        let inputs = level.inputs(&before, from_parent.as_ref(), 0, self.model.kind());
        let latents = self.len() - config.latents_begin(self.len()) + 1;
        Ok(level.forward_cached(inputs, self.model.kind(), latents as i64, &mut self.caches[l]))
    }

    /// One more unit at level `l`, whose predecessor has just been completed. Gives its output (rows, D).
    fn step(&mut self, l: usize) -> Result<Tensor> {
        let place = self.caches[l].len;
        if place == 0 {
            return Ok(self.units(l, self.len(), 1)?.select(1, 0));
        }
        let level = self.model.level(l);
        let read = self.model.config().levels[l].unit + level.halo(place - 1) as usize;
        let before = self.symbols(self.len() - read, self.len())?;
        let from_parent = self.from_parent[l].as_ref().map(|all| all.narrow(1, place, 1));
        let inputs = level.inputs(&before, from_parent.as_ref(), place, self.model.kind());
        Ok(level.forward_cached(inputs, self.model.kind(), 1, &mut self.caches[l]).select(1, 0))
    }

    /// Begins level `l`'s next parent, with the output (rows, D) of the level above, where there is one.
    fn begin_parent(&mut self, l: usize, above: Option<&Tensor>) {
        self.caches[l].turn();
        self.from_parent[l] = above.and_then(|above| self.model.level(l).children(above));
    }

    /// Symbols `from..to` of every row: (rows, to - from).
    fn symbols(&self, from: usize, to: usize) -> Result<Tensor> {
        let flat: Vec<i16> =
            self.history.iter().flat_map(|row| row[from..to].iter().map(|&symbol| symbol as i16)).collect();
        symbols_on(self.model.device(), &flat, self.rows, to - from)
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
