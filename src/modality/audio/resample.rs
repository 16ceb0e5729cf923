//! Change of the sample rate.

use std::ops::RangeInclusive;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::{Error, Result};

/// The rates of files that are read, in samples a second. A header that claims others is damaged; filters between such
/// rates and a layout's would take gigabytes.
const RATES: RangeInclusive<u32> = 100..=1_536_000;
/// Length of the anti-aliasing filter at the lower of the two rates, in samples: the passband ends at about 98 % of
/// the lower Nyquist frequency.
const FILTER_LEN: usize = 1_024;

/// Changes the rate of a sound that comes in parts: `round(n * to / from)` frames of n, frame `i` at the time `i / to`.
///
/// A windowed sinc (Blackman-Harris squared) applied in the frequency domain, synchronous, so both rates may be any
/// whole numbers. Equal rates pass unchanged. How the sound is parted changes nothing.
pub(super) struct Resampler {
    from: u32,
    to: u32,
    channels: usize,
    /// `None` where the rates are equal.
    fft: Option<Fft<f32>>,
    /// Interleaved samples that aren't a whole block of the filter yet.
    pending: Vec<f32>,
    output: Vec<f32>,
    /// Frames taken in.
    taken: u64,
    /// Frames that the filter gave, and how many of the first ones are its delay.
    given: u64,
    delay: u64,
}

impl Resampler {
    /// Fails on a rate far from what audio hardware knows.
    pub fn new(from: u32, to: u32, channels: usize) -> Result<Self> {
        if !RATES.contains(&from) {
            let (least, most) = (RATES.start(), RATES.end());
            return Err(Error::Content(format!("claims {from} samples a second; supported is {least} to {most}")));
        }
        let (pending, output) = (Vec::new(), Vec::new());
        let mut resampler = Resampler { from, to, channels, fft: None, pending, output, taken: 0, given: 0, delay: 0 };
        if from != to {
            // Blocks of an even number of periods have a middle on both sides, which is the filter's delay: with an
            // odd number the sound would move by a part of a sample.
            let divisor = gcd(from, to);
            let (period_in, period_out) = ((from / divisor) as usize, (to / divisor) as usize);
            let periods = FILTER_LEN.div_ceil(period_in.min(period_out)).next_multiple_of(2);
            let fft = Fft::new(from as usize, to as usize, periods * period_in, channels, FixedSync::Both)
                .map_err(|error| resampler.refused(&error))?;
            resampler.delay = fft.output_delay() as u64;
            resampler.output = vec![0.0; fft.output_frames_max() * channels];
            resampler.fft = Some(fft);
        }
        Ok(resampler)
    }

    /// The rate of what comes in.
    pub fn from(&self) -> u32 {
        self.from
    }

    /// Takes interleaved samples in and hands those on that follow from what is there.
    pub fn push(&mut self, samples: &[f32], take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        self.taken += (samples.len() / self.channels) as u64;
        let Some(fft) = &self.fft else { return take(samples) };
        let block = fft.input_frames_next() * self.channels;
        self.pending.extend_from_slice(samples);
        let mut pending = std::mem::take(&mut self.pending);
        let whole = pending.len() - pending.len() % block;
        for part in pending[..whole].chunks_exact(block) {
            self.step(part, take)?;
        }
        pending.drain(..whole);
        self.pending = pending;
        Ok(())
    }

    /// Hands on what remains, at the end of the sound.
    pub fn finish(mut self, take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let Some(fft) = &self.fft else { return Ok(()) };
        let block = fft.input_frames_next() * self.channels;
        while self.given < self.delay + self.len() {
            let mut rest = std::mem::take(&mut self.pending);
            rest.resize(block, 0.0);
            self.step(&rest, take)?;
        }
        Ok(())
    }

    /// Frames in all that follow from what was taken in.
    fn len(&self) -> u64 {
        let (from, to) = (u128::from(self.from), u128::from(self.to));
        ((u128::from(self.taken) * to * 2 + from) / (2 * from)) as u64
    }

    /// One block through the filter.
    fn step(&mut self, block: &[f32], take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let (channels, most) = (self.channels, self.output.len() / self.channels);
        let given = self.filter(block, most).map_err(|error| self.refused(&error))?;
        let (start, end) = (self.given, self.given + given as u64);
        self.given = end;
        // Neither the delay at the beginning nor the silence after the end.
        let inside = |at: u64| (at.clamp(start, end) - start) as usize * channels;
        let wanted = inside(self.delay)..inside(self.delay + self.len());
        take(&self.output[wanted])
    }

    fn filter(&mut self, block: &[f32], most: usize) -> std::result::Result<usize, Box<dyn std::error::Error>> {
        let Some(fft) = &mut self.fft else { return Ok(0) };
        let input = InterleavedSlice::new(block, self.channels, block.len() / self.channels)?;
        let mut output = InterleavedSlice::new_mut(&mut self.output, self.channels, most)?;
        let (_taken, given) = fft.process_into_buffer(&input, &mut output, None)?;
        Ok(given)
    }

