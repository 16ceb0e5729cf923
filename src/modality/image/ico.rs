//! Icons whose largest picture is a PNG: the general decoder of icons takes only those that have alpha.

use std::io::{Read, SeekFrom};

use super::super::Input;

/// The PNG file inside an icon, if that is the form of its largest picture. The header is two zero bytes, 1, 0 and the
/// number of pictures in two bytes; for each follow 16 bytes: width and height (0 for 256), six others, and the length
/// and place of the picture in four bytes each, the least significant first.
pub(super) fn png(input: &mut dyn Input) -> std::io::Result<Option<Vec<u8>>> {
    let mut header = [0; 6];
    input.read_exact(&mut header)?;
    let (mut largest, mut place) = (0, None);
    for _ in 0..u16::from_le_bytes([header[4], header[5]]) {
        let mut entry = [0; 16];
        input.read_exact(&mut entry)?;
        let [width, height, .., l0, l1, l2, l3, s0, s1, s2, s3] = entry;
        let side = |side: u8| if side == 0 { 256 } else { u32::from(side) };
        if side(width) * side(height) > largest {
            largest = side(width) * side(height);
            place = Some((u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([l0, l1, l2, l3])));
        }
    }
    let Some((start, len)) = place else { return Ok(None) };
    let mut picture = Vec::new();
    input.seek(SeekFrom::Start(start.into()))?;
    // A PNG of 256 x 256 pixels is smaller; what is longer is cut, and refused by its decoder.
    input.take(len.min(1 << 22).into()).read_to_end(&mut picture)?;
    Ok(picture.starts_with(b"\x89PNG\r\n\x1a\n").then_some(picture))
}
