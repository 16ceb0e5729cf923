//! What a file's content looks like by its first bytes, and a fence around decoders that are fed hostile files.

use std::cell::Cell;
use std::io::{Read, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::ImageFormat;

use super::{Input, Modality, unreadable};
use crate::{Error, Result};

/// The first bytes of a file that are enough to tell its kind.
const HEAD: u64 = 512;

/// Who can read a kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The picture decoder of a format.
    Image(ImageFormat),
    /// RIFF WAVE and its larger relatives.
    Wav,
    /// Sun AU.
    Au,
    /// A container that the general audio decoder opens.
    Audio,
    None,
}

/// A kind of content, with a name for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub reader: Reader,
    pub modality: Option<Modality>,
    pub name: &'static str,
}

/// What a file is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// For messages, with an article: `a PNG image`, `text`.
    pub name: &'static str,
    /// The modality it belongs to, whether or not its format is one that is read here; `None` for archives, programs
    /// and what isn't known.
    pub modality: Option<Modality>,
}

/// Tells what a file is by its first bytes (512 are enough), never by its name: names of files lie.
pub fn detect(head: &[u8]) -> Detected {
    let Kind { name, modality, .. } = kind(head);
    Detected { name, modality }
}

/// Bytes at an offset.
type Mark = (usize, &'static [u8]);

const IMAGE: Option<Modality> = Some(Modality::Image);
const AUDIO: Option<Modality> = Some(Modality::Audio);
const TEXT: Option<Modality> = Some(Modality::Text);

/// The first row whose marks all match decides.
const KINDS: &[(&[Mark], Reader, Option<Modality>, &str)] = &[
    (&[(0, b"\x89PNG\r\n\x1a\n")], Reader::Image(ImageFormat::Png), IMAGE, "a PNG image"),
    (&[(0, b"\xff\xd8\xff")], Reader::Image(ImageFormat::Jpeg), IMAGE, "a JPEG image"),
    (&[(0, b"RIFF"), (8, b"WEBP")], Reader::Image(ImageFormat::WebP), IMAGE, "a WebP image"),
    (&[(0, b"GIF87a")], Reader::Image(ImageFormat::Gif), IMAGE, "a GIF image"),
    (&[(0, b"GIF89a")], Reader::Image(ImageFormat::Gif), IMAGE, "a GIF image"),
    // The header's size, below 256, follows the offset of the pixels.
    (&[(0, b"BM"), (15, b"\0\0\0")], Reader::Image(ImageFormat::Bmp), IMAGE, "a BMP image"),
    (&[(0, b"II*\0")], Reader::Image(ImageFormat::Tiff), IMAGE, "a TIFF image"),
    (&[(0, b"MM\0*")], Reader::Image(ImageFormat::Tiff), IMAGE, "a TIFF image"),
    (&[(0, b"II+\0\x08\0")], Reader::Image(ImageFormat::Tiff), IMAGE, "a TIFF image"),
    (&[(0, b"MM\0+\0\x08")], Reader::Image(ImageFormat::Tiff), IMAGE, "a TIFF image"),
    (&[(0, b"qoif")], Reader::Image(ImageFormat::Qoi), IMAGE, "a QOI image"),
    (&[(0, b"\0\0\x01\0"), (5, b"\0")], Reader::Image(ImageFormat::Ico), IMAGE, "an ICO image"),
    (&[(4, b"ftypheic")], Reader::None, IMAGE, "a HEIC image"),
    (&[(4, b"ftypmif1")], Reader::None, IMAGE, "a HEIF image"),
    (&[(4, b"ftypavif")], Reader::None, IMAGE, "an AVIF image"),
    (&[(0, b"\0\0\0\x0cjP  ")], Reader::None, IMAGE, "a JPEG 2000 image"),
    (&[(0, b"\xff\x4f\xff\x51")], Reader::None, IMAGE, "a JPEG 2000 image"),
    (&[(0, b"\xff\x0a")], Reader::None, IMAGE, "a JPEG XL image"),
    (&[(0, b"\0\0\0\x0cJXL ")], Reader::None, IMAGE, "a JPEG XL image"),
    (&[(0, b"8BPS")], Reader::None, IMAGE, "a Photoshop document"),
    (&[(0, b"\x76\x2f\x31\x01")], Reader::None, IMAGE, "an OpenEXR image"),
    (&[(0, b"#?RADIANCE")], Reader::None, IMAGE, "a Radiance HDR image"),
    (&[(0, b"DDS ")], Reader::None, IMAGE, "a DDS image"),
    (&[(0, b"RIFF"), (8, b"WAVE")], Reader::Wav, AUDIO, "a WAV file"),
    (&[(0, b"RF64"), (8, b"WAVE")], Reader::Wav, AUDIO, "an RF64 WAV file"),
    (&[(0, b"BW64"), (8, b"WAVE")], Reader::Wav, AUDIO, "a BW64 WAV file"),
    (&[(0, b"riff\x2e\x91\xcf\x11")], Reader::Wav, AUDIO, "a Wave64 file"),
    (&[(0, b".snd")], Reader::Au, AUDIO, "a Sun AU file"),
    (&[(0, b"fLaC")], Reader::Audio, AUDIO, "a FLAC file"),
    (&[(0, b"OggS"), (28, b"OpusHead")], Reader::None, AUDIO, "an Ogg file with Opus"),
    (&[(0, b"OggS"), (28, b"Speex   ")], Reader::None, AUDIO, "an Ogg file with Speex"),
    (&[(0, b"OggS"), (28, b"\x80theora")], Reader::None, None, "an Ogg file with video"),
    (&[(0, b"OggS")], Reader::Audio, AUDIO, "an Ogg file"),
    (&[(0, b"ID3")], Reader::Audio, AUDIO, "an MP3 file"),
    (&[(0, b"APETAGEX")], Reader::Audio, AUDIO, "an MP3 file"),
    (&[(4, b"ftyp")], Reader::Audio, AUDIO, "an MP4 file"),
    (&[(0, b"FORM"), (8, b"AIF")], Reader::Audio, AUDIO, "an AIFF file"),
    (&[(0, b"caff")], Reader::Audio, AUDIO, "a CAF file"),
    (&[(0, b"\x1a\x45\xdf\xa3")], Reader::Audio, AUDIO, "a Matroska or WebM file"),
    (&[(0, b"wvpk")], Reader::None, AUDIO, "a WavPack file"),
    (&[(0, b"\x0b\x77")], Reader::None, AUDIO, "an AC-3 file"),
    (&[(0, b"\x7f\xfe\x80\x01")], Reader::None, AUDIO, "a DTS file"),
    (&[(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")], Reader::None, AUDIO, "a Windows Media file"),
    (&[(0, b"MAC ")], Reader::None, AUDIO, "a Monkey's Audio file"),
    (&[(0, b"TTA1")], Reader::None, AUDIO, "a True Audio file"),
    (&[(0, b"MPCK")], Reader::None, AUDIO, "a Musepack file"),
    (&[(0, b"#!AMR")], Reader::None, AUDIO, "an AMR file"),
    (&[(0, b"DSD ")], Reader::None, AUDIO, "a DSD file"),
    (&[(0, b"MThd")], Reader::None, None, "a MIDI file"),
    (&[(0, b"RIFF"), (8, b"AVI ")], Reader::None, None, "an AVI video"),
    (&[(0, b"%PDF")], Reader::None, None, "a PDF document"),
    (&[(0, b"PK\x03\x04")], Reader::None, None, "a ZIP archive"),
    (&[(0, b"7z\xbc\xaf\x27\x1c")], Reader::None, None, "a 7z archive"),
    (&[(257, b"ustar")], Reader::None, None, "a tar archive"),
    (&[(0, b"\x1f\x8b")], Reader::None, None, "a gzip file"),
    (&[(0, b"BZh"), (4, b"1AY&SY")], Reader::None, None, "a bzip2 file"),
    (&[(0, b"\xfd7zXZ\0")], Reader::None, None, "an xz file"),
    (&[(0, b"\x28\xb5\x2f\xfd")], Reader::None, None, "a Zstandard file"),
    (&[(0, b"\x7fELF")], Reader::None, None, "a program"),
    (&[(0, b"\xff\xfe")], Reader::None, TEXT, "text in UTF-16"),
    (&[(0, b"\xfe\xff")], Reader::None, TEXT, "text in UTF-16"),
];

/// The kind of a content, by its first bytes alone.
pub(super) fn kind(content: &[u8]) -> Kind {
    // First: its pixels may hold the mark of a tar archive, which stands far behind the start.
    if is_pnm(content) {
        return Kind { reader: Reader::Image(ImageFormat::Pnm), modality: IMAGE, name: "a PNM image" };
    }
    let has = |&(offset, mark): &Mark| content.get(offset..).is_some_and(|rest| rest.starts_with(mark));
    if let Some(&(_, reader, modality, name)) = KINDS.iter().find(|(marks, ..)| marks.iter().all(has)) {
        return Kind { reader, modality, name };
    }
    let (reader, modality, name) = match content {
        [] => (Reader::None, None, "an empty file"),
        // MPEG frame synchronisation, then version and layer: layer 0 is AAC in ADTS, 01 layer III, 10 layer II.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => (Reader::Audio, AUDIO, "an AAC file"),
        [0xff, second, ..] if second & 0xe6 == 0xe2 => (Reader::Audio, AUDIO, "an MP3 file"),
        [0xff, second, ..] if second & 0xe6 == 0xe4 => (Reader::Audio, AUDIO, "an MP2 file"),
        [0, ..] if is_padded_mp3(content) => (Reader::Audio, AUDIO, "an MP3 file"),
        _ if is_text(&content[..content.len().min(HEAD as usize)]) => (Reader::None, TEXT, "text"),
        _ => (Reader::None, None, "no format that is known here"),
    };
    Kind { reader, modality, name }
}

/// Whether zeros, which some encoders put in front, are followed by the header of a frame of MPEG audio, layer III: besides
/// the synchronization, no field of it has a reserved value.
fn is_padded_mp3(content: &[u8]) -> bool {
    let frame = content.iter().position(|&byte| byte != 0).map_or(&[][..], |at| &content[at..]);
    let &[0xff, second, third, fourth, ..] = frame else { return false };
    let (version, bit_rate, rate, emphasis) = (second >> 3 & 3, third >> 4, third >> 2 & 3, fourth & 3);
    second & 0xe6 == 0xe2 && version != 1 && !matches!(bit_rate, 0 | 15) && rate != 3 && emphasis != 2
}

/// Whether the first bytes are the header of a picture of the Netpbm family: `P` and a digit are no rare beginning of a
/// text, so a number or the name of a field has to follow.
fn is_pnm(content: &[u8]) -> bool {
    let [b'P', digit @ b'1'..=b'7', space, rest @ ..] = content else { return false };
    if *digit == b'7' {
        let fields: [&[u8]; 6] = [b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL", b"TUPLTYPE", b"#"];
        return *space == b'\n' && fields.iter().any(|field| rest.starts_with(field));
    }
    let mut comment = *space == b'#';
    for byte in rest {
        match byte {
            b'\n' => comment = false,
            _ if comment => {}
            b'#' => comment = true,
            byte if byte.is_ascii_whitespace() => {}
            byte => return byte.is_ascii_digit() && (space.is_ascii_whitespace() || *space == b'#'),
        }
    }
    false
}

/// Whether bytes are UTF-8 without NUL; the last character may be cut.
fn is_text(start: &[u8]) -> bool {
    let whole = match std::str::from_utf8(start) {
        Ok(_) => start.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    whole > 0 && !start.contains(&0)
}

/// The first bytes of an input, which stands at its start again afterwards.
pub(super) fn head(input: &mut dyn Input) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
    rewind(input)?;
    Ok(head)
}

/// Goes to the start of an input.
pub(super) fn rewind(input: &mut dyn Input) -> Result<()> {
    input.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    Ok(())
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a decoder whose panics become errors: a panic hook has nothing to say about those.
pub fn decoding() -> bool {
    DECODING.get()
}

/// Runs a decoder on content that may be hostile, of which `content` holds at least the first bytes. A decoder that
/// panics gives an error like one that refuses, so that one file can't end the preparation of a million others. This is
/// the only place that catches panics; a hook asks [`decoding`] whether to be silent about one.
pub fn contained<T>(content: &[u8], decode: impl FnOnce() -> Result<T>) -> Result<T> {
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
pub(super) fn unsupported(name: &str, supported: &str, remedy: &str) -> Error {
    Error::Content(format!("looks like {name}; supported are {supported}; {remedy}"))
}

/// The error for content of a supported kind that its decoder refuses.
pub(super) fn damaged(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::Content(format!("looks like {name}, but can't be read: {reason}"))
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
        assert_eq!(kind("я".repeat(300).as_bytes()).name, "text");
        assert_eq!(kind(b"P5\n# made by hand\n3 4\n255\n").name, "a PNM image");
        assert_eq!(kind(b"P7\nWIDTH 3\n").name, "a PNM image");
        assert_eq!(kind(b"P2 is a paragraph").name, "text");
        let tar_in_pixels = [b"P5 20 20 255\n".as_slice(), &[7; 244], b"ustar", &[7; 151]].concat();
        assert_eq!(kind(&tar_in_pixels).name, "a PNM image");
        assert_eq!(kind(b"RIFF").name, "text");
        assert_eq!(kind(b"\xff\xfb\x90\x00").name, "an MP3 file");
        assert_eq!(kind(b"\xff\xf1\x50\x80").name, "an AAC file");
        assert_eq!(kind(b"\0\0\0\xff\xfb\x90\x00").name, "an MP3 file");
        assert_eq!(kind(b"\0\0\0\xff\xff\x90\x00").reader, Reader::None);
        // The byte order mark of UTF-16 begins like a frame of MPEG layer I.
        assert_eq!(kind(b"\xff\xfe\x41\x00").reader, Reader::None);
        assert_eq!(detect(b"\xff\xfe\x41\x00"), Detected { name: "text in UTF-16", modality: Some(Modality::Text) });
        assert_eq!(kind(b"\xff\xd8\xff\xe0").reader, Reader::Image(ImageFormat::Jpeg));
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
