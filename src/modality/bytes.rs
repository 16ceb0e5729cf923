//! Files of any kind: a file's content is its byte sequence.

use std::io::Write;

use super::{Adapter, BytesLayout, Input, unreadable, unwritable};
use crate::Result;

/// Bytes of a part of a file that is held in memory.
pub(super) const BLOCK: usize = 64 << 10;

/// Bytes as they are, in both directions.
#[derive(Debug)]
pub struct BytesAdapter;

impl BytesAdapter {
    /// An adapter for `layout`, which has no keys.
    pub fn new(BytesLayout {}: BytesLayout) -> Self {
        BytesAdapter
    }
}

/// Hands a file's content on, block by block.
pub(super) fn blocks(input: &mut dyn Input, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match input.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&block[..read])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

impl Adapter for BytesAdapter {
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<Vec<String>> {
        blocks(input, |block| out.write_all(block).map_err(unwritable))?;
        Ok(Vec::new())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }

    fn extension(&self) -> &'static str {
        "bin"
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
