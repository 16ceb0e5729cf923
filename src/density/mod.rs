//! Density estimation: bits per byte, what classical coders make of the same bytes, and lossless archives.
//!
//! One forward path, the scorer in `scoring`, gives every symbol's nats to whoever counts them: [`evaluate`] adds them
//! up, [`examine`] adds them up in parts, [`score`] keeps them.

pub mod archive;
mod classical;
pub mod coder;
mod curves;
mod evaluate;
mod examine;
mod journal;
mod npy;
mod protocol;
mod rank;
mod score;
mod scoring;
mod tally;

pub use classical::{Baseline, classical};
pub use curves::{Curve, Group};
pub use evaluate::{EvalOptions, Evaluation, evaluate};
pub use examine::{Examined, FileCost, SourceCost, examine};
pub use journal::{Journal, Key};
pub use npy::npy;
pub use protocol::{Inference, Protocol, Window};
pub use rank::{Ranked, area_under_curve, rank};
pub use score::{OfDocument, Scores, score, score_files};
pub use scoring::scored_items;

/// nats / (ln 2 · bytes)
fn bits_per_byte(nats: f64, bytes: u64) -> f64 {
    nats / (std::f64::consts::LN_2 * bytes as f64)
}
