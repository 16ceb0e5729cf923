//! The arguments of `score` and `rank`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelArgs, ScoringArgs};

/// Arguments of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// Files, and folders of files
    #[arg(required = true, value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Write the nats of every byte, float32, in stream order: one file's as NPY, those of several as NAME.npy in DIR
    #[arg(long, value_name = "NPY|DIR", required_unless_present_any = ["show", "json"])]
    pub out: Option<PathBuf>,
    /// Write what shows them: a heat map (PNG) of a picture, a page (HTML) of a sound or a text; of several files
    /// NAME.scores.png or NAME.scores.html in DIR
    #[arg(long, value_name = "FILE|DIR")]
    pub show: Option<PathBuf>,
    /// How documents are scored
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rank`.
#[derive(Debug, Args)]
pub struct RankArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folders of files, and files
    #[arg(long, required = true, num_args = 1.., value_name = "DIR|FILE")]
    pub data: Vec<PathBuf>,
    /// Only the first N; 0 is all
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub top: usize,
    /// Fewest bits first [default: most bits first]
    #[arg(long)]
    pub reverse: bool,
    /// Order by bits per byte less those of PNG, WebP, FLAC, PPMd, xz, zstd or gzip, whichever makes least of the file: what is
    /// simple costs little, and doesn't seem usual for that
    #[arg(long)]
    pub relative: bool,
    /// A file of lines `name<TAB>0` or `name<TAB>1`, 1 for anomalies: says how well the order finds them
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// As --labels, where anomalies are the files whose names match; can be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "labels")]
    pub anomalies: Vec<String>,
    /// How documents are scored
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
