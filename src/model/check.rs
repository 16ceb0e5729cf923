//! Which keys of `[model]` can work, alone and together.

use super::config::{Embedding, ModelConfig, Projection};
use crate::{Error, Result};

/// The widest level, and the longest sequence: no product that describes a model of these overflows.
const MAX_WIDTH: usize = 1 << 16;
const MAX_CONTEXT: usize = 1 << 30;

impl ModelConfig {
    /// Checks that the keys can work together; the error names the dotted key.
    pub fn validate(&self) -> Result<()> {
        fn check(ok: bool, key: impl ToString, reason: impl ToString) -> Result<()> {
            if ok { Ok(()) } else { Err(Error::config(key, reason)) }
        }
        check(
            self.vocab == 256 || self.vocab == 257,
            "model.vocab",
            format!("is {}, allowed is 256 (bytes) or 257 (bytes and end of sequence)", self.vocab),
        )?;
        check(!self.levels.is_empty(), "model.level", "is empty: write one [[model.level]] a level, coarse first")?;
        let dropout = self.dropout;
        check((0.0..1.0).contains(&dropout), "model.dropout", format!("is {dropout}, allowed is 0 to below 1"))?;
        for (key, value, least) in [
            ("model.norm_eps", self.norm_eps, 0.0),
            ("model.init_std", self.init_std, 0.0),
            ("model.rotary_base", self.rotary_base, 1.0),
        ] {
            check(value > least && value.is_finite(), key, format!("is {value}, allowed is above {least}"))?;
        }
        let mult = self.ffn_mult;
        check((0.1..=64.0).contains(&mult), "model.ffn_mult", format!("is {mult}, allowed is 0.1 to 64"))?;
        let linear = self.embedding == Embedding::Linear;
        let byte_dim = self.byte_dim;
        check(
            !linear || (1..=MAX_WIDTH).contains(&byte_dim),
            "model.byte_dim",
            format!("is {byte_dim}, allowed is 1 to {MAX_WIDTH}"),
        )?;

        let patch = self.levels[0].unit;
        check(patch > 0, "model.level.0.unit", "is 0, allowed is 1 or more")?;
        check(
            self.context > 0 && self.context.is_multiple_of(patch),
            "model.context",
            format!("is {}, which must be a multiple of the coarsest unit, {patch}", self.context),
        )?;
        check(
            self.context <= MAX_CONTEXT,
            "model.context",
            format!("is {}, allowed is at most {MAX_CONTEXT}", self.context),
        )?;
        for (l, level) in self.levels.iter().enumerate() {
            let key = |name: &str| format!("model.level.{l}.{name}");
            let (unit, width, heads) = (level.unit, level.n_embd, level.n_head);
            check((1..=MAX_WIDTH).contains(&width), key("n_embd"), format!("is {width}, allowed is 1 to {MAX_WIDTH}"))?;
            // The first level or the last may be left out, one of them and not the only one.
            let first_or_last = l == 0 || l + 1 == self.levels.len() && self.levels[0].n_layer > 0;
            let least = usize::from(self.levels.len() == 1 || !first_or_last);
            check(
                (least..=1024).contains(&level.n_layer),
                key("n_layer"),
                format!("is {}, allowed is {least} to 1024", level.n_layer),
            )?;
            check(
                heads > 0 && width.is_multiple_of(heads),
                key("n_head"),
                format!("is {heads}, which must divide n_embd, {width}"),
            )?;
            check(l == 0 || level.window == 0, key("window"), "must be 0: only the first level can have a window")?;
            if l > 0 {
                let parent = &self.levels[l - 1];
                check(
                    unit > 0 && unit < parent.unit && parent.unit.is_multiple_of(unit),
                    key("unit"),
                    format!(
                        "is {unit}, which must divide the unit of the level above, {}, and be smaller",
                        parent.unit
                    ),
                )?;
                let children = parent.unit / unit;
                check(
                    self.projection == Projection::Linear
                        || parent.n_embd.is_multiple_of(children)
                        || parent.n_layer == 0,
                    format!("model.level.{}.n_embd", l - 1),
                    format!(
                        "is {}, which must be a multiple of its {children} children: change it, or set model.projection = \"linear\"",
                        parent.n_embd
                    ),
                )?;
            }
            check(
                linear || width.is_multiple_of(unit) || level.n_layer == 0,
                key("n_embd"),
                format!(
                    "is {width}, which must be a multiple of the unit, {unit}: change it, or set model.embedding = \"linear\""
                ),
            )?;
        }
        let last = self.levels.len() - 1;
        check(
            self.levels[last].unit == 1,
            format!("model.level.{last}.unit"),
            "must be 1: the last level predicts bytes",
        )?;
        self.validate_extensions()
    }

    /// Checks the keys that go beyond the hierarchy itself.
    fn validate_extensions(&self) -> Result<()> {
        let levels = 0..self.levels.len();
        for l in levels.clone().filter(|&l| self.is_rotary(l)) {
            let width = self.levels[l].n_embd / self.levels[l].n_head;
            if !width.is_multiple_of(2) {
                let reason = format!("gives heads of {width}, and rotary positions need an even width");
                return Err(Error::config(format!("model.level.{l}.n_head"), reason));
            }
        }
        let finer = levels.clone().skip(1).filter(|&l| self.has_blocks(l));
        let most = finer.map(|l| self.units(l)).max().unwrap_or(0);
        if self.cross_patch > most {
            let reason = format!(
                "is {}, allowed is at most {most}, the units of a parent in levels below the first that have blocks",
                self.cross_patch
            );
            return Err(Error::config("model.cross_patch", reason));
        }
        if self.conv_encoder && !levels.clone().any(|l| self.has_encoder(l)) {
            let reason = "must be false where no level with blocks has units of several bytes";
            return Err(Error::config("model.conv_encoder", reason));
        }
        if self.levels[0].window > 0 && !self.has_blocks(0) {
            return Err(Error::config("model.level.0.window", "must be 0 where the level has no blocks"));
        }
        let latents = self.latents;
        if latents == 0 {
            return Ok(());
        }
        if self.levels.len() != 1 || self.levels[0].window != 0 {
            return Err(Error::config("model.latents", "is for one level without a window: set it to 0"));
        }
        if !latents.is_multiple_of(2) || latents > self.context || !self.context.is_multiple_of(latents / 2) {
            let context = self.context;
            let reason = format!(
                "is {latents}, which must be even, at most model.context, {context}, and half of it divide that"
            );
            return Err(Error::config("model.latents", reason));
        }
        Ok(())
    }
}
