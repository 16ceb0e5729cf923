//! Sound: WAV and other files to mono samples of one rate in a byte format, and back to WAV.

mod decode;
mod resample;
mod sample;
mod wav;

use super::{Adapter, AudioLayout, content};
use crate::Result;

/// One file's sound as mono samples of its own rate, full scale at 32,768 and at 1.0.
#[derive(Debug)]
struct Mono {
    /// Samples a second.
    rate: u32,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    /// Samples of at most 16 bits, as they stand in the file.
    Int(Vec<i16>),
    /// Everything else.
    Float(Vec<f32>),
}

/// Sound as a stream of samples, `bytes_per_sample` bytes each.
///
/// A file is read, mixed to mono by the mean of its channels, resampled where its rate isn't the layout's, rounded to
/// 16 bits without dither (values beyond full scale are clipped), and written in the layout's format. Mono files of at
/// most 16 bits at the layout's rate pass bit for bit.
#[derive(Debug)]
pub struct AudioAdapter {
    layout: AudioLayout,
}

impl AudioAdapter {
    /// An adapter for a validated layout.
    pub fn new(layout: AudioLayout) -> Self {
        AudioAdapter { layout }
    }

    /// The samples of a file at the layout's rate.
    fn read(&self, file: &[u8]) -> Result<Vec<i16>> {
        let Mono { rate, samples } = decode::read(file)?;
        let samples = match samples {
            Samples::Int(samples) if rate == self.layout.rate => return Ok(samples),
            Samples::Int(samples) => samples.into_iter().map(sample::to_float).collect(),
            Samples::Float(samples) => samples,
        };
        let samples = resample::resample(samples, rate, self.layout.rate)?;
        Ok(samples.into_iter().map(sample::to_int).collect())
    }
}

impl Adapter for AudioAdapter {
    fn encode(&self, file: &[u8]) -> Result<Vec<u8>> {
        let samples = content::contained(file, || self.read(file))?;
        Ok(sample::to_bytes(&samples, self.layout.format))
    }

    /// A WAV file: 16-bit PCM for `pcm16le`, 8-bit PCM for `pcm8`, and for `mulaw8` its expansion to 16-bit PCM, which
    /// every player opens. A half sample at the end is dropped.
    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        wav::write(bytes, &self.layout)
    }

    fn extension(&self) -> &'static str {
        "wav"
    }

    fn patch_size(&self) -> usize {
        32
    }

    fn sequence_len(&self) -> Option<usize> {
        None
    }

    fn bytes_per_second(&self) -> Option<f64> {
        Some(f64::from(self.layout.rate) * self.layout.bytes_per_sample() as f64)
    }

    fn ends_with_symbol(&self) -> bool {
        false
    }
}
