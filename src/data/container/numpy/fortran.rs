//! Arrays in Fortran order, where the first index varies fastest: value `k` of picture `n` of N is byte `k * N + n`.

use std::io::{self, Read, SeekFrom};

use super::Array;
use crate::data::container::content::ReadSeek;
use crate::data::container::fence::{Step, broken};
use crate::data::container::walk::{Place, Walk};

/// Memory for pictures, each of which lies all over the file.
const GATHERED: usize = 64 << 20;
/// Longer arrays would be read too many times over.
const LONGEST: u64 = 1 << 30;

/// Visits the pictures of the array, of which `shape` are the dimensions of one.
pub(super) fn gather(
    walk: &mut Walk<'_>,
    reader: &mut dyn ReadSeek,
    len: u64,
    array: &Array,
    shape: &[u64],
    place: &Place,
) -> Step {
    let values = array.pixels.len().unwrap_or(0);
    let count = array.count;
    let whole = count.checked_mul(values as u64).filter(|&whole| whole <= LONGEST);
    let Some(whole) = whole else {
        return broken("is long and in Fortran order: save it again after numpy.ascontiguousarray");
    };
    if len.saturating_sub(array.start) < whole {
        return broken("is in Fortran order and ends early, so that no picture is whole");
    }
    let order = c_order(shape, values);
    let together = (GATHERED / values).max(1) as u64;
    let mut first = 0;
    while first < count {
        let now = together.min(count - first) as usize;
        let mut pictures = vec![0; now * values];
        let mut run = vec![0; now];
        reader.seek(SeekFrom::Start(array.start + first))?;
        for (k, &value) in order.iter().enumerate() {
            if k > 0 {
                pass_over(reader, count - now as u64)?;
            }
            reader.read_exact(&mut run)?;
            for (picture, &byte) in pictures.chunks_exact_mut(values).zip(&run) {
                picture[value] = byte;
            }
        }
        for (row, picture) in (first..).zip(pictures.chunks_exact(values)) {
            walk.record_bytes(place.join(&format!("row {row}")), array.pixels.file(picture))?;
        }
        first += now as u64;
    }
    Ok(())
}

/// Where in a picture each of its values belongs, in the order of the file.
fn c_order(shape: &[u64], values: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    let mut order = Vec::with_capacity(values);
    for _ in 0..values {
        let place = shape.iter().zip(&index).fold(0, |place, (&len, &at)| place * len + at);
        order.push(place as usize);
        for (at, &len) in index.iter_mut().zip(shape) {
            *at += 1;
            if *at < len {
                break;
            }
            *at = 0;
        }
    }
    order
}

/// Goes on by `bytes`; a seek throws away what was read ahead, so it has to be worth it.
fn pass_over(reader: &mut dyn ReadSeek, bytes: u64) -> io::Result<()> {
    if bytes > 1 << 16 {
        reader.seek_relative(bytes as i64)
    } else {
        io::copy(&mut reader.take(bytes), &mut io::sink()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::c_order;

    #[test]
    fn fortran_order_turns_round() {
        // A picture of 2 x 3: down the columns first.
        assert_eq!(c_order(&[2, 3], 6), [0, 3, 1, 4, 2, 5]);
    }
}
