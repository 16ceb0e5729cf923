//! WAV files through hound: the integer and float PCM of most corpora, read exactly, and everything that is written.

use std::io::Cursor;

use hound::{Sample, SampleFormat, WavReader, WavSpec, WavWriter};

use super::super::{AudioFormat, AudioLayout};
use super::{Mono, Samples, sample};
use crate::{Error, Result};

/// What reading a WAV file came to.
pub(super) enum Wav {
    Read(Mono),
    /// A WAV of a kind hound doesn't know (mu-law, ADPCM, 64-bit float, lengths left open by a live recording).
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
