//! TODO adapter.

use super::{Adapter, ImageLayout};
use crate::Result;

#[derive(Debug)]
pub struct ImageAdapter {
    layout: ImageLayout,
}

impl ImageAdapter {
    pub fn new(layout: ImageLayout) -> Self {
        ImageAdapter { layout }
    }
}

impl Adapter for ImageAdapter {
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
