//! Frames of AAC in ADTS (ISO/IEC 13818-7 §6.2), and what AAC holds that nobody here decodes.

use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

use super::frames::Header;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The header that a frame begins with, if it does.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let &[0xff, sync, second, third, fourth, fifth, ..] = bytes else { return None };
    // Sixteen bits of CRC follow the header where the last bit of the first two bytes is 0.
    let prefix = if sync & 1 == 0 { 9 } else { 7 };
    let len = usize::from(third & 3) << 11 | usize::from(fourth) << 3 | usize::from(fifth >> 5);
    let &rate = RATES.get(usize::from(second >> 2 & 15))?;
    if sync & 0xf6 != 0xf0 || len <= prefix {
        return None;
    }
    // One to six are channels, 7 is eight of them, 0 is described inside.
    let channels = match (second & 1) << 2 | third >> 6 {
        7 => 8,
        channels => channels.into(),
    };
    Some(Header { codec: CODEC_ID_AAC, rate, channels, samples: 1_024, len, prefix })
}

/// What of a frame nobody here decodes.
pub(super) fn unread(frame: &[u8]) -> Option<&'static str> {
    let profile = ["AAC Main", "", "AAC SSR", "AAC LTP"][usize::from(frame.get(2)? >> 6)];
    if !profile.is_empty() {
        Some(profile)
    } else if frame.get(6)? & 3 != 0 {
        Some("several blocks of AAC in a frame")
    } else if frame[2] & 1 == 0 && frame[3] >> 6 == 0 {
        Some("AAC with a table of its channels inside")
    } else {
        None
    }
}

/// Packets that tell whether a sound is HE-AAC.
const PACKETS: u32 = 16;

/// Looks for spectral band replication: HE-AAC that isn't announced plays at half its rate in a decoder that doesn't
/// know it, as if nothing were missing.
#[derive(Debug, Default)]
pub(super) struct Replication {
    packets: u32,
    with: u32,
}

impl Replication {
    /// Looks at a packet. True once most of the first are found to have it.
    pub fn look(&mut self, packet: &[u8]) -> bool {
        if self.packets < PACKETS {
            self.packets += 1;
            self.with += u32::from(ends_with_replication(packet));
            return self.packets == PACKETS && self.found();
        }
        false
    }

    /// Whether three in four packets so far have it.
    pub fn found(&self) -> bool {
        self.packets > 0 && self.with * 4 >= self.packets * 3
    }
}

/// Whether a block of AAC ends with a fill element of spectral band replication (ISO/IEC 14496-3 §4.4.2.7: 110, a count
/// of bytes, 1101 or 1110), whatever fill elements follow it, and the mark of the end, 111. The elements before can't be
/// parted without decoding them, so any place counts from which the rest of the block is that; few others are.
fn ends_with_replication(packet: &[u8]) -> bool {
    let Some(last) = packet.iter().rposition(|&byte| byte != 0) else { return false };
    let end = last * 8 + 8 - packet[last].trailing_zeros() as usize;
    let bits = |at: usize, count: usize| {
        (at..at + count)
            .fold(0, |bits, at| bits << 1 | usize::from(packet.get(at / 8).map_or(0, |b| b >> (7 - at % 8) & 1)))
    };
    // What a fill element that begins at `at` has as its first four bits, and where it ends.
    let fill = |at: usize| {
        let count = bits(at + 3, 4);
        let (count, start) = if count == 15 { (14 + bits(at + 7, 8), at + 15) } else { (count, at + 7) };
        (bits(at, 3) == 6 && count > 0 && start + 8 * count < end).then(|| (bits(start, 4), start + 8 * count))
    };
    let Some(end) = end.checked_sub(3).filter(|&end| bits(end, 3) == 7) else { return false };
    // 269 bytes is the longest element.
    (end.saturating_sub(269 * 8 + 15 + 64)..end).any(|at| {
        let Some((13 | 14, mut next)) = fill(at) else { return false };
        while next < end {
            match fill(next) {
                Some((_, after)) => next = after,
                None => return false,
            }
        }
        next == end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        // LC, 44,100, stereo, 371 bytes, no CRC.
        let bytes = [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc, 0];
        let found = header(&bytes).unwrap();
        assert_eq!((found.rate, found.channels, found.len, found.prefix), (44_100, 2, 371, 7));
        assert_eq!(unread(&bytes), None);
        assert_eq!(unread(&[0xff, 0xf1, 0x10, 0x80, 0x2e, 0x7f, 0xfc]), Some("AAC Main"));
        assert!(header(&[0xff, 0xf1, 0x7c, 0x80, 0x2e, 0x7f, 0xfc]).is_none());
        assert!(header(&[0xff, 0xfb, 0x50, 0x80, 0x2e, 0x7f, 0xfc]).is_none());
    }

    /// Bits as bytes, the last padded with zeros.
    fn packed(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).map(|bit| bit - b'0').collect();
        bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (i, bit)| sum | bit << (7 - i))).collect()
    }

    #[test]
    fn replication_is_told_from_other_fillings() {
        let sound = "000 0110 10111010 1010";
        let filled = |kind: &str| packed(&format!("{sound} 110 0010 {kind} 1010 01010101 111"));
        assert!(ends_with_replication(&filled("1101")) && ends_with_replication(&filled("1110")));
        assert!(!ends_with_replication(&filled("0000")) && !ends_with_replication(&packed(&format!("{sound} 111"))));
        let twice = format!("{sound} 110 0010 1101 1010 01010101 110 0001 0000 0000 111");
        assert!(ends_with_replication(&packed(&twice)));
        assert!(!ends_with_replication(&[]) && !ends_with_replication(&[0; 9]) && !ends_with_replication(&[0xff; 9]));
    }
}
