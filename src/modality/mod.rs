//! Files to byte sequences and back. The only part of the library that knows what an image or a sound is.
//!
//! A [`Layout`] says how one modality's content is laid out as bytes, and is all that is needed to turn the bytes
//! back into a file, so it travels with every shard and every model. [`Layout::adapter`] gives the [`Adapter`] that
//! does both.

mod audio;
mod content;
mod image;
mod layout;
mod text;

use std::fmt;
use std::io::{Read, Seek, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};
pub(crate) use content::contained;
pub use content::decoding;
pub use layout::{AudioFormat, AudioLayout, Channels, Filter, Fit, ImageLayout, Scan, TextLayout};

/// What kind of content the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Any bytes; documents end with an end-of-sequence symbol.
    Text,
    /// Pictures of one size, one picture a sequence.
    Image,
    /// Sound of one sample rate.
    Audio,
}

impl Modality {
    /// The name in configurations and files.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Text => "text",
            Modality::Image => "image",
            Modality::Audio => "audio",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Modality {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "text" => Ok(Modality::Text),
            "image" => Ok(Modality::Image),
            "audio" => Ok(Modality::Audio),
            _ => Err(Error::config("data.modality", format!("is `{name}`, expected `text`, `image` or `audio`"))),
        }
    }
}

/// How one modality's content is laid out as bytes. Serialised as `"modality": …, "layout": {…}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "modality", content = "layout", rename_all = "lowercase")]
pub enum Layout {
    /// Bytes as they are.
    Text(TextLayout),
    /// Pixels in a scan order.
    Image(ImageLayout),
    /// Samples in a format.
    Audio(AudioLayout),
}

/// STUB
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pixels
    pub max_pixels: u64,
}

/// What an adapter reads: a file, or bytes in memory in a `Cursor`.
pub trait Input: Read + Seek + Send + Sync {}

impl<T: Read + Seek + Send + Sync> Input for T {}

/// Turns files of one modality into bytes and bytes into files. `decode(encode(x))` gives `x` at the level of the
/// layout: `encode(decode(bytes)) == bytes` for every byte sequence the layout allows.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// The bytes of one file's content, in stream order. Fails with [`Error::Content`] on what can't be read.
    fn encode(&self, content: &[u8]) -> Result<Vec<u8>>;

    /// Writes the bytes of one file's content to `out`, in stream order, without holding all of them in memory where
    /// the modality's sequences have no fixed length. Fails as [`encode`](Self::encode) does, and where `input` can't
    /// be read or `out` can't be written; what was written by then is a part of the bytes.
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<()> {
        let io = |error| Error::Content(format!("can't be read: {error}"));
        let mut content = Vec::new();
        input.read_to_end(&mut content).map_err(io)?;
        out.write_all(&self.encode(&content)?).map_err(io)
    }

    /// The content of a file (PNG, WAV, plain text) that shows `bytes`. Bytes that end early are completed in a way
    /// the modality can show (black pixels, a dropped half sample).
    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>>;

    /// The extension of what `decode` makes, without the dot.
    fn extension(&self) -> &'static str;

    /// The patch size, in bytes, that suits the layout when nobody chose one.
    fn patch_size(&self) -> usize;

    /// The length in bytes of every sequence, where the layout fixes it: one picture is one sequence.
    fn sequence_len(&self) -> Option<usize>;

    /// Bytes in a second, where the content has a duration.
    fn bytes_per_second(&self) -> Option<f64>;

    /// stub
    fn mirrored(&self, _bytes: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Whether a document ends by itself, with the end-of-sequence symbol (id 256 of a vocabulary of 257).
    fn ends_with_symbol(&self) -> bool;
}

impl Layout {
    /// Reads the layout's own keys for a modality; missing keys take their defaults and unknown ones are errors.
    pub fn from_keys(modality: Modality, keys: toml::Table) -> Result<Self> {
        fn read<T: serde::de::DeserializeOwned>(keys: toml::Table) -> Result<T> {
            T::deserialize(keys).map_err(|error| Error::config("data", error.message().trim()))
        }
        let layout = match modality {
            Modality::Text => Layout::Text(read(keys)?),
            Modality::Image => Layout::Image(read(keys)?),
            Modality::Audio => Layout::Audio(read(keys)?),
        };
        layout.validate()?;
        Ok(layout)
    }

    /// The layout's own keys, defaults included.
    pub fn keys(&self) -> toml::Table {
        let keys = match self {
            Layout::Text(layout) => toml::Table::try_from(layout),
            Layout::Image(layout) => toml::Table::try_from(layout),
            Layout::Audio(layout) => toml::Table::try_from(layout),
        };
        keys.expect("a layout has no value that TOML lacks")
    }

    /// The modality.
    pub fn modality(&self) -> Modality {
        match self {
            Layout::Text(_) => Modality::Text,
            Layout::Image(_) => Modality::Image,
            Layout::Audio(_) => Modality::Audio,
        }
    }

    /// Checks that the keys can work together; the error names the key.
    pub fn validate(&self) -> Result<()> {
        match self {
            Layout::Text(_) => Ok(()),
            Layout::Image(layout) => layout.validate(),
            Layout::Audio(layout) => layout.validate(),
        }
    }

    /// stub
    pub fn adapter_within(&self, _limits: &Limits) -> Box<dyn Adapter> {
        self.adapter()
    }

    /// What turns files into bytes of this layout and back.
    pub fn adapter(&self) -> Box<dyn Adapter> {
        match self {
            Layout::Text(layout) => Box::new(text::TextAdapter::new(layout.clone())),
            Layout::Image(layout) => Box::new(image::ImageAdapter::new(layout.clone())),
            Layout::Audio(layout) => Box::new(audio::AudioAdapter::new(layout.clone())),
        }
    }
}
