//! Byte sequences on disk and in batches.

pub mod download;
