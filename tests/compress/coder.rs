//! Frequencies and the range coder, by themselves.

use megabyte::density::coder::{ByteDecoder, ByteEncoder, Frequencies, PRECISION};
use proptest::prelude::*;
use rand::distr::{Distribution, Uniform};
use rand::{SeedableRng, rngs::ChaCha8Rng};

const TOTAL: u64 = 1 << PRECISION;

/// Rows of logits, from flat to sharp.
fn rows(count: usize, spread: f32, seed: u64) -> Vec<Vec<f32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let between = Uniform::new(-spread, spread).unwrap();
    (0..count).map(|_| (0..257).map(|_| between.sample(&mut random)).collect()).collect()
}

/// The softmax over the bytes, by the standard library.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits[..256].iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f64> = logits[..256].iter().map(|&logit| f64::from(logit - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

proptest! {
    #[test]
    fn frequencies_sum_to_a_power_of_two_and_leave_nothing_out(
        logits in prop::collection::vec(-1e30f32..1e30, 256),
        scale in prop::sample::select(vec![0.0f32, 1e-30, 1e-29, 1.0]),
    ) {
        let logits: Vec<f32> = logits.iter().map(|logit| logit * scale).collect();
        let frequencies = Frequencies::new(&logits).unwrap();
        let each: Vec<u64> = (0..=255).map(|byte| u64::from(frequencies.of(byte))).collect();
        prop_assert_eq!(each.iter().sum::<u64>(), TOTAL);
        prop_assert!(each.iter().all(|&frequency| frequency > 0));
    }
}

#[test]
fn frequencies_are_the_softmax_of_the_bytes() {
    for spread in [0.0001, 1.0, 8.0, 30.0] {
        for row in rows(50, spread, 3) {
            let frequencies = Frequencies::new(&row).unwrap();
            for (byte, probability) in softmax(&row).into_iter().enumerate() {
                let frequency = f64::from(frequencies.of(byte as u8)) / TOTAL as f64;
                // One for all, and what is left over to the likeliest.
                let allowed = 2e-5 * probability + 257.0 / TOTAL as f64;
                assert!((frequency - probability).abs() <= allowed, "{frequency} for {probability}");
            }
        }
    }
}

#[test]
fn logits_that_are_no_numbers_are_refused() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut row = vec![0.0; 257];
        row[200] = wrong;
        assert!(Frequencies::new(&row).unwrap_err().to_string().contains("finite"));
    }
    // What stands for the end of a sequence is not coded.
    let mut row = vec![0.0; 257];
    row[256] = f32::NAN;
    assert_eq!(Frequencies::new(&row).unwrap().of(7), 1 << 16);
}

#[test]
fn the_code_has_the_ideal_length_and_comes_back() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for spread in [0.1, 3.0, 12.0, 40.0] {
        let rows = rows(20_000, spread, 4);
        let (mut encoder, mut ideal, mut bytes) = (ByteEncoder::default(), 0.0, Vec::new());
        for row in &rows {
            let probabilities = softmax(row);
            let draw = rand::distr::weighted::WeightedIndex::new(&probabilities).unwrap();
            let byte = draw.sample(&mut random) as u8;
            ideal -= probabilities[usize::from(byte)].log2();
            encoder.push(byte, &Frequencies::new(row).unwrap());
            bytes.push(byte);
        }
        let code = encoder.finish();
        let ideal = ideal / 8.0;
        assert!((code.len() as f64) < ideal * 1.0005 + 8.0, "{} bytes for {ideal:.1}, spread {spread}", code.len());
        let mut decoder = ByteDecoder::new(&code);
        for (row, &byte) in rows.iter().zip(&bytes) {
            assert_eq!(decoder.pull(&Frequencies::new(row).unwrap()), Some(byte));
        }
    }
}

#[test]
fn a_code_of_nothing_is_empty_and_an_empty_code_can_be_read() {
    assert_eq!(ByteEncoder::default().finish(), b"");
    let frequencies = Frequencies::new(&[0.0; 256]).unwrap();
    let mut decoder = ByteDecoder::new(b"");
    (0..1000).for_each(|_| _ = decoder.pull(&frequencies));
}
