//! One file, compressed: gzip (RFC 1952), Zstandard (RFC 8878), xz (its file format 1.2) and bzip2. Members, frames
//! and streams that follow one another are one content, as the formats' own tools have it. What else is behind them is
//! counted and left out.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

use liblzma::stream::Stream;

/// Memory that an xz or Zstandard file may ask for: their dictionaries can be told to be gigabytes.
const XZ_MEMORY: u64 = 256 << 20;
const ZSTD_WINDOW_LOG: u32 = 28;

/// A way to compress one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Codec {
    /// The codec that a content begins like.
    pub(super) fn of(head: &[u8]) -> Option<Codec> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Codec::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Codec::Zstd),
            // A skippable frame, as parallel compressors write one first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Codec::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Codec::Xz),
            // A block, or the end of a file without any: text may well begin with `BZh`.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Codec::Bzip2),
            _ => None,
        }
    }

    /// What `stream` holds. Once that was read to its end, `behind` is how many bytes follow that belong to nothing.
    pub(super) fn decoder<'a>(self, stream: impl Read + 'a, behind: &'a Cell<u64>) -> io::Result<Box<dyn Read + 'a>> {
        let rest = Rest { peeked: Vec::new(), inner: BufReader::with_capacity(1 << 16, Box::new(stream)) };
        Ok(Box::new(Members { codec: self, state: State::Inside(self.member(rest)?), behind }))
    }

    /// A member that begins here.
    fn member<'a>(self, rest: Rest<'a>) -> io::Result<Box<dyn Member<'a> + 'a>> {
        Ok(match self {
            Codec::Gzip => Box::new(flate2::bufread::GzDecoder::new(rest)),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(rest)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Codec::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(rest, stream))
            }
            Codec::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(rest)),
        })
    }
}

/// A member, frame or stream.
trait Member<'a>: Read {
    /// What is behind it, once it was read to its end.
    fn rest(self: Box<Self>) -> Rest<'a>;
}

impl<'a> Member<'a> for flate2::bufread::GzDecoder<Rest<'a>> {
    fn rest(self: Box<Self>) -> Rest<'a> {
        self.into_inner()
    }
}

impl<'a> Member<'a> for zstd::Decoder<'static, Rest<'a>> {
    fn rest(self: Box<Self>) -> Rest<'a> {
        self.finish()
    }
}

impl<'a> Member<'a> for liblzma::bufread::XzDecoder<Rest<'a>> {
    fn rest(self: Box<Self>) -> Rest<'a> {
        self.into_inner()
    }
}

impl<'a> Member<'a> for bzip2::bufread::BzDecoder<Rest<'a>> {
    fn rest(self: Box<Self>) -> Rest<'a> {
        self.into_inner()
    }
}

/// Members that follow one another.
struct Members<'a> {
    codec: Codec,
    state: State<'a>,
    behind: &'a Cell<u64>,
}

enum State<'a> {
    Inside(Box<dyn Member<'a> + 'a>),
    Ended,
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let State::Inside(member) = &mut self.state {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let State::Inside(member) = std::mem::replace(&mut self.state, State::Ended) else { break };
            let mut rest = member.rest();
            let mut padding = 0;
            if self.codec == Codec::Xz {
                // Zeros in fours may stand between streams and behind them.
                while rest.peek(4)? == [0; 4] {
                    rest.consume(4);
                    padding += 4;
                }
            }
            let begin = rest.peek(10)?;
            if begin.is_empty() {
                return Ok(0);
            }
            if Codec::of(begin) == Some(self.codec) {
                self.state = State::Inside(self.codec.member(rest)?);
            } else {
                self.behind.set(padding + io::copy(&mut rest, &mut io::sink())?);
            }
        }
        Ok(0)
    }
}

/// What is not read yet, of which the next bytes can be looked at.
struct Rest<'a> {
    peeked: Vec<u8>,
    inner: BufReader<Box<dyn Read + 'a>>,
}

impl Rest<'_> {
    /// The next `len` bytes, or all there are.
    fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        let more = len.saturating_sub(self.peeked.len());
        self.inner.by_ref().take(more as u64).read_to_end(&mut self.peeked)?;
        Ok(&self.peeked[..len.min(self.peeked.len())])
    }
}

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let read = available.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Rest<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.peeked.is_empty() { self.inner.fill_buf() } else { Ok(&self.peeked) }
    }

    fn consume(&mut self, len: usize) {
        if self.peeked.is_empty() {
            self.inner.consume(len);
        } else {
            self.peeked.drain(..len);
        }
    }
}
