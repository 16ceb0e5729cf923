//! The chunks of Core Audio Format files (Apple, Core Audio Format Specification 1.0): where plain samples are, and where
//! the chunks end.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;

use super::super::Input;
use super::raw::Format;
use super::tags::read;
use crate::Result;

/// What a file's chunks say.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Samples that stand one by one.
    pub raw: Option<Format>,
    /// The byte behind the last chunk: one of padding may follow, which is no chunk.
    pub end: u64,
    /// Bytes of samples that the header claims beyond the end of the file.
    pub missing: u64,
}

/// More chunks than this are nobody's.
const MOST: usize = 4_096;

/// Reads the chunks of a file of `len` bytes.
pub(super) fn chunks(input: &mut dyn Input, len: u64) -> Result<Chunks> {
    let (mut at, mut described, mut found) = (8, Vec::new(), Chunks { end: len, ..Chunks::default() });
    for _ in 0..MOST {
        let header = read(input, at, 12)?;
        let (Some(&name), Some(&size)) = (header.first_chunk::<4>(), header.last_chunk::<8>()) else {
            found.end = at.min(len);
            break;
        };
        if header.len() < 12 {
            found.end = at;
            break;
        }
        let (start, size) = (at + 12, i64::from_be_bytes(size));
        match &name {
            b"desc" => described = read(input, start, 32)?,
            b"data" => {
                // Samples, behind a number of edits, reach to the end where their length isn't known.
                let there = len.saturating_sub(start);
                let bytes = u64::try_from(size).unwrap_or(there);
                found.missing = bytes.saturating_sub(there);
                found.raw = format(&described, start + 4, bytes.min(there).saturating_sub(4));
            }
            _ => {}
        }
        match u64::try_from(size).ok().and_then(|size| start.checked_add(size)) {
            Some(next) if next <= len => at = next,
            _ => break,
        }
    }
    Ok(found)
}

/// How samples that aren't in packets are stored, by the description of the file.
fn format(described: &[u8], start: u64, len: u64) -> Option<Format> {
    let rate = f64::from_be_bytes(*described.first_chunk()?);
    let number = |at: usize| Some(u32::from_be_bytes(*described.get(at..)?.first_chunk()?));
    let (flags, packet, frames, channels, bits) = (number(12)?, number(16)?, number(20)?, number(24)?, number(28)?);
    let (codec, bytes): (AudioCodecId, u32) = match (described.get(8..12)?, flags & 3, bits) {
        (b"ulaw", ..) => (codec::CODEC_ID_PCM_MULAW, 1),
        (b"alaw", ..) => (codec::CODEC_ID_PCM_ALAW, 1),
        // One says floats, two the order of bytes that begins with the least.
        (b"lpcm", 0 | 2, 8) => (codec::CODEC_ID_PCM_S8, 1),
        (b"lpcm", 0, 16) => (codec::CODEC_ID_PCM_S16BE, 2),
        (b"lpcm", 2, 16) => (codec::CODEC_ID_PCM_S16LE, 2),
        (b"lpcm", 0, 24) => (codec::CODEC_ID_PCM_S24BE, 3),
        (b"lpcm", 2, 24) => (codec::CODEC_ID_PCM_S24LE, 3),
        (b"lpcm", 0, 32) => (codec::CODEC_ID_PCM_S32BE, 4),
        (b"lpcm", 2, 32) => (codec::CODEC_ID_PCM_S32LE, 4),
        (b"lpcm", 1, 32) => (codec::CODEC_ID_PCM_F32BE, 4),
        (b"lpcm", 3, 32) => (codec::CODEC_ID_PCM_F32LE, 4),
        (b"lpcm", 1, 64) => (codec::CODEC_ID_PCM_F64BE, 8),
        (b"lpcm", 3, 64) => (codec::CODEC_ID_PCM_F64LE, 8),
        _ => return None,
    };
    let whole = frames == 1 && Some(packet) == channels.checked_mul(bytes) && rate.fract() == 0.0 && rate >= 1.0;
    let (rate, channels) = (rate as u32, u16::try_from(channels).ok()?);
    whole.then_some(Format { codec, bytes: bytes.into(), rate, channels, start, len })
}
