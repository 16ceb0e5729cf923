//! From logits to a byte, on the host, so that the same seed draws the same bytes on every device.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The keys of `[sample]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Logits are divided by it; 0 always takes the likeliest byte.
    pub temperature: f64,
    /// Only the K likeliest; 0 is all.
    pub top_k: usize,
    /// Only the likeliest that make up this probability; 1 is all.
    pub top_p: f64,
    /// Only those at least this times as likely as the likeliest; 0 is all.
    pub min_p: f64,
    /// Same seed, same bytes.
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
            return Err(Error::config(
                "sample.temperature",
                format!("is {}, allowed is 0 and above", self.temperature),
            ));
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
