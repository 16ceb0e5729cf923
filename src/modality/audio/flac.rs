//! Where a FLAC file's last frame ends (RFC 9639 §9): what stands behind it is no sound, and a file that ends inside it
//! is damaged.

use std::ops::Range;

use symphonia::core::checksum::{Crc8Ccitt, Crc16Ansi};
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::io::Monitor;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::Input;
use super::tags::read;
use crate::Result;

/// The last frame and what is behind it are looked for in so many bytes, then in so many.
const TAILS: [u64; 2] = [1 << 16, 1 << 20];
/// Places that look like a frame's beginning or end, and are tried.
const PLACES: usize = 16;

/// What a file ends with.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// A whole frame, which ends here; in an ordinary file this is the end.
    Whole(u64),
    /// The beginning of a frame.
    Cut,
    /// Nothing known, so that the decoder has to say what is wrong.
    Unknown,
}

/// Looks for the end of the last frame in a file whose sound is at most this range.
pub(super) fn end(input: &mut dyn Input, sound: Range<u64>) -> Result<End> {
    // The first block of every file, behind the mark and the block's header, describes the stream.
    let stream = read(input, sound.start + 8, 34)?;
    let mut params = AudioCodecParameters::new();
    params.for_codec(CODEC_ID_FLAC).with_extra_data(stream.into_boxed_slice());
    let decoder = symphonia::default::get_codecs().make_audio_decoder(&params, &AudioDecoderOptions::default());
    let Ok(mut decoder) = decoder else { return Ok(End::Unknown) };
    for len in TAILS.map(|len| len.min(sound.end - sound.start)) {
        let start = sound.end - len;
        let tail = read(input, start, len as usize)?;
        let places = (0..tail.len()).rev().filter(|&at| begins_frame(&tail[at..]));
        for at in places.take(PLACES) {
            if let Some(end) = whole(&tail[at..], decoder.as_mut()).map(|len| at + len) {
                let cut = tail[end..].starts_with(b"\xff\xf8") || tail[end..].starts_with(b"\xff\xf9");
                return Ok(if cut { End::Cut } else { End::Whole(start + end as u64) });
            }
        }
    }
    Ok(End::Unknown)
}

/// The length of the frame that bytes begin with, if all of it is there.
fn whole(bytes: &[u8], decoder: &mut dyn AudioDecoder) -> Option<usize> {
    let mut checksum = Crc16Ansi::new(0);
    // With the checksum that ends it, a frame's checksum is 0. By chance this happens inside it and behind it, too: to
    // the end of the file first, as in all ordinary ones, then where it is decoded.
    let mut ends: Vec<usize> = Vec::new();
    for (at, &byte) in bytes.iter().enumerate() {
        checksum.process_byte(byte);
        if checksum.crc() == 0 && ends.len() < PLACES {
            ends.push(at + 1);
        }
    }
    if checksum.crc() == 0 {
        return Some(bytes.len());
    }
    ends.into_iter().find(|&end| {
        let packet = Packet::new(0, Timestamp::ZERO, Duration::ZERO, &bytes[..end]);
        decoder.decode(&packet).is_ok()
    })
}

/// Whether bytes begin with a frame's header and its checksum.
fn begins_frame(bytes: &[u8]) -> bool {
    let &[0xff, 0xf8 | 0xf9, sizes, channels, number, ..] = bytes else { return false };
    if sizes >> 4 == 0 || sizes & 15 == 15 || channels >> 4 > 10 || channels & 1 != 0 {
        return false;
    }
    // The number of the frame or sample, coded like UTF-8, of up to seven bytes.
    let width = match number.leading_ones() {
        0 => 1,
        ones @ 2..=7 => ones as usize,
        _ => return false,
    };
    let blocks = match sizes >> 4 {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let rates = match sizes & 15 {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let end = 4 + width + blocks + rates;
    let Some(&checksum) = bytes.get(end) else { return false };
    let mut found = Crc8Ccitt::new(0);
    found.process_buf_bytes(&bytes[..end]);
    found.crc() == checksum
}
