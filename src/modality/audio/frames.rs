//! Streams of frames without a container: MPEG audio and AAC in ADTS. Every frame there is, found by its header, and
//! nothing estimated.

use std::io::{Read, SeekFrom};

use symphonia::core::codecs::audio::AudioCodecId;

use super::super::{Input, unreadable};
use super::tags;
use crate::Result;

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub codec: AudioCodecId,
    /// Samples a second.
    pub rate: u32,
    pub channels: u16,
    /// Samples of each channel.
    pub samples: u32,
    /// Bytes of the frame.
    pub len: usize,
    /// Bytes of it that the decoder doesn't get.
    pub prefix: usize,
}

impl Header {
    /// Whether a frame may follow another in one stream: what may differ are lengths and channels.
    fn follows(&self, other: &Header) -> bool {
        (self.codec, self.rate, self.samples) == (other.codec, other.rate, other.samples)
    }
}

/// A frame.
pub(super) struct Frame {
    pub header: Header,
    pub bytes: Vec<u8>,
    /// Bytes before it that belong to no frame and no tag.
    pub skipped: u64,
    /// Whether these are zeros, as some encoders begin with.
    pub zeros: bool,
}

impl Frame {
    /// Bytes before it that were something once.
    pub fn strange(&self) -> u64 {
        if self.zeros { 0 } else { self.skipped }
    }
}

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// The frames of a file, in order.
pub(super) struct Frames<'a> {
    input: &'a mut dyn Input,
    /// Reads the header that bytes begin with.
    parse: fn(&[u8]) -> Option<Header>,
    /// The next byte, and the end.
    at: u64,
    end: u64,
    /// What was read, of which the bytes from `used` on stand at `at`.
    window: Vec<u8>,
    used: usize,
    last: Option<Header>,
    /// A frame that the file ends in.
    cut: Option<Header>,
    /// Bytes behind the last frame that belong to none.
    rest: u64,
}

impl<'a> Frames<'a> {
    /// The frames in `sound`, a part of the input.
    pub fn new(
        input: &'a mut dyn Input,
        sound: std::ops::Range<u64>,
        parse: fn(&[u8]) -> Option<Header>,
    ) -> Result<Self> {
        input.seek(SeekFrom::Start(sound.start)).map_err(unreadable)?;
        let (at, end) = (sound.start, sound.end);
        Ok(Frames { input, parse, at, end, window: Vec::new(), used: 0, last: None, cut: None, rest: 0 })
    }

    /// Bytes from the next frame to the end.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    /// The frame that the file ends in the middle of, once all others were read.
    pub fn cut(&self) -> Option<Header> {
        self.cut
    }

    /// Bytes behind the last frame that belong to no frame and no tag, once all frames were read.
    pub fn rest(&self) -> u64 {
        self.rest
    }

    /// The next frame; `None` at the end.
    ///
    /// A header right behind a frame of its kind is a frame's. Anywhere else, where eleven bits of synchronization may
    /// be chance, another header or the end has to follow the frame.
    pub fn next(&mut self) -> Result<Option<Frame>> {
        let (parse, mut skipped, mut zeros) = (self.parse, 0, true);
        loop {
            let head = self.peek(tags::HEAD)?;
            if head.is_empty() {
                self.rest = skipped;
                return Ok(None);
            }
            let (tag, header) = (tags::at(head), parse(head));
            // One that claims more than there is would hide all that follows.
            if let Some(len) = tag.filter(|&len| skipped == 0 && len <= self.left()) {
                self.skip(len)?;
                continue;
            }
            if let Some(header) = header {
                let expected = skipped == 0 && self.last.is_some_and(|last| header.follows(&last));
                let whole = header.len as u64 <= self.left();
                if expected && !whole {
                    self.cut = Some(header);
                    return Ok(None);
                }
                if whole && (expected || self.is_followed(&header)?) {
                    let bytes = self.peek(header.len)?.to_vec();
                    // The file is shorter than it was.
                    if bytes.len() < header.len {
                        self.cut = Some(header);
                        return Ok(None);
                    }
                    self.skip(header.len as u64)?;
                    self.last = Some(header);
                    return Ok(Some(Frame { header, bytes, skipped, zeros }));
                }
            }
            // All headers begin with 0xff.
            let rest = self.window.get(self.used + 1..).unwrap_or_default();
            let step = 1 + rest.iter().position(|&byte| byte == 0xff).unwrap_or(rest.len()) as u64;
            let skips = self.window.get(self.used..).unwrap_or_default();
            zeros &= skips.iter().take(step as usize).all(|&byte| byte == 0);
            self.skip(step)?;
            skipped += step;
        }
    }

    /// Whether a frame ends where another begins, a tag does, or the file ends.
    fn is_followed(&mut self, header: &Header) -> Result<bool> {
        let parse = self.parse;
        let both = self.peek(header.len + tags::HEAD)?;
        let next = both.get(header.len..).unwrap_or_default();
        let follows = |next: Header| next.follows(header);
        Ok(next.is_empty() || tags::at(next).is_some() || parse(next).is_some_and(follows))
    }

    /// The next `len` bytes, or fewer at the end.
    fn peek(&mut self, len: usize) -> Result<&[u8]> {
        let wanted = (len as u64).min(self.left()) as usize;
        let there = self.window.len() - self.used;
        if there < wanted {
            self.window.drain(..self.used);
            self.used = 0;
            let more = (CHUNK as u64).max(wanted as u64).min(self.left()) - there as u64;
            let read = self.input.take(more).read_to_end(&mut self.window).map_err(unreadable)?;
            if (read as u64) < more {
                self.end = self.at + self.window.len() as u64;
            }
        }
        let end = self.window.len().min(self.used + wanted);
        Ok(&self.window[self.used..end])
    }

    fn skip(&mut self, len: u64) -> Result<()> {
        let len = len.min(self.left());
        self.at += len;
        if len <= (self.window.len() - self.used) as u64 {
            self.used += len as usize;
        } else {
            self.window.clear();
            self.used = 0;
            self.input.seek(SeekFrom::Start(self.at)).map_err(unreadable)?;
        }
        Ok(())
    }
}
