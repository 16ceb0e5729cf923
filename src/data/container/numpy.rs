//! Arrays of pictures as numpy saves them: `.npy` (numpy's NEP 1), and `.npz`, a zip archive of these.
//!
//! Of unsigned bytes only, in one of these shapes, N pictures of h x w pixels:
//!
//! ```text
//! N h w         gray             N h w 3    N h w 1       channels last
//! N s*s         gray squares     N 3 h w    N 1 h w       channels first
//! N 3*s*s       squares, channels first (ImageNet at 32 and 64 pixels)
//! h w 3         one picture
//! ```

use std::io::{self, Read, SeekFrom};

use npyz::{DType, NpyHeader, Order, TypeChar};

use super::content::{ReadSeek, Source, read_some};
use super::fence::{Step, broken, fenced};
use super::pnm::{Pixels, pictures};
use super::walk::{Place, Walk};
use super::zip::{self, Archive};

/// Longer headers describe records of many fields, which are no pictures.
const LONGEST_HEADER: usize = 4096;
/// What numpy calls the array where nobody named one, in ImageNet's files.
const USUAL: &str = "data";
/// Memory for the pictures of an array in Fortran order, each of which lies all over the file.
const GATHERED: usize = 64 << 20;
/// Longer arrays in that order would be read too many times over.
const LONGEST_FORTRAN: u64 = 1 << 30;

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
            gather(walk, &mut content.reader()?, len, &array, shape, place)
        }
    }
}

/// Whether an archive holds nothing but arrays.
pub(super) fn is_npz(archive: &Archive<'_>) -> bool {
    !archive.is_empty() && archive.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy")))
}

/// Visits the pictures of one array of an `.npz` file: the one of the column's name, else `data`, else the first.
pub(super) fn expand_npz(walk: &mut Walk<'_>, archive: &mut Archive<'_>, place: &Place) -> Step {
    let mut usable = Vec::new();
    let mut others = Vec::new();
    for index in 0..archive.len() {
        let Some(entry) = fenced(|| zip::describe(archive, index))? else { continue };
        let name = entry.name.trim_end_matches(".npy").to_owned();
        let head = zip::start(archive, index, LONGEST_HEADER as u64)?;
        let len = header_len(&head).map_err(|_| "no array".to_owned());
        let parsed = len.and_then(|len| match head.get(..len) {
            Some(header) => Array::parse(header).map_err(|stop| stop.reason()),
            None => Err("its header is cut off".to_owned()),
        });
        match parsed {
            Ok(_) => usable.push((index, name)),
            Err(reason) => others.push(format!("{name} {reason}")),
        }
    }
    let named = |wanted: &str| usable.iter().position(|(_, name)| name == wanted);
    let chosen = match &walk.options.column {
        Some(column) => named(column),
        None => named(USUAL).or((!usable.is_empty()).then_some(0)),
    };
    let Some(chosen) = chosen else {
        let names: Vec<String> = usable.into_iter().map(|(_, name)| format!("{name} is one")).chain(others).collect();
        let which = walk.options.column.as_ref().map_or(String::new(), |column| format!(" `{column}`"));
        return broken(format!("has no array of pictures{which}: {}", names.join("; ")));
    };
    let (index, name) = usable.remove(chosen);
    for (_, name) in usable {
        walk.skip(place.join(&name), "is another array: data.column chooses")?;
    }
    let budget = walk.budget;
    let mut entry = budget.meter(fenced(|| Ok(archive.by_index(index)?))?);
    let inside = place.inner(&name);
    expand(walk, Source::stream(&mut entry, None), &inside)
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
        let picture = if shape.len() == 3 && count == 1 && shape[0] != 1 { shape } else { &shape[1..] };
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

/// Visits the pictures of an array whose first index varies fastest: value `k` of picture `n` is byte `k * N + n`.
fn gather(
    walk: &mut Walk<'_>,
    reader: &mut dyn ReadSeek,
    len: u64,
    array: &Array,
    shape: &[u64],
    place: &Place,
) -> Step {
    let values = array.pixels.len().unwrap_or(0);
    let count = array.count;
    let whole = count.checked_mul(values as u64).filter(|&whole| whole <= LONGEST_FORTRAN);
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

    #[test]
    fn fortran_order_turns_round() {
        // A picture of 2 x 3: down the columns first.
        assert_eq!(c_order(&[2, 3], 6), [0, 3, 1, 4, 2, 5]);
    }
}
