//! Training: the loop and its parts.

pub mod checkpoint;
mod config;
mod log;
mod metrics;
mod operations;
mod optimizer;
pub mod profile;
mod schedule;
pub mod speed;
mod trainer;

pub use config::{Dtype, OptimizerKind, Schedule, TrainConfig};
pub use metrics::{Metric, Speed};
pub use operations::Part;
pub use optimizer::AdamW;
pub use profile::Profile;
pub use schedule::learning_rate;
pub use trainer::{Event, Lap, Observer, Outcome, Trainer};
