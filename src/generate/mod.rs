//! Generation: cached decoding, byte by byte.

mod engine;
mod sampling;
mod sequence;
mod threads;

pub use engine::Engine;
pub use sampling::{SampleConfig, Sampler};
pub use sequence::{Request, generate};
pub(crate) use threads::OneThread;
