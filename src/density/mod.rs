//! How many bits a byte costs: what classical coders make of the same bytes.

mod classical;

pub use classical::{Baseline, classical};
