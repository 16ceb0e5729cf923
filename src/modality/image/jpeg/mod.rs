//! What has to be known of a JPEG file before it is decoded: its decoder fills what a truncated file lacks with gray and
//! reports nothing, and reads all of the file before it says how large the picture is.

mod complete;

use std::io::{self, BufRead, BufReader, Read};

pub(super) use complete::{Lack, complete};

/// The markers of a JPEG file (ITU-T T.81, table B.1) up to its scan, as far as they are a chain.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Width, height and components, where a frame header stands before the scan.
    pub frame: Option<(u32, u32, u64)>,
    /// Whether the whole picture is held as coefficients while it is decoded.
    pub progressive: bool,
    /// Whether the file is cut: its scan begins, and no end-of-image marker follows.
    pub cut: bool,
}

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Reads the segments of a file: 0xff, marker, big-endian length that counts itself. An embedded thumbnail with markers
/// of its own lies inside one of them. Where they aren't the chain they should be, the decoder is left to judge.
pub(super) fn outline(input: impl Read) -> io::Result<Outline> {
    let mut input = BufReader::new(input);
    let mut outline = Outline::default();
    let mut start = [0; 2];
    input.read_exact(&mut start)?;
    loop {
        let mut marker = 0xff;
        // Markers may be preceded by any number of 0xff.
        let mut fill = 0;
        while marker == 0xff {
            marker = byte(&mut input)?;
            fill += u32::from(marker == 0xff);
        }
        // Neither a marker nor one that begins a segment.
        if fill == 0 || matches!(marker, 0 | 1 | 0xd0..=0xd9) {
            return Ok(outline);
        }
        let len = u64::from(u16::from_be_bytes([byte(&mut input)?, byte(&mut input)?])).saturating_sub(2);
        let mut segment = Vec::new();
        input.by_ref().take(len).read_to_end(&mut segment)?;
        match (marker, &segment[..]) {
            (START_OF_SCAN, _) => {
                outline.cut = !ends(input)?;
                return Ok(outline);
            }
            // Start of frame; c4, c8 and cc are tables and an extension.
            (0xc0..=0xcf, &[_, h1, h0, w1, w0, components, ..]) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                outline.frame = Some((side(w1, w0), side(h1, h0), components.into()));
                outline.progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
            }
            _ => {}
        }
    }
}

fn byte(input: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Whether an end-of-image marker is to come; the data of a scan never look like one.
fn ends(mut input: impl BufRead) -> io::Result<bool> {
    let mut after_ff = false;
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            return Ok(false);
        }
        if (after_ff && block[0] == END_OF_IMAGE) || block.windows(2).any(|pair| pair == [0xff, END_OF_IMAGE]) {
            return Ok(true);
        }
        after_ff = block.ends_with(&[0xff]);
        let read = block.len();
        input.consume(read);
    }
}
