//! TIFF pictures (TIFF 6.0, its supplements, BigTIFF): what the tags of the first page say, and its strips or tiles to
//! pixels.
//!
//! The decoders at hand give samples and leave their meaning open, or take it wrongly: premultiplied colours, samples that
//! are no alpha, mirrored bits, chroma. So this reads the tags itself, and takes a chunk's decompression from others.

mod ccitt;
mod chunk;
mod colour;
mod directory;

use std::io::{Read, SeekFrom};

use image::DynamicImage;
use image::metadata::Orientation;

use super::super::Input;
use ccitt::Scheme;
use colour::{Alpha, Colour, Colours};
use directory::Directory;

/// Why a picture can't be read.
pub(super) struct Refused(String);

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the file ends before the picture does".into(),
            _ => Refused(error.to_string()),
        }
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        Refused(reason.to_owned())
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Refused(reason)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Step<T> = Result<T, Refused>;

/// Strips or tiles of a picture: more than 2^28 pixels have in tiles of 16 x 16, in four planes.
const MOST_CHUNKS: usize = 1 << 22;
/// Bytes of tables that JPEG streams share; more than 2 KiB has no writer.
const MOST_JPEG_TABLES: usize = 64 << 10;

mod tag {
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIPS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES: u16 = 277;
    pub const STRIP_ROWS: u16 = 278;
    pub const STRIP_BYTES: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const GROUP3: u16 = 292;
    pub const PREDICTOR: u16 = 317;
    pub const PALETTE: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILES: u16 = 324;
    pub const TILE_BYTES: u16 = 325;
    pub const INKS: u16 = 332;
    pub const EXTRA: u16 = 338;
    pub const FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const COEFFICIENTS: u16 = 529;
    pub const SUBSAMPLING: u16 = 530;
    pub const REFERENCE: u16 = 532;
    /// Those with a value for each chunk.
    pub const TABLES: &[u16] = &[STRIPS, STRIP_BYTES, TILES, TILE_BYTES];
    pub const ALL: &[u16] = &[
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        STRIPS,
        ORIENTATION,
        SAMPLES,
        STRIP_ROWS,
        STRIP_BYTES,
        PLANAR,
        GROUP3,
        PREDICTOR,
        PALETTE,
        TILE_WIDTH,
        TILE_HEIGHT,
        TILES,
        TILE_BYTES,
        INKS,
        EXTRA,
        FORMAT,
        JPEG_TABLES,
        COEFFICIENTS,
        SUBSAMPLING,
        REFERENCE,
    ];
}

/// How the bytes of a chunk are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Fax(Scheme),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Lzma,
    Zstd,
    WebP,
}

/// What the tags of a picture say.
#[derive(Debug)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    pub bits: u16,
    /// Samples of a pixel, those that are no colour too.
    samples: usize,
    floats: bool,
    little: bool,
    compression: Compression,
    mirrored: bool,
    /// 1: none, 2: differences, 3: differences of floats.
    predictor: u64,
    planar: bool,
    colours: Colours,
    /// Pixels of a value of chroma, across and down.
    subsampling: (usize, usize),
    jpeg_tables: Vec<u8>,
    orientation: Orientation,
    /// Width and height of a chunk: a strip, or a tile.
    chunk: (usize, usize),
    tiled: bool,
    /// Places and lengths of the chunks.
    places: Vec<(u64, u64)>,
}

