//! Sound files of every supported kind as blocks of samples.

use std::io::SeekFrom;

use super::super::content::{self, Reader, damaged};
use super::super::{Input, unreadable};
use super::adpcm::Adpcm;
use super::any::{Any, Container};
use super::losses::Losses;
use super::mp4::rescale;
use super::raw::Raw;
use super::riff::{Claimed, Riff};
use super::tags;
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
    /// What it is, for messages.
    pub name: &'static str,
    len: u64,
    notes: Vec<String>,
}

impl Opened<'_> {
    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Of a sound that was read to its end, what there is to know.
    pub fn warnings(&self) -> Vec<String> {
        [self.notes.clone(), self.source.warnings()].concat()
    }
}

/// Opens a sound file of a kind told by its content, which begins with `head`.
pub(super) fn open<'a>(head: &[u8], input: &'a mut dyn Input) -> Result<Opened<'a>> {
    let kind = content::kind(head);
    let name = kind.name;
    let len = input.seek(SeekFrom::End(0)).map_err(unreadable)?;
    content::rewind(input)?;
    let source: Box<dyn Source + 'a> = match kind.reader {
        Reader::Wav => return wav(head, input, len, name),
        Reader::Au => {
            let format = super::raw::au(&mut *input, len).map_err(|reason| damaged(name, reason))?;
            Box::new(Raw::new(format, input, name)?)
        }
        Reader::Audio => return any(input, len, name),
        _ => return Err(content::unsupported(name, SUPPORTED, CONVERT)),
    };
    Ok(Opened { source, name, len, notes: Vec::new() })
}

fn wav<'a>(head: &[u8], input: &'a mut dyn Input, len: u64, name: &'static str) -> Result<Opened<'a>> {
    let riff = Riff::parse(head, &mut *input, len).map_err(|reason| damaged(name, reason))?;
    let (there, claimed) = (riff.len - riff.len % riff.frame().max(1), riff.claimed);
    let source: Box<dyn Source + 'a> = if let Some(pcm) = riff.pcm() {
        Box::new(Wav::new(pcm, &riff, input, name)?)
    } else if let Some(format) = riff.raw() {
        Box::new(Raw::new(format, input, name)?)
    } else if let Some(format) = riff.adpcm() {
        Box::new(Adpcm::new(format, input, name)?)
    } else {
        return Err(riff.unread(name));
    };
    let mut notes = Vec::new();
    match claimed {
        Claimed::Whole => {}
        Claimed::Open => {
            notes.push("its header leaves the length of its sound open: it is read to the end of the file".to_owned());
        }
        Claimed::More(claimed) => {
            let Header { rate, frames, .. } = source.header();
            let (rate, frames) = (rate.unwrap_or(0), frames.unwrap_or(0));
            let mut losses = Losses::default();
            losses.add(frames, rescale(claimed, frames, there).saturating_sub(frames));
            notes.extend(losses.warnings(rate, frames));
        }
    }
    Ok(Opened { source, name, len, notes })
}

/// Opens what isn't plain samples: containers, and frames one after another, with or without tags around them.
fn any<'a>(input: &'a mut dyn Input, len: u64, name: &'static str) -> Result<Opened<'a>> {
    let sound = tags::between(&mut *input, len)?;
    let head = tags::read(&mut *input, sound.start, 16)?;
    // Behind a tag in front there may be any of these.
    let name = match content::kind(&head) {
        kind if sound.start > 0 && kind.reader == Reader::Audio => kind.name,
        _ => name,
    };
    let container = match &head[..] {
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Container::Mp4),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Container::Matroska),
        [b'F', b'O', b'R', b'M', ..] => Some(Container::Other),
        _ => None,
    };
    if head.starts_with(b"caff") && sound.start == 0 {
        return caf(input, len, name);
    }
    let source = match container {
        Some(container @ Container::Flac) => Any::container(input, sound, container, name)?,
        // Of other containers only frames and FLAC have tags behind; the rest would be cut.
        Some(container) => Any::container(input, sound.start..len, container, name)?,
        None => {
            let aac = matches!(head[..], [0xff, second, ..] if second & 0xf6 == 0xf0);
            Any::frames(input, sound, aac, name)?
        }
    };
    Ok(Opened { source: Box::new(source), name, len, notes: Vec::new() })
}

fn caf<'a>(input: &'a mut dyn Input, len: u64, name: &'static str) -> Result<Opened<'a>> {
    let chunks = super::caf::chunks(&mut *input, len)?;
    let source: Box<dyn Source + 'a> = match chunks.raw {
        Some(_) if chunks.missing > 0 => {
            let reason = format!("it ends before its sound does: {} bytes are missing", chunks.missing);
            return Err(damaged(name, reason));
        }
        Some(format) => Box::new(Raw::new(format, input, name)?),
        None => Box::new(Any::container(input, 0..chunks.end, Container::Other, name)?),
    };
    Ok(Opened { source, name, len, notes: Vec::new() })
}
