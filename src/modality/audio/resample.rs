//! Change of the sample rate.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler};

use crate::{Error, Result};

/// The rates of files that are read, in samples a second. A header that claims more is damaged.
const MAX_RATE: u32 = 1_536_000;
/// Length of the anti-aliasing filter at the lower of the two rates, in samples: the passband ends at about 98 % of
/// the lower Nyquist frequency.
const FILTER_LEN: usize = 1_024;

/// Mono samples at the rate `to`: `round(n * to / from)` of them, sample `i` at the time `i / to`.
///
/// A windowed sinc (Blackman-Harris squared) applied in the frequency domain, synchronous, so both rates may be any
/// whole numbers. Equal rates pass unchanged. Fails on a rate of zero or beyond what audio hardware knows.
pub(super) fn resample(samples: Vec<f32>, from: u32, to: u32) -> Result<Vec<f32>> {
    if from == 0 || from > MAX_RATE {
        return Err(Error::Content(format!("claims {from} samples a second; supported is 1 to {MAX_RATE}")));
    }
    if from == to || samples.is_empty() {
        return Ok(samples);
    }
    let refused = |error: &dyn std::fmt::Display| {
        Error::Content(format!("can't be resampled from {from} to {to} samples a second: {error}"))
    };
    // Blocks of an even number of periods have a middle on both sides, which is the filter's delay: with an odd number
    // the sound would move by a part of a sample.
    let divisor = gcd(from, to);
    let (period_in, period_out) = ((from / divisor) as usize, (to / divisor) as usize);
    let periods = FILTER_LEN.div_ceil(period_in.min(period_out)).next_multiple_of(2);
    let mut resampler = Fft::<f32>::new(from as usize, to as usize, periods * period_in, 1, FixedSync::Both)
        .map_err(|error| refused(&error))?;
    let input = SequentialSlice::new(&samples, 1, samples.len()).map_err(|error| refused(&error))?;
    let output = resampler.process_all(&input, samples.len(), None).map_err(|error| refused(&error))?;
    let mut output = output.take_data();
    let len = (samples.len() as u128 * u128::from(to) * 2 + u128::from(from)) / (2 * u128::from(from));
    output.resize(len as usize, 0.0);
    Ok(output)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

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

    const RATES: [(u32, u32); 8] = [
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
        for (from, to) in RATES {
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
        for (from, to) in RATES {
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
