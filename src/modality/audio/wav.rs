//! WAV files through hound: the integer and float PCM of most corpora, read exactly, and everything that is written.

use std::borrow::Cow;
use std::io::Cursor;

use hound::{Sample, SampleFormat, WavReader, WavSpec, WavWriter};

use super::super::{AudioFormat, AudioLayout};
use super::{Mono, Samples, sample};
use crate::{Error, Result};

/// What reading a WAV file came to.
pub(super) enum Wav {
    Read(Mono),
    /// A WAV of a kind hound doesn't know (mu-law, ADPCM, 64-bit float).
    Refused,
    /// The header is fine and the samples aren't.
    Damaged(String),
}

/// Reads integer PCM of 8 to 32 bits and 32-bit float of any number of channels.
pub(super) fn read(file: &[u8]) -> Wav {
    let Ok(reader) = WavReader::new(Cursor::new(file)) else {
        return Wav::Refused;
    };
    let WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format } = reader.spec();
    let expected = reader.len();
    let full_scale = (1u64 << (bits - 1)) as f32;
    let samples = match (sample_format, channels, bits) {
        (SampleFormat::Int, 1, 16) => collect(reader, |sample: i16| sample).map(Samples::Int),
        (SampleFormat::Int, 1, 8) => collect(reader, |sample: i8| i16::from(sample) << 8).map(Samples::Int),
        (SampleFormat::Int, ..) => collect(reader, |sample: i32| sample as f32 / full_scale)
            .map(|samples| Samples::Float(mean(&samples, channels.into()))),
        (SampleFormat::Float, ..) => {
            collect(reader, |sample: f32| sample).map(|samples| Samples::Float(mean(&samples, channels.into())))
        }
    };
    match samples {
        Ok(samples) => Wav::Read(Mono { rate, samples }),
        Err(error) => Wav::Damaged(format!("of {expected} samples that the header names, not all are there: {error}")),
    }
}

fn collect<S: Sample, T>(reader: WavReader<Cursor<&[u8]>>, convert: impl Fn(S) -> T) -> hound::Result<Vec<T>> {
    reader.into_samples::<S>().map(|sample| sample.map(&convert)).collect()
}

/// The file with the length of its samples filled in, where a live recording or a pipe left it open (0 or near 2^32
/// with samples following). Other files, damaged ones too, are given back as they are.
pub(super) fn closed(file: &[u8]) -> Cow<'_, [u8]> {
    let mut block = 1;
    let mut at = 12;
    // Chunks: four letters, little-endian length, content padded to an even length.
    while let Some((header, rest)) = file.get(at..).and_then(|rest| rest.split_first_chunk::<8>()) {
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if header.starts_with(b"data") {
            let open = (len == 0 || len >= u32::MAX - 0xff) && rest.len() < u32::MAX as usize && !rest.is_empty();
            if open {
                let len = (rest.len() - rest.len() % block) as u32;
                let mut file = file.to_vec();
                file[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
                return Cow::Owned(file);
            }
            break;
        }
        if header.starts_with(b"fmt ") && rest.len() >= 14 {
            // The bytes of one sample of all channels.
            block = usize::from(u16::from_le_bytes([rest[12], rest[13]])).max(1);
        }
        at += 8 + len as usize + len as usize % 2;
    }
    Cow::Borrowed(file)
}

/// Interleaved channels to their mean.
pub(super) fn mean(interleaved: &[f32], channels: usize) -> Vec<f32> {
    interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect()
}

/// A mono WAV file of the layout's rate. Fails only on more bytes than a WAV file can hold (4 GiB).
pub(super) fn write(bytes: &[u8], layout: &AudioLayout) -> Result<Vec<u8>> {
    let bits = if layout.format == AudioFormat::Pcm8 { 8 } else { 16 };
    let (samples, _half) = bytes.split_at(bytes.len() - bytes.len() % layout.bytes_per_sample());
    if (samples.len() / layout.bytes_per_sample()) as u64 * u64::from(bits / 8) > u64::from(u32::MAX) - 128 {
        return Err(Error::Content("a WAV file holds at most 4 GiB; decode fewer bytes".to_owned()));
    }
    let refused = |error| Error::Content(format!("can't be written as WAV: {error}"));
    let spec =
        WavSpec { channels: 1, sample_rate: layout.rate, bits_per_sample: bits, sample_format: SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).map_err(refused)?;
    match layout.format {
        AudioFormat::Pcm16le => {
            let (samples, _) = samples.as_chunks::<2>();
            samples.iter().try_for_each(|&sample| writer.write_sample(i16::from_le_bytes(sample)))
        }
        // hound's 8-bit samples are signed, a WAV file's aren't.
        AudioFormat::Pcm8 => samples.iter().try_for_each(|&sample| writer.write_sample((sample ^ 0x80) as i8)),
        AudioFormat::Mulaw8 => samples.iter().try_for_each(|&code| writer.write_sample(sample::from_mulaw(code))),
    }
    .map_err(refused)?;
    writer.finalize().map_err(refused)?;
    Ok(file.into_inner())
}
