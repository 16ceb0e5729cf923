//! Samples to bytes: 16-bit PCM in two byte orders, 8-bit PCM and G.711 mu-law.

use super::super::AudioFormat;

/// Full scale of 16 bits.
const SCALE: f32 = 32_768.0;

/// The nearest 16-bit sample; values beyond full scale are clipped.
pub(super) fn to_int(sample: f32) -> i16 {
    // The conversion saturates.
    (sample * SCALE).round() as i16
}

/// Appends the bytes of 16-bit samples in a format.
pub(super) fn to_bytes(samples: &[i16], format: AudioFormat, bytes: &mut Vec<u8>) {
    match format {
        AudioFormat::Pcm16le => bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
        AudioFormat::Pcm16be => bytes.extend(samples.iter().flat_map(|&sample| (sample as u16 ^ 0x8000).to_be_bytes())),
        AudioFormat::Pcm8 => bytes.extend(samples.iter().map(|&sample| pcm8(sample))),
        AudioFormat::Mulaw8 => bytes.extend(samples.iter().map(|&sample| mulaw(sample))),
    }
}

/// The 16-bit samples of whole samples in a format.
pub(super) fn from_bytes(bytes: &[u8], format: AudioFormat) -> impl Iterator<Item = i16> {
    let size = if matches!(format, AudioFormat::Pcm16le | AudioFormat::Pcm16be) { 2 } else { 1 };
    bytes.chunks_exact(size).map(move |sample| match (format, sample) {
        (AudioFormat::Pcm16be, &[high, low]) => (u16::from_be_bytes([high, low]) ^ 0x8000) as i16,
        (_, &[low, high]) => i16::from_le_bytes([low, high]),
        (AudioFormat::Mulaw8, sample) => from_mulaw(sample[0]),
        (_, sample) => i16::from((sample[0] ^ 0x80) as i8) << 8,
    })
}

/// A sample as it comes back from its bytes.
pub(super) fn nearest(sample: i16, format: AudioFormat) -> i16 {
    match format {
        AudioFormat::Pcm16le | AudioFormat::Pcm16be => sample,
        AudioFormat::Pcm8 => i16::from((pcm8(sample) ^ 0x80) as i8) << 8,
        AudioFormat::Mulaw8 => from_mulaw(mulaw(sample)),
    }
}

/// The nearest unsigned 8-bit sample: silence is 128.
fn pcm8(sample: i16) -> u8 {
    let rounded = (i32::from(sample) + 128) >> 8;
    (rounded.min(127) + 128) as u8
}

/// Added to a magnitude so that each segment of mu-law begins at a power of two (16-bit scale).
const BIAS: i32 = 0x84;
/// The largest magnitude that mu-law can tell apart.
const CLIP: i32 = 32_635;

/// The G.711 mu-law code of a 16-bit sample: complemented sign, 3 bits of segment, 4 bits of step inside it.
fn mulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // `magnitude` is 132 to 32,767, so its highest bit is bit 7 to 14.
    let segment = magnitude.ilog2() as i32 - 7;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) | step) as u8
}

/// The 16-bit sample of a G.711 mu-law code.
///
/// The standard has two zeros, 0xff and 0x7f. 0xff gives 0; 0x7f, "negative zero", gives -1, which lies in the same
/// decision interval (-3 to -1 encode as 0x7f), so that every one of the 256 codes survives decoding and encoding.
/// All other codes give the standard's values.
fn from_mulaw(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let step = i32::from(code & 0x0f);
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    match (code & 0x80 != 0, magnitude) {
        (true, 0) => -1,
        (true, magnitude) => -magnitude as i16,
        (false, magnitude) => magnitude as i16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_16_bit_sample_survives_the_float_form() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(to_int(f32::from(sample) / 32_768.0), sample);
        }
        assert_eq!(to_int(1.5), i16::MAX);
        assert_eq!(to_int(-1.5), i16::MIN);
    }

    #[test]
    fn samples_and_bytes_agree() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        for format in [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8] {
            let mut bytes = Vec::new();
            to_bytes(&all, format, &mut bytes);
            let back = from_bytes(&bytes, format);
            assert!(back.eq(all.iter().map(|&sample| nearest(sample, format))), "{format:?}");
        }
        let mut bytes = Vec::new();
        to_bytes(&[i16::MIN, -1, 0, 258, i16::MAX], AudioFormat::Pcm16be, &mut bytes);
        assert_eq!(bytes, [0, 0, 0x7f, 0xff, 0x80, 0, 0x81, 2, 0xff, 0xff]);
    }

    #[test]
    fn pcm8_is_the_nearest_of_256_values() {
        for sample in i16::MIN..=i16::MAX {
            let back = (i32::from(pcm8(sample)) - 128) * 256;
            let error = (back - i32::from(sample)).abs();
            assert!(error <= 128 || sample > 127 * 256 + 128, "{sample}: {back}");
        }
        assert_eq!(pcm8(0), 128);
        assert_eq!(pcm8(i16::MAX), 255);
        assert_eq!(pcm8(i16::MIN), 0);
    }

    /// Ends of segments from table 2a of G.711, whose 14-bit values are a quarter of ours.
    #[test]
    fn mulaw_values_are_the_standards() {
        for (code, value) in [
            (0x80, 8031),
            (0x8f, 4191),
            (0x90, 3999),
            (0x9f, 2079),
            (0xa0, 1983),
            (0xaf, 1023),
            (0xb0, 975),
            (0xbf, 495),
            (0xc0, 471),
            (0xcf, 231),
            (0xd0, 219),
            (0xdf, 99),
            (0xe0, 93),
            (0xef, 33),
            (0xf0, 30),
            (0xfe, 2),
            (0xff, 0),
        ] {
            assert_eq!(from_mulaw(code), value * 4, "{code:#x}");
            if value > 0 {
                assert_eq!(from_mulaw(code & 0x7f), -value * 4, "{code:#x}");
            }
        }
        assert_eq!(from_mulaw(0x7f), -1);
    }

    #[test]
    fn mulaw_keeps_all_codes_and_its_decision_intervals() {
        for code in 0..=255u8 {
            assert_eq!(mulaw(from_mulaw(code)), code);
        }
        for sample in i16::MIN..=i16::MAX {
            // A code's value is the middle of its interval, whose width doubles with every segment.
            let code = mulaw(sample);
            let half = 4 << ((!code >> 4) & 0x07);
            let error = (i32::from(from_mulaw(code)) - i32::from(sample)).abs();
            assert!(error <= half || i32::from(sample).abs() > CLIP, "{sample}: {code:#x}");
        }
    }
}
