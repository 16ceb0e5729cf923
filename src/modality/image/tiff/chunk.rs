//! The bytes of a strip or tile to samples.

use std::io::{Cursor, Read};

use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::super::Input;
use super::directory::number;
use super::{Compression, Header, Refused, Step, ccitt};

/// Memory that an LZMA or Zstandard stream may ask for.
const LZMA_MEMORY: u64 = 256 << 20;
const ZSTD_WINDOW_LOG: u32 = 28;

impl Header {
    /// The rows of a chunk, each of whole bytes.
    pub(super) fn decompress(
        &self,
        input: &mut dyn Input,
        place: (u64, u64),
        rows: usize,
        left: &mut u64,
    ) -> Step<Vec<u8>> {
        let stored = self.stored(input, place, left)?;
        let all = self.chunk_bytes().unwrap_or(0) as usize;
        let blocks = |rows: usize| rows.div_ceil(self.subsampling.1);
        let len = all / blocks(self.chunk.1) * blocks(rows);
        let stored = match self.compression {
            Compression::None => stored,
            Compression::Fax(scheme) if self.bits == 1 && self.together() == 1 => {
                ccitt::decode(&stored, self.chunk.0, rows, scheme)?
            }
            Compression::Fax(_) => return Err("it is compressed as a fax, but not of black and white".into()),
            Compression::Lzw => lzw(&stored, len)?,
            Compression::Jpeg => self.jpeg(&stored, rows)?,
            Compression::Deflate => upto(flate2::read::ZlibDecoder::new(&stored[..]), len)?,
            Compression::PackBits => packbits(&stored, len),
            Compression::Lzma => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY, 0).map_err(std::io::Error::other)?;
                upto(liblzma::read::XzDecoder::new_stream(&stored[..], stream), len)?
            }
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::new(&stored[..])?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                upto(decoder, len)?
            }
            Compression::WebP => self.webp(&stored, rows)?,
        };
        if stored.len() < len {
            return Err("a strip or tile ends before its pixels do".into());
        }
        let mut bytes = stored;
        bytes.truncate(len);
        if self.subsampling != (1, 1) {
            bytes = self.interleaved(&bytes, rows);
        }
        Ok(bytes)
    }

    /// The samples of a row.
    pub(super) fn unpack(&self, row: &[u8], values: &mut Vec<u64>) -> Step<()> {
        let (bits, little) = (usize::from(self.bits), self.little);
        values.clear();
        if self.predictor == 3 {
            self.undo_float_differences(row, values);
            return Ok(());
        }
        match bits {
            8 => values.extend(row.iter().map(|&byte| u64::from(byte))),
            16 if little => values.extend(row.as_chunks().0.iter().map(|&pair| u64::from(u16::from_le_bytes(pair)))),
            16 => values.extend(row.as_chunks().0.iter().map(|&pair| u64::from(u16::from_be_bytes(pair)))),
            24 | 32 | 64 => values.extend(row.chunks_exact(bits / 8).map(|bytes| number(bytes, little))),
            // Whatever the order of bytes: the first bit of a byte is its most significant.
            _ => {
                let (mut held, mut count) = (0_u32, 0);
                for &byte in row {
                    held = held << 8 | u32::from(byte);
                    count += 8;
                    while count >= bits {
                        count -= bits;
                        values.push(u64::from(held >> count) & ((1 << bits) - 1));
                    }
                    held &= (1 << count) - 1;
                }
                // Bits at the end of a row fill its last byte.
                values.truncate(self.chunk.0 * self.together());
            }
        }
        if self.predictor == 2 {
            let (step, mask) = (self.together(), u64::MAX >> (64 - bits));
            for i in step..values.len() {
                values[i] = values[i].wrapping_add(values[i - step]) & mask;
            }
        }
        Ok(())
    }

    /// Floats whose bytes stand apart, the most significant ones first, each as the difference to the one before (Adobe's
    /// TIFF technical note 3).
    fn undo_float_differences(&self, row: &[u8], values: &mut Vec<u64>) {
        let mut row = row.to_vec();
        let step = self.together();
        for i in step..row.len() {
            row[i] = row[i].wrapping_add(row[i - step]);
        }
        let bytes = usize::from(self.bits / 8);
        let count = row.len() / bytes;
        let value = |i: usize| (0..bytes).fold(0, |value, byte| value << 8 | u64::from(row[byte * count + i]));
        values.extend((0..count).map(value));
    }

    /// Brightness and chroma of each pixel, of blocks in which pixels share their chroma.
    fn interleaved(&self, blocks: &[u8], rows: usize) -> Vec<u8> {
        let (width, (h, v)) = (self.chunk.0, self.subsampling);
        let across = width.div_ceil(h);
        let mut pixels = vec![0; width * rows * 3];
        for (i, block) in blocks.chunks_exact(h * v + 2).enumerate() {
            let (left, top) = (i % across * h, i / across * v);
            for (j, &brightness) in block[..h * v].iter().enumerate() {
                let (x, y) = (left + j % h, top + j / h);
                if x < width && y < rows {
                    pixels[(y * width + x) * 3..][..3].copy_from_slice(&[brightness, block[h * v], block[h * v + 1]]);
                }
            }
        }
        pixels
    }

    /// A JPEG stream, whose tables may stand apart (TIFF technical note 2): its components as they are.
    fn jpeg(&self, stored: &[u8], rows: usize) -> Step<Vec<u8>> {
        if self.bits != 8 {
            return Err(format!("it is compressed by JPEG with {} bits; 8 are read", self.bits).into());
        }
        let tables = self.jpeg_tables.strip_suffix(b"\xff\xd9").unwrap_or(&self.jpeg_tables);
        let stream = match (tables, stored) {
            ([0xff, 0xd8, ..], [0xff, 0xd8, rest @ ..]) => [tables, rest].concat(),
            _ => stored.to_vec(),
        };
        let outline = super::super::jpeg::outline(&stream[..])?;
        if outline.cut {
            return Err("the file ends before the picture does".into());
        }
        let wanted = (self.chunk.0, rows, self.together());
        let refused = |error: zune_jpeg::errors::DecodeErrors| Refused(format!("{error:?}"));
        let fits = outline.frame.is_some_and(|(width, height, samples)| {
            let (width, height) = (width as usize, height as usize);
            samples as usize == wanted.2
                && width == wanted.0
                && (wanted.1..=self.chunk.1.max(wanted.1)).contains(&height)
        });
        if !fits {
            return Err(format!("a JPEG stream in it is of {:?}, not of {wanted:?}", outline.frame).into());
        }
        let options = DecoderOptions::default().set_strict_mode(false).set_max_width(1 << 16).set_max_height(1 << 16);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&stream[..]), options);
        decoder.decode_headers().map_err(refused)?;
        // What the components mean is said by the tags.
        let own = decoder.input_colorspace().ok_or("a JPEG stream in it has no colours")?;
        decoder.set_options(options.jpeg_set_out_colorspace(own));
        decoder.decode().map_err(refused)
    }

    /// A WebP stream: RGB, with alpha where the picture has it.
    fn webp(&self, stored: &[u8], rows: usize) -> Step<Vec<u8>> {
        let refused = |error: image::ImageError| Refused(error.to_string());
        let decoder = WebPDecoder::new(Cursor::new(stored)).map_err(refused)?;
        let channels = usize::from(decoder.color_type().channel_count());
        let (width, height) = decoder.dimensions();
        let fits =
            (width as usize, self.bits) == (self.chunk.0, 8) && (rows..=self.chunk.1).contains(&(height as usize));
        if !fits || !matches!(self.together(), 3 | 4) {
            return Err("a WebP stream in it is of another size than its strip or tile".into());
        }
        let mut pixels = vec![0; width as usize * height as usize * channels];
        decoder.read_image(&mut pixels).map_err(refused)?;
        let pixel = |pixel: &[u8]| [pixel[0], pixel[1], pixel[2], pixel.get(3).copied().unwrap_or(255)];
        let wanted = self.together();
        Ok(pixels.chunks_exact(channels).flat_map(|from| pixel(from).into_iter().take(wanted)).collect())
    }
}

