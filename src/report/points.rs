//! The lines of `metrics.jsonl` and `speed.jsonl`, as the report reads them. What isn't a finite number is none, and so is
//! what older runs lack.

use serde::Deserialize;

/// A line of `metrics.jsonl` about training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrainPoint {
    /// Optimizer steps so far.
    pub step: u64,
    /// Bytes seen so far.
    pub bytes: u64,
    /// Loss in bits per byte; none where every step since the last line was skipped.
    pub bits_per_byte: Option<f64>,
    /// Learning rate.
    #[serde(default)]
    pub lr: Option<f64>,
    /// Norm of the gradients before clipping.
    #[serde(default)]
    pub grad_norm: Option<f64>,
    /// The norms of each level, coarse first.
    #[serde(default)]
    pub levels: Vec<LevelPoint>,
    /// Steps skipped so far, as their gradients were not finite.
    #[serde(default)]
    pub skipped: Option<u64>,
}

/// The norms of a level.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct LevelPoint {
    /// Of its gradients before clipping.
    pub grad_norm: Option<f64>,
    /// Of its weights.
    pub weight_norm: Option<f64>,
}

/// A line of `metrics.jsonl` about the valid split.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct ValidPoint {
    /// Optimizer steps so far.
    pub step: u64,
    /// Bytes seen so far.
    pub bytes: u64,
    /// Bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Standard error of it.
    #[serde(default)]
    pub std_error: Option<f64>,
    /// Bits per byte of the weights as they are, where those of `bits_per_byte` are an average.
    #[serde(default)]
    pub raw_bits_per_byte: Option<f64>,
}

/// A line of `metrics.jsonl` about a loss far above those before it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Spike {
    /// Optimizer steps so far.
    pub step: u64,
    /// The step's loss in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// What it was compared with.
    pub mean: Option<f64>,
    /// The first and the last batch of the step.
    pub batches: [u64; 2],
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Metric {
    Train(TrainPoint),
    Valid(ValidPoint),
    Spike(Spike),
    #[serde(other)]
    Other,
}

/// A line of `speed.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct SpeedPoint {
    /// Optimizer steps so far.
    pub step: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Bytes trained on a second.
    #[serde(default)]
    pub bytes_per_second: Option<f64>,
    /// The part of the machine's matrix rate that was used, 0 to 1.
    #[serde(default)]
    pub mfu: Option<f64>,
    /// The part of the time spent waiting for data, 0 to 1.
    #[serde(default)]
    pub data_wait: Option<f64>,
}
