//! Byte sequences on disk and in batches.
