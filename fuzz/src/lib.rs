//! What the targets share: quiet panics, files in memory, and layouts that the first bytes of an input choose.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use megabyte::data::container::{Content, Expanded, Found, Options, expand};
use megabyte::modality::{
    AudioChannels, AudioFormat, AudioLayout, Bom, BytesLayout, Channels, Filter, Fit, ImageLayout, Layout, Newlines,
    Scan, TextLayout,
};

/// Bytes at the front of an input that choose options.
pub const CHOICES: usize = 16;

/// The bytes that choose, and the content.
pub fn split(input: &[u8]) -> Option<(&[u8; CHOICES], &[u8])> {
    input.split_first_chunk()
}

/// Call it first: panics that the library catches itself are no findings, all others end the fuzzer.
pub fn init() {
    let finding = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !megabyte::modality::decoding() {
            finding(info);
        }
    }));
}

/// Where temporary files cost least.
pub fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// A file without a name that holds `bytes`, and a path to it.
pub fn file(bytes: &[u8]) -> (File, PathBuf) {
    let mut file = tempfile::tempfile_in(folder()).expect("there is room for a file");
    file.write_all(bytes).expect("there is room for the bytes");
    file.rewind().expect("files have a start");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    (file, path.into())
}

/// One of several values.
pub fn pick<T: Copy, const N: usize>(choice: u8, of: [T; N]) -> T {
    of[choice as usize % N]
}

/// Visits everything in a file of these bytes: names and contents of the records.
pub fn open(bytes: &[u8], options: &Options) -> (Vec<(String, Vec<u8>)>, Expanded) {
    let mut records = Vec::new();
    let end = expand(&mut file(bytes).0, "file", options, &mut |found| {
        let Found::Record(record) = found else { return Ok(()) };
        let parts = |name: &str| name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        assert!(record.name.is_empty() || parts(&record.name), "{:?} is no name", record.name);
        let mut content = Vec::new();
        match record.content {
            Content::Memory(bytes) => content = bytes,
            // Long ones are read and not kept.
            Content::File(mut file) => drop(std::io::copy(&mut file, &mut std::io::sink())),
        }
        // Neither are many, nor large ones.
        if records.len() < 64 && content.len() <= 1 << 20 {
            records.push((record.name, content));
        }
        Ok(())
    });
    (records, end.expect("only the caller and the disk end the work"))
}

/// A small picture layout.
pub fn image_layout(c: &[u8; CHOICES]) -> ImageLayout {
    let [width, height] = [c[0], c[1]].map(|side| 1 + side as usize % 96);
    let divisors = |a: usize, b: usize| -> Vec<usize> {
        (1..=a.min(b)).filter(|d| a.is_multiple_of(*d) && b.is_multiple_of(*d)).collect()
    };
    let any = |choice: u8, of: &[usize]| of[choice as usize % of.len()];
    let patch = any(c[2], &divisors(width, height));
    ImageLayout {
        width,
        height,
        patch,
        inner: any(c[3], &divisors(patch, patch)),
        channels: pick(c[4], [Channels::Rgb, Channels::Gray]),
        scan: pick(c[5], [Scan::Raster, Scan::Patch, Scan::Nested, Scan::Planar]),
        fit: pick(c[6], [Fit::Crop, Fit::Pad, Fit::Stretch]),
        filter: pick(c[7], [Filter::Box, Filter::Bilinear, Filter::Lanczos]),
        background: [c[8], c[9], c[10]],
    }
}

/// A sound layout.
pub fn audio_layout(c: &[u8; CHOICES]) -> AudioLayout {
    // Filters between rates without a common divisor take most of a second to make.
    let any = 1_000 + u32::from(u16::from_le_bytes([c[0], c[1]])) % 384 * 1_000;
    AudioLayout {
        rate: pick(c[3], [16_000, 16_000, 16_000, 8_000, 44_100, 1_000, 384_000, any]),
        channels: pick(c[4], [AudioChannels::Mono, AudioChannels::Stereo]),
        format: pick(c[5], [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8]),
        trim_db: pick(c[6], [0.0, 0.0, -50.0, -0.001, -6.0, -120.0]),
    }
}

/// A text layout.
pub fn text_layout(c: &[u8; CHOICES]) -> TextLayout {
    let encodings = [
        "",
        "",
        "utf-8",
        "utf-16le",
        "utf-16be",
        "windows-1251",
        "shift_jis",
        "gb18030",
        "iso-2022-jp",
        "euc-kr",
        "big5",
        "euc-jp",
        "gbk",
        "ibm866",
        "x-user-defined",
    ];
    TextLayout {
        bom: pick(c[0], [Bom::Keep, Bom::Strip]),
        newlines: pick(c[1], [Newlines::Keep, Newlines::Lf]),
        encoding: pick(c[2], encodings).to_owned(),
    }
}

/// A layout of any modality; the last choice says which.
pub fn layout(c: &[u8; CHOICES]) -> Layout {
    match c[CHOICES - 1] % 4 {
        0 => Layout::Image(image_layout(c)),
        1 => Layout::Audio(audio_layout(c)),
        2 => Layout::Text(text_layout(c)),
        _ => Layout::Bytes(BytesLayout {}),
    }
}

/// Bytes that come in parts of any length, as from a slow file.
pub struct Parts<'a> {
    bytes: Cursor<&'a [u8]>,
    lengths: &'a [u8],
    next: usize,
}

impl<'a> Parts<'a> {
    /// `lengths` are those of the parts, in turns.
    pub fn new(bytes: &'a [u8], lengths: &'a [u8]) -> Self {
        Parts { bytes: Cursor::new(bytes), lengths, next: 0 }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.lengths[self.next % self.lengths.len()] as usize + 1;
        self.next += 1;
        let len = len.min(buffer.len());
        self.bytes.read(&mut buffer[..len])
    }
}

impl Seek for Parts<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// An output that takes no more than a MiB.
#[derive(Default)]
pub struct Bounded(pub Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() > 1 << 20 {
            return Err(std::io::Error::other("enough"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
