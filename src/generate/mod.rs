//! Generation: cached decoding, byte by byte.

mod sampling;

pub use sampling::SampleConfig;
