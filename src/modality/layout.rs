//! The layouts: what has to be known to read the bytes of a sequence as text, a picture or a sound.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bytes as they are. A document ends with the end-of-sequence symbol where the model has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextLayout {}

/// Bytes of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Luma.
    Gray,
}

impl Channels {
    /// Bytes of a pixel.
    pub fn count(self) -> usize {
        match self {
            Channels::Rgb => 3,
            Channels::Gray => 1,
        }
    }
}

/// The order in which pixels follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scan {
    /// Row by row.
    Raster,
    /// Square patches row by row, pixels row by row inside a patch (paper, appendix D).
    Patch,
}

/// What happens to a picture whose sides have another ratio than the layout's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The largest centred part of the right ratio.
    Crop,
    /// The whole picture on the background.
    Pad,
    /// Both sides scaled on their own.
    Stretch,
}

/// How a picture is scaled. Bits per dimension depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Area average.
    Box,
    /// Linear.
    Bilinear,
    /// Lanczos with three lobes.
    Lanczos,
}

/// Pixels of one size in a scan order, 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageLayout {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Bytes of a pixel.
    pub channels: Channels,
    /// Order of the pixels.
    pub scan: Scan,
    /// Side of a patch in pixels, for the patch scan.
    pub patch: usize,
    /// What happens to pictures of another ratio.
    pub fit: Fit,
    /// How pictures are scaled.
    pub filter: Filter,
    /// The colour behind transparent pixels and around padded pictures.
    pub background: [u8; 3],
}

impl Default for ImageLayout {
    fn default() -> Self {
        ImageLayout {
            width: 64,
            height: 64,
            channels: Channels::Rgb,
            scan: Scan::Patch,
            patch: 4,
            fit: Fit::Crop,
            filter: Filter::Box,
            background: [255, 255, 255],
        }
    }
}

impl ImageLayout {
    /// Bytes of one picture.
    pub fn len(&self) -> usize {
        self.width * self.height * self.channels.count()
    }

    /// Whether a picture has no bytes; never, once validated.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (key, side) in [("data.width", self.width), ("data.height", self.height)] {
            if side == 0 || side > 8192 {
                return Err(Error::config(key, format!("is {side}, allowed is 1 to 8192")));
            }
        }
        if self.scan == Scan::Patch {
            let p = self.patch;
            if p == 0 || !self.width.is_multiple_of(p) || !self.height.is_multiple_of(p) {
                let (w, h) = (self.width, self.height);
                return Err(Error::config("data.patch", format!("is {p}, which must divide {w} x {h}")));
            }
        }
        Ok(())
    }
}

/// How a sample becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// 16-bit signed, least significant byte first, as in a WAV file (the paper's).
    Pcm16le,
    /// 8-bit linear, unsigned as in a WAV file.
    Pcm8,
    /// 8-bit mu-law (ITU-T G.711).
    Mulaw8,
}

/// Mono samples of one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioLayout {
    /// Samples a second; other rates are resampled.
    pub rate: u32,
    /// How a sample becomes bytes.
    pub format: AudioFormat,
}

impl Default for AudioLayout {
    fn default() -> Self {
        AudioLayout { rate: 16_000, format: AudioFormat::Pcm16le }
    }
}

impl AudioLayout {
    /// Bytes of one sample.
    pub fn bytes_per_sample(&self) -> usize {
        match self.format {
            AudioFormat::Pcm16le => 2,
            AudioFormat::Pcm8 | AudioFormat::Mulaw8 => 1,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !(1_000..=384_000).contains(&self.rate) {
            return Err(Error::config("data.rate", format!("is {}, allowed is 1000 to 384000", self.rate)));
        }
        Ok(())
    }
}
