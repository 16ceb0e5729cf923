//! Byte sequences on disk and in batches.

/// Marks padding in a batch.
pub const PAD: i16 = -1;

/// Sequences of one length.
pub struct Batch {
    /// Row-major symbols.
    pub symbols: Vec<i16>,
    /// Sequences.
    pub rows: usize,
    /// Symbols of each.
    pub cols: usize,
}
