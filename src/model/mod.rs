//! MEGABYTE: a hierarchy of causal transformers over patches of bytes (Yu et al. 2023).
//!
//! [`Megabyte`] is built of levels, a level of blocks. Training, evaluation and generation share this code: a
//! cached step is the same forward pass over fewer units.

mod activations;
mod adopt;
mod attention;
mod block;
pub(crate) mod cache;
mod check;
pub(crate) mod checksums;
mod config;
mod cost;
mod encoder;
pub mod folder;
pub mod gradients;
mod hierarchy;
mod layers;
mod level;
pub mod loss;
mod parameters;
mod rotary;
pub(crate) mod siblings;
mod stretch;
mod tensors;

pub use activations::Activations;
pub use adopt::{Adopted, adopt};
pub use config::{Embedding, Ffn, LevelConfig, ModelConfig, Norm, Position, Projection};
pub use hierarchy::Megabyte;
pub use parameters::{Parameters, named_level};
