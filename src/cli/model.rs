//! Arguments that several verbs share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

/// A model, and where and in what it computes.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// A run, a checkpoint or a model folder
    #[arg(long = "model", value_name = "DIR")]
    pub path: PathBuf,
    /// cpu, cuda or cuda:N [default: a CUDA device where there is one]
    #[arg(long)]
    pub device: Option<String>,
    /// auto (the one whose matrix products are faster on this device), float32 or bfloat16
    #[arg(long, default_value = "auto")]
    pub dtype: String,
}

/// How documents are scored.
#[derive(Debug, Args)]
pub struct ScoringArgs {
    /// How every byte gets its context: plain, sliding (2 times the work), strided (2) or sliding+strided (4)
    #[arg(long, default_value = "plain", value_name = "HOW")]
    pub inference: String,
    /// Sequences scored together
    #[arg(long, default_value = "8")]
    pub batch: NonZeroUsize,
}
