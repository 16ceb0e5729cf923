//! TGA files have no mark at their start, so their header has to make sense as a whole (Truevision TGA specification
//! 2.0).

use std::io::SeekFrom;

use super::super::{Input, content, unreadable};
use crate::Result;

/// The end of a file of version 2.
const FOOTER: &[u8] = b"TRUEVISION-XFILE.\0";

/// Whether a file of no other known kind is a TGA picture: by the mark at its end, else by a header whose every field
/// is one that such files have. The input stands at its start afterwards.
pub(super) fn is_tga(head: &[u8], input: &mut dyn Input) -> Result<bool> {
    let len = input.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let mut end = Vec::new();
    if len >= 18 + FOOTER.len() as u64 {
        input.seek(SeekFrom::End(-(FOOTER.len() as i64))).map_err(unreadable)?;
        input.read_to_end(&mut end).map_err(unreadable)?;
    }
    content::rewind(input)?;
    Ok(end == FOOTER || plausible(head, len))
}

/// Whether the first bytes are a header that fits a file of `len` bytes.
fn plausible(head: &[u8], len: u64) -> bool {
    let Some(&[id, map, kind, start0, start1, map0, map1, map_depth, _, _, _, _, w0, w1, h0, h1, depth, descriptor]) =
        head.first_chunk::<18>()
    else {
        return false;
    };
    let map_len = u64::from(u16::from_le_bytes([map0, map1]));
    let (width, height) = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
    let map_fits = match map {
        0 => [start0, start1, map0, map1, map_depth] == [0; 5],
        1 => map_len > 0 && matches!(map_depth, 15 | 16 | 24 | 32),
        _ => false,
    };
    let pixels_fit = match kind {
        1 | 9 => map == 1 && matches!(depth, 8 | 16),
        2 | 10 => matches!(depth, 15 | 16 | 24 | 32),
        3 | 11 => matches!(depth, 8 | 16),
        _ => false,
    };
    let bytes_per_pixel = u64::from(depth.div_ceil(8));
    let pixels = u64::from(width) * u64::from(height);
    // The run-length coded kinds may need as little as this for runs of 128 pixels.
    let least = if kind < 8 { pixels * bytes_per_pixel } else { pixels.div_ceil(128) * (1 + bytes_per_pixel) };
    let header = 18 + u64::from(id) + map_len * u64::from(map_depth.div_ceil(8));
    map_fits && pixels_fit && pixels > 0 && descriptor & 0xc0 == 0 && descriptor & 0x0f <= 8 && header + least <= len
}
