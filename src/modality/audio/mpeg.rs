//! Frames of MPEG audio (ISO/IEC 11172-3 §2.4.2.3, 13818-3 §2.4.2.3, and the lower rates known as 2.5), and the frame of
//! information that encoders put before the first: Xing's, with LAME's delay and padding, or Fraunhofer's VBRI.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use super::frames::Header;

/// Kilobits a second by index, for layers I, II and III of version 1, and I, and II and III, of the others.
const BIT_RATES: [[u32; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
/// Samples that the decoder's filters hold back, which LAME's delay leaves out.
const DECODER_DELAY: u64 = 529;

/// The header that a frame begins with, if it does.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let word = word(bytes)?;
    let bit_rate = word >> 12 & 15;
    let (version, layer) = (word >> 19 & 3, 4 - (word >> 17 & 3));
    let rate = [44_100, 48_000, 32_000].get((word >> 10 & 3) as usize)?;
    // Version 1 is 3, 2 is 2, 2.5 is 0; a layer of 4 and a version of 1 are reserved.
    if version == 1 || layer == 4 || bit_rate == 0 || bit_rate == 15 {
        return None;
    }
    let first = version == 3;
    let rate = rate >> [2, 0, 1, 0][version as usize];
    let table = match (first, layer) {
        (true, layer) => layer - 1,
        (false, 1) => 3,
        (false, _) => 4,
    };
    let bit_rate = BIT_RATES[table as usize][bit_rate as usize] * 1_000;
    let padding = word >> 9 & 1;
    let (codec, samples, len) = match layer {
        1 => (CODEC_ID_MP1, 384, (12 * bit_rate / rate + padding) * 4),
        2 => (CODEC_ID_MP2, 1_152, 144 * bit_rate / rate + padding),
        _ if first => (CODEC_ID_MP3, 1_152, 144 * bit_rate / rate + padding),
        _ => (CODEC_ID_MP3, 576, 72 * bit_rate / rate + padding),
    };
    let channels = if word >> 6 & 3 == 3 { 1 } else { 2 };
    Some(Header { codec, rate, channels, samples, len: len as usize, prefix: 0 })
}

/// Whether bytes begin with the header of a frame whose length isn't given by its bit rate.
pub(super) fn is_free_format(bytes: &[u8]) -> bool {
    word(bytes)
        .is_some_and(|word| word >> 19 & 3 != 1 && word >> 17 & 3 != 0 && word >> 12 & 15 == 0 && word >> 10 & 3 != 3)
}

fn word(bytes: &[u8]) -> Option<u32> {
    let word = u32::from_be_bytes(*bytes.first_chunk()?);
    (word >> 21 == 0x7ff).then_some(word)
}

/// What the frame of information says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Info {
    /// Frames of sound behind it.
    pub frames: Option<u64>,
    /// Bytes of the file from it on.
    pub bytes: Option<u64>,
    /// Samples before the sound begins, and behind its end.
    pub delay: u64,
    pub padding: u64,
}

impl Info {
    /// What a frame says, if it is one of information.
    pub fn read(frame: &[u8], header: &Header) -> Option<Info> {
        if header.codec != CODEC_ID_MP3 {
            return None;
        }
        let side = match (header.samples, header.channels) {
            (1_152, 1) => 17,
            (1_152, _) => 32,
            (_, 1) => 9,
            _ => 17,
        };
        let mut fields = Fields(frame.get(4 + side..)?);
        let mark = fields.take::<4>()?;
        if mark != *b"Xing" && mark != *b"Info" {
            return Info::vbri(frame);
        }
        let flags = fields.number()?;
        let mut info = Info::default();
        if flags & 1 != 0 {
            info.frames = Some(fields.number()?.into());
        }
        if flags & 2 != 0 {
            info.bytes = Some(fields.number()?.into());
        }
        if flags & 4 != 0 {
            fields.take::<100>()?;
        }
        if flags & 8 != 0 {
            fields.number()?;
        }
        // A name of nine bytes, and twelve of other things, before twelve bits of each.
        if let (Some(name), Some([a, b, c])) = (fields.take::<21>(), fields.take::<3>())
            && [b"LAME", b"Lavf", b"Lavc"].iter().any(|encoder| name.starts_with(*encoder))
        {
            info.delay = u64::from(a) << 4 | u64::from(b >> 4);
            info.delay += DECODER_DELAY;
            info.padding = (u64::from(b & 15) << 8 | u64::from(c)).saturating_sub(DECODER_DELAY);
        }
        Some(info)
    }

    fn vbri(frame: &[u8]) -> Option<Info> {
        let mut fields = Fields(frame.get(36..)?);
        if fields.take::<4>()? != *b"VBRI" || fields.take::<2>()? != [0, 1] {
            return None;
        }
        fields.take::<4>()?;
        let (bytes, frames) = (fields.number()?, fields.number()?);
        Some(Info { frames: Some(frames.into()), bytes: Some(bytes.into()), ..Info::default() })
    }
}

/// Big-endian fields one after another.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_standards() {
        let header = |word: u32| header(&word.to_be_bytes()).map(|h| (h.rate, h.channels, h.samples, h.len));
        // Layer III, 128 kbit/s at 44,100: 417 bytes, or 418 with a slot of padding.
        assert_eq!(header(0xfffb_9000), Some((44_100, 2, 1_152, 417)));
        assert_eq!(header(0xfffb_92c0), Some((44_100, 1, 1_152, 418)));
        // Version 2, 16,000 at 64 kbit/s; version 2.5, 8,000 at 8 kbit/s.
        assert_eq!(header(0xfff3_88c4), Some((16_000, 1, 576, 288)));
        assert_eq!(header(0xffe3_18c4), Some((8_000, 1, 576, 72)));
        // Layer II at 192 kbit/s and 48,000, layer I at 384 kbit/s and 32,000.
        assert_eq!(header(0xfffd_a400), Some((48_000, 2, 1_152, 576)));
        assert_eq!(header(0xffff_c800), Some((32_000, 2, 384, 576)));
        for reserved in [0xffeb_9000, 0xfff9_9000, 0xfffb_f000, 0xfffb_9c00, 0xfffb_0000, 0xff7b_9000] {
            assert_eq!(header(reserved), None, "{reserved:x}");
        }
        assert!(is_free_format(&[0xff, 0xfb, 0x00, 0x00]) && !is_free_format(&[0xff, 0xfb, 0x90, 0x00]));
    }

    #[test]
    fn the_frame_of_information_is_read() {
        let mut frame =
            [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 32], b"Info\0\0\0\x0f", &[0, 0, 1, 2, 0, 1, 0, 0]].concat();
        frame.extend([&[0; 104][..], b"LAME3.100", &[0; 12], &[0x24, 0x05, 0x6c], &[0; 200]].concat());
        let header = header(&frame).unwrap();
        let info = Info::read(&frame, &header).unwrap();
        // 576 and 1,388 of the encoder's, 529 of the decoder's.
        assert_eq!(info, Info { frames: Some(258), bytes: Some(65_536), delay: 1_105, padding: 859 });
        // Without an encoder's name there is nothing to trim.
        frame[156..160].copy_from_slice(b"Gogo");
        assert_eq!(Info::read(&frame, &header).unwrap().delay, 0);
        frame[36] = 0;
        assert_eq!(Info::read(&frame, &header), None);
        frame[36..50].copy_from_slice(b"VBRI\0\x01\0\0\0\0\0\0\x10\0");
        assert_eq!(Info::read(&frame, &header).unwrap().bytes, Some(4_096));
    }
}
