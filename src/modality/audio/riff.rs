//! The chunks of WAV files and of their relatives for more than 4 GiB: RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088), and
//! Wave64 (Sony).

use std::io::{Read, SeekFrom};

use symphonia::core::codecs::audio::well_known as codec;

use super::super::Input;
use super::super::content::damaged;
use super::source::CONVERT;
use super::wav::Pcm;
use super::{adpcm, raw};
use crate::Error;

/// Where a WAV file's samples are, and what it says about them.
#[derive(Debug)]
pub(super) struct Riff {
    /// The content of the `fmt ` chunk, at least 16 bytes.
    pub fmt: Vec<u8>,
    /// The first byte of the samples.
    pub start: u64,
    /// Bytes of samples that are there.
    pub len: u64,
    pub claimed: Claimed,
}

/// What the header says of the length of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Claimed {
    /// What is there.
    Whole,
    /// Nothing: it was written before its program knew.
    Open,
    /// More bytes than there are.
    More(u64),
}

/// More is no format description.
const MAX_FMT: u64 = 1 << 16;
/// Lengths that programs write to a pipe, where they can't come back to fill in the right one: SoX and others, of which
/// some leave the header out.
const PIPED: [u64; 3] = [0x7fff_f000, 0x7fff_ffff, 0x8000_0000];
/// Lengths from here on say that the length isn't known.
const OPEN: u64 = u32::MAX as u64 - 0xff;
/// From here on they do where the file has less.
const VAST: u64 = 0x7000_0000;

impl Riff {
    /// Reads the chunks up to the samples, of a file of `file_len` bytes. A length that a live recording or a pipe left
    /// open (0, or about 2^31 or 2^32) reaches to the end of the file, and so does one that the file hasn't.
    pub fn parse(head: &[u8], input: &mut dyn Input, file_len: u64) -> Result<Self, String> {
        let wave64 = head.starts_with(b"riff");
        let mut at = if wave64 { 40 } else { 12 };
        // The length after the first four letters leaves out itself and those.
        let whole = if wave64 { le64(head, 16) == file_len } else { u64::from(le32(head, 4)) + 8 == file_len };
        let (mut fmt, mut long) = (None, None);
        loop {
            let Chunk { name, start, len, next } = chunk(input, at, wave64)?;
            match &name {
                b"fmt " => fmt = Some(content(input, start, len)?),
                // Sizes of the file, of the samples, and more.
                b"ds64" => long = Some(le64(&content(input, start, len)?, 8)),
                b"data" => {
                    let Some(fmt) = fmt.filter(|fmt: &Vec<u8>| fmt.len() >= 16) else {
                        return Err("its samples come before the chunk that describes them".to_owned());
                    };
                    let there = file_len.saturating_sub(start);
                    let claimed = match long {
                        Some(long) if len >= OPEN && long > 0 => long,
                        _ => len,
                    };
                    // Files of 4 GiB and more have lengths that aren't open.
                    let marks = if wave64 || long == Some(claimed) { 0..=0 } else { OPEN..=u64::from(u32::MAX) };
                    let open = PIPED.contains(&claimed)
                        || claimed == 0 && !whole
                        || claimed != 0 && marks.contains(&claimed)
                        || claimed >= VAST && claimed > there;
                    let (len, claimed) = match claimed {
                        _ if open => (there, Claimed::Open),
                        claimed if claimed > there => (there, Claimed::More(claimed)),
                        claimed => (claimed, Claimed::Whole),
                    };
                    return Ok(Riff { fmt, start, len, claimed });
                }
                _ => {}
            }
            at = next;
        }
    }

    /// The kind of samples; of the extensible form, which says 0xfffe, the kind in its identifier.
    fn tag(&self) -> u16 {
        match le16(&self.fmt, 0) {
            0xfffe => le16(&self.fmt, 24),
            tag => tag,
        }
    }

    fn channels(&self) -> u16 {
        le16(&self.fmt, 2)
    }

    fn rate(&self) -> u32 {
        le32(&self.fmt, 4)
    }

    /// Bytes of a frame, or of a block.
    pub fn frame(&self) -> u64 {
        le16(&self.fmt, 12).into()
    }

    fn bits(&self) -> u16 {
        le16(&self.fmt, 14)
    }

