//! One file, compressed: gzip (RFC 1952), Zstandard (RFC 8878), xz (its file format 1.2) and bzip2. Members, frames
//! and streams that follow one another are one content, as the formats' own tools have it.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

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

    /// What `stream` holds.
    pub(super) fn decoder<'a>(self, stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Codec::Gzip => Box::new(MultiGzDecoder::new(stream)),
            Codec::Zstd => {
                let mut decoder = zstd::Decoder::new(stream)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Codec::Xz => {
                let decoder = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(liblzma::read::XzDecoder::new_stream(stream, decoder))
            }
            Codec::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(stream)),
        })
    }
}
