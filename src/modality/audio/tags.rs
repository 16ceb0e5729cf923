//! Tags around sound, which are no sound: ID3v2 in front (id3.org, ID3v2.4.0 §3), ID3v1 and its extension, APEv1 and APEv2,
//! and Lyrics3 behind; in joined files all of these also between.

use std::io::{Read, SeekFrom};
use std::ops::Range;

use super::super::{Input, unreadable};
use crate::Result;

/// Bytes that tell whether a tag begins with them.
pub(super) const HEAD: usize = 32;
/// More tags than this on one side are nobody's.
const MOST: usize = 64;
/// An ID3v1 tag, and the extension that may stand before it.
const ID3V1: usize = 128;
const ID3V1_EXTENSION: usize = 227;
/// Header and footer of an APE tag.
const APE: u64 = 32;
/// The longest Lyrics3 block of version 1, which has no length, with its marks.
const LYRICS: usize = 5_120;

/// The length of the tag that begins with `head`, if one does.
pub(super) fn at(head: &[u8]) -> Option<u64> {
    match head {
        [b'I', b'D', b'3', 2..=4, _, flags, size @ ..] => {
            let size = synchsafe(size)?;
            // A footer repeats the header.
            Some(10 + size + if flags & 0x10 != 0 { 10 } else { 0 })
        }
        [b'T', b'A', b'G', b'+', ..] => Some(ID3V1_EXTENSION as u64),
        [b'T', b'A', b'G', ..] => Some(ID3V1 as u64),
        [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', ..] if head.len() >= 24 => {
            // The size leaves the header out; bit 29 says that this is the header.
            let header = le32(head, 20) & 1 << 29 != 0;
            Some(APE + if header { u64::from(le32(head, 12)) } else { 0 })
        }
        _ => None,
    }
}

/// The bytes of a file of `len` bytes between the tags in front and behind.
pub(super) fn between(input: &mut dyn Input, len: u64) -> Result<Range<u64>> {
    let mut sound = 0..len;
    for _ in 0..MOST {
        match at(&read(input, sound.start, HEAD)?) {
            Some(tag) if tag < len - sound.start => sound.start += tag,
            _ => break,
        }
    }
    for _ in 0..MOST {
        match behind(input, &sound)? {
            Some(tag) => sound.end -= tag,
            None => break,
        }
    }
    Ok(sound)
}

/// The length of the tag that ends where the sound does, if one does.
fn behind(input: &mut dyn Input, sound: &Range<u64>) -> Result<Option<u64>> {
    let room = sound.end - sound.start;
    let last = |bytes: usize| (bytes as u64).min(room) as usize;
    let from = last(ID3V1 + ID3V1_EXTENSION);
    let tail = read(input, sound.end - from as u64, from)?;
    let len = if let Some(before) = tail.len().checked_sub(ID3V1).filter(|&before| tail[before..].starts_with(b"TAG")) {
        let extended = before.checked_sub(ID3V1_EXTENSION).is_some_and(|at| tail[at..].starts_with(b"TAG+"));
        (ID3V1 + if extended { ID3V1_EXTENSION } else { 0 }) as u64
    } else if let Some(footer) = tail.last_chunk::<32>().filter(|footer| footer.starts_with(b"APETAGEX")) {
        // The size counts the footer and leaves the header out, of which bit 31 says that there is one.
        let header = le32(footer, 20) & 1 << 31 != 0;
        u64::from(le32(footer, 12)).max(APE) + if header { APE } else { 0 }
    } else if let Some(footer) = tail.last_chunk::<10>().filter(|footer| footer.starts_with(b"3DI")) {
        let Some(size) = synchsafe(&footer[6..]) else { return Ok(None) };
        size + 20
    } else if let Some((digits, b"LYRICS200")) = tail.last_chunk::<15>().map(|end| end.split_at(6)) {
        let digits = digits
            .iter()
            .try_fold(0, |size, digit| digit.is_ascii_digit().then(|| size * 10 + u64::from(digit - b'0')));
        let Some(size) = digits else { return Ok(None) };
        size + 15
    } else if tail.ends_with(b"LYRICSEND") {
        let from = last(LYRICS);
        let tail = read(input, sound.end - from as u64, from)?;
        let Some(begin) = tail.windows(11).rposition(|mark| mark == b"LYRICSBEGIN") else { return Ok(None) };
        (tail.len() - begin) as u64
    } else {
        return Ok(None);
    };
    Ok(Some(len).filter(|&len| len <= room))
}

/// Up to `len` bytes at a place.
pub(super) fn read(input: &mut dyn Input, at: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.seek(SeekFrom::Start(at)).map_err(unreadable)?;
    input.take(len as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A number of four bytes of seven bits.
fn synchsafe(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.first_chunk::<4>()?;
    bytes.iter().try_fold(0, |size, &byte| (byte < 0x80).then_some(size << 7 | u64::from(byte)))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    (0..4).rev().fold(0, |number, i| number << 8 | u32::from(bytes[at + i]))
}
