//! Byte sequences on disk and in batches.
//!
//! ```text
//! files ──prepare──▶ shards ──Dataset──▶ items ──Sampler──▶ batches ──Loader──▶ trainer
//!            (source, split, shard)      (a pure function of seed and batch)   (a thread ahead)
//! ```
//!
//! A prepared folder holds `train-00000.shard` … and a `manifest.json`, written last: see [`shard`] for the format of
//! the one and [`Manifest`] for the other.

mod cache;
#[doc(hidden)]
pub mod container;
mod dataset;
pub mod download;
mod loader;
mod manifest;
mod order;
mod prepare;
mod publish;
mod sampler;
pub mod shard;
mod source;
mod split;
mod writer;

pub use cache::{prepared, prepared_in};
pub use dataset::{Dataset, Item};
pub use loader::Loader;
pub use manifest::{Count, Manifest, ShardInfo, Skipped, Summary};
pub use order::Permutation;
pub use prepare::prepare;
pub use sampler::{Batch, LoaderConfig, PAD, Sampler};
pub use source::{SourceFile, Walk, walk};
pub use split::Split;
pub use writer::ShardWriter;
