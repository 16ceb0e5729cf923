//! Sound: WAV and other files to samples of one rate in a byte format, and back to WAV.

mod adpcm;
mod adts;
mod any;
mod caf;
mod flac;
mod frames;
mod losses;
mod matroska;
mod mix;
mod mp4;
mod mpeg;
mod raw;
mod resample;
mod riff;
mod sample;
mod sound;
mod source;
mod tags;
mod wav;

use std::io::Write;
use std::ops::Range;

use super::content::{self, damaged};
use super::{Adapter, AudioLayout, Description, Input, unwritable};
use crate::{Error, Result};
use resample::Resampler;
use source::Block;

/// Sound as a stream of frames, `bytes_per_frame` bytes each.
///
/// A file is read block by block, mixed to the layout's channels, resampled where its rate isn't the layout's, rounded
/// to 16 bits without dither (values beyond full scale are clipped), and written in the layout's format. Files of the
/// layout's rate and channels and at most 16 bits pass bit for bit.
#[derive(Debug)]
pub struct AudioAdapter {
    layout: AudioLayout,
}

/// A file that decodes to more frames than the first, and to more frames a byte than the second, has no sound in it
/// that anyone recorded: silence compresses without bound. The first is three hours at 44,100 a second.
const MANY_FRAMES: u64 = 1 << 29;
const MANY_FRAMES_PER_BYTE: u64 = 1 << 10;

impl AudioAdapter {
    /// An adapter for a validated layout.
    pub fn new(layout: AudioLayout) -> Self {
        AudioAdapter { layout }
    }

    /// Decodes a file and hands on its samples, frame after frame at the layout's rate. Gives what there is to know of them.
    fn samples(
        &self,
        head: &[u8],
        input: &mut dyn Input,
        take: &mut dyn FnMut(&[i16]) -> Result<()>,
    ) -> Result<Vec<String>> {
        let mut source = source::open(head, input)?;
        let name = source.name;
        let most = source.len().saturating_mul(MANY_FRAMES_PER_BYTE).max(MANY_FRAMES);
        let mut resampler: Option<Resampler> = None;
        let (mut frames, mut block, mut mixed, mut rounded) = (0, Block::default(), Vec::new(), Vec::new());
        let mut round = |samples: &[f32]| {
            rounded.clear();
            rounded.extend(samples.iter().map(|&sample| sample::to_int(sample)));
            take(&rounded)
        };
        while source.source.read(&mut block)? {
            if !block.samples.iter().all(|sample| sample.is_finite()) {
                return Err(damaged(name, "it has samples that aren't finite numbers"));
            }
            frames += block.frames() as u64;
            if frames > most {
                return Err(damaged(name, format!("it is small and holds more than {most} samples; split it")));
            }
            mix::mix(&block, self.layout.channels, &mut mixed);
            let resampler = match &mut resampler {
                Some(resampler) if resampler.from() == block.rate => resampler,
                Some(resampler) => {
                    let (before, now) = (resampler.from(), block.rate);
                    return Err(damaged(name, format!("its sample rate changes from {before} to {now}; split it")));
                }
                None => {
                    let channels = self.layout.channels.count();
                    resampler.insert(Resampler::new(block.rate, self.layout.rate, channels)?)
                }
            };
            resampler.push(&mixed, &mut round)?;
        }
        if let Some(resampler) = resampler {
            resampler.finish(&mut round)?;
        }
        Ok(source.warnings())
    }

    /// The frames from the first to the last that has a sample of at least the layout's level, as that sample stands
    /// in the layout's format: what is trimmed stays as it is when it is encoded again.
    fn loud(&self, head: &[u8], input: &mut dyn Input) -> Result<Range<u64>> {
        let level = 32_768.0 * 10f64.powf(self.layout.trim_db / 20.0);
        let (channels, format) = (self.layout.channels.count(), self.layout.format);
        let (mut frame, mut loud) = (0, 0..0);
        self.samples(head, input, &mut |samples| {
            for samples in samples.chunks_exact(channels) {
                let value = |sample| f64::from(sample::nearest(sample, format)).abs();
                if samples.iter().any(|&sample| value(sample) >= level) {
                    loud.start = if loud.is_empty() { frame } else { loud.start };
                    loud.end = frame + 1;
                }
                frame += 1;
            }
            Ok(())
        })?;
        content::rewind(input)?;
        Ok(loud)
    }
}

impl Adapter for AudioAdapter {
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<Vec<String>> {
        let head = content::head(input)?;
        content::contained(&head, || {
            // Where the sound ends is known at its end, so trimming decodes twice.
            let wanted = if self.layout.trim_db < 0.0 { self.loud(&head, input)? } else { 0..u64::MAX };
            let channels = self.layout.channels.count();
            let (mut frame, mut bytes) = (0, Vec::new());
            self.samples(&head, input, &mut |samples| {
                let end = frame + (samples.len() / channels) as u64;
                let inside = |at: u64| (at.clamp(frame, end) - frame) as usize * channels;
                bytes.clear();
                let wanted = &samples[inside(wanted.start)..inside(wanted.end)];
                sample::to_bytes(wanted, self.layout.format, &mut bytes);
                frame = end;
                out.write_all(&bytes).map_err(unwritable)
            })
        })
    }

    /// A WAV file: 16-bit PCM for the 16-bit formats, 8-bit PCM for `pcm8`, and for `mulaw8` its expansion to 16-bit
    /// PCM, which every player opens. A part of a frame at the end is dropped.
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
        Some(f64::from(self.layout.rate) * self.layout.bytes_per_frame() as f64)
    }

    fn ends_with_symbol(&self) -> bool {
        false
    }
}

/// Reads the headers of a sound file.
pub(super) fn describe(head: &[u8], input: &mut dyn Input) -> Result<Description> {
    let opened = source::open(head, input)?;
    let (format, header) = (opened.name, opened.source.header());
    let (Some(rate), Some(channels)) = (header.rate, header.channels) else {
        return Err(Error::Content("its headers don't describe its sound".to_owned()));
    };
    let seconds = header.frames.map(|frames| frames as f64 / f64::from(rate));
    Ok(Description::Sound { format, rate, channels, seconds })
}
