//! Training: the loop and its parts.

pub mod checkpoint;
mod config;
pub mod fit;
mod log;
pub mod memory;
mod metrics;
mod numerics;
mod optimizer;
mod schedule;
pub mod shortage;
pub mod speed;
mod trainer;

pub use config::{Dtype, OptimizerKind, Precision, Schedule, TrainConfig};
pub use fit::{Fit, fit};
pub use metrics::{Metric, Speed};
pub use optimizer::AdamW;
pub use schedule::learning_rate;
pub use trainer::{Event, Lap, Observer, Outcome, Trainer};
