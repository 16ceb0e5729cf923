//! The layouts: what has to be known to read the bytes of a sequence as text, a picture or a sound.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What happens to the byte order mark that begins some UTF-8 files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bom {
    /// It stays.
    #[default]
    Keep,
    /// It is left out.
    Strip,
}

/// What happens to the ends of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Newlines {
    /// They stay.
    #[default]
    Keep,
    /// CR LF and a CR alone become LF.
    Lf,
}

/// Text. By default its bytes as they are. A document ends with the end-of-sequence symbol where the model has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextLayout {
    /// What happens to a byte order mark.
    pub bom: Bom,
    /// What happens to the ends of lines.
    pub newlines: Newlines,
    /// The encoding that files are in, by a label of the WHATWG Encoding Standard (`windows-1251`, `utf-16le`); they
    /// become UTF-8. Empty: no encoding is assumed.
    pub encoding: String,
}

impl TextLayout {
    pub(super) fn validate(&self) -> Result<()> {
        if self.encoding.is_empty()
            || encoding_rs::Encoding::for_label_no_replacement(self.encoding.as_bytes()).is_some()
        {
            return Ok(());
        }
        let reason = format!(
            "is `{}`, which names no encoding; expected a label such as `utf-8`, `windows-1251` or `utf-16le`",
            self.encoding
        );
        Err(Error::config("data.encoding", reason))
    }
}

/// Any file, as it is. It ends with the end-of-sequence symbol where the model has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BytesLayout {}

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
    /// Square patches row by row, inner patches row by row inside a patch, pixels row by row inside those.
    Nested,
    /// All of the first channel row by row, then the next channel.
    Planar,
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
    /// Side of a patch in pixels, for the patch scan and the nested one.
    pub patch: usize,
    /// Side of an inner patch in pixels, for the nested scan.
    pub inner: usize,
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
            inner: 4,
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
        let (p, inner) = (self.patch, self.inner);
        if matches!(self.scan, Scan::Patch | Scan::Nested)
            && (p == 0 || !self.width.is_multiple_of(p) || !self.height.is_multiple_of(p))
        {
            let (w, h) = (self.width, self.height);
            return Err(Error::config("data.patch", format!("is {p}, which must divide {w} x {h}")));
        }
        if self.scan == Scan::Nested && (inner == 0 || !p.is_multiple_of(inner)) {
            return Err(Error::config("data.inner", format!("is {inner}, which must divide data.patch ({p})")));
        }
        Ok(())
    }

    /// Replaces `size = 64` or `size = [64, 48]`, another spelling of width and height, by those.
    pub(super) fn spell_size_out(keys: &mut toml::Table) -> Result<()> {
        let Some(size) = keys.remove("size") else { return Ok(()) };
        if keys.contains_key("width") || keys.contains_key("height") {
            return Err(Error::config(
                "data.size",
                "says what `data.width` and `data.height` say; leave one of them out",
            ));
        }
        let (width, height) = match &size {
            toml::Value::Integer(_) => (size.clone(), size),
            toml::Value::Array(sides) => match &sides[..] {
                [width @ toml::Value::Integer(_), height @ toml::Value::Integer(_)] => (width.clone(), height.clone()),
                _ => return Err(Error::config("data.size", format!("is {size}, expected [width, height] in pixels"))),
            },
            _ => {
                return Err(Error::config(
                    "data.size",
                    format!("is {size}, expected a side or [width, height] in pixels"),
                ));
            }
        };
        keys.insert("width".to_owned(), width);
        keys.insert("height".to_owned(), height);
        Ok(())
    }
}

/// How a sample becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioChannels {
    /// One: the mean of all channels of the file.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioLayout {
    /// Frames (samples of one channel) a second; other rates are resampled.
    pub rate: u32,
    /// The channels.
    pub channels: AudioChannels,
    /// How a sample becomes bytes.
    pub format: AudioFormat,
    /// Frames at either end whose samples are all below this level are left out. In decibels relative to full scale,
    /// so negative (-50 is quiet); 0: nothing is left out.
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

    pub(super) fn validate(&self) -> Result<()> {
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
