//! Training: the loop and its parts.

pub mod checkpoint;
mod config;
mod levels;
mod log;
mod metrics;
mod optimizer;
mod schedule;
pub mod speed;
mod trainer;

pub use config::{Dtype, OptimizerKind, Schedule, TrainConfig};
pub use levels::LevelNorms;
pub use metrics::{Metric, Speed};
pub use optimizer::AdamW;
pub use schedule::learning_rate;
pub use trainer::{Event, Lap, Observer, Outcome, Trainer};
