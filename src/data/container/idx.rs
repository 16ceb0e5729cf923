//! IDX, the format of MNIST: big-endian numbers and then bytes.
//!
//! ```text
//! 0 0 8 D     zero, zero, the type (8: unsigned bytes), how many dimensions
//! u32 * D     the dimensions: pictures, height, width and, where D is 4, channels
//! u8 …        the pictures; where D is 1, labels
//! ```

use std::io::Read;

use super::content::read_some;
use super::fence::{Step, broken};
use super::pnm::{Pixels, pictures};
use super::walk::{Place, Walk};

/// Wider pictures are taken for another format whose first bytes happen to be the same.
const WIDEST: u64 = 1 << 16;

/// Whether a content begins like pictures or labels.
pub(super) fn begins(head: &[u8]) -> bool {
    let [0, 0, 8, dimensions @ (1 | 3 | 4), ..] = *head else { return false };
    let Some(stated) = head.get(4..4 + 4 * usize::from(dimensions)) else { return false };
    let sizes = numbers(stated);
    sizes[1..].iter().all(|size| (1..WIDEST).contains(size)) && sizes.get(3).is_none_or(|c| matches!(c, 1 | 3))
}

pub(super) fn expand(walk: &mut Walk<'_>, reader: &mut dyn Read, place: &Place) -> Step {
    // Both are there, or it would not have been taken for this format.
    let mut magic = [0; 4];
    read_some(reader, &mut magic)?;
    let mut sizes = vec![0; 4 * usize::from(magic[3])];
    read_some(reader, &mut sizes)?;
    match numbers(&sizes)[..] {
        [_] => walk.skip(place.name.clone(), "holds labels, not pictures"),
        [count, height, width] => {
            pictures(walk, reader, Pixels { width, height, channels: 1, planar: false }, count, place)
        }
        [count, height, width, channels] => {
            pictures(walk, reader, Pixels { width, height, channels, planar: false }, count, place)
        }
        _ => broken("is neither pictures nor labels"),
    }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    let number = |chunk: &[u8]| chunk.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    bytes.chunks_exact(4).map(number).collect()
}
