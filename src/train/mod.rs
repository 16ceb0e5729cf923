//! Training: the loop and its parts.

mod config;

pub use config::{Dtype, OptimizerKind, Schedule, TrainConfig};