    fn refused(&self, error: &dyn std::fmt::Display) -> Error {
        let (from, to) = (self.from, self.to);
        Error::Content(format!("can't be resampled from {from} to {to} samples a second: {error}"))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// A sound of interleaved channels in parts that don't fit the filter's blocks.
    fn in_parts(samples: &[f32], from: u32, to: u32, channels: usize) -> Result<Vec<f32>> {
        let mut output = Vec::new();
        let mut keep = |samples: &[f32]| {
            output.extend_from_slice(samples);
            Ok(())
        };
        let mut resampler = Resampler::new(from, to, channels)?;
        for part in samples.chunks((1_000 + samples.len() % 777) * channels) {
            resampler.push(part, &mut keep)?;
        }
        resampler.finish(&mut keep)?;
        Ok(output)
    }

    fn resample(samples: Vec<f32>, from: u32, to: u32) -> Result<Vec<f32>> {
        in_parts(&samples, from, to, 1)
    }

    /// All at once, by the library's own loop.
    fn at_once(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
        let divisor = gcd(from, to);
        let (period_in, period_out) = ((from / divisor) as usize, (to / divisor) as usize);
        let periods = FILTER_LEN.div_ceil(period_in.min(period_out)).next_multiple_of(2);
        let mut fft = Fft::<f32>::new(from as usize, to as usize, periods * period_in, 1, FixedSync::Both).unwrap();
        let input = InterleavedSlice::new(samples, 1, samples.len()).unwrap();
        fft.process_all(&input, samples.len(), None).unwrap().take_data()
    }

    #[test]
    fn parts_give_what_the_whole_gives_and_channels_dont_mix() {
        let noise = |seed: u32, len: u32| -> Vec<f32> {
            (seed..seed + len).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 2e7 - 0.4).collect()
        };
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        for (from, to) in PAIRS {
            for len in [1, 500, 4_096, 30_011] {
                let sides = [noise(1, len), noise(77_777, len)];
                let both: Vec<f32> = (0..2 * len as usize).map(|i| sides[i % 2][i / 2]).collect();
                let both = in_parts(&both, from, to, 2).unwrap();
                for (side, samples) in sides.iter().enumerate() {
                    let whole = at_once(samples, from, to);
                    let parts = in_parts(samples, from, to, 1).unwrap();
                    let of_both: Vec<f32> = both.iter().copied().skip(side).step_by(2).collect();
                    assert!(whole.len() - parts.len() < 2 && of_both.len() == parts.len());
                    assert!(apart(&whole, &parts) < 1e-6, "{from} to {to}, {len}");
                    assert!(apart(&of_both, &parts) < 1e-6, "{from} to {to}, {len}, side {side}");
                }
            }
        }
    }

    /// Amplitude and phase of a tone in the middle of a sound, by projection on sine and cosine over whole periods.
    fn tone(samples: &[f32], frequency: f64, rate: u32) -> (f64, f64) {
        let (skip, len) = (rate as usize / 4, rate as usize / 2);
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (i, &sample) in samples.iter().enumerate().skip(skip).take(len) {
            let angle = TAU * frequency * i as f64 / f64::from(rate);
            sine += f64::from(sample) * angle.sin();
            cosine += f64::from(sample) * angle.cos();
        }
        let (sine, cosine) = (sine * 2.0 / len as f64, cosine * 2.0 / len as f64);
        (sine.hypot(cosine), cosine.atan2(sine))
    }

    fn sine(frequency: f64, rate: u32) -> Vec<f32> {
        (0..rate).map(|i| (0.5 * (TAU * frequency * f64::from(i) / f64::from(rate)).sin()) as f32).collect()
    }

    const PAIRS: [(u32, u32); 8] = [
        (44_100, 16_000),
        (22_050, 16_000),
        (8_000, 16_000),
        (16_000, 8_000),
        (48_000, 44_100),
        (96_000, 8_000),
        (11_025, 48_000),
        (16_000, 15_998),
    ];

    #[test]
    fn a_tone_keeps_frequency_amplitude_and_phase() {
        for (from, to) in PAIRS {
            for part in [0.1, 0.5, 0.9] {
                let frequency = (f64::from(from.min(to)) / 4.0 * part).round() * 2.0;
                let out = resample(sine(frequency, from), from, to).unwrap();
                assert_eq!(out.len(), to as usize);
                let (amplitude, phase) = tone(&out, frequency, to);
                assert!((amplitude - 0.5).abs() < 1e-4, "{from} to {to}, {frequency} Hz: amplitude {amplitude}");
                assert!(phase.abs() < 1e-3, "{from} to {to}, {frequency} Hz: phase {phase}");
            }
        }
    }

    #[test]
    fn a_tone_above_the_new_nyquist_frequency_vanishes() {
        let out = resample(sine(9_000.0, 44_100), 44_100, 16_000).unwrap();
        let peak = out[4_000..12_000].iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
        assert!(peak < 1e-4, "{peak}");
    }

    #[test]
    fn the_length_is_rounded_and_short_sounds_work() {
        for (from, to) in PAIRS {
            for len in [1, 2, 3, 100, 1_023, 5_001] {
                let expected = (len as f64 * f64::from(to) / f64::from(from)).round() as usize;
                assert_eq!(resample(vec![0.25; len], from, to).unwrap().len(), expected, "{len}: {from} to {to}");
            }
        }
        assert!(resample(Vec::new(), 44_100, 16_000).unwrap().is_empty());
        assert!(resample(vec![0.0], 0, 16_000).is_err());
        assert!(resample(vec![0.0], u32::MAX, 16_000).is_err());
    }
}
