//! TIFF pictures that the general decoder leaves out: palettes, gray of 2, 4 and 32 bits, gray floats, gray with alpha.

use std::io::{BufReader, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;
use tiff::{TiffError, TiffResult};

use super::super::Input;

/// What the header of such a picture says.
#[derive(Debug)]
pub(super) struct Plain {
    pub width: u32,
    pub height: u32,
    pub bits: u16,
    /// The 16-bit colours of the values: all reds, all greens, all blues.
    palette: Option<Vec<u16>>,
    /// Whether gray values and alpha stand by turns.
    alpha: bool,
    orientation: Orientation,
}

/// Photometric interpretations of TIFF 6.0.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

/// Reads the header of a TIFF; `None` where the general decoder is the one to read it.
pub(super) fn plain(input: &mut dyn Input) -> Option<Plain> {
    let mut decoder = Decoder::new(BufReader::new(input)).ok()?;
    let (width, height) = decoder.dimensions().ok()?;
    let number = |decoder: &mut Decoder<_>, tag| decoder.find_tag_unsigned::<u16>(tag).ok().flatten();
    // One number a channel; the decoder has seen to it that they are equal.
    let bits = decoder.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample).ok()?;
    let bits = bits.and_then(|bits| bits.first().copied()).unwrap_or(1);
    let samples = number(&mut decoder, Tag::SamplesPerPixel).unwrap_or(1);
    let palette = match number(&mut decoder, Tag::PhotometricInterpretation)? {
        PALETTE if matches!(bits, 1 | 2 | 4 | 8) => {
            let palette = decoder.get_tag_u16_vec(Tag::ColorMap).ok()?;
            Some(Some(palette).filter(|palette| samples == 1 && palette.len() >= 3 << bits)?)
        }
        WHITE_IS_ZERO | BLACK_IS_ZERO if samples == 1 && !matches!(bits, 1 | 8 | 16) => None,
        BLACK_IS_ZERO if samples == 2 && matches!(bits, 8 | 16) => None,
        _ => return None,
    };
    let orientation =
        number(&mut decoder, Tag::Orientation).and_then(|value| Orientation::from_exif(value.min(9) as u8));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Some(Plain { width, height, bits, palette, alpha: samples == 2, orientation })
}

impl Plain {
    /// The kind of colour.
    pub fn colour(&self) -> &'static str {
        match (&self.palette, self.alpha) {
            (Some(_), _) => "palette",
            (None, true) => "gray with alpha",
            (None, false) => "gray",
        }
    }

    /// Bytes that decoding takes, beside 4 a pixel of the result.
    pub fn working_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * u64::from(self.bits.div_ceil(8)) * 4
    }

    /// Decodes the picture, upright, to 8 bits. Floats are from 0 (black) to 1 (white).
    pub fn read(self, input: &mut dyn Input, max_bytes: u64) -> TiffResult<DynamicImage> {
        // The decoder refuses palettes, and reads the same values from a picture that claims to be gray.
        let at = if self.palette.is_some() { photometric(input)? } else { u64::MAX };
        input.rewind()?;
        let patched = Patched { input, at, value: BLACK_IS_ZERO as u8, position: 0 };
        let mut limits = tiff::decoder::Limits::default();
        limits.decoding_buffer_size = max_bytes as usize;
        limits.intermediate_buffer_size = max_bytes as usize;
        let values = Decoder::new(BufReader::new(patched))?.with_limits(limits).read_image()?;
        let gray: Vec<u8> = match values {
            DecodingResult::U8(packed) => self.unpack(&packed),
            DecodingResult::U16(values) => {
                values.into_iter().map(|value| ((u32::from(value) * 255 + 32_895) >> 16) as u8).collect()
            }
            DecodingResult::U32(values) => values.into_iter().map(|value| (value >> 24) as u8).collect(),
            DecodingResult::F32(values) => values.into_iter().map(|value| unit(value.into())).collect(),
            DecodingResult::F64(values) => values.into_iter().map(unit).collect(),
            _ => return Err(TiffError::UnsupportedError(tiff::TiffUnsupportedError::UnknownInterpretation)),
        };
        let short = || TiffError::IoError(std::io::ErrorKind::UnexpectedEof.into());
        let mut picture = match &self.palette {
            Some(palette) => {
                let count = palette.len() / 3;
                let channel = |value: u8, channel| (palette[channel * count + usize::from(value)] >> 8) as u8;
                let colours = gray.into_iter().flat_map(|value| [0, 1, 2].map(|rgb| channel(value, rgb))).collect();
                RgbImage::from_raw(self.width, self.height, colours).ok_or_else(short)?.into()
            }
            None if self.alpha => GrayAlphaImage::from_raw(self.width, self.height, gray).ok_or_else(short)?.into(),
            None => DynamicImage::from(GrayImage::from_raw(self.width, self.height, gray).ok_or_else(short)?),
        };
        picture.apply_orientation(self.orientation);
        Ok(picture)
    }

    /// The values in rows of whole bytes, as numbers of colours or from 0 to 255.
    fn unpack(&self, packed: &[u8]) -> Vec<u8> {
        let (width, bits) = (self.width as usize, usize::from(self.bits));
        if bits >= 8 {
            return packed.to_vec();
        }
        let most = (1u8 << bits) - 1;
        let scale = if self.palette.is_some() { 1 } else { 255 / most };
        let rows = packed.chunks_exact((width * bits).div_ceil(8));
        let value = |row: &[u8], x: usize| (row[x * bits / 8] >> (8 - bits - x * bits % 8)) & most;
        rows.flat_map(|row| (0..width).map(move |x| value(row, x) * scale)).collect()
    }
}

fn unit(value: f64) -> u8 {
    (value * 255.0).round() as u8
}

/// The place of the last byte of the photometric interpretation in the first directory of a TIFF or BigTIFF.
fn photometric(input: &mut dyn Input) -> std::io::Result<u64> {
    let mut bytes = [0; 16];
    input.rewind()?;
    input.read_exact(&mut bytes)?;
    let little = bytes.starts_with(b"II");
    let number = move |bytes: &[u8]| {
        let digits = bytes.iter().map(|&byte| u64::from(byte));
        if little { digits.rev().fold(0, |n, digit| n << 8 | digit) } else { digits.fold(0, |n, digit| n << 8 | digit) }
    };
    let big = number(&bytes[2..4]) == 43;
    let mut at = if big { number(&bytes[8..16]) } else { number(&bytes[4..8]) };
    // Entries: tag, type, number of values, and a small value itself.
    let (count, entry, value) = if big { (8, 20, 12) } else { (2, 12, 8) };
    input.seek(SeekFrom::Start(at))?;
    input.read_exact(&mut bytes[..count])?;
    let entries = number(&bytes[..count]);
    at += count as u64;
    for _ in 0..entries {
        input.seek(SeekFrom::Start(at))?;
        input.read_exact(&mut bytes[..2])?;
        if number(&bytes[..2]) == u64::from(Tag::PhotometricInterpretation.to_u16()) {
            return Ok(at + value + u64::from(!little));
        }
        at += entry;
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// An input with one byte replaced.
struct Patched<'a> {
    input: &'a mut dyn Input,
    at: u64,
    value: u8,
    position: u64,
}

impl Read for Patched<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(bytes)?;
        if let Some(byte) = self.at.checked_sub(self.position).and_then(|at| bytes[..read].get_mut(at as usize)) {
            *byte = self.value;
        }
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = self.input.seek(to)?;
        Ok(self.position)
    }
}
