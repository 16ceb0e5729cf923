//! Files to byte sequences and back. The only part of the library that knows what an image or a sound is.
//!
//! A [`Layout`] says how one modality's content is laid out as bytes, and is all that is needed to turn the bytes
//! back into a file, so it travels with every shard and every model. [`Layout::adapter`] gives the [`Adapter`] that
//! does both.

mod audio;
mod budget;
mod bytes;
mod content;
mod describe;
mod facet;
mod findings;
mod image;
mod layout;
mod text;

use std::fmt;
use std::io::{Cursor, Read, Seek, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::image::picture;
use crate::{Error, Result};
pub use content::{Detected, contained, decoding, detect};
pub use describe::{Description, describe};
pub use facet::Facet;
pub use findings::{TextFindings, text_findings};
pub use layout::{
    AudioChannels, AudioFormat, AudioLayout, Bom, BytesLayout, Channels, Filter, Fit, ImageLayout, Newlines, Scan,
    TextLayout,
};

/// What kind of content the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Characters; documents end with an end-of-sequence symbol.
    Text,
    /// Pictures of one size, one picture a sequence.
    Image,
    /// Sound of one sample rate.
    Audio,
    /// Files of any kind as they are, each ending with an end-of-sequence symbol.
    Bytes,
}

impl Modality {
    /// The name in configurations and files.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Text => "text",
            Modality::Image => "image",
            Modality::Audio => "audio",
            Modality::Bytes => "bytes",
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
            "bytes" => Ok(Modality::Bytes),
            _ => {
                let reason = format!("is `{name}`, expected `text`, `image`, `audio` or `bytes`");
                Err(Error::config("data.modality", reason))
            }
        }
    }
}

/// How one modality's content is laid out as bytes. Serialised as `"modality": …, "layout": {…}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "modality", content = "layout", rename_all = "lowercase")]
pub enum Layout {
    /// Characters as UTF-8, or bytes as they are.
    Text(TextLayout),
    /// Pixels in a scan order.
    Image(ImageLayout),
    /// Samples in a format.
    Audio(AudioLayout),
    /// Any file as it is.
    Bytes(BytesLayout),
}

/// How large a file's content may be. Sound, text and plain bytes are read in parts, so they may have any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of a picture before it is fitted to the layout's size.
    pub max_pixels: u64,
    /// Bytes of memory that decoding one picture may take.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 2^26 pixels (8,192 x 8,192) and 768 MiB.
    fn default() -> Self {
        Limits { max_pixels: 1 << 26, max_bytes: 768 << 20 }
    }
}

/// What an adapter reads: a file, or bytes in memory in a `Cursor`.
pub trait Input: Read + Seek + Send + Sync {}

impl<T: Read + Seek + Send + Sync> Input for T {}

