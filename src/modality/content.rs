//! What a file's content looks like by its first bytes, and a fence around decoders that are fed hostile files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

/// Who can read a kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Png,
    Jpeg,
    /// RIFF WAVE, which has a reader of its own.
    Wav,
    /// A container that the general audio decoder opens.
    Audio,
    None,
}

/// A kind of content, with a name for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub reader: Reader,
    pub name: &'static str,
}

/// Bytes at an offset.
type Mark = (usize, &'static [u8]);

/// The first row whose marks all match decides.
const KINDS: &[(&[Mark], Reader, &str)] = &[
    (&[(0, b"\x89PNG\r\n\x1a\n")], Reader::Png, "a PNG image"),
    (&[(0, b"\xff\xd8\xff")], Reader::Jpeg, "a JPEG image"),
    (&[(0, b"RIFF"), (8, b"WAVE")], Reader::Wav, "a WAV file"),
    (&[(0, b"RF64"), (8, b"WAVE")], Reader::None, "an RF64 WAV file"),
    (&[(0, b"fLaC")], Reader::Audio, "a FLAC file"),
    (&[(0, b"OggS"), (28, b"OpusHead")], Reader::None, "an Ogg file with Opus"),
    (&[(0, b"OggS")], Reader::Audio, "an Ogg file"),
    (&[(0, b"ID3")], Reader::Audio, "an MP3 file"),
    (&[(4, b"ftypheic")], Reader::None, "a HEIC image"),
    (&[(4, b"ftypavif")], Reader::None, "an AVIF image"),
    (&[(4, b"ftyp")], Reader::Audio, "an MP4 file"),
    (&[(0, b"FORM"), (8, b"AIF")], Reader::Audio, "an AIFF file"),
    (&[(0, b"caff")], Reader::Audio, "a CAF file"),
    (&[(0, b"\x1a\x45\xdf\xa3")], Reader::Audio, "a Matroska or WebM file"),
    (&[(0, b".snd")], Reader::None, "a Sun AU file"),
    (&[(0, b"riff\x2e\x91\xcf\x11")], Reader::None, "a Wave64 file"),
    (&[(0, b"wvpk")], Reader::None, "a WavPack file"),
    (&[(0, b"\x0b\x77")], Reader::None, "an AC-3 file"),
    (&[(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")], Reader::None, "a Windows Media file"),
    (&[(0, b"MThd")], Reader::None, "a MIDI file"),
    (&[(0, b"GIF8")], Reader::None, "a GIF image"),
    (&[(0, b"RIFF"), (8, b"WEBP")], Reader::None, "a WebP image"),
    (&[(0, b"II*\0")], Reader::None, "a TIFF image"),
    (&[(0, b"MM\0*")], Reader::None, "a TIFF image"),
    (&[(0, b"BM"), (6, b"\0\0\0\0")], Reader::None, "a BMP image"),
    (&[(0, b"\0\0\0\x0cjP  ")], Reader::None, "a JPEG 2000 image"),
    (&[(0, b"%PDF")], Reader::None, "a PDF document"),
    (&[(0, b"PK\x03\x04")], Reader::None, "a ZIP archive"),
    (&[(0, b"\x1f\x8b")], Reader::None, "a gzip file"),
    (&[(0, b"\xfd7zXZ\0")], Reader::None, "an xz file"),
];

/// The kind of a content, by its first bytes alone: names of files lie.
pub(super) fn kind(content: &[u8]) -> Kind {
    let has = |&(offset, mark): &Mark| content.get(offset..).is_some_and(|rest| rest.starts_with(mark));
    if let Some(&(_, reader, name)) = KINDS.iter().find(|(marks, ..)| marks.iter().all(has)) {
        return Kind { reader, name };
    }
    let (reader, name) = match content {
        [] => (Reader::None, "an empty file"),
        // MPEG frame synchronisation, then version and layer: layer 0 is AAC in ADTS, layer bits 01 are layer III.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => (Reader::Audio, "an AAC file"),
        [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 == 0x02 => (Reader::Audio, "an MP3 file"),
        _ if std::str::from_utf8(&content[..content.len().min(64)]).is_ok_and(|start| !start.contains('\0')) => {
            (Reader::None, "text")
        }
        _ => (Reader::None, "no format that is known here"),
    };
    Kind { reader, name }
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a decoder whose panics become errors: a panic hook has nothing to say about those.
pub fn decoding() -> bool {
    DECODING.get()
}

/// Runs a decoder on content that may be hostile. A decoder that panics gives an error like one that refuses, so that
/// one file can't end the preparation of a million others. This is the only place that catches panics.
pub(crate) fn contained<T>(content: &[u8], decode: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing that the decoder changed outlives the panic, so there is no broken state to see.
    let outer = DECODING.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(outer);
    decoded.unwrap_or_else(|_| {
        let name = kind(content).name;
        Err(Error::Content(format!("looks like {name}, but is damaged in a way that its decoder can't handle")))
    })
}

/// The error for content of a kind that nothing here reads.
pub(super) fn unsupported(content: &[u8], supported: &str, remedy: &str) -> Error {
    Error::Content(format!("looks like {}; supported are {supported}; {remedy}", kind(content).name))
}

/// The error for content of a supported kind that its decoder refuses.
pub(super) fn damaged(content: &[u8], reason: impl std::fmt::Display) -> Error {
    Error::Content(format!("looks like {}, but can't be read: {reason}", kind(content).name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_the_first_bytes_show() {
        assert_eq!(kind(b"").name, "an empty file");
        assert_eq!(kind(b"hello\n").name, "text");
        assert_eq!(kind(b"\0\x01\x02").name, "no format that is known here");
        assert_eq!(kind(b"RIFF\0\0\0\0WAVEfmt ").reader, Reader::Wav);
        assert_eq!(kind(b"RIFF\0\0\0\0WEBP").name, "a WebP image");
        assert_eq!(kind(b"RIFF").name, "text");
        assert_eq!(kind(b"\xff\xfb\x90\x00").name, "an MP3 file");
        assert_eq!(kind(b"\xff\xf1\x50\x80").name, "an AAC file");
        // The byte order mark of UTF-16 begins like a frame of MPEG layer I.
        assert_eq!(kind(b"\xff\xfe\x41\x00").reader, Reader::None);
        assert_eq!(kind(b"\xff\xd8\xff\xe0").reader, Reader::Jpeg);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let result: Result<()> = contained(b"fLaC", || {
            assert!(decoding());
            panic!("a decoder's own")
        });
        assert!(!decoding());
        assert!(result.unwrap_err().to_string().contains("a FLAC file"));
    }
}
