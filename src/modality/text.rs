//! Text, and any other bytes: a file's content is its byte sequence.

use super::{Adapter, TextLayout};
use crate::Result;

/// Bytes as they are, in both directions. No encoding is assumed, so files that aren't valid UTF-8 pass unchanged.
#[derive(Debug)]
pub struct TextAdapter;

impl TextAdapter {
    /// An adapter for `layout`, which has no keys yet.
    pub fn new(TextLayout {}: TextLayout) -> Self {
        TextAdapter
    }
}

impl Adapter for TextAdapter {
    fn encode(&self, content: &[u8]) -> Result<Vec<u8>> {
        Ok(content.to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }

    fn extension(&self) -> &'static str {
        "txt"
    }

    fn patch_size(&self) -> usize {
        8
    }

    fn sequence_len(&self) -> Option<usize> {
        None
    }

    fn bytes_per_second(&self) -> Option<f64> {
        None
    }

    fn ends_with_symbol(&self) -> bool {
        true
    }
}
