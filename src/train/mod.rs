//! Training: the loop and its parts.

mod averages;
mod built;
pub mod checkpoint;
mod config;
mod dtype;
pub mod fit;
mod levels;
mod log;
mod losses;
pub mod memory;
mod metrics;
mod numerics;
mod observer;
mod operations;
mod optimizer;
pub mod profile;
mod schedule;
pub mod shortage;
pub mod speed;
mod trainer;

pub use config::{OptimizerKind, Precision, Schedule, TrainConfig};
pub use dtype::{Choice, Dtype, gflops, resolved, select};
pub use fit::{Fit, Larger, fit};
pub use levels::LevelNorms;
pub use losses::Course;
pub use metrics::{Metric, Speed};
pub use observer::{Event, Observer, Outcome};
pub use operations::Part;
pub use optimizer::Optimizer;
pub use profile::Profile;
pub use schedule::learning_rate;
pub use trainer::{Lap, Trainer, batches, few_steps};
