//! Density estimation: bits per byte, and what classical coders make of the same bytes.

mod classical;
mod curves;
mod evaluate;
mod flac;
mod protocol;
mod scoring;

pub use classical::{Baseline, classical};
pub use curves::{Curve, Group};
pub use evaluate::{EvalOptions, Evaluation, evaluate, examine};
pub use protocol::{Inference, Protocol, Window};
pub use scoring::scored_items;
