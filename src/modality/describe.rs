//! What a person wants to know of a source file before it is encoded.

use super::content::{self, Reader};
use super::{Input, audio, image};

/// What the headers of a file say about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Description {
    /// A picture.
    Picture {
        /// The format, with an article: `a PNG image`.
        format: &'static str,
        /// Width in pixels, before it is turned by its orientation.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The kind of colour: `gray`, `RGB with alpha`.
        colour: &'static str,
        /// Bits of a channel.
        bits: u16,
    },
    /// A sound.
    Sound {
        /// The format, with an article: `a FLAC file`.
        format: &'static str,
        /// Frames a second.
        rate: u32,
        /// Channels.
        channels: usize,
        /// Length, where the headers tell it.
        seconds: Option<f64>,
    },
}

/// Describes a picture or a sound by its headers; the content isn't decoded, so it may still be damaged. `None` for
/// other files, for kinds that aren't read here, and for broken headers. `input` stands at its start, before and after.
pub fn describe(input: &mut dyn Input) -> Option<Description> {
    let head = content::head(input).ok()?;
    let described = content::contained(&head, || match content::kind(&head).reader {
        Reader::Wav | Reader::Au | Reader::Audio => audio::describe(&head, input),
        Reader::Image(_) | Reader::None => image::describe::describe(&head, input),
    });
    content::rewind(input).ok()?;
    described.ok()
}
