//! PNG files from their pixels: which rows were filtered how, and what the compressor did, by `preflate`, which predicts
//! what the common ones do and notes where this one differed.

use preflate_rs::{PreflateConfig, preflate_whole_deflate_stream, recreate_whole_deflate_stream};

use super::container::{pack, unpack};
use super::wire::{Reader, damaged, put_bytes, put_varint};
use crate::Result;
use crate::modality::contained;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What a PNG file is beside the pixels that `decoded`, another PNG file, shows: `None` where it has others, or is of a
/// kind that isn't taken apart here (interlaced, 16 bits, less than 8 bits).
pub(super) fn split(file: &[u8], decoded: &[u8]) -> Option<Vec<u8>> {
    let found = contained(file, || {
        let side = describe(file, decoded).ok_or_else(|| damaged("no PNG file of these pixels"))?;
        if join(&side, decoded, file.len() as u64)? != file {
            return Err(damaged("the file would be another"));
        }
        Ok(side)
    });
    found.ok()
}

/// The PNG file of `len` bytes that [`split`] took apart.
pub(super) fn join(side: &[u8], decoded: &[u8], len: u64) -> Result<Vec<u8>> {
    let side = unpack(side, side_limit(len))?;
    let mut reader = Reader(&side);
    let head = reader.bytes()?;
    let count = reader.size()?;
    let sizes = (0..count).map(|_| reader.size()).collect::<Result<Vec<_>>>()?;
    let zlib = reader.array::<2>()?;
    let shape = Shape::read(head).ok_or_else(|| damaged("its PNG header"))?;
    let filters = reader.take(shape.height)?;
    let corrections = reader.bytes()?;
    let tail = reader.bytes()?;
    let rows = shape.filtered(head, decoded, filters).ok_or_else(|| damaged("its pixels are others"))?;
    let deflated = recreate_whole_deflate_stream(&rows, corrections).map_err(damaged)?;
    let stream = [&zlib[..], &deflated, &adler32(&rows).to_be_bytes()].concat();

    let mut file = head.to_vec();
    let mut stream = Reader(&stream);
    for size in sizes {
        let data = stream.take(size)?;
        let mut crc = flate2::Crc::new();
        crc.update(b"IDAT");
        crc.update(data);
        file.extend((size as u32).to_be_bytes());
        file.extend(b"IDAT");
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    }
    file.extend(tail);
    if file.len() as u64 != len || !stream.0.is_empty() {
        return Err(damaged("its PNG file has another length"));
    }
    Ok(file)
}

/// Bytes that the description of a file may have, before it is packed.
fn side_limit(len: u64) -> u64 {
    len.saturating_mul(2).saturating_add(1 << 16)
}

fn describe(file: &[u8], decoded: &[u8]) -> Option<Vec<u8>> {
    let shape = Shape::read(file)?;
    let (start, sizes, stream, end) = data_chunks(file)?;
    let (zlib, rest) = stream.split_first_chunk::<2>()?;
    let (deflated, _) = rest.split_last_chunk::<4>()?;
    let lines = shape.height * (1 + shape.stride());
    let config =
        PreflateConfig { plain_text_limit: lines + (1 << 16), verify_compression: false, ..Default::default() };
    let (result, plain) = preflate_whole_deflate_stream(deflated, &config).ok()?;
    if result.compressed_size != deflated.len() || plain.text().len() != lines {
        return None;
    }
    let filters: Vec<u8> = plain.text().chunks(1 + shape.stride()).map(|row| row[0]).collect();
    if shape.filtered(&file[..start], decoded, &filters)? != plain.text() {
        return None;
    }
    let mut side = Vec::new();
    put_bytes(&mut side, &file[..start]);
    put_varint(&mut side, sizes.len() as u64);
    sizes.iter().for_each(|&size| put_varint(&mut side, size as u64));
    side.extend(zlib);
    side.extend(filters);
    put_bytes(&mut side, &result.corrections);
    put_bytes(&mut side, &file[end..]);
    if side.len() as u64 > side_limit(file.len() as u64) {
        return None;
    }
    pack(&side).ok()
}

/// Where the consecutive IDAT chunks begin, their sizes, what they hold together, and where they end.
fn data_chunks(file: &[u8]) -> Option<(usize, Vec<usize>, Vec<u8>, usize)> {
    let (mut start, mut sizes, mut stream) = (None, Vec::new(), Vec::new());
    for chunk in chunks(file) {
        match chunk.name {
            b"IDAT" => {
                start.get_or_insert(chunk.start);
                sizes.push(chunk.data.len());
                stream.extend(chunk.data);
            }
            _ if start.is_some() => return Some((start?, sizes, stream, chunk.start)),
            _ => {}
        }
    }
    None
}

