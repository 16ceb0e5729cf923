//! ADPCM in whole numbers, as its specifications have it: IMA (IMA Recommended Practices 3.00, 1992) in the blocks of WAV
//! files and of QuickTime's, and Microsoft's (Multimedia Standards Update 3.0).

use std::io::{Read, SeekFrom};

use super::super::content::damaged;
use super::super::{Input, unreadable};
use super::source::{Block, Header, Source};
use crate::Result;

const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1_060, 1_166, 1_282, 1_411, 1_552, 1_707, 1_878, 2_066, 2_272, 2_499, 2_749, 3_024, 3_327, 3_660, 4_026, 4_428,
    4_871, 5_358, 5_894, 6_484, 7_132, 7_845, 8_630, 9_493, 10_442, 11_487, 12_635, 13_899, 15_289, 16_818, 18_500,
    20_350, 22_385, 24_623, 27_086, 29_794, 32_767,
];
const LAST_STEP: i32 = 88;

/// The state of a channel of IMA ADPCM.
#[derive(Debug, Clone, Copy, Default)]
struct Ima {
    sample: i32,
    step: i32,
}

impl Ima {
    fn next(&mut self, code: u8) -> i16 {
        let step = STEPS[self.step as usize];
        // The step times code / 4 + 1 / 8, each term rounded down for itself.
        let mut change = step >> 3;
        for bit in 0..3 {
            if code >> bit & 1 == 1 {
                change += step >> (2 - bit);
            }
        }
        let change = if code & 8 != 0 { -change } else { change };
        self.sample = clipped(self.sample + change).into();
        self.step = (self.step + [-1, -1, -1, -1, 2, 4, 6, 8][usize::from(code & 7)]).clamp(0, LAST_STEP);
        self.sample as i16
    }
}

fn clipped(sample: i32) -> i16 {
    sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Appends the frames of a block of a WAV file, which may be cut. Fails on a step that doesn't exist.
fn ima_wav(block: &[u8], channels: usize, samples: &mut Vec<i16>) -> Result<(), &'static str> {
    let Some((heads, codes)) = block.split_at_checked(4 * channels) else { return Ok(()) };
    let mut states = Vec::with_capacity(channels);
    for head in heads.chunks_exact(4) {
        if i32::from(head[2]) > LAST_STEP {
            return Err("a block of it begins with a step that doesn't exist");
        }
        let sample = i16::from_le_bytes([head[0], head[1]]);
        samples.push(sample);
        states.push(Ima { sample: sample.into(), step: head[2].into() });
    }
    if channels == 1 {
        samples.extend(codes.iter().flat_map(|&codes| [codes & 15, codes >> 4]).map(|code| states[0].next(code)));
        return Ok(());
    }
    // Four bytes of each channel in turn.
    for group in codes.chunks_exact(4 * channels) {
        let start = samples.len();
        samples.resize(start + 8 * channels, 0);
        for (channel, codes) in group.chunks_exact(4).enumerate() {
            for (byte, &codes) in codes.iter().enumerate() {
                for (half, code) in [codes & 15, codes >> 4].into_iter().enumerate() {
                    samples[start + (2 * byte + half) * channels + channel] = states[channel].next(code);
                }
            }
        }
    }
    Ok(())
}

/// Bytes of a packet of QuickTime's IMA ADPCM for a channel, and its samples.
const PACKET: usize = 34;
const PACKET_SAMPLES: usize = 64;

/// A decoder of QuickTime's IMA ADPCM, in CAF files.
///
/// A packet begins with the upper nine bits of its first prediction. Where these and the step are what the packet before
/// ended with, as in all that one encoder wrote, its lower seven bits are still right and stay (as QuickTime and FFmpeg
/// do it).
#[derive(Debug)]
pub(super) struct QuickTime {
    states: Vec<Ima>,
}

impl QuickTime {
    pub fn new(channels: usize) -> Self {
        QuickTime { states: vec![Ima::default(); channels.max(1)] }
    }

    pub fn channels(&self) -> usize {
        self.states.len()
    }

