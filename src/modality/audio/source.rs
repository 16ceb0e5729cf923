//! Sound files of every supported kind as blocks of samples: WAV through hound, plain samples in other headers through
//! symphonia's decoder of those, the rest through symphonia.

use std::io::SeekFrom;

use super::super::content::{self, Reader, damaged};
use super::super::{Input, unreadable};
use super::any::Any;
use super::raw::Raw;
use super::riff::Riff;
use super::wav::Wav;
use crate::Result;

const SUPPORTED: &str = "WAV (also RF64 and Wave64), FLAC, MP3, AAC, ALAC, AIFF, AU, CAF and Vorbis sound, \
                         in their own files or in Ogg, MP4 or Matroska";
/// What to do with sound that isn't supported.
pub(super) const CONVERT: &str = "convert it first, for instance with `ffmpeg -i FILE out.flac`";

/// Interleaved samples, full scale at 1.0.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame; at least one where there are samples.
    pub channels: usize,
    pub samples: Vec<f32>,
}

impl Block {
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1)
    }
}

/// What the headers of a file say, where they say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub rate: Option<u32>,
    pub channels: Option<usize>,
    pub frames: Option<u64>,
}

/// A decoder that gives a sound in blocks.
pub(super) trait Source {
    fn header(&self) -> Header;

    /// Replaces `block` by the next part of the sound; false at its end.
    fn read(&mut self, block: &mut Block) -> Result<bool>;

    /// Of a sound that was read to its end, what is lost of it, or was read otherwise than the headers say.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An opened file.
pub(super) struct Opened<'a> {
    pub source: Box<dyn Source + 'a>,
    len: u64,
}

impl Opened<'_> {
    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// Opens a sound file of a kind told by its content, which begins with `head`.
pub(super) fn open<'a>(head: &[u8], input: &'a mut dyn Input) -> Result<Opened<'a>> {
    let kind = content::kind(head);
    let name = kind.name;
    let len = input.seek(SeekFrom::End(0)).map_err(unreadable)?;
    content::rewind(input)?;
    let source: Box<dyn Source + 'a> = match kind.reader {
        Reader::Wav => {
            let riff = Riff::parse(head, &mut *input, len).map_err(|reason| damaged(name, reason))?;
            if let Some(spec) = Wav::spec(&riff) {
                Box::new(Wav::new(spec, riff, input, name)?)
            } else if let Some(format) = riff.raw() {
                Box::new(Raw::new(format, input, name)?)
            } else {
                // The kinds that are coded in packets: ADPCM, and what is refused by name.
                content::rewind(input)?;
                Box::new(Any::new(input, len, name).map_err(|error| riff.named(error))?)
            }
        }
        Reader::Au => {
            let format = super::raw::au(&mut *input, len).map_err(|reason| damaged(name, reason))?;
            Box::new(Raw::new(format, input, name)?)
        }
        Reader::Audio => Box::new(Any::new(input, len, name)?),
        _ => return Err(content::unsupported(name, SUPPORTED, CONVERT)),
    };
    Ok(Opened { source, len })
}