    /// Integers of up to 32 bits and floats of 32.
    pub fn pcm(&self) -> Option<Pcm> {
        let channels = self.channels();
        let width = self.frame().checked_div(channels.into()).filter(|&width| (1..=4).contains(&width))? as u16;
        let fits = self.frame() == u64::from(width * channels) && self.bits().div_ceil(8) <= width && self.bits() > 0;
        // The extensible form tells the bits of a sample's container from those that are used.
        let extended = if le16(&self.fmt, 0) == 0xfffe { le16(&self.fmt, 18) } else { self.bits() };
        let valid = if (1..=8 * width).contains(&extended) { extended } else { 8 * width };
        let float = match (self.tag(), self.bits()) {
            (1, _) => false,
            (3, 32) => true,
            _ => return None,
        };
        fits.then_some(Pcm { rate: self.rate(), channels, width, valid, float })
    }

    /// Other samples that stand one by one: mu-law, A-law, floats of 64 bits.
    pub fn raw(&self) -> Option<raw::Format> {
        let (codec, bytes) = match (self.tag(), self.bits()) {
            (3, 64) => (codec::CODEC_ID_PCM_F64LE, 8),
            (6, 8) => (codec::CODEC_ID_PCM_ALAW, 1),
            (7, 8) => (codec::CODEC_ID_PCM_MULAW, 1),
            _ => return None,
        };
        let (channels, rate) = (self.channels(), self.rate());
        let fits = self.frame() == bytes * u64::from(channels);
        fits.then_some(raw::Format { codec, bytes, rate, channels, start: self.start, len: self.len })
    }

    /// ADPCM in blocks.
    pub fn adpcm(&self) -> Option<adpcm::Format> {
        let kind = match (self.tag(), self.bits()) {
            (0x11, 4) => adpcm::Kind::Ima,
            (2, 4) => adpcm::Kind::Microsoft,
            _ => return None,
        };
        let (rate, channels, block) = (self.rate(), self.channels(), self.frame());
        Some(adpcm::Format { kind, rate, channels, block, start: self.start, len: self.len })
    }

    /// The error for a kind of samples that nobody here reads.
    pub fn unread(&self, looks: &str) -> Error {
        let (tag, bits) = (self.tag(), self.bits());
        let name = match tag {
            0x31 => "GSM 6.10",
            0x40 | 0x45 | 0x64 => "G.721 or G.726",
            0x50 => "MPEG audio",
            0x55 => "MP3",
            0x160..=0x163 => "Windows Media Audio",
            0x2000 => "AC-3",
            0x2001 => "DTS",
            0x6771.. => "Vorbis or another codec",
            _ => {
                let (channels, frame) = (self.channels(), self.frame());
                let claims = format!("{channels} channels of {bits} bits in frames of {frame} bytes, of kind {tag:#x}");
                return damaged(looks, format!("it claims {claims}; if it is whole, {CONVERT}"));
            }
        };
        Error::Content(format!("looks like {looks}, but holds {name}, which isn't read here; {CONVERT}"))
    }
}

/// A chunk's name, where its content is and how long, and where the next one begins.
struct Chunk {
    name: [u8; 4],
    start: u64,
    len: u64,
    next: u64,
}

fn chunk(input: &mut dyn Input, at: u64, wave64: bool) -> Result<Chunk, String> {
    let header = content(input, at, if wave64 { 24 } else { 8 }).map_err(|_| "it has no samples".to_owned())?;
    let name = [header[0], header[1], header[2], header[3]];
    let start = at + header.len() as u64;
    // Wave64 counts the header and begins chunks at multiples of 8, RIFF at multiples of 2.
    let (len, even) = match wave64 {
        true => (le64(&header, 16).saturating_sub(24), 8),
        false => (u64::from(le32(&header, 4)), 2),
    };
    // A length that was left open may be anything; the samples, which have such, are the last chunk that is read.
    let next = start.checked_add(len).and_then(|end| end.checked_next_multiple_of(even)).unwrap_or(u64::MAX);
    Ok(Chunk { name, start, len, next })
}

fn content(input: &mut dyn Input, start: u64, len: u64) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    input.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
    input.take(len.min(MAX_FMT)).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if (content.len() as u64) < len { Err("a chunk is cut".to_owned()) } else { Ok(content) }
}

/// Little-endian numbers; 0 beyond the end.
fn le16(bytes: &[u8], at: usize) -> u16 {
    le64(bytes, at) as u16
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    le64(bytes, at) as u32
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    (at..at + 8).rev().fold(0, |number, at| number << 8 | u64::from(bytes.get(at).copied().unwrap_or(0)))
}
