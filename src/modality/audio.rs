//! TODO adapter.

use super::{Adapter, AudioLayout};
use crate::Result;

#[derive(Debug)]
pub struct AudioAdapter {
    layout: AudioLayout,
}

impl AudioAdapter {
    pub fn new(layout: AudioLayout) -> Self {
        AudioAdapter { layout }
    }
}

impl Adapter for AudioAdapter {
    fn encode(&self, _content: &[u8]) -> Result<Vec<u8>> {
        unreachable!("{:?}", self.layout)
    }
    fn decode(&self, _bytes: &[u8]) -> Result<Vec<u8>> {
        unreachable!()
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
