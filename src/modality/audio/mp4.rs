//! What MP4 and QuickTime files say of their sound beside its packets: the edit list of each track (ISO/IEC 14496-12
//! §8.6.6), which leaves out the encoder's priming and padding.

use std::ops::Range;

use super::super::Input;
use super::any::Patch;
use super::tags::read;
use crate::Result;

/// The edits of a track, each a range of its media.
#[derive(Debug, PartialEq)]
pub(super) struct Edits {
    pub track: u32,
    /// Units of media time a second, and units of the movie's, to which the lengths of edits are rounded.
    timescale: u32,
    movie: u32,
    /// In units of media time; an open end is `u64::MAX`.
    ranges: Vec<Range<u64>>,
    /// An edit that plays at another speed.
    pub dwells: bool,
}

/// More edits than this are nobody's.
const EDITS: usize = 4_096;
/// More boxes than this in one are nobody's.
const BOXES: usize = 4_096;

impl Edits {
    /// The edits as ranges of samples at a rate, in the order in which they play; none where there is no edit list.
    pub fn samples(&self, rate: u32) -> Vec<Range<u64>> {
        let scale = |time: u64| match time {
            u64::MAX => u64::MAX,
            time => rescale(time, rate.into(), self.timescale.into()),
        };
        self.ranges.iter().map(|range| scale(range.start)..scale(range.end)).collect()
    }

    /// How far the rounding of media time may move an end, in samples at a rate; not at all where its units are samples.
    pub fn media_rounding(&self, rate: u32) -> u64 {
        if self.timescale == rate { 0 } else { rate.div_ceil(self.timescale.max(1)).into() }
    }

    /// How far the rounding of an edit's length may move its end, in samples at a rate.
    pub fn rounding(&self, rate: u32) -> u64 {
        rate.div_ceil(self.movie.max(1)).into()
    }
}

/// `number * to / from`, rounded to the nearest.
pub(super) fn rescale(number: u64, to: u64, from: u64) -> u64 {
    let from = u128::from(from.max(1));
    ((u128::from(number) * u128::from(to) * 2 + from) / (2 * from)).try_into().unwrap_or(u64::MAX)
}

/// A box: its name, where its content is, and the bytes of its length, if the file ends inside it, as if it didn't.
struct Box {
    name: [u8; 4],
    content: Range<u64>,
    cut: Option<Patch>,
}

/// The boxes in a range of the file.
fn boxes(input: &mut dyn Input, range: Range<u64>) -> Result<Vec<Box>> {
    let (mut at, mut found) = (range.start, Vec::new());
    while at + 8 <= range.end && found.len() < BOXES {
        let header = read(input, at, 16)?;
        let (Some(&size), Some(&name)) = (header.first_chunk(), header[4.min(header.len())..].first_chunk()) else {
            break;
        };
        let (size, start) = match u32::from_be_bytes(size) {
            0 => (range.end - at, 8),
            1 => match header.last_chunk::<8>() {
                Some(&size) if header.len() == 16 => (u64::from_be_bytes(size), 16),
                _ => break,
            },
            size => (size.into(), 8),
        };
        if size < start {
            break;
        }
        let claimed = at.saturating_add(size);
        let end = claimed.min(range.end);
        let there = end - at;
        let cut = (claimed > end).then(|| match start {
            16 => (at + 8, there.to_be_bytes().to_vec()),
            _ => (at, (there as u32).to_be_bytes().to_vec()),
        });
        found.push(Box { name, content: (at + start).min(end)..end, cut });
        at = end;
    }
    Ok(found)
}

fn find(boxes: &[Box], name: &[u8; 4]) -> Option<Range<u64>> {
    boxes.iter().find(|found| found.name == *name).map(|found| found.content.clone())
}

/// The edits of all tracks of a file in a part of the input, and the length of the media in it where it ends inside them.
pub(super) fn edits(input: &mut dyn Input, part: Range<u64>) -> Result<(Vec<Edits>, Vec<Patch>)> {
    let top = boxes(input, part)?;
    let media = top.iter().filter(|found| found.name == *b"mdat");
    let patches = media.filter_map(|found| found.cut.clone()).collect();
    let Some(movie) = find(&top, b"moov") else { return Ok((Vec::new(), patches)) };
    let movie = boxes(input, movie)?;
    let timescale = match find(&movie, b"mvhd") {
        Some(header) => time_scale(input, header)?,
        None => 0,
    };
    let mut found = Vec::new();
    for track in movie.iter().filter(|found| found.name == *b"trak") {
        found.extend(track_edits(input, track.content.clone(), timescale)?);
    }
    Ok((found, patches))
}

