//! WAV files: the integer and float PCM of most corpora, read exactly, and everything that is written. What the samples
//! are is hound's to say.

use std::io::{Cursor, SeekFrom};

use hound::{Sample, SampleFormat, WavReader, WavSpec, WavWriter};

use super::super::content::damaged;
use super::super::{AudioFormat, AudioLayout, Input, unreadable};
use super::riff::Riff;
use super::sample;
use super::source::{Block, Header, Source};
use crate::{Error, Result};

/// A WAV file of integer PCM of 8 to 32 bits or 32-bit float, of any number of channels and any length.
///
/// hound reads the description of the samples, which stands at the front of a header made for it: it knows files of up
/// to 4 GiB whose lengths are all filled in. The samples themselves come in blocks, since a call for each of them
/// through all layers of a file takes longer than all the rest of the work.
pub(super) struct Wav<'a> {
    input: &'a mut dyn Input,
    spec: WavSpec,
    /// Bytes of a sample, padding included.
    width: u16,
    frames: u64,
    /// Bytes of samples that have not been read.
    left: u64,
    bytes: Vec<u8>,
    name: &'static str,
}

/// Samples of a block, about.
const SAMPLES: usize = 16_384;

/// A file's description of its samples below a header of hound's liking, with no samples to follow.
fn header(riff: &Riff) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(b"RIFF");
    header.extend((20 + riff.fmt.len() as u32).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend((riff.fmt.len() as u32).to_le_bytes());
    header.extend(&riff.fmt);
    header.extend(b"data");
    header.extend(0_u32.to_le_bytes());
    header
}

impl<'a> Wav<'a> {
    /// What hound says of the samples; `None` where they are of a kind it doesn't know (mu-law, ADPCM, 64-bit float).
    pub fn spec(riff: &Riff) -> Option<WavSpec> {
        WavReader::new(&header(riff)[..]).ok().map(|reader| reader.spec())
    }

    /// Begins to read samples that hound knows.
    pub fn new(spec: WavSpec, riff: Riff, input: &'a mut dyn Input, name: &'static str) -> Result<Self> {
        input.seek(SeekFrom::Start(riff.start)).map_err(unreadable)?;
        let channels = u64::from(spec.channels).max(1);
        let width = (riff.frame() / channels) as u16;
        if width == 0 || !riff.len.is_multiple_of(u64::from(width) * channels) {
            return Err(damaged(name, "its length is not that of whole frames"));
        }
        let frames = riff.len / riff.frame();
        Ok(Wav { input, spec, width, frames, left: riff.len, bytes: Vec::new(), name })
    }
}

impl Source for Wav<'_> {
    fn header(&self) -> Header {
        let WavSpec { sample_rate, channels, .. } = self.spec;
        Header { rate: Some(sample_rate), channels: Some(channels.into()), frames: Some(self.frames) }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        (block.rate, block.channels) = (self.spec.sample_rate, self.spec.channels.into());
        block.samples.clear();
        let most = SAMPLES.next_multiple_of(block.channels.max(1)) as u64 * u64::from(self.width);
        let len = most.min(self.left);
        self.bytes.resize(len as usize, 0);
        self.input.read_exact(&mut self.bytes).map_err(|error| damaged(self.name, error))?;
        self.left -= len;
        convert(&self.bytes, self.width, &self.spec, &mut block.samples).map_err(|error| damaged(self.name, error))?;
        Ok(len > 0)
    }
}

/// Appends the samples in `bytes`, of `width` bytes each, with full scale at 1.
fn convert(mut bytes: &[u8], width: u16, spec: &WavSpec, samples: &mut Vec<f32>) -> hound::Result<()> {
    let count = bytes.len() / usize::from(width);
    let bits = spec.bits_per_sample;
    let full_scale = (1_u64 << (bits - 1)) as f32;
    match (spec.sample_format, width, bits) {
        // What nearly all files are, in a loop that the compiler makes vectors of.
        (SampleFormat::Int, 2, 16) => {
            let (pairs, _) = bytes.as_chunks::<2>();
            samples.extend(pairs.iter().map(|&pair| f32::from(i16::from_le_bytes(pair)) / full_scale));
        }
        (format @ SampleFormat::Int, ..) => {
            for _ in 0..count {
                samples.push(i32::read(&mut bytes, format, width, bits)? as f32 / full_scale);
            }
        }
        (format @ SampleFormat::Float, ..) => {
            for _ in 0..count {
                samples.push(f32::read(&mut bytes, format, width, bits)?);
            }
        }
    }
    Ok(())
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
                let fmt = fmt.into_iter().flat_map(u16::to_le_bytes).collect();
                let len = bytes.len() - bytes.len() % usize::from(frame);
                let riff = Riff { fmt, start: 0, len: len as u64 };
                let mut whole = header(&riff);
                let at = whole.len() - 4;
                whole[at..].copy_from_slice(&(len as u32).to_le_bytes());
                whole.extend(&bytes[..len]);
                let mut reader = WavReader::new(&whole[..]).unwrap();
                let spec = reader.spec();
                let expected: Vec<f32> = match spec.sample_format {
                    SampleFormat::Float => reader.samples::<f32>().map(Result::unwrap).collect(),
                    SampleFormat::Int => {
                        let scale = 2_f64.powi(i32::from(bits) - 1);
                        reader.samples::<i32>().map(|s| (f64::from(s.unwrap() as f32) / scale) as f32).collect()
                    }
                };
                let mut input = Cursor::new(&bytes);
                let mut wav = Wav::new(spec, riff, &mut input, "a WAV file").unwrap();
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