    /// Appends the frames of packets. What is left over at the end is a cut packet.
    pub fn decode(&mut self, packets: &[u8], samples: &mut Vec<f32>) {
        let channels = self.states.len();
        for packet in packets.chunks_exact(PACKET * channels) {
            let start = samples.len();
            samples.resize(start + PACKET_SAMPLES * channels, 0.0);
            for (channel, (packet, state)) in packet.chunks_exact(PACKET).zip(&mut self.states).enumerate() {
                let head = i16::from_be_bytes([packet[0], packet[1]]);
                let (sample, step) = (i32::from(head & !0x7f), i32::from(head & 0x7f).min(LAST_STEP));
                if step != state.step || (sample - state.sample).abs() > 0x7f {
                    *state = Ima { sample, step };
                }
                for (byte, &codes) in packet[2..].iter().enumerate() {
                    for (half, code) in [codes & 15, codes >> 4].into_iter().enumerate() {
                        let at = start + (2 * byte + half) * channels + channel;
                        samples[at] = f32::from(state.next(code)) / FULL_SCALE;
                    }
                }
            }
        }
    }
}

const FULL_SCALE: f32 = 32_768.0;
const COEFFICIENTS: [[i32; 2]; 7] = [[256, 0], [512, -256], [0, 0], [192, 64], [240, 0], [460, -208], [392, -232]];
const ADAPTATION: [i32; 16] = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230];
const LEAST_STEP: i32 = 16;

/// The state of a channel of Microsoft's ADPCM.
struct Microsoft {
    coefficients: [i32; 2],
    step: i32,
    /// The last two samples, the newest first.
    samples: [i32; 2],
}

impl Microsoft {
    fn next(&mut self, code: u8) -> i16 {
        let [newest, before] = self.samples;
        // A division rounds towards zero.
        let predicted = (newest * self.coefficients[0] + before * self.coefficients[1]) / 256;
        let signed = (i32::from(code) ^ 8) - 8;
        let sample = clipped(predicted.saturating_add(signed.saturating_mul(self.step)));
        self.samples = [sample.into(), newest];
        let step = ADAPTATION[usize::from(code)].saturating_mul(self.step) >> 8;
        self.step = step.clamp(LEAST_STEP, i32::MAX / 768);
        sample
    }
}

/// Appends the frames of a block, which may be cut. Fails on coefficients that don't exist.
fn microsoft(block: &[u8], channels: usize, samples: &mut Vec<i16>) -> Result<(), &'static str> {
    let Some((heads, codes)) = block.split_at_checked(7 * channels) else { return Ok(()) };
    let (predictors, numbers) = heads.split_at(channels);
    let number = |at: usize| i16::from_le_bytes([numbers[2 * at], numbers[2 * at + 1]]);
    let mut states = Vec::with_capacity(channels);
    for (channel, &predictor) in predictors.iter().enumerate() {
        let coefficients = COEFFICIENTS.get(usize::from(predictor));
        let &coefficients = coefficients.ok_or("a block of it begins with coefficients that don't exist")?;
        let (step, newest, before) = (number(channel), number(channels + channel), number(2 * channels + channel));
        states.push(Microsoft { coefficients, step: step.into(), samples: [newest.into(), before.into()] });
    }
    for before in [1, 0] {
        samples.extend(states.iter().map(|state| state.samples[before] as i16));
    }
    let codes = codes.iter().flat_map(|&codes| [codes >> 4, codes & 15]);
    let start = samples.len();
    samples.extend(codes.enumerate().map(|(at, code)| states[at % channels].next(code)));
    samples.truncate(start + (samples.len() - start) / channels * channels);
    Ok(())
}

/// The kinds of ADPCM that WAV files hold in blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Ima,
    Microsoft,
}

/// How a WAV file's blocks are.
#[derive(Debug)]
pub(super) struct Format {
    pub kind: Kind,
    pub rate: u32,
    pub channels: u16,
    /// Bytes of a block.
    pub block: u64,
    /// Where the blocks are, and how many bytes of them.
    pub start: u64,
    pub len: u64,
}

impl Format {
    fn head(&self) -> u64 {
        let channel = if self.kind == Kind::Ima { 4 } else { 7 };
        channel * u64::from(self.channels)
    }

    /// Frames of a block that may be cut.
    fn frames(&self, block: u64) -> u64 {
        let channels = u64::from(self.channels);
        let Some(codes) = block.checked_sub(self.head()) else { return 0 };
        match self.kind {
            Kind::Ima if channels == 1 => 1 + 2 * codes,
            Kind::Ima => 1 + codes / (4 * channels) * 8,
            Kind::Microsoft => 2 + 2 * codes / channels,
        }
    }
}