/// Turns files of one modality into bytes and bytes into files. `decode(encode(x))` gives `x` at the level of the
/// layout: `encode(decode(bytes)) == bytes` for every byte sequence the layout allows.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// Writes the bytes of one file's content to `out`, in stream order. `input` stands at its start. Memory doesn't
    /// grow with the length of text, sound and plain bytes; a picture is decoded as a whole, within [`Limits`].
    ///
    /// Gives what a person should know of content that is used all the same: that some of it is lost, or that it is read
    /// otherwise than its headers say; nothing for nearly all files.
    ///
    /// Fails with [`Error::Content`] on what can't be read, and where `out` can't be written; what was written by then
    /// is a part of the bytes.
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<Vec<String>>;

    /// The bytes of one file's content in memory, as [`encode_to`](Self::encode_to) writes them.
    fn encode(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.encode_to(&mut Cursor::new(content), &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of the picture flipped left to right, from the bytes of a whole picture: the same bytes in another
    /// order. `None` for other modalities and for parts of a picture.
    fn mirrored(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let _ = bytes;
        None
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

    /// Whether a document ends by itself, with the end-of-sequence symbol (id 256 of a vocabulary of 257).
    fn ends_with_symbol(&self) -> bool;
}

impl Layout {
    /// Reads the layout's own keys for a modality; missing keys take their defaults and unknown ones are errors. A
    /// picture's `size = 64` or `size = [64, 48]` is another spelling of its `width` and `height`.
    pub fn from_keys(modality: Modality, mut keys: toml::Table) -> Result<Self> {
        fn read<T: serde::de::DeserializeOwned>(keys: toml::Table) -> Result<T> {
            T::deserialize(keys.clone()).map_err(|error| {
                // Each key alone, to name the one at fault.
                let fails = |(key, value): &(&String, &toml::Value)| {
                    T::deserialize(toml::Table::from_iter([((*key).clone(), (*value).clone())])).is_err()
                };
                let key = keys.iter().find(fails).map_or("data".to_owned(), |(key, _)| format!("data.{key}"));
                Error::config(key, error.message().trim())
            })
        }
        let layout = match modality {
            Modality::Text => Layout::Text(read(keys)?),
            Modality::Image => {
                ImageLayout::spell_size_out(&mut keys)?;
                Layout::Image(read(keys)?)
            }
            Modality::Audio => Layout::Audio(read(keys)?),
            Modality::Bytes => Layout::Bytes(read(keys)?),
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
            Layout::Bytes(layout) => toml::Table::try_from(layout),
        };
        keys.expect("a layout has no value that TOML lacks")
    }

    /// The modality.
    pub fn modality(&self) -> Modality {
        match self {
            Layout::Text(_) => Modality::Text,
            Layout::Image(_) => Modality::Image,
            Layout::Audio(_) => Modality::Audio,
            Layout::Bytes(_) => Modality::Bytes,
        }
    }

    /// Checks that the keys can work together; the error names the key.
    pub fn validate(&self) -> Result<()> {
        match self {
            Layout::Text(layout) => layout.validate(),
            Layout::Image(layout) => layout.validate(),
            Layout::Audio(layout) => layout.validate(),
            Layout::Bytes(BytesLayout {}) => Ok(()),
        }
    }

    /// The bytes that stay together where documents can be cut: a frame of sound, else one. None where a document is
    /// one sequence.
    pub(crate) fn cut_unit(&self) -> Option<usize> {
        match self {
            Layout::Text(_) | Layout::Bytes(_) => Some(1),
            Layout::Audio(layout) => Some(layout.bytes_per_frame()),
            Layout::Image(_) => None,
        }
    }

    /// Whether sequences of `context` bytes are documents, or whole parts of them; the error names the key.
    pub(crate) fn check_context(&self, context: usize) -> Result<()> {
        let fail = |rule: String| Err(Error::config("model.context", format!("is {context}, but one {rule}")));
        let modality = self.modality();
        match (self.adapter().sequence_len(), self.cut_unit()) {
            (Some(len), _) if !len.is_multiple_of(context) => {
                fail(format!("{modality} of this layout is {len} bytes, which it must be or divide"))
            }
            (_, Some(unit)) if !context.is_multiple_of(unit) => {
                fail(format!("frame of this {modality} is {unit} bytes, which must divide it"))
            }
            _ => Ok(()),
        }
    }

    /// The same for content that is UTF-8 already, whatever encoding files are in.
    pub(crate) fn of_utf8(&self) -> Layout {
        match self {
            Layout::Text(layout) => Layout::Text(TextLayout { encoding: String::new(), ..layout.clone() }),
            layout => layout.clone(),
        }
    }

    /// What turns files into bytes of this layout and back, within the default limits.
    pub fn adapter(&self) -> Box<dyn Adapter> {
        self.adapter_within(&Limits::default())
    }

    /// What turns files into bytes of this layout and back, within limits.
    pub fn adapter_within(&self, limits: &Limits) -> Box<dyn Adapter> {
        match self {
            Layout::Text(layout) => Box::new(text::TextAdapter::new(layout.clone())),
            Layout::Image(layout) => Box::new(image::ImageAdapter::new(layout.clone(), limits.clone())),
            Layout::Audio(layout) => Box::new(audio::AudioAdapter::new(layout.clone())),
            Layout::Bytes(layout) => Box::new(bytes::BytesAdapter::new(layout.clone())),
        }
    }
}

/// The error of an input that fails for reasons of the system.
fn unreadable(error: std::io::Error) -> Error {
    Error::Content(format!("can't be read: {error}"))
}

/// The error of an output that takes no more bytes.
fn unwritable(error: std::io::Error) -> Error {
    Error::Content(format!("its bytes can't be written: {error}"))
}
