//! Byte sequences on disk and in batches.
//!
//! ```text
//! files ──container──▶ documents ──prepare──▶ shards ──Dataset──▶ items ──Sampler, Mixture──▶ batches ──Loader──▶ trainer
//!        (archives)               (read, encode, store)          (a pure function of seed and batch)  (threads ahead)
//! ```
//!
//! A prepared folder holds `train-00000.shard` … and a `manifest.json`, written last: see [`shard`] for the format of
//! the one and [`Manifest`] for the other.

#[doc(hidden)]
pub mod container;
mod dataset;
mod documents;
pub mod download;
mod files;
mod loader;
mod manifest;
mod mixture;
mod order;
mod prepare;
mod sampler;
pub mod shard;
mod split;
mod writer;

pub use dataset::{Dataset, Item};
pub use files::Files;
pub use loader::Loader;
pub use manifest::{Count, Manifest, Mark, Settings, ShardInfo, Skipped};
pub use mixture::Mixture;
pub use order::Permutation;
pub use prepare::{
    Existing, SourceFile, Survey, Walk, guess, is_archive, matches, prepare, prepared, prepared_in, survey, walk,
};
pub use sampler::{Batch, END, LoaderConfig, Origin, PAD, Sampler};
pub use split::Split;
pub use writer::ShardWriter;
