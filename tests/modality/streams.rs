//! Long content is handed on while it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use megabyte::modality::{
    AudioChannels, AudioFormat, AudioLayout, BytesLayout, Description, Layout, Newlines, TextLayout, describe,
};

use crate::input::{Behind, Endless, pattern};

/// Encodes `len` bytes of input and gives what the output saw.
fn pass(layout: &Layout, start: Vec<u8>, len: u64, ratio: f64) -> Behind {
    let read = Arc::new(AtomicU64::new(0));
    let mut out = Behind::new(&read, ratio);
    let mut input = Endless { start, len, at: 0, read };
    layout.adapter().encode_to(&mut input, &mut out).unwrap();
    out
}

#[test]
fn text_and_bytes_are_never_held_whole() {
    const LEN: u64 = 20_000_000;
    for layout in [
        Layout::Bytes(BytesLayout {}),
        Layout::Text(TextLayout::default()),
        Layout::Text(TextLayout { newlines: Newlines::Lf, ..TextLayout::default() }),
        Layout::Text(TextLayout { encoding: "latin1".to_owned(), ..TextLayout::default() }),
    ] {
        let out = pass(&layout, Vec::new(), LEN, 0.5);
        assert!(out.written >= LEN && out.most < LEN / 2 + 1_000_000, "{layout:?}: {} ahead", out.most);
    }
    assert_eq!(pass(&Layout::Bytes(BytesLayout {}), Vec::new(), LEN, 1.0).last[7], pattern(LEN - 1));
    assert!(pass(&Layout::Bytes(BytesLayout {}), Vec::new(), LEN, 1.0).most < 1_000_000);
}

/// The header of a WAV file of 16-bit samples whose length is left open, as recorders write it.
fn header(channels: u16, rate: u32) -> Vec<u8> {
    let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0".to_vec();
    header.extend(channels.to_le_bytes());
    header.extend(rate.to_le_bytes());
    header.extend((rate * u32::from(channels) * 2).to_le_bytes());
    header.extend((channels * 2).to_le_bytes());
    header.extend(b"\x10\0data\xff\xff\xff\xff");
    header
}

#[test]
fn sound_is_never_held_whole() {
    // Several of the sections that a long file is read in.
    const LEN: u64 = 44 + 40_000_000;
    let layout = |channels, format| Layout::Audio(AudioLayout { channels, format, ..AudioLayout::default() });
    let same = pass(&layout(AudioChannels::Stereo, AudioFormat::Pcm16le), header(2, 16_000), LEN, 1.0);
    assert_eq!((same.written, same.last[7]), (LEN - 44, pattern(LEN - 1)));
    assert!(same.most < 1_000_000, "{} ahead", same.most);
    let mono = pass(&layout(AudioChannels::Mono, AudioFormat::Mulaw8), header(2, 48_000), LEN, 12.0);
    assert_eq!(mono.written, (LEN - 44) / 12);
    assert!(mono.most < 1_000_000, "{} ahead", mono.most);
}

#[test]
fn files_beyond_four_gibibytes_have_their_whole_length() {
    const SAMPLES: u64 = 6_000_000_000;
    let mut start = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    start.extend([SAMPLES + 72, SAMPLES, SAMPLES / 4].map(u64::to_le_bytes).concat());
    start.extend([0; 4]);
    start.extend(&header(2, 48_000)[12..]);
    let mut file = Endless { len: SAMPLES + start.len() as u64, start, at: 0, read: Arc::default() };
    let Some(Description::Sound { seconds: Some(seconds), channels: 2, .. }) = describe(&mut file) else { panic!() };
    assert_eq!(seconds, SAMPLES as f64 / 4.0 / 48_000.0);
    assert!(file.read.load(Ordering::SeqCst) < 1_000_000, "only headers are read");
}
