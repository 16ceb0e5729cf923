//! WAV files: the integer and float PCM of most corpora, read exactly, and everything that is written.

use std::io::{Cursor, Read, SeekFrom};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::super::content::damaged;
use super::super::{AudioFormat, AudioLayout, Input, unreadable};
use super::riff::Riff;
use super::sample;
use super::source::{Block, Header, Source};
use crate::{Error, Result};

/// How plain samples are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pcm {
    pub rate: u32,
    pub channels: u16,
    /// Bytes of a sample: 1 to 4.
    pub width: u16,
    /// Bits of it that are used.
    pub valid: u16,
    /// Floats, of four bytes.
    pub float: bool,
}

/// A WAV file of integer PCM of 1 to 32 bits or 32-bit float, of any number of channels and any length.
pub(super) struct Wav<'a> {
    input: &'a mut dyn Input,
    pcm: Pcm,
    /// Bits that a sample is moved up so that its sign is the first of 32.
    shift: u32,
    frames: u64,
    /// Bytes of samples that have not been read.
    left: u64,
    bytes: Vec<u8>,
    name: &'static str,
}

/// Samples of a block, about.
const SAMPLES: usize = 16_384;
/// Bytes of samples that are looked at to see on which side their padding is.
const LOOKED_AT: u64 = 1 << 24;

impl<'a> Wav<'a> {
    /// Begins to read samples.
    pub fn new(pcm: Pcm, riff: &Riff, input: &'a mut dyn Input, name: &'static str) -> Result<Self> {
        let frame = u64::from(pcm.width) * u64::from(pcm.channels);
        let (frames, left) = (riff.len / frame, riff.len - riff.len % frame);
        let padded = !pcm.float && pcm.width > 1 && pcm.valid < 8 * pcm.width;
        input.seek(SeekFrom::Start(riff.start)).map_err(unreadable)?;
        let right = padded && padded_above(&mut *input, &pcm, left)?;
        input.seek(SeekFrom::Start(riff.start)).map_err(unreadable)?;
        let shift = 32 - u32::from(if right { pcm.valid } else { 8 * pcm.width });
        Ok(Wav { input, pcm, shift, frames, left, bytes: Vec::new(), name })
    }
}

/// Whether samples of fewer bits than their container has stand in its lower ones.
///
/// The specification of the extensible form puts them into the upper ones, and zeros below; some programs do the
/// opposite and repeat the sign above. They are told apart by what the other way never has: a bit that isn't the sign's
/// above settles it, and bits below, with nothing but the sign above in all that is looked at, are samples.
fn padded_above(input: &mut dyn Input, pcm: &Pcm, len: u64) -> Result<bool> {
    let (mut left, mut below) = (len.min(LOOKED_AT), false);
    let (container, unused) = (32 - 8 * u32::from(pcm.width), u32::from(8 * pcm.width - pcm.valid));
    let mut bytes = Vec::new();
    while left > 0 {
        bytes.clear();
        // A multiple of every width.
        let read = (&mut *input).take(left.min(3 << 16)).read_to_end(&mut bytes).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        left -= read as u64;
        for sample in bytes.chunks_exact(pcm.width.into()) {
            let sample = top(sample) >> container;
            if sample << (container + unused) >> (container + unused) != sample {
                return Ok(false);
            }
            below |= sample & ((1 << unused) - 1) != 0;
        }
    }
    Ok(below)
}

/// The bytes of a sample as the upper ones of 32 bits.
fn top(bytes: &[u8]) -> i32 {
    bytes.iter().rev().fold((0, 24), |(sample, at), &byte| (sample | i32::from(byte) << at, at - 8)).0
}

impl Source for Wav<'_> {
    fn header(&self) -> Header {
        let Pcm { rate, channels, .. } = self.pcm;
        Header { rate: Some(rate), channels: Some(channels.into()), frames: Some(self.frames) }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        (block.rate, block.channels) = (self.pcm.rate, self.pcm.channels.into());
        block.samples.clear();
        let most = SAMPLES.next_multiple_of(block.channels.max(1)) as u64 * u64::from(self.pcm.width);
        let len = most.min(self.left);
        self.bytes.resize(len as usize, 0);
        self.input.read_exact(&mut self.bytes).map_err(|error| damaged(self.name, error))?;
        self.left -= len;
        convert(&self.bytes, &self.pcm, self.shift, &mut block.samples);
        Ok(len > 0)
    }
}

