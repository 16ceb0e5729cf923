//! From logits to a byte, on the host, so that the same seed draws the same bytes on every device.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The keys of `[sample]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Logits are divided by it; 0 or more, and 0 always takes the likeliest byte.
    pub temperature: f64,
    /// Only the K likeliest bytes; 0: all.
    pub top_k: usize,
    /// Only the likeliest bytes that make up this probability, above 0 to 1; 1: all.
    pub top_p: f64,
    /// Only bytes at least this times as likely as the likeliest, 0 to below 1; 0: all.
    pub min_p: f64,
    /// The generator's seed: the same seed draws the same bytes.
    pub seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        SampleConfig { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

impl SampleConfig {
    /// Checks ranges; the error names the dotted key.
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::config("sample.temperature", format!("is {}, allowed is 0 or more", self.temperature)));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::config("sample.top_p", format!("is {}, allowed is above 0 to 1", self.top_p)));
        }
        if !(0.0..1.0).contains(&self.min_p) {
            return Err(Error::config("sample.min_p", format!("is {}, allowed is 0 to below 1", self.min_p)));
        }
        Ok(())
    }
}

/// Draws symbols from logits with a generator of its own.
#[derive(Debug)]
pub struct Sampler {
    config: SampleConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// The sampler of sequence number `row`: its draws depend on the seed and the row alone.
    pub fn new(config: SampleConfig, row: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(row as u64);
        Sampler { config, rng }
    }

    /// Draws a symbol. Fails where a logit is not finite: from such a model nothing can be drawn.
    pub fn sample(&mut self, logits: &[f32]) -> Result<usize> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            let reason = "the model's logits are not finite: its weights are damaged, or its numbers are too large for \
                          their type; try another checkpoint, or float32";
            return Err(Error::Content(reason.to_owned()));
        }
        if self.config.temperature == 0.0 {
            return Ok(likeliest(logits));
        }
        let candidates = candidates(logits, &self.config);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.random::<f64>() * total;
        for &(symbol, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return Ok(symbol);
            }
        }
        Ok(candidates[candidates.len() - 1].0)
    }
}

/// The first symbol of the highest logit.
fn likeliest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (symbol, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = symbol;
        }
    }
    best
}

/// The symbols that may be drawn, likeliest first, with weights relative to the likeliest.
fn candidates(logits: &[f32], config: &SampleConfig) -> Vec<(usize, f64)> {
    let top = f64::from(logits[likeliest(logits)]);
    let weight = |logit: f32| ((f64::from(logit) - top) / config.temperature).exp();
    let mut candidates: Vec<(usize, f64)> = logits.iter().map(|&logit| weight(logit)).enumerate().collect();
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
    if config.top_k > 0 {
        candidates.truncate(config.top_k);
    }
    if config.min_p > 0.0 {
        candidates.retain(|(_, weight)| *weight >= config.min_p);
    }
    if config.top_p < 1.0 {
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut mass = 0.0;
        let kept = candidates.iter().take_while(|(_, weight)| {
            let before = mass;
            mass += weight / total;
            before < config.top_p
        });
        let kept = kept.count();
        candidates.truncate(kept.max(1));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 2.5];

    fn symbols(config: SampleConfig) -> Vec<usize> {
        candidates(&LOGITS, &config).into_iter().map(|(symbol, _)| symbol).collect()
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        let mut sampler = Sampler::new(SampleConfig { temperature: 0.0, ..SampleConfig::default() }, 0);
        assert_eq!(sampler.sample(&LOGITS).unwrap(), 4);
    }

    #[test]
    fn logits_that_are_not_finite_are_an_error() {
        for temperature in [0.0, 1.0] {
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut sampler = Sampler::new(SampleConfig { temperature, ..SampleConfig::default() }, 0);
                let error = sampler.sample(&[0.0, odd, 1.0]).unwrap_err().to_string();
                assert!(error.contains("not finite") && error.contains("float32"), "{error}");
            }
        }
    }

    #[test]
    fn filters_keep_the_likeliest() {
        assert_eq!(symbols(SampleConfig::default()), [4, 1, 2, 0, 3]);
        assert_eq!(symbols(SampleConfig { top_k: 2, ..SampleConfig::default() }), [4, 1]);
        // Softmax of the logits: 0.47, 0.29, 0.11, 0.04, 0.01 over 0.92; the first two make up 0.78.
        assert_eq!(symbols(SampleConfig { top_p: 0.6, ..SampleConfig::default() }), [4, 1]);
        assert_eq!(symbols(SampleConfig { top_p: 0.01, ..SampleConfig::default() }), [4]);
        assert_eq!(symbols(SampleConfig { min_p: 0.2, ..SampleConfig::default() }), [4, 1, 2]);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let config = SampleConfig { temperature: 0.7, seed: 3, ..SampleConfig::default() };
        let mut sampler = Sampler::new(config, 0);
        let draws = 40_000;
        let mut counts = [0.0; 5];
        for _ in 0..draws {
            counts[sampler.sample(&LOGITS).unwrap()] += 1.0 / draws as f64;
        }
        let weights = LOGITS.map(|logit| (f64::from(logit) / 0.7).exp());
        let total: f64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let p = weight / total;
            // five standard deviations of a binomial share
            assert!((count - p).abs() < 5.0 * (p * (1.0 - p) / draws as f64).sqrt(), "{count} against {p}");
        }
    }

    #[test]
    fn a_seed_and_a_row_decide_the_draws() {
        let draw = |seed, row| {
            let mut sampler = Sampler::new(SampleConfig { seed, ..SampleConfig::default() }, row);
            (0..32).map(|_| sampler.sample(&LOGITS).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }
}
