//! Density estimation: bits per byte, and what classical coders make of the same bytes.

mod classical;
mod evaluate;
mod flac;
mod protocol;

pub use classical::{Baseline, classical};
pub use evaluate::{EvalOptions, Evaluation, evaluate, scored_items};
pub use protocol::{Inference, Protocol, Window};