impl Header {
    /// Reads the tags of the first page.
    pub fn read(input: &mut dyn Input) -> Step<Self> {
        let tags = Directory::read(input, tag::ALL)?;
        let side = |tag| tags.number(tag).and_then(|side| u32::try_from(side).ok()).filter(|&side| side > 0);
        let (Some(width), Some(height)) = (side(tag::WIDTH), side(tag::HEIGHT)) else {
            return Err("it has no width and height".into());
        };
        let samples = tags.number(tag::SAMPLES).unwrap_or(1);
        if !(1..=64).contains(&samples) {
            return Err(format!("it has {samples} samples a pixel; up to 64 are read").into());
        }
        let bits = tags.numbers(tag::BITS).unwrap_or_else(|| vec![1]);
        let Some((&bits, others)) = bits.split_first() else { return Err("it has no bits a sample".into()) };
        if others.iter().take(samples as usize - 1).any(|&other| other != bits) {
            return Err("its samples have different numbers of bits, which is not read".into());
        }
        let floats = match tags.number(tag::FORMAT).unwrap_or(1) {
            // 4 says that nobody knows, which old programs write of whole numbers.
            1 | 4 => false,
            2 => return Err("its samples are signed, and nothing says which is black and which is white".into()),
            3 => true,
            _ => return Err("its samples are complex numbers, which are no picture".into()),
        };
        if !(if floats { matches!(bits, 16 | 32 | 64) } else { matches!(bits, 1..=16 | 24 | 32 | 64) }) {
            return Err(format!("it has samples of {bits} bits, which are not read").into());
        }
        let (samples, bits) = (samples as usize, bits as u16);
        let compression = compression(&tags)?;
        let colours = colours(&tags, samples, bits, floats, compression)?;
        let planar = samples > 1 && tags.number(tag::PLANAR) == Some(2);
        let subsampling = match (colours.colour, tags.numbers(tag::SUBSAMPLING).as_deref()) {
            // JPEG has its own.
            (Colour::YCbCr { .. }, _) if compression == Compression::Jpeg => (1, 1),
            (Colour::YCbCr { .. }, None) => (2, 2),
            (Colour::YCbCr { .. }, Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..])) => {
                (across as usize, down as usize)
            }
            (Colour::YCbCr { .. }, _) => return Err("its chroma is subsampled in no way that TIFF has".into()),
            _ => (1, 1),
        };
        let predictor = tags.number(tag::PREDICTOR).unwrap_or(1);
        if subsampling != (1, 1) && (planar || samples != 3 || predictor != 1) {
            return Err("its chroma is subsampled in planes, or beside other samples, which is not read".into());
        }
        match predictor {
            1 => {}
            2 if matches!(bits, 8 | 16 | 24 | 32 | 64) => {}
            3 if floats => {}
            _ => return Err(format!("its predictor {predictor} is not read for {bits} bits").into()),
        }
        let jpeg_tables = tags.bytes(tag::JPEG_TABLES).unwrap_or_default().to_vec();
        if jpeg_tables.len() > MOST_JPEG_TABLES {
            return Err("its tables for JPEG are absurdly long".into());
        }
        let orientation = tags.number(tag::ORIENTATION).and_then(|value| Orientation::from_exif(value.min(9) as u8));
        let mut header = Header {
            width,
            height,
            bits,
            samples,
            floats,
            little: tags.little,
            compression,
            mirrored: tags.number(tag::FILL_ORDER) == Some(2),
            predictor,
            planar,
            colours,
            subsampling,
            jpeg_tables,
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
            chunk: (0, 0),
            tiled: false,
            places: Vec::new(),
        };
        header.place(&tags, input)?;
        Ok(header)
    }

    /// Finds the chunks.
    fn place(&mut self, tags: &Directory, input: &mut dyn Input) -> Step<()> {
        let (width, height) = (self.width as usize, self.height as usize);
        let side =
            |tag| tags.number(tag).map(|side| usize::try_from(side).unwrap_or(usize::MAX)).filter(|&side| side > 0);
        let tables = if let Some(tiles) = tags.each(tag::TILES) {
            let (Some(across), Some(down)) = (side(tag::TILE_WIDTH), side(tag::TILE_HEIGHT)) else {
                return Err("its tiles have no size".into());
            };
            (self.chunk, self.tiled) = ((across, down), true);
            (tiles, tags.each(tag::TILE_BYTES))
        } else {
            self.chunk = (width, side(tag::STRIP_ROWS).unwrap_or(height).min(height));
            (tags.each(tag::STRIPS).ok_or("it has neither strips nor tiles")?, tags.each(tag::STRIP_BYTES))
        };
        let (starts, lens) = tables;
        let (across, down) = self.chunk;
        let planes = if self.planar { self.samples } else { 1 };
        let count = width.div_ceil(across).saturating_mul(height.div_ceil(down)).saturating_mul(planes);
        if starts.len() < count {
            return Err(format!("it has {} of its {count} strips or tiles", starts.len()).into());
        }
        if count > MOST_CHUNKS {
            return Err(format!("its {count} strips or tiles are absurdly many").into());
        }
        if self.chunk_bytes().is_none_or(|bytes| bytes > 1 << 31) {
            return Err("its strips or tiles are absurdly large".into());
        }
        let starts: Vec<u64> = starts.take(count).collect();
        self.places = match lens.filter(|lens| lens.len() >= count) {
            Some(lens) => starts.into_iter().zip(lens).collect(),
            // Old programs leave the lengths out: a chunk goes up to the next one.
            None => {
                let mut ends = starts.clone();
                ends.push(input.seek(SeekFrom::End(0))?);
                ends.sort_unstable();
                let end = |start| ends.get(ends.partition_point(|&end| end <= start)).copied().unwrap_or(start);
                starts.into_iter().map(|start| (start, end(start) - start)).collect()
            }
        };
        Ok(())
    }

    /// Samples of a pixel in one chunk.
    fn together(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Bytes of a whole chunk, decompressed.
    fn chunk_bytes(&self) -> Option<u64> {
        let (across, down) = (self.chunk.0 as u64, self.chunk.1 as u64);
        let (h, v) = (self.subsampling.0 as u64, self.subsampling.1 as u64);
        if (h, v) != (1, 1) {
            // Of each block all brightness, then its two values of chroma.
            return across.div_ceil(h).checked_mul(down.div_ceil(v))?.checked_mul(h * v + 2);
        }
        let row = across.checked_mul(self.together() as u64)?.checked_mul(self.bits.into())?.div_ceil(8);
        row.checked_mul(down)
    }

    /// The kind of colour.
    pub fn colour(&self) -> &'static str {
        self.colours.name()
    }

    /// Bytes that decoding takes, the picture included.
    pub fn working_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let planes = if self.planar { pixels * 4 * self.colours.used() as u64 } else { 0 };
        // Compressed and not, and once more turned around.
        let chunk = self.chunk_bytes().unwrap_or(u64::MAX);
        chunk.saturating_mul(2).saturating_add(planes + 2 * pixels * self.colours.channels() as u64)
    }

    /// Decodes the picture, upright, to 8 bits.
    pub fn pixels(&self, input: &mut dyn Input) -> Step<DynamicImage> {
        let (width, height) = (self.width as usize, self.height as usize);
        let (across, down) = (width.div_ceil(self.chunk.0), height.div_ceil(self.chunk.1));
        let (used, channels) = (self.colours.used(), self.colours.channels());
        let mut picture = vec![0; width * height * channels];
        // Samples of planes wait here for those of the others.
        let mut waiting = if self.planar { vec![0_u32; width * height * used] } else { Vec::new() };
        let (mut values, mut row) = (Vec::new(), Vec::new());
        // Chunks may lie at one place, as blank ones do, but not many that are longer than their pixels.
        let mut left = input.seek(SeekFrom::End(0))?.saturating_mul(4);
        let gained = self.chunk_bytes().unwrap_or(0) + 1024;
        for (index, &place) in self.places.iter().enumerate() {
            let (plane, chunk) = (index / (across * down), index % (across * down));
            let slots = self.colours.slots(plane, self.planar);
            if slots.is_empty() {
                continue;
            }
            let (x, y) = (chunk % across * self.chunk.0, chunk / across * self.chunk.1);
            let (visible, rows) = (self.chunk.0.min(width - x), self.chunk.1.min(height - y));
            // A strip has the rows that there are, a tile always all.
            let stored = if self.tiled { self.chunk.1 } else { rows };
            left = left.saturating_add(gained);
            let bytes = self.decompress(input, place, stored, &mut left)?;
            let stride = bytes.len() / stored;
            for (line, bytes) in bytes.chunks_exact(stride.max(1)).take(rows).enumerate() {
                self.unpack(bytes, &mut values)?;
                let first = (y + line) * width + x;
                row.clear();
                for pixel in values.chunks_exact(self.together()).take(visible) {
                    for &(sample, _) in &slots {
                        row.push(self.scaled(pixel[sample])?);
                    }
                }
                if self.planar {
                    for (i, &value) in row.iter().enumerate() {
                        waiting[(first + i) * used + slots[0].1] = value;
                    }
                } else {
                    self.colours.write(&row, self.most(), &mut picture[first * channels..]);
                }
            }
        }
        if self.planar {
            self.colours.write(&waiting, self.most(), &mut picture);
        }
        let mut picture = self.colours.picture(self.width, self.height, picture).ok_or("it has too few pixels")?;
        picture.apply_orientation(self.orientation);
        Ok(picture)
    }

    /// The value that stands for full brightness after [`Self::scaled`].
    fn most(&self) -> u32 {
        if self.floats || self.bits > 32 { u32::MAX } else { (1_u64 << self.bits).wrapping_sub(1) as u32 }
    }

    /// A sample as a whole number, of floats from 0 (black) to 1 (white).
    fn scaled(&self, value: u64) -> Step<u32> {
        if !self.floats {
            return Ok(if self.bits > 32 { (value >> (self.bits - 32)) as u32 } else { value as u32 });
        }
        let value = match self.bits {
            16 => half(value as u16),
            32 => f32::from_bits(value as u32).into(),
            _ => f64::from_bits(value),
        };
        if !(0.0..=1.0).contains(&value) {
            let reason = "which says nothing about black and white: scale its values to 0..1 first";
            return Err(format!("its floats go beyond 0..1 ({value} is one of them), {reason}").into());
        }
        Ok((value * f64::from(u32::MAX)).round() as u32)
    }

    /// The bytes of a chunk as they are in the file; `left` are those that may still be gone over.
    fn stored(&self, input: &mut dyn Input, (start, len): (u64, u64), left: &mut u64) -> Step<Vec<u8>> {
        let mut bytes = Vec::new();
        input.seek(SeekFrom::Start(start))?;
        // What is longer than any coding makes it is cut, and refused where that mattered.
        let pixels = self.chunk_bytes().unwrap_or(0);
        let most = match self.compression {
            Compression::None => pixels,
            // With headers, tables and profiles of their own.
            Compression::Jpeg | Compression::WebP | Compression::Lzma | Compression::Zstd => 2 * pixels + (1 << 20),
            _ => 2 * pixels + 1024,
        };
        input.take(len.min(most)).read_to_end(&mut bytes)?;
        let tables = if self.compression == Compression::Jpeg { self.jpeg_tables.len() } else { 0 };
        let read = (bytes.len() + tables) as u64;
        *left =
            left.checked_sub(read).ok_or("its strips or tiles lie at the same place, and are longer than its file")?;
        if bytes.is_empty() {
            return Err("the file ends before the picture does".into());
        }
        // The bits of files and of what is inside a JPEG or WebP stream have an order of their own.
        if self.mirrored && !matches!(self.compression, Compression::Jpeg | Compression::WebP) {
            bytes.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        Ok(bytes)
    }
}

