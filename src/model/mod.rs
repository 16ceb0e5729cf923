//! MEGABYTE: a hierarchy of causal transformers over patches of bytes (Yu et al. 2023).

mod config;

pub use config::{Embedding, Ffn, LevelConfig, ModelConfig, Norm, Position, Projection};
