//! The keys of `[train]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dtype::Dtype;
use crate::model::ModelConfig;
use crate::model::gradients::Memory;
use crate::{Error, Result};

/// The most bytes of a step: they are in memory together.
const MAX_STEP: usize = 1 << 32;

/// How exact products of float32 matrices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// All bits of float32.
    Highest,
    /// TF32 on devices that have it: 10 bits of fraction.
    High,
    /// bfloat16 inside, where the device has it.
    Medium,
}

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// A fused AdamW: Adam with decoupled weight decay on matrices.
    AdamW,
    /// Orthogonal momentum for the matrices of the blocks and between levels, AdamW for all else.
    Muon,
}

/// The learning rate over the run, after a linear warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// A straight line to `lr · final_lr` (the paper's).
    Linear,
    /// Half a cosine to `lr · final_lr`.
    Cosine,
    /// `lr` to the end.
    Constant,
    /// Warm-up, stable, decay: `lr` for long, and over the last `decay_steps` a straight line to `lr · final_lr` (Hu et al. 2024,
    /// arXiv 2404.06395), which can begin at any checkpoint.
    Wsd,
}

/// The keys of `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimizer steps, 1 or more.
    #[schemars(range(min = 1))]
    pub max_steps: u64,
    /// The run also ends after this many minutes of training, and the schedule with it; 0: no limit. What comes out
    /// then depends on the machine's speed.
    pub max_minutes: f64,
    /// Bytes of one optimizer step, padding included, at most 2^32: a multiple of `micro_batch` (at least 1) times
    /// `model.context`.
    pub bytes_per_step: usize,
    /// Sequences of one forward pass; gradients of several are added up. 0: a whole step at once. A run may go on with
    /// another one where there is no `data.mix`: it reads the same sequences.
    pub micro_batch: usize,
    /// Bytes of a micro-batch that go forward and back together below the first level: memory then grows with the
    /// context at the first level only, and without dropout gradients stay the same (with it, other masks are drawn);
    /// 0: all. With `cross_patch`, each stretch computes a patch a block of the local model again: keep it well above
    /// that.
    pub stretch_bytes: usize,
    /// Levels, by their numbers from 0, that keep the inputs of their blocks alone and compute the rest again on the way
    /// back: less memory, a third more work there.
    pub checkpoint_levels: Vec<usize>,
    /// The update rule.
    pub optimizer: OptimizerKind,
    /// Peak learning rate; above 0.
    pub lr: f64,
    /// The course of the learning rate over the run, after a linear warm-up.
    pub schedule: Schedule,
    /// Where the schedule ends, over the peak, 0 to 1.
    pub final_lr: f64,
    /// Steps of linear warm-up from 0.
    pub warmup_steps: u64,
    /// Steps at the end in which schedule `"wsd"` goes down, at most `max_steps`; 0: a fifth of `max_steps`.
    pub decay_steps: u64,
    /// Decoupled weight decay, on tensors of two dimensions and more; 0 or more.
    pub weight_decay: f64,
    /// Decay rates of Adam's averages, 0 to below 1.
    pub betas: [f64; 2],
    /// Added to the root of Adam's second average; above 0.
    pub eps: f64,
    /// Decay rate of Muon's momentum, 0 to below 1.
    pub muon_momentum: f64,
    /// Gradients are scaled down to this norm; 0: never. A gradient that is not finite changes nothing.
    pub clip: f64,
    /// Decay rate of an average of the weights, 0 to below 1, such as 0.999, which is what is evaluated, sampled from and
    /// saved as the model; 0: none.
    pub ema: f64,
    /// A step whose gradients are not finite is skipped; after so many in a row the run ends. 0: it never does.
    pub max_skipped: u64,
    /// A step whose loss is so many standard deviations (2 or more) above the mean of those before is logged with its
    /// batches; 0: none is.
    pub spike_sigma: f64,
    /// A model folder, a checkpoint or a run whose weights a new run begins with, as far as names and shapes fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Levels, by their numbers from 0, whose weights stay as they are.
    pub freeze_levels: Vec<usize>,
    /// The type of matrix work. Master weights, norms and loss are float32 always.
    pub dtype: Dtype,
    /// How exact products of float32 matrices are.
    pub float32_precision: Precision,
    /// Only operations that give the same bits each time: slower on CUDA, where the environment variable
    /// CUBLAS_WORKSPACE_CONFIG has to be `:4096:8` or `:16:8`. On a CPU a run repeats itself either way.
    pub deterministic: bool,
    /// Attention of training steps by cuDNN, on CUDA devices whose libtorch takes it, in bfloat16: it may be faster over
    /// long sequences. Only without `model.dropout`, whose share some of its kernels round to sixteenths, without
    /// `model.latents`, whose sequences have many lengths, each to be prepared for, and without `deterministic`.
    pub cudnn_attention: bool,
    /// Decides initial weights, data order and dropout.
    pub seed: u64,
    /// Steps between lines of metrics, 1 or more.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Steps between evaluations on the valid split; 0: only at the end.
    pub eval_every: u64,
    /// Bytes of the valid split that an evaluation reads, about; 0: all.
    pub eval_bytes: u64,
    /// Steps between checkpoints; 0: only at the end. A new best one is saved too. One that falls due while another is still
    /// being written, or while steps are skipped, is taken afterwards.
    pub checkpoint_every: u64,
    /// Newest checkpoints that are kept, 1 or more; the best one stays as well.
    #[schemars(range(min = 1))]
    pub keep_checkpoints: usize,
    /// Steps between samples; 0: never.
    pub sample_every: u64,
    /// Threads that read batches ahead, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub loader_threads: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            max_steps: 1000,
            max_minutes: 0.0,
            bytes_per_step: 65_536,
            micro_batch: 0,
            stretch_bytes: 0,
            checkpoint_levels: Vec::new(),
            optimizer: OptimizerKind::AdamW,
            lr: 2e-4,
            schedule: Schedule::Linear,
            final_lr: 0.0,
            warmup_steps: 500,
            decay_steps: 0,
            weight_decay: 0.1,
            betas: [0.9, 0.98],
            eps: 1e-8,
            muon_momentum: 0.95,
            clip: 1.0,
            ema: 0.0,
            max_skipped: 10,
            spike_sigma: 6.0,
            init_from: None,
            freeze_levels: Vec::new(),
            dtype: Dtype::Auto,
            float32_precision: Precision::Highest,
            deterministic: false,
            cudnn_attention: false,
            seed: 0,
            log_every: 10,
            eval_every: 200,
            eval_bytes: 1 << 20,
            checkpoint_every: 500,
            keep_checkpoints: 2,
            sample_every: 0,
            loader_threads: 1,
        }
    }
}