struct Chunk<'a> {
    name: &'a [u8],
    data: &'a [u8],
    /// Its first byte in the file.
    start: usize,
}

/// The chunks of a PNG file, as far as they are whole.
fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut reader = Reader(file.strip_prefix(SIGNATURE).unwrap_or_default());
    std::iter::from_fn(move || {
        let start = file.len() - reader.0.len();
        let len = u32::from_be_bytes(reader.array().ok()?) as usize;
        let name = reader.take(4).ok()?;
        let data = reader.take(len).ok()?;
        reader.take(4).ok()?;
        Some(Chunk { name, data, start })
    })
}

/// A picture's size and the kind of its samples, of 8 bits.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: usize,
    height: usize,
    color: u8,
}

impl Shape {
    /// From the front of a file.
    fn read(file: &[u8]) -> Option<Self> {
        let header = chunks(file).next().filter(|chunk| chunk.name == b"IHDR")?.data;
        let [w0, w1, w2, w3, h0, h1, h2, h3, 8, color @ (0 | 2 | 3 | 4 | 6), 0, 0, 0] = *header else { return None };
        let [width, height] = [[w0, w1, w2, w3], [h0, h1, h2, h3]].map(|side| u32::from_be_bytes(side) as usize);
        // As large as pictures are read at all.
        (width > 0 && height > 0 && width.checked_mul(height)? <= 1 << 28).then_some(Shape { width, height, color })
    }

    /// Bytes of a pixel.
    fn pixel(self) -> usize {
        match self.color {
            0 | 3 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        }
    }

    fn stride(self) -> usize {
        self.width * self.pixel()
    }

    /// The filtered rows of the picture that `decoded` shows, in the colours that the file's `head` is of.
    fn filtered(self, head: &[u8], decoded: &[u8], filters: &[u8]) -> Option<Vec<u8>> {
        let picture = image::load_from_memory_with_format(decoded, image::ImageFormat::Png).ok()?.into_rgb8();
        if (picture.width() as usize, picture.height() as usize) != (self.width, self.height) {
            return None;
        }
        let palette = chunks(head).find(|chunk| chunk.name == b"PLTE").map_or(&[][..], |chunk| chunk.data);
        let mut samples = Vec::with_capacity(self.height * self.stride());
        for image::Rgb([r, g, b]) in picture.pixels().copied() {
            match self.color {
                0 => samples.push(r),
                2 => samples.extend([r, g, b]),
                3 => samples.push(palette.as_chunks::<3>().0.iter().position(|entry| *entry == [r, g, b])? as u8),
                4 => samples.extend([r, 255]),
                _ => samples.extend([r, g, b, 255]),
            }
        }
        let mut out = Vec::with_capacity(self.height * (1 + self.stride()));
        let mut above: &[u8] = &vec![0; self.stride()];
        for (row, &filter) in samples.chunks(self.stride()).zip(filters) {
            out.push(filter);
            filter_row(filter, self.pixel(), above, row, &mut out)?;
            above = row;
        }
        Some(out)
    }
}

/// A row as a filter of PNG makes it (PNG specification, 9.2).
fn filter_row(filter: u8, pixel: usize, above: &[u8], row: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let left = |of: &[u8], i: usize| if i < pixel { 0 } else { of[i - pixel] };
    for (i, &value) in row.iter().enumerate() {
        let (a, b, c) = (left(row, i), above[i], left(above, i));
        let predicted = match filter {
            0 => 0,
            1 => a,
            2 => b,
            3 => ((u16::from(a) + u16::from(b)) / 2) as u8,
            4 => paeth(a, b, c),
            _ => return None,
        };
        out.push(value.wrapping_sub(predicted));
    }
    Some(())
}

/// Of left, above and above left, the one nearest to left + above - above left.
fn paeth(a: u8, b: u8, c: u8) -> u8 {
    let [left, above, corner] = [a, b, c].map(i32::from);
    let target = left + above - corner;
    let [da, db, dc] = [left, above, corner].map(|value| (target - value).abs());
    if da <= db && da <= dc {
        a
    } else if db <= dc {
        b
    } else {
        c
    }
}

/// The checksum of zlib (RFC 1950).
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // As many as 32 bits hold the sums of.
    for part in bytes.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65_521, b % 65_521);
    }
    b << 16 | a
}
