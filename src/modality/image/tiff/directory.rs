//! The first directory of a TIFF file (TIFF 6.0, section 2) or a BigTIFF file: its tags and their values.

use std::collections::BTreeMap;
use std::io::{Read, SeekFrom};

use super::super::super::Input;
use super::{Step, tag};

/// Bytes of values that are read; the tables of chunks of the largest pictures have some MiB.
const LONGEST: u64 = 64 << 20;
/// Bytes of the values of any other tag; a palette of 16 bits has 384 KiB.
const LONGEST_OTHER: u64 = 1 << 20;

/// Tags that are read, and the values of those that are there.
#[derive(Debug)]
pub(super) struct Directory {
    /// Whether numbers have their least significant byte first.
    pub little: bool,
    /// Type and bytes of the values of each tag.
    values: BTreeMap<u16, (u16, Vec<u8>)>,
}

impl Directory {
    /// Reads the directory of the first page.
    pub fn read(input: &mut dyn Input, wanted: &[u16]) -> Step<Self> {
        let mut head = [0; 16];
        input.seek(SeekFrom::Start(0))?;
        input.read_exact(&mut head[..8])?;
        let little = head.starts_with(b"II");
        let big = number(&head[2..4], little) == 43;
        if big {
            input.read_exact(&mut head[8..])?;
        }
        // Entries: tag, type, number of values, and a small value itself or the place of others.
        let (first, count, entry, inline) = if big { (&head[8..16], 8, 20, 8) } else { (&head[4..8], 2, 12, 4) };
        input.seek(SeekFrom::Start(number(first, little)))?;
        let mut field = [0; 8];
        input.read_exact(&mut field[..count])?;
        let entries = number(&field[..count], little).min(u16::MAX.into());
        let mut directory = Vec::new();
        input.take(entries * entry).read_to_end(&mut directory)?;
        let mut values = BTreeMap::new();
        let mut left = LONGEST;
        for entry in directory.chunks_exact(entry as usize) {
            let (key, kind) = (number(&entry[..2], little) as u16, number(&entry[2..4], little) as u16);
            let (count, place) = entry[4..].split_at(inline);
            let Some(size) = size(kind).filter(|_| wanted.contains(&key) && !values.contains_key(&key)) else {
                continue;
            };
            let len = number(count, little).saturating_mul(size);
            let bytes = if len <= inline as u64 {
                place[..len as usize].to_vec()
            } else {
                let most = if tag::TABLES.contains(&key) { left } else { LONGEST_OTHER };
                left = left.checked_sub(len).filter(|_| len <= most).ok_or("its tags are absurdly long")?;
                let mut bytes = Vec::new();
                input.seek(SeekFrom::Start(number(place, little)))?;
                input.take(len).read_to_end(&mut bytes)?;
                if (bytes.len() as u64) < len {
                    return Err("its tags lie behind its end".into());
                }
                bytes
            };
            values.insert(key, (kind, bytes));
        }
        Ok(Directory { little, values })
    }

    /// Whole numbers, one after the other; none where the tag is not there or of another type.
    pub fn each(&self, tag: u16) -> Option<impl ExactSizeIterator<Item = u64>> {
        let (kind, bytes) = self.values.get(&tag)?;
        let size = size(*kind).filter(|_| matches!(kind, 1 | 3 | 4 | 13 | 16 | 18))? as usize;
        Some(bytes.chunks_exact(size).map(|bytes| number(bytes, self.little)))
    }

    /// All of [`Self::each`].
    pub fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        Some(self.each(tag)?.collect())
    }

    /// The first of [`Self::each`].
    pub fn number(&self, tag: u16) -> Option<u64> {
        self.each(tag)?.next()
    }

    /// Numbers that may be fractions.
    pub fn fractions(&self, tag: u16) -> Option<Vec<f64>> {
        let (kind, bytes) = self.values.get(&tag)?;
        let little = self.little;
        Some(match kind {
            5 => {
                let part = |bytes: &[u8]| number(bytes, little) as f64;
                bytes.chunks_exact(8).map(|bytes| part(&bytes[..4]) / part(&bytes[4..])).collect()
            }
            11 => bytes.chunks_exact(4).map(|bytes| f32::from_bits(number(bytes, little) as u32).into()).collect(),
            12 => bytes.chunks_exact(8).map(|bytes| f64::from_bits(number(bytes, little))).collect(),
            _ => self.numbers(tag)?.into_iter().map(|number| number as f64).collect(),
        })
    }

    /// The values as they are.
    pub fn bytes(&self, tag: u16) -> Option<&[u8]> {
        self.values.get(&tag).map(|(_, bytes)| bytes.as_slice())
    }
}

/// The bytes of a value of a type.
fn size(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}

/// A number of up to eight bytes.
pub(super) fn number(bytes: &[u8], little: bool) -> u64 {
    let digits = bytes.iter().map(|&byte| u64::from(byte));
    if little { digits.rev().fold(0, |n, digit| n << 8 | digit) } else { digits.fold(0, |n, digit| n << 8 | digit) }
}
