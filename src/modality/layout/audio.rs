//! The layout of sound.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a sample becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// 16-bit signed, least significant byte first, as in a WAV file (the paper's).
    Pcm16le,
    /// 16-bit unsigned (the sample + 32,768), most significant byte first: the byte that says more comes first, and
    /// neighbouring levels have neighbouring bytes (Trilobyte, arXiv 2603.08683).
    Pcm16be,
    /// 8-bit linear, unsigned as in a WAV file.
    Pcm8,
    /// 8-bit mu-law (ITU-T G.711).
    Mulaw8,
}

/// The channels of a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioChannels {
    /// One channel, the mean of all of the file.
    Mono,
    /// Left and right samples by turns. A mono file is doubled. Of more channels (5.1 and others, in the order of WAV
    /// files), the first two are left and right, and each side is the mean of its own and all others.
    Stereo,
}

impl AudioChannels {
    /// Samples of a frame.
    pub fn count(self) -> usize {
        match self {
            AudioChannels::Mono => 1,
            AudioChannels::Stereo => 2,
        }
    }
}

/// Samples of one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AudioLayout {
    /// Frames (samples of one channel) a second, 1000 to 384000; other rates are resampled.
    #[schemars(range(min = 1000, max = 384_000))]
    pub rate: u32,
    /// The channels.
    pub channels: AudioChannels,
    /// How a sample becomes bytes.
    pub format: AudioFormat,
    /// Frames at either end whose samples are all below this level are left out. In decibels relative to full scale,
    /// -120 to 0 (-50 is quiet); 0: nothing is left out.
    pub trim_db: f64,
}

impl Default for AudioLayout {
    fn default() -> Self {
        AudioLayout { rate: 16_000, channels: AudioChannels::Mono, format: AudioFormat::Pcm16le, trim_db: 0.0 }
    }
}

impl AudioLayout {
    /// Bytes of one sample of one channel.
    pub fn bytes_per_sample(&self) -> usize {
        match self.format {
            AudioFormat::Pcm16le | AudioFormat::Pcm16be => 2,
            AudioFormat::Pcm8 | AudioFormat::Mulaw8 => 1,
        }
    }

    /// Bytes of one frame: a sample of every channel. Sound is cut between frames.
    pub fn bytes_per_frame(&self) -> usize {
        self.bytes_per_sample() * self.channels.count()
    }

    pub(in super::super) fn validate(&self) -> Result<()> {
        if !(1_000..=384_000).contains(&self.rate) {
            return Err(Error::config("data.rate", format!("is {}, allowed is 1000 to 384000", self.rate)));
        }
        if !(-120.0..=0.0).contains(&self.trim_db) {
            let reason = format!("is {}, allowed is -120 to 0: decibels below full scale, 0 for off", self.trim_db);
            return Err(Error::config("data.trim_db", reason));
        }
        Ok(())
    }
}
