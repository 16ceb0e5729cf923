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
mod encode;
mod loader;
mod manifest;
mod mixture;
mod order;
mod pattern;
mod prepare;
mod read;
mod sampler;
mod segment;
pub mod shard;
mod source;
mod split;
mod spool;
mod state;
mod store;
mod survey;
mod writer;

pub use cache::{prepared, prepared_in};
pub use dataset::{Dataset, Item};
pub use loader::Loader;
pub use manifest::{Count, Manifest, Mark, Settings, ShardInfo, Skipped};
pub use mixture::Mixture;
pub use order::Permutation;
pub use prepare::prepare;
pub use sampler::{Batch, END, LoaderConfig, PAD, Sampler};
pub use source::{SourceFile, Walk, walk};
pub use split::Split;
pub use state::Existing;
pub use survey::{Survey, guess, is_archive, survey};
pub use writer::ShardWriter;
