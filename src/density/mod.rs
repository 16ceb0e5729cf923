//! Density estimation: bits per byte, what classical coders make of the same bytes, and lossless archives.

pub mod archive;
mod classical;
pub mod coder;
mod evaluate;
mod flac;
mod protocol;

pub use classical::{Baseline, classical};
pub use evaluate::{EvalOptions, Evaluation, evaluate, scored_items};
pub use protocol::{Inference, Protocol, Window};
