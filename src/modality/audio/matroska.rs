//! What Matroska and WebM files say of their sound beside its packets (RFC 9559): how long the encoder's delay is, and
//! how much behind a block is padding.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::super::{Input, unreadable};
use super::any::Patch;
use crate::Result;

/// What is no sound in a track. Times are nanoseconds.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Trims {
    pub track: u64,
    /// At the beginning (CodecDelay, §5.1.4.1.25).
    pub delay: u64,
    /// Behind packets, by the number of the packet (DiscardPadding, §5.1.3.5.7).
    pub padding: VecDeque<(u64, u64)>,
    /// Packets so far.
    packets: u64,
}

// Of masters, what is inside; of the others, the content.
const SEGMENT: u64 = 0x1853_8067;
const SEEK_HEAD: u64 = 0x114d_9b74;
const VOID: u8 = 0xec;
const TRACKS: u64 = 0x1654_ae6b;
const TRACK_ENTRY: u64 = 0xae;
const CLUSTER: u64 = 0x1f43_b675;
const BLOCK_GROUP: u64 = 0xa0;
const TRACK_NUMBER: u64 = 0xd7;
const CODEC_DELAY: u64 = 0x56aa;
const SIMPLE_BLOCK: u64 = 0xa3;
const BLOCK: u64 = 0xa1;
const DISCARD_PADDING: u64 = 0x75a2;
/// More places than this have no padding that an encoder wrote.
const PLACES: usize = 1 << 16;
/// More tracks than this, or masters that the file ends inside, are nobody's.
const TRACKS_MOST: usize = 256;
const PATCHES: usize = 64;

/// The trims of all tracks of a file in a part of the input, and the lengths of the masters that it ends inside. What is damaged
/// ends them.
pub(super) fn trims(input: &mut dyn Input, part: Range<u64>) -> Result<(Vec<Trims>, Vec<Patch>)> {
    input.seek(SeekFrom::Start(part.start)).map_err(unreadable)?;
    let mut file = BufReader::new(input);
    let (mut tracks, mut patches): (Vec<Trims>, Vec<Patch>) = (Vec::new(), Vec::new());
    let mut seek_heads: Vec<Patch> = Vec::new();
    // The track and the packets of the block that padding would belong to.
    let mut block: Option<(u64, u64)> = None;
    while tracks.len() < TRACKS_MOST
        && patches.len() < PATCHES
        && let Some((id, len, width)) = element(&mut file)
    {
        match id {
            SEGMENT | CLUSTER => {
                let start = file.stream_position().map_err(unreadable)?;
                let unknown = len == (1 << (7 * width)) - 1;
                if let Some(there) = part.end.checked_sub(start).filter(|&there| len > there && !unknown) {
                    patches.push((start - width, sized(there, width)));
                }
            }
            // It says where the rest is. Where some of that isn't there, it is made a void of the same length.
            SEEK_HEAD => {
                let start = file.stream_position().map_err(unreadable)?;
                let void = [vec![VOID], sized(len, 3 + width)].concat();
                if width <= 5 && seek_heads.len() < 16 {
                    seek_heads.push((start - width - 4, void));
                }
                if !skip(&mut file, len) {
                    break;
                }
            }
            TRACKS => {}
            TRACK_ENTRY => tracks.push(Trims::default()),
            BLOCK_GROUP => block = None,
            TRACK_NUMBER | CODEC_DELAY => {
                let Some(number) = number(&mut file, len) else { break };
                if let Some(track) = tracks.last_mut() {
                    *(if id == CODEC_DELAY { &mut track.delay } else { &mut track.track }) = number;
                }
            }
            SIMPLE_BLOCK | BLOCK => {
                let Some(found) = packets(&mut file, len) else { break };
                block = (id == BLOCK).then_some(found);
                if let Some(track) = tracks.iter_mut().find(|track| track.track == found.0) {
                    track.packets += found.1;
                }
            }
            DISCARD_PADDING => {
                let Some(padding) = number(&mut file, len) else { break };
                // Padding is signed; that in front of a packet is no encoder's.
                let negative = len == 0 || padding >> (8 * len.min(8) - 1) & 1 == 1;
                if let Some((number, _)) = block.filter(|_| !negative)
                    && let Some(track) = tracks.iter_mut().find(|track| track.track == number)
                    && track.padding.len() < PLACES
                {
                    track.padding.push_back((track.packets, padding));
                }
            }
            _ => {
                if !skip(&mut file, len) {
                    break;
                }
            }
        }
    }
    if !patches.is_empty() {
        patches.append(&mut seek_heads);
    }
    Ok((tracks, patches))
}

/// A length in a number of bytes, with the mark of their number.
fn sized(len: u64, width: u64) -> Vec<u8> {
    let bytes = (1 << (7 * width) | len).to_be_bytes();
    bytes[8 - width as usize..].to_vec()
}

/// The track of a block and the packets in it.
fn packets<R: Read + Seek>(file: &mut BufReader<R>, len: u64) -> Option<(u64, u64)> {
    let (track, width) = variable(file, false)?;
    let mut rest = [0; 4];
    let fixed = 4.min(len.checked_sub(width)?);
    file.read_exact(&mut rest[..fixed as usize]).ok()?;
    // After the time, the flags; with packets laced together, their number less one.
    let packets = if rest[2] & 6 != 0 { u64::from(rest[3]) + 1 } else { 1 };
    skip(file, len - width - fixed).then_some((track, packets))
}

/// The identifier of the next element, its length, and the bytes of that.
fn element<R: Read>(file: &mut R) -> Option<(u64, u64, u64)> {
    let (id, _) = variable(file, true)?;
    let (len, width) = variable(file, false)?;
    Some((id, len, width))
}

/// A number of variable width, with or without the mark of its width, and the width.
fn variable<R: Read>(file: &mut R, marked: bool) -> Option<(u64, u64)> {
    let mut first = [0];
    file.read_exact(&mut first).ok()?;
    let width = first[0].leading_zeros() + 1;
    if width > 8 {
        return None;
    }
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes[..width as usize - 1]).ok()?;
    let first = if marked { first[0] } else { first[0] & (0x7f_u8 >> (width - 1)) };
    let number =
        bytes[..width as usize - 1].iter().fold(u64::from(first), |number, &byte| number << 8 | u64::from(byte));
    Some((number, width.into()))
}

/// A number of a fixed width.
fn number<R: Read>(file: &mut R, len: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    let bytes = bytes.get_mut(..len.try_into().ok()?)?;
    file.read_exact(bytes).ok()?;
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn skip<R: Read + Seek>(file: &mut BufReader<R>, len: u64) -> bool {
    i64::try_from(len).is_ok_and(|len| file.seek_relative(len).is_ok())
}
