//! Arrays of pictures as numpy saves them: `.npy` (numpy's NEP 1), and in `npz` a zip archive of these.
//!
//! Of unsigned bytes only, in one of these shapes, N pictures of h x w pixels:
//!
//! ```text
//! N h w         gray             N h w 3    N h w 1       channels last
//! N s*s         gray squares     N 3 h w    N 1 h w       channels first
//! N 3*s*s       squares, channels first (ImageNet at 32 and 64 pixels)
//! h w 3         one picture
//! ```

mod fortran;
mod npz;

use std::io::{self, Read};

use npyz::{DType, NpyHeader, Order, TypeChar};

use super::content::{Source, read_some};
use super::fence::{Step, broken, fenced};
use super::pnm::{Pixels, pictures};
use super::walk::{Place, Walk};
pub(super) use npz::{expand as expand_npz, is_npz};

/// Longer headers describe records of many fields, which are no pictures.
const LONGEST_HEADER: usize = 4096;

/// An array of pictures.
struct Array {
    count: u64,
    pixels: Pixels,
    /// The dimensions of a picture, where the first index varies fastest in the file.
    fortran: Option<Vec<u64>>,
    /// Where the data begins.
    start: u64,
}

/// Visits the pictures of an `.npy` file.
pub(super) fn expand(walk: &mut Walk<'_>, mut source: Source<'_>, place: &Place) -> Step {
    // A stream gives its start once, so the header is read where the data follows.
    let head = source.head()?;
    let stated = header_len(&head)?;
    if stated <= head.len() {
        return array(walk, source, &head[..stated], place);
    }
    let mut content = source.content(&walk.options.spool)?;
    let mut header = vec![0; stated];
    if read_some(&mut content.reader()?, &mut header)? < stated {
        return broken("ends in its header");
    }
    array(walk, Source::Content(content), &header, place)
}

fn array(walk: &mut Walk<'_>, mut source: Source<'_>, header: &[u8], place: &Place) -> Step {
    let array = Array::parse(header)?;
    match &array.fortran {
        None => {
            let mut reader = source.reader()?;
            io::copy(&mut reader.by_ref().take(array.start), &mut io::sink())?;
            pictures(walk, &mut reader, array.pixels, array.count, place)
        }
        Some(shape) => {
            let mut content = source.content(&walk.options.spool)?;
            let len = content.len()?;
            fortran::gather(walk, &mut content.reader()?, len, &array, shape, place)
        }
    }
}

/// Bytes of the header, what comes before its text included.
fn header_len(head: &[u8]) -> Step<usize> {
    let len = match *head {
        [_, _, _, _, _, _, 1, _, low, high, ..] => 10 + usize::from(u16::from_le_bytes([low, high])),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => 12 + u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return broken("is an array of an unknown version"),
    };
    if len > LONGEST_HEADER {
        broken(format!("has a header of {len} bytes, which pictures don't need"))
    } else {
        Ok(len)
    }
}

impl Array {
    /// Reads a header; fails where the array is not one of pictures.
    fn parse(header: &[u8]) -> Step<Array> {
        // The parser goes into brackets by calling itself.
        if header.iter().filter(|byte| b"([{".contains(byte)).count() > 16 {
            return broken("has a header that pictures don't need");
        }
        let parsed = fenced(|| NpyHeader::from_reader(header))?;
        let bytes = matches!(parsed.dtype(), DType::Plain(kind) if kind.type_char() == TypeChar::Uint && kind.size_field() == 1);
        let shape = parsed.shape();
        if !bytes {
            let kind = parsed.dtype().descr();
            return broken(format!("holds {kind}, not unsigned bytes ('|u1')"));
        }
        let Some((count, pixels)) = pictures_of(shape) else {
            return broken(format!("has the shape {shape:?}, which is none of pictures (N x h x w, N x h x w x 3, …)"));
        };
        // One picture by itself has no dimension that counts pictures.
        let picture = &shape[usize::from(shape[0] == count)..];
        let fortran = (parsed.order() == Order::Fortran).then(|| picture.to_vec());
        Ok(Array { count, pixels, fortran, start: header.len() as u64 })
    }
}

/// How many pictures an array of this shape holds, and how they lie.
fn pictures_of(shape: &[u64]) -> Option<(u64, Pixels)> {
    let gray = |width, height| Pixels { width, height, channels: 1, planar: false };
    let (count, pixels) = match *shape {
        [count, len] if square(len).is_some() => (count, gray(square(len)?, square(len)?)),
        [count, len] if len.is_multiple_of(3) => {
            let side = square(len / 3)?;
            (count, Pixels { channels: 3, planar: true, ..gray(side, side) })
        }
        [height, width, 3] => (1, Pixels { channels: 3, ..gray(width, height) }),
        [count, height, width] => (count, gray(width, height)),
        [count, height, width, channels @ (1 | 3)] => (count, Pixels { channels, ..gray(width, height) }),
        [count, channels @ (1 | 3), height, width] => (count, Pixels { channels, planar: true, ..gray(width, height) }),
        _ => return None,
    };
    pixels.len().map(|_| (count, pixels))
}

fn square(len: u64) -> Option<u64> {
    let side = len.isqrt();
    (side > 0 && side * side == len).then_some(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_pictures() {
        let found = |shape: &[u64]| pictures_of(shape).map(|(n, p)| (n, p.width, p.height, p.channels, p.planar));
        assert_eq!(found(&[5, 3072]), Some((5, 32, 32, 3, true)));
        assert_eq!(found(&[5, 784]), Some((5, 28, 28, 1, false)));
        assert_eq!(found(&[5, 4, 6]), Some((5, 6, 4, 1, false)));
        assert_eq!(found(&[4, 6, 3]), Some((1, 6, 4, 3, false)));
        assert_eq!(found(&[5, 4, 6, 3]), Some((5, 6, 4, 3, false)));
        assert_eq!(found(&[5, 3, 4, 6]), Some((5, 6, 4, 3, true)));
        assert_eq!(found(&[5, 4, 6, 1]), Some((5, 6, 4, 1, false)));
        for shape in [&[][..], &[5], &[5, 7], &[5, 4, 6, 2], &[5, 0, 6], &[1, u64::MAX, 2], &[1, 2, 3, 4, 5]] {
            assert_eq!(found(shape), None, "{shape:?}");
        }
    }
}