/// Appends the samples in `bytes` with full scale at 1.
fn convert(bytes: &[u8], pcm: &Pcm, shift: u32, samples: &mut Vec<f32>) {
    const FULL_SCALE: f32 = 2_147_483_648.0;
    let unshifted = 32 - 8 * u32::from(pcm.width);
    match (pcm.float, pcm.width) {
        // What nearly all files are, in a loop that the compiler makes vectors of.
        (false, 2) if shift == unshifted => {
            let (pairs, _) = bytes.as_chunks::<2>();
            samples.extend(pairs.iter().map(|&pair| f32::from(i16::from_le_bytes(pair)) / 32_768.0));
        }
        // Bytes are unsigned.
        (false, 1) => samples.extend(bytes.iter().map(|&byte| f32::from((byte ^ 0x80) as i8) / 128.0)),
        (false, width) => {
            let number = |sample| top(sample) >> unshifted << shift;
            samples.extend(bytes.chunks_exact(width.into()).map(|sample| number(sample) as f32 / FULL_SCALE));
        }
        (true, _) => {
            let (quads, _) = bytes.as_chunks::<4>();
            samples.extend(quads.iter().map(|&quad| f32::from_le_bytes(quad)));
        }
    }
}

/// A WAV file of the layout's rate and channels. Fails only on more bytes than a WAV file can hold (4 GiB).
pub(super) fn write(bytes: &[u8], layout: &AudioLayout) -> Result<Vec<u8>> {
    let bits = if layout.format == AudioFormat::Pcm8 { 8 } else { 16 };
    let whole = &bytes[..bytes.len() - bytes.len() % layout.bytes_per_frame()];
    if (whole.len() / layout.bytes_per_sample()) as u64 * u64::from(bits / 8) > u64::from(u32::MAX) - 128 {
        return Err(Error::Content("a WAV file holds at most 4 GiB; decode fewer bytes".to_owned()));
    }
    let refused = |error| Error::Content(format!("can't be written as WAV: {error}"));
    let spec = WavSpec {
        channels: layout.channels.count() as u16,
        sample_rate: layout.rate,
        bits_per_sample: bits,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).map_err(refused)?;
    match layout.format {
        // hound's 8-bit samples are signed, a WAV file's aren't.
        AudioFormat::Pcm8 => whole.iter().try_for_each(|&sample| writer.write_sample((sample ^ 0x80) as i8)),
        format => sample::from_bytes(whole, format).try_for_each(|sample| writer.write_sample(sample)),
    }
    .map_err(refused)?;
    writer.finalize().map_err(refused)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_what_hound_gives_sample_by_sample() {
        let bytes: Vec<u8> =
            (0..SAMPLES as u32 * 24 + 96).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (tag, width, bits) in [(1_u16, 1_u16, 8_u16), (1, 2, 16), (1, 3, 24), (1, 4, 32), (3, 4, 32)] {
            for channels in [1_u16, 2, 3] {
                let frame = width * channels;
                let rate = u32::from(frame) * 8_000;
                let fmt = [tag, channels, 8_000, 0, rate as u16, (rate >> 16) as u16, frame, bits];
                let fmt: Vec<u8> = fmt.into_iter().flat_map(u16::to_le_bytes).collect();
                let len = bytes.len() - bytes.len() % usize::from(frame);
                let mut file = [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", &fmt[..], b"data"].concat();
                file.extend((len as u32).to_le_bytes());
                file.extend(&bytes[..len]);
                let mut reader = hound::WavReader::new(&file[..]).unwrap();
                let expected: Vec<f32> = match reader.spec().sample_format {
                    SampleFormat::Float => reader.samples::<f32>().map(Result::unwrap).collect(),
                    SampleFormat::Int => {
                        let scale = 2_f64.powi(i32::from(bits) - 1);
                        reader.samples::<i32>().map(|s| (f64::from(s.unwrap() as f32) / scale) as f32).collect()
                    }
                };
                let file_len = file.len() as u64;
                let mut input = Cursor::new(&file);
                let riff = Riff::parse(&file, &mut input, file_len).unwrap();
                let mut wav = Wav::new(riff.pcm().unwrap(), &riff, &mut input, "a WAV file").unwrap();
                let (mut block, mut found) = (Block::default(), Vec::new());
                while wav.read(&mut block).unwrap() {
                    assert_eq!((block.rate, block.channels), (8_000, usize::from(channels)));
                    found.extend_from_slice(&block.samples);
                }
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
                assert!(found.len() == expected.len() && found.iter().zip(&expected).all(same), "{width} {channels}");
            }
        }
    }
}
