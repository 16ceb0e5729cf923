//! Pixels as PNM files (Netpbm): `P5` for gray, `P6` for red, green and blue, one byte a value.

use std::io::Read;

use super::content::read_some;
use super::fence::{Step, broken};
use super::walk::{Place, Walk};

/// A picture of more bytes is a mistake in a header.
const LARGEST: u64 = 64 << 20;

/// How the bytes of one picture lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pixels {
    pub width: u64,
    pub height: u64,
    /// 1 or 3.
    pub channels: u64,
    /// Whether all of one channel comes before the next.
    pub planar: bool,
}

impl Pixels {
    /// Bytes of a picture; none where there are none, or absurdly many.
    pub(super) fn len(&self) -> Option<usize> {
        let len = self.width.checked_mul(self.height)?.checked_mul(self.channels)?;
        usize::try_from(len).ok().filter(|_| (1..=LARGEST).contains(&len))
    }

    /// The picture as a file.
    pub(super) fn file(&self, bytes: &[u8]) -> Vec<u8> {
        let magic = if self.channels == 1 { "P5" } else { "P6" };
        let mut file = format!("{magic}\n{} {}\n255\n", self.width, self.height).into_bytes();
        if self.planar && self.channels == 3 {
            let (red, rest) = bytes.split_at(bytes.len() / 3);
            let (green, blue) = rest.split_at(rest.len() / 2);
            for ((&red, &green), &blue) in red.iter().zip(green).zip(blue) {
                file.extend([red, green, blue]);
            }
        } else {
            file.extend_from_slice(bytes);
        }
        file
    }
}

/// Visits `count` pictures that follow one another in `reader`.
pub(super) fn pictures(walk: &mut Walk<'_>, reader: &mut dyn Read, pixels: Pixels, count: u64, place: &Place) -> Step {
    let Some(len) = pixels.len() else {
        return broken(format!("says its pictures are {} x {} pixels", pixels.width, pixels.height));
    };
    let mut picture = vec![0; len];
    for row in 0..count {
        if read_some(reader, &mut picture)? < len {
            return broken(format!("ends after {row} of {count} pictures"));
        }
        walk.record_bytes(place.join(&format!("row {row}")), pixels.file(&picture))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let pixels = Pixels { width: 2, height: 1, channels: 3, planar: true };
        assert_eq!(pixels.file(b"rRgGbB"), b"P6\n2 1\n255\nrgbRGB");
        let pixels = Pixels { planar: false, ..pixels };
        assert_eq!(pixels.file(b"rgbRGB"), b"P6\n2 1\n255\nrgbRGB");
        let pixels = Pixels { width: 2, height: 1, channels: 1, planar: true };
        assert_eq!(pixels.file(b"ab"), b"P5\n2 1\n255\nab");
    }

    #[test]
    fn absurd_sizes_have_no_length() {
        for (width, height) in [(0, 5), (u64::MAX, 2), (1 << 40, 1), (1 << 16, 1 << 16)] {
            assert_eq!(Pixels { width, height, channels: 1, planar: false }.len(), None);
        }
    }
}