/// At most `len` bytes of what a decoder gives.
fn upto(decoder: impl Read, len: usize) -> Step<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// LZW (TIFF 6.0, section 13), at most `len` bytes.
fn lzw(stored: &[u8], len: usize) -> Step<Vec<u8>> {
    if let [0, second, ..] = stored
        && second & 1 == 1
    {
        return Err("it is compressed by LZW in the old way, with reversed bits, which is not read".into());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut bytes, mut block, mut rest) = (Vec::new(), vec![0; 1 << 16], stored);
    while bytes.len() < len {
        let decoded = decoder.decode_bytes(rest, &mut block);
        bytes.extend_from_slice(&block[..decoded.consumed_out]);
        rest = &rest[decoded.consumed_in..];
        match decoded.status {
            Ok(weezl::LzwStatus::Ok) => {}
            // Some writers leave the mark of the end out.
            Ok(weezl::LzwStatus::Done | weezl::LzwStatus::NoProgress) => break,
            Err(error) if bytes.len() < len => return Err(error.to_string().into()),
            Err(_) => break,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// PackBits (TIFF 6.0, section 9), at most `len` bytes.
fn packbits(mut stored: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [count, rest @ ..] = stored
        && bytes.len() < len
    {
        stored = match *count as i8 {
            literal @ 0.. => {
                let (literal, rest) = rest.split_at(rest.len().min(literal as usize + 1));
                bytes.extend_from_slice(literal);
                rest
            }
            -128 => rest,
            run => {
                let Some((&value, rest)) = rest.split_first() else { break };
                bytes.extend(std::iter::repeat_n(value, (1 - isize::from(run)) as usize));
                rest
            }
        };
    }
    bytes.truncate(len);
    bytes
}