/// A decoder of a WAV file's blocks.
pub(super) struct Adpcm<'a> {
    input: &'a mut dyn Input,
    format: Format,
    /// Bytes of blocks still to come.
    left: u64,
    samples: Vec<i16>,
    name: &'static str,
}

impl<'a> Adpcm<'a> {
    pub fn new(format: Format, input: &'a mut dyn Input, name: &'static str) -> Result<Self> {
        let Format { channels, rate, block, .. } = format;
        if channels == 0 || rate == 0 || block < format.head() {
            let reason = format!("it claims {channels} channels at {rate} samples a second in blocks of {block} bytes");
            return Err(damaged(name, reason));
        }
        input.seek(SeekFrom::Start(format.start)).map_err(unreadable)?;
        Ok(Adpcm { input, left: format.len, format, samples: Vec::new(), name })
    }
}

impl Source for Adpcm<'_> {
    fn header(&self) -> Header {
        let Format { rate, channels, block, len, .. } = self.format;
        let frames = len / block * self.format.frames(block) + self.format.frames(len % block);
        Header { rate: Some(rate), channels: Some(channels.into()), frames: Some(frames) }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        let Format { kind, rate, channels, block: size, .. } = self.format;
        let len = size.min(self.left);
        self.left -= len;
        let mut bytes = Vec::new();
        (&mut *self.input).take(len).read_to_end(&mut bytes).map_err(unreadable)?;
        if (bytes.len() as u64) < len {
            return Err(damaged(self.name, "unexpected end of file"));
        }
        self.samples.clear();
        let decode = if kind == Kind::Ima { ima_wav } else { microsoft };
        decode(&bytes, channels.into(), &mut self.samples).map_err(|reason| damaged(self.name, reason))?;
        (block.rate, block.channels) = (rate, channels.into());
        block.samples.clear();
        block.samples.extend(self.samples.iter().map(|&sample| f32::from(sample) / FULL_SCALE));
        Ok(len > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each term of the change is rounded down for itself: 7/8, 7/4, 7/2 and 7 of a step of 7 are 0, 1, 3 and 7.
    #[test]
    fn changes_are_sums_of_rounded_terms() {
        for (code, sample) in [(0, 0), (1, 1), (2, 3), (3, 4), (4, 7), (7, 11), (8, 0), (15, -11)] {
            assert_eq!(Ima::default().next(code), sample, "{code}");
        }
        let mut loud = Ima { sample: 32_000, step: LAST_STEP };
        assert_eq!((loud.next(7), loud.step), (32_767, LAST_STEP));
        // Towards zero: -1 * 256 + 0 is -256, a half of which is -128 in 256ths.
        let mut state = Microsoft { coefficients: [240, 0], step: 16, samples: [-1, 0] };
        assert_eq!(state.next(0), 0);
        assert_eq!((state.next(0x9), state.step), (-7 * 16, (614 * 16) >> 8));
    }

    #[test]
    fn channels_and_cut_blocks() {
        let block = [&[1, 0, 0, 0, 2, 0, 0, 0][..], &[0x44; 4], &[0xcc; 4], &[9; 7]].concat();
        let mut samples = Vec::new();
        ima_wav(&block, 2, &mut samples).unwrap();
        assert_eq!((samples.len(), &samples[..4]), (18, &[1, 2, 8, -5][..]));
        assert!(ima_wav(&[0, 0, 89, 0], 1, &mut samples).is_err());
        samples.clear();
        microsoft(&[0, 0, 16, 0, 16, 0, 1, 0, 2, 0, 3, 0, 4, 0, 0x10, 0x00], 2, &mut samples).unwrap();
        assert_eq!(samples, [3, 4, 1, 2, 17, 2, 17, 2]);
        assert!(microsoft(&[7, 16, 0, 0, 0, 0, 0], 1, &mut samples).is_err());
        let format = Format { kind: Kind::Microsoft, rate: 1, channels: 2, block: 16, start: 0, len: 16 };
        assert_eq!((format.frames(16), format.frames(13), format.frames(14)), (4, 0, 2));
    }
}