fn compression(tags: &Directory) -> Step<Compression> {
    Ok(match tags.number(tag::COMPRESSION).unwrap_or(1) {
        1 => Compression::None,
        2 => Compression::Fax(Scheme::Rows),
        3 => {
            let options = tags.number(tag::GROUP3).unwrap_or(0);
            if options & 2 != 0 {
                return Err("it uses the uncompressed mode of fax, which is not read".into());
            }
            Compression::Fax(Scheme::Group3 { differences: options & 1 != 0 })
        }
        4 => Compression::Fax(Scheme::Group4),
        5 => Compression::Lzw,
        6 => return Err("it is compressed by JPEG in the old way (6), which is not read".into()),
        7 => Compression::Jpeg,
        8 | 32_946 => Compression::Deflate,
        32_773 => Compression::PackBits,
        34_925 => Compression::Lzma,
        50_000 => Compression::Zstd,
        50_001 => Compression::WebP,
        other => return Err(format!("its compression {other} is not read").into()),
    })
}

/// What the samples mean.
fn colours(tags: &Directory, samples: usize, bits: u16, floats: bool, compression: Compression) -> Step<Colours> {
    let needs = |wanted: usize, colour: Colour| match samples < wanted {
        true => Err(Refused(format!("it has {samples} samples a pixel where its colours have {wanted}"))),
        false => Ok(colour),
    };
    let colour = match tags.number(tag::PHOTOMETRIC) {
        Some(0) => Colour::Gray { white_is_zero: true },
        Some(1) => Colour::Gray { white_is_zero: false },
        // A picture without the tag is what fax machines write; others have it.
        None if matches!(compression, Compression::Fax(_)) => Colour::Gray { white_is_zero: true },
        None => return Err("nothing says what its samples mean".into()),
        Some(2) => needs(3, Colour::Rgb)?,
        Some(3) => Colour::Palette,
        Some(5) if tags.number(tag::INKS).unwrap_or(1) != 1 => return Err("its inks are others than CMYK".into()),
        Some(5) => needs(4, Colour::Cmyk)?,
        // Brightness alone.
        Some(6) if samples < 3 => Colour::Gray { white_is_zero: false },
        Some(6) => {
            let coefficients = tags.fractions(tag::COEFFICIENTS).unwrap_or_default();
            let reference = tags.fractions(tag::REFERENCE).unwrap_or_default();
            // A JPEG stream is full range, with the weights of ITU-R BT.601.
            match compression {
                Compression::Jpeg => Colour::ycbcr(&[], &[]),
                _ => Colour::ycbcr(&coefficients, &reference),
            }
        }
        Some(8..=10) => return Err("its colours are L*a*b*, which is not read".into()),
        Some(32_803) => return Err("it holds a camera's raw values, which are not read".into()),
        Some(other) => return Err(format!("its photometric interpretation {other} is not read").into()),
    };
    if matches!(colour, Colour::YCbCr { .. }) && bits != 8 {
        return Err(format!("its brightness and chroma have {bits} bits; 8 are read").into());
    }
    if floats && !matches!(colour, Colour::Gray { .. } | Colour::Rgb) {
        return Err("its samples are floats, which are read as gray and RGB alone".into());
    }
    let palette: Vec<u8> = match colour {
        // 16 bits each: all reds, all greens, all blues.
        Colour::Palette => {
            let palette = tags.numbers(tag::PALETTE).unwrap_or_default();
            if bits > 16 || palette.len() < 3 << bits {
                return Err("its palette is not whole".into());
            }
            palette[..3 << bits].iter().map(|&value| (value >> 8) as u8).collect()
        }
        _ => Vec::new(),
    };
    let own = colour.samples();
    let extra = tags.numbers(tag::EXTRA);
    let alpha = match extra.as_deref() {
        // Programs that write RGBA without saying so mean alpha.
        None if colour == Colour::Rgb && samples == 4 => Some((3, Alpha::Separate)),
        None => None,
        Some(extra) => extra.iter().take(samples - own).enumerate().find_map(|(i, kind)| match kind {
            1 => Some((own + i, Alpha::Premultiplied)),
            // 999 is what Corel Draw writes.
            2 | 999 => Some((own + i, Alpha::Separate)),
            _ => None,
        }),
    };
    Ok(Colours { colour, palette, alpha })
}

/// An IEEE 754 half as a number.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2_f64.powi(exponent - 15),
    }
}