/// Whether a track is of PCM of 24 or 32 bits or floats in big-endian order, which is QuickTime's where no `enda` says
/// otherwise (QuickTime File Format, Sound Sample Descriptions): symphonia's reader takes all of them for little-endian.
pub(super) fn is_big_endian(input: &mut dyn Input, part: Range<u64>) -> Result<bool> {
    let Some(movie) = find(&boxes(input, part)?, b"moov") else { return Ok(false) };
    for track in boxes(input, movie)?.into_iter().filter(|found| found.name == *b"trak") {
        let mut inner = track.content;
        let mut there = true;
        for name in [b"mdia", b"minf", b"stbl", b"stsd"] {
            match find(&boxes(input, inner.clone())?, name) {
                Some(next) => inner = next,
                None => there = false,
            }
        }
        if !there {
            continue;
        }
        // Version, flags and number of entries come first.
        for entry in boxes(input, (inner.start + 8).min(inner.end)..inner.end)? {
            if ![*b"in24", *b"in32", *b"fl32", *b"fl64"].contains(&entry.name) {
                continue;
            }
            let len = (entry.content.end - entry.content.start).min(1 << 16) as usize;
            let description = read(input, entry.content.start, len)?;
            if !description.windows(6).any(|bytes| bytes == b"enda\0\x01") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn track_edits(input: &mut dyn Input, track: Range<u64>, movie_timescale: u32) -> Result<Option<Edits>> {
    let track = boxes(input, track)?;
    let (Some(header), Some(media), Some(edits)) =
        (find(&track, b"tkhd"), find(&track, b"mdia"), find(&track, b"edts"))
    else {
        return Ok(None);
    };
    let list = boxes(input, edits)?;
    let (Some(list), Some(media_header)) = (find(&list, b"elst"), find(&boxes(input, media)?, b"mdhd")) else {
        return Ok(None);
    };
    let timescale = time_scale(input, media_header)?;
    let id = Fields(read(input, header.start, 24)?);
    let track = id.number(if id.version() == 1 { 20 } else { 12 }, 4);
    let list = Fields(read(input, list.start, (list.end - list.start).min(8 + 20 * EDITS as u64) as usize)?);
    let wide = if list.version() == 1 { 8 } else { 4 };
    let count = (list.number(4, 4) as usize).min(list.0.len().saturating_sub(8) / (2 * wide + 4));
    let mut edits = Edits { track: track as u32, timescale, movie: movie_timescale, ranges: Vec::new(), dwells: false };
    for entry in 0..count {
        let at = 8 + entry * (2 * wide + 4);
        let (duration, start) = (list.number(at, wide), list.number(at + wide, wide));
        // An empty edit, all ones, is time without media before the sound or between its parts.
        if start == u64::MAX >> (64 - 8 * wide) {
            continue;
        }
        edits.dwells |= list.number(at + 2 * wide, 4) != 1 << 16;
        // A duration of 0 reaches to the end of a file whose length wasn't known.
        let end = match duration {
            0 => u64::MAX,
            duration => start.saturating_add(rescale(duration, timescale.into(), movie_timescale.into())),
        };
        edits.ranges.push(start..end);
    }
    Ok((!edits.ranges.is_empty() && timescale > 0 && movie_timescale > 0).then_some(edits))
}

/// The units a second of a header of a movie or of its media.
fn time_scale(input: &mut dyn Input, header: Range<u64>) -> Result<u32> {
    let header = Fields(read(input, header.start, 24)?);
    Ok(header.number(if header.version() == 1 { 20 } else { 12 }, 4) as u32)
}

/// Big-endian fields; 0 beyond the end.
struct Fields(Vec<u8>);

impl Fields {
    fn version(&self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    fn number(&self, at: usize, bytes: usize) -> u64 {
        (at..at + bytes).fold(0, |number, at| number << 8 | u64::from(self.0.get(at).copied().unwrap_or(0)))
    }
}

/// The part of a sound that iTunes' comment says is sound: after a number that is always 0, the samples of priming, of
/// padding, and between them, in hexadecimal digits.
pub(super) fn itunes(comment: &str) -> Option<Range<u64>> {
    let mut numbers = comment.split_whitespace().map(|number| u64::from_str_radix(number, 16).ok());
    let (_, priming, _padding, samples) = (numbers.next()?, numbers.next()??, numbers.next()??, numbers.next()??);
    // Longer priming than any encoder's is no priming.
    (priming < 1 << 14 && samples > 0).then(|| priming..priming.saturating_add(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_itunes_are_read() {
        let comment = " 00000000 00000840 000001CC 00000000003F31F4 00000000 00000000";
        assert_eq!(itunes(comment), Some(2_112..2_112 + 0x3f31f4));
        assert_eq!(itunes(" 00000000 00000000 00000000 0000000000000000"), None);
        assert_eq!(itunes("no numbers"), None);
        assert_eq!(itunes(""), None);
    }

    fn part(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes(), &name[..], content].concat()
    }

    #[test]
    fn the_order_of_bytes_of_quicktimes_pcm_is_told() {
        let of = |kind: &[u8; 4], extra: &[u8]| {
            let entry = part(kind, &[&[0; 28], extra].concat());
            let description = part(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &entry[..]].concat());
            let media = part(b"mdia", &part(b"minf", &part(b"stbl", &description)));
            let file = [part(b"ftyp", b"qt  "), part(b"moov", &part(b"trak", &media))].concat();
            is_big_endian(&mut std::io::Cursor::new(&file), 0..file.len() as u64).unwrap()
        };
        let enda = |value| part(b"wave", &part(b"enda", &[0, value]));
        for kind in [b"in24", b"in32", b"fl32", b"fl64"] {
            assert!(of(kind, &[]) && of(kind, &enda(0)) && !of(kind, &enda(1)), "{kind:?}");
        }
        assert!(!of(b"twos", &[]) && !of(b"mp4a", &[]));
    }

    /// A movie of one track, at 1,000 units a second, of a track at 8,000, with an edit list.
    fn movie(list: &[u8]) -> Vec<u8> {
        let header = |version: u8, number: u32| {
            let times = [version, 0, 0, 0].into_iter().chain(vec![0; if version == 1 { 16 } else { 8 }]);
            times.chain(number.to_be_bytes()).chain([0; 8]).collect::<Vec<u8>>()
        };
        let track = [
            part(b"tkhd", &header(0, 7)),
            part(b"edts", &part(b"elst", list)),
            part(b"mdia", &part(b"mdhd", &header(1, 8_000))),
        ];
        let movie = [part(b"mvhd", &header(0, 1_000)), part(b"trak", &track.concat())];
        [part(b"ftyp", b"M4A "), part(b"moov", &movie.concat()), part(b"mdat", &[0; 100])].concat()
    }

    #[test]
    fn several_edits_are_ranges_in_order() {
        let read = |file: &[u8]| edits(&mut std::io::Cursor::new(file), 0..file.len() as u64).unwrap();
        // Half a second of nothing, then a second from the 1,024th unit, then the rest from the 20,000th.
        let numbers = [0u32, 3, 500, u32::MAX, 1 << 16, 1_000, 1_024, 1 << 16, 0, 20_000, 1 << 16];
        let file = movie(&numbers.map(u32::to_be_bytes).concat());
        let (found, patches) = read(&file);
        assert_eq!((found.len(), found[0].track, found[0].dwells, patches.len()), (1, 7, false, 0));
        assert_eq!(found[0].samples(8_000), [1_024..9_024, 20_000..u64::MAX]);
        assert_eq!(found[0].samples(16_000), [2_048..18_048, 40_000..u64::MAX]);
        // The wide form; another speed; counts that aren't there; a file that ends inside its media.
        let wide =
            [&[1, 0, 0, 0, 0, 0, 0, 1][..], &2_000u64.to_be_bytes(), &5u64.to_be_bytes(), &[0, 2, 0, 0]].concat();
        let (found, _) = read(&movie(&wide));
        assert_eq!((found[0].samples(8_000)[0].clone(), found[0].dwells), (5..16_005, true));
        let many = [0u32, u32::MAX, 1_000, 0, 1 << 16].map(u32::to_be_bytes).concat();
        assert_eq!(read(&movie(&many)).0[0].samples(8_000)[0], 0..8_000);
        assert!(read(&movie(&[])).0.is_empty());
        let (_, patches) = read(&file[..file.len() - 40]);
        assert_eq!(patches, [(file.len() as u64 - 108, 68u32.to_be_bytes().to_vec())]);
        for cut in 0..file.len() {
            read(&file[..cut]);
        }
    }

    #[test]
    fn times_are_rounded_and_never_overflow() {
        assert_eq!(rescale(1_000, 44_100, 1_000), 44_100);
        assert_eq!(rescale(1, 44_100, 90_000), 0);
        assert_eq!(rescale(u64::MAX, u64::MAX, 1), u64::MAX);
        assert_eq!(rescale(5, 3, 0), 15);
    }
}