impl TrainConfig {
    /// Sequences of one forward pass.
    pub fn rows(&self, model: &ModelConfig) -> usize {
        if self.micro_batch == 0 { self.bytes_per_step / model.context } else { self.micro_batch }
    }

    /// Forward passes of one optimizer step.
    pub fn micro_batches(&self, model: &ModelConfig) -> usize {
        self.bytes_per_step / (self.rows(model) * model.context)
    }

    /// The micro-batches that divide the step, from one sequence to all of them.
    pub fn micro_batch_sizes(&self, model: &ModelConfig) -> Vec<usize> {
        let sequences = self.bytes_per_step / model.context;
        let root = sequences.isqrt();
        let low: Vec<usize> = (1..=root).filter(|&size| sequences.is_multiple_of(size)).collect();
        let high = low.iter().rev().map(|size| sequences / size).filter(|&size| size > root);
        low.iter().copied().chain(high).collect()
    }

    /// What is kept of a forward pass for the way back.
    pub fn memory(&self) -> Memory {
        Memory { stretch: self.stretch_bytes, checkpoint: self.checkpoint_levels.clone() }
    }

    /// Checks ranges and that the step divides; the error names the dotted key.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        fn check(ok: bool, key: &str, reason: impl ToString) -> Result<()> {
            if ok { Ok(()) } else { Err(Error::config(format!("train.{key}"), reason)) }
        }
        check(self.max_steps > 0, "max_steps", "is 0, allowed is 1 or more")?;
        let minutes = self.max_minutes;
        check(minutes >= 0.0 && minutes.is_finite(), "max_minutes", format!("is {minutes}, allowed is 0 or more"))?;
        check(self.lr > 0.0 && self.lr.is_finite(), "lr", format!("is {}, allowed is above 0", self.lr))?;
        check((0.0..=1.0).contains(&self.final_lr), "final_lr", format!("is {}, allowed is 0 to 1", self.final_lr))?;
        check(
            // Other schedules don't read it.
            self.schedule != Schedule::Wsd || self.decay_steps <= self.max_steps,
            "decay_steps",
            format!("is {}, allowed is 0 to train.max_steps, {}", self.decay_steps, self.max_steps),
        )?;
        let decay = self.weight_decay;
        check(decay >= 0.0 && decay.is_finite(), "weight_decay", format!("is {decay}, allowed is 0 or more"))?;
        let betas = self.betas.iter().all(|beta| (0.0..1.0).contains(beta));
        check(betas, "betas", format!("are {:?}, allowed is 0 to below 1", self.betas))?;
        check(self.eps > 0.0 && self.eps.is_finite(), "eps", format!("is {}, allowed is above 0", self.eps))?;
        let momentum = (0.0..1.0).contains(&self.muon_momentum);
        check(momentum, "muon_momentum", format!("is {}, allowed is 0 to below 1", self.muon_momentum))?;
        let clip = self.clip;
        check(clip >= 0.0 && clip.is_finite(), "clip", format!("is {clip}, allowed is 0 or more"))?;
        check((0.0..1.0).contains(&self.ema), "ema", format!("is {}, allowed is 0 to below 1", self.ema))?;
        let sigma = self.spike_sigma;
        let known = sigma == 0.0 || sigma >= 2.0 && sigma.is_finite();
        check(known, "spike_sigma", format!("is {sigma}, allowed is 0 or at least 2"))?;
        check(self.log_every > 0, "log_every", "is 0, allowed is 1 or more")?;
        for (in_the_way, needed) in [
            (model.dropout > 0.0, "model.dropout = 0, of which its kernels drop another share"),
            (model.latents > 0, "model.latents = 0, since it prepares for each length of a sequence"),
            (self.deterministic, "train.deterministic = false"),
        ] {
            check(!(self.cudnn_attention && in_the_way), "cudnn_attention", format!("is true, which needs {needed}"))?;
        }
        check(self.keep_checkpoints > 0, "keep_checkpoints", "is 0, allowed is 1 or more")?;
        let threads = self.loader_threads;
        check((1..=64).contains(&threads), "loader_threads", format!("is {threads}, allowed is 1 to 64"))?;
        let levels = model.levels.len();
        check(
            self.checkpoint_levels.iter().all(|&l| l < levels),
            "checkpoint_levels",
            format!("are {:?}, allowed are levels 0 to {}", self.checkpoint_levels, levels - 1),
        )?;
        check(
            self.freeze_levels.iter().all(|&l| l < levels),
            "freeze_levels",
            format!("are {:?}, allowed are levels 0 to {}", self.freeze_levels, levels - 1),
        )?;
        // A first level without blocks has no parameters.
        let mut learning = (model.first_level()..levels).filter(|l| !self.freeze_levels.contains(l));
        check(
            learning.next().is_some(),
            "freeze_levels",
            format!("are {:?}, all levels that have parameters, which leaves nothing to train", self.freeze_levels),
        )?;
        check(
            self.bytes_per_step <= MAX_STEP,
            "bytes_per_step",
            format!("is {}, allowed is at most {MAX_STEP}", self.bytes_per_step),
        )?;
        let unit = self.micro_batch.max(1).saturating_mul(model.context);
        check(
            self.bytes_per_step >= unit && self.bytes_per_step.is_multiple_of(unit),
            "bytes_per_step",
            format!(
                "is {}, which must be a multiple of {unit}, the bytes of {} sequence{} of model.context",
                self.bytes_per_step,
                self.micro_batch.max(1),
                if self.micro_batch > 1 { "s" } else { "" }
            ),
        )
    }
}
