//! From a model's logits to the integer frequencies of an entropy coder, and a range coder over them.
//!
//! Whoever decodes must find the very frequencies that the encoder used, so from the logits on there is only arithmetic
//! that IEEE 754 fixes to the last bit, on every machine: sums, products and shifts, and no function of a library.

use std::borrow::Borrow;
use std::num::NonZeroU32;

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use constriction::stream::queue::{RangeDecoder, RangeEncoder};
use constriction::stream::{Decode, Encode};

use crate::{Error, Result};

/// Frequencies sum to 2 to this power. A byte that the model excludes costs this many bits.
pub const PRECISION: usize = 24;

const TOTAL: u32 = 1 << PRECISION;
/// Bytes have 256 values.
const SYMBOLS: usize = 256;

/// How often each byte value comes in 2^24, at least once: a model of `constriction`.
#[derive(Debug, Clone)]
pub struct Frequencies {
    /// The sums of the frequencies before each value, and the total.
    cumulative: [u32; SYMBOLS + 1],
}

impl Frequencies {
    /// The softmax of the logits of 256 byte values; of a vocabulary of 257, what the model gives to the end of a
    /// sequence goes to the bytes in proportion, because lengths are known beforehand. Fails where a logit is not
    /// finite.
    pub fn new(logits: &[f32]) -> Result<Self> {
        let logits: &[f32; SYMBOLS] = logits.first_chunk().expect("a row of logits has all byte values");
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::Content("the model's logits aren't finite: it can't code".to_owned()));
        }
        let (likeliest, &most) = (logits.iter().enumerate())
            .fold((0, &logits[0]), |best, (i, logit)| if logit > best.1 { (i, logit) } else { best });
        let mut weights = [0.0; SYMBOLS];
        for (weight, &logit) in weights.iter_mut().zip(logits) {
            *weight = exp(f64::from(logit) - f64::from(most));
        }
        // Eight sums beside each other, in an order that is written down here.
        let mut sums = [0.0; 8];
        for part in weights.as_chunks::<8>().0 {
            sums.iter_mut().zip(part).for_each(|(sum, weight)| *sum += weight);
        }
        let sum: f64 = sums.iter().sum();
        let scale = f64::from(TOTAL - SYMBOLS as u32) / sum;
        let mut frequencies = [0; SYMBOLS];
        for (frequency, weight) in frequencies.iter_mut().zip(&weights) {
            *frequency = 1 + (weight * scale) as u32;
        }
        // What rounding down left over.
        frequencies[likeliest] += TOTAL.saturating_sub(frequencies.iter().sum());
        let mut cumulative = [0; SYMBOLS + 1];
        let mut before = 0;
        for (place, frequency) in cumulative[1..].iter_mut().zip(&frequencies) {
            before += frequency;
            *place = before;
        }
        Ok(Frequencies { cumulative })
    }

    /// How often `byte` comes in 2^24.
    pub fn of(&self, byte: u8) -> u32 {
        self.cumulative[usize::from(byte) + 1] - self.cumulative[usize::from(byte)]
    }
}

/// e to a power that is not positive, right to about 12 digits; below -64 as at -64, which is no frequency of 2^24.
fn exp(power: f64) -> f64 {
    /// Added to a small number, it leaves the nearest integer in the last bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// 1 / k!
    const TERMS: [f64; 12] = [
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let power = if power > -64.0 { power } else { -64.0 };
    let twos = power * std::f64::consts::LOG2_E;
    let rounded = twos + ROUND;
    let rest = (twos - (rounded - ROUND)) * std::f64::consts::LN_2;
    let mut value = 0.0;
    for term in TERMS {
        value = value * rest + term;
    }
    // The exponent of 2^n has the bits of n + 1023.
    value * f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52))
}

impl EntropyModel<PRECISION> for Frequencies {
    type Symbol = u8;
    type Probability = u32;
}

impl EncoderModel<PRECISION> for Frequencies {
    fn left_cumulative_and_probability(&self, symbol: impl Borrow<u8>) -> Option<(u32, NonZeroU32)> {
        let byte = *symbol.borrow();
        Some((self.cumulative[usize::from(byte)], NonZeroU32::new(self.of(byte))?))
    }
}

impl DecoderModel<PRECISION> for Frequencies {
    fn quantile_function(&self, quantile: u32) -> (u8, u32, NonZeroU32) {
        let byte = self.cumulative[1..SYMBOLS].partition_point(|&end| end <= quantile) as u8;
        let frequency = NonZeroU32::new(self.of(byte)).expect("every byte comes at least once");
        (byte, self.cumulative[usize::from(byte)], frequency)
    }
}

/// Bytes to a range code.
#[derive(Debug, Default)]
pub struct ByteEncoder(RangeEncoder<u32, u64>);

impl ByteEncoder {
    /// Adds a byte whose frequencies are these.
    pub fn push(&mut self, byte: u8, frequencies: &Frequencies) {
        self.0.encode_symbol(byte, frequencies).expect("memory takes words, and every byte has a frequency");
    }

    /// The code. Zeros at its end are left out: that is what a decoder reads behind the end.
    pub fn finish(self) -> Vec<u8> {
        let words = self.0.into_compressed().unwrap_or_else(|never| match never {});
        let mut code: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        code.truncate(code.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        code
    }
}

/// A range code to bytes.
#[derive(Debug)]
pub struct ByteDecoder(RangeDecoder<u32, u64, constriction::backends::Cursor<u32, Vec<u32>>>);

impl ByteDecoder {
    /// Begins to decode what [`ByteEncoder::finish`] gave.
    pub fn new(code: &[u8]) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            u32::from_be_bytes(word)
        };
        let words: Vec<u32> = code.chunks(4).map(word).collect();
        ByteDecoder(RangeDecoder::from_compressed(words).unwrap_or_else(|never| match never {}))
    }

    /// The next byte, whose frequencies are these, or `None` where no encoder can have written this.
    pub fn pull(&mut self, frequencies: &Frequencies) -> Option<u8> {
        self.0.decode_symbol(frequencies).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right() {
        for i in 0..64_000 {
            let power = -f64::from(i) / 1000.0;
            let (ours, theirs) = (exp(power), power.exp());
            assert!((ours - theirs).abs() <= 1e-12 * theirs, "{power}: {ours} and {theirs}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e9), exp(-64.0));
    }
}
