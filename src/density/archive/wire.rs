//! Numbers of an archive: read within bounds, written as short as they are.

use crate::{Error, Result};

/// The error of bytes that no archive has.
pub(super) fn damaged(reason: impl std::fmt::Display) -> Error {
    Error::Content(format!("is a damaged archive: {reason}"))
}

/// Reads from the front of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| damaged("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes, least significant first.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, least significant first.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number in groups of 7 bits, least significant first, each byte but the last with its highest bit set.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // One number has one spelling.
                return if byte == 0 && shift > 0 { Err(damaged("a number is too long")) } else { Ok(value) };
            }
        }
        Err(damaged("a number is too long"))
    }

    /// A length or a count that memory can have.
    pub fn size(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|_| damaged("a length is beyond memory"))
    }

    /// A length, and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.size()?;
        self.take(len)
    }
}

/// Writes a number as [`Reader::varint`] reads it.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_spelling() {
        for value in (0..63).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits]).chain([(1 << 63) - 1]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader(&out).varint().unwrap(), value);
            assert!(Reader(&out[..out.len() - 1]).varint().is_err());
        }
        assert!(Reader(&[0x80, 0]).varint().is_err());
        assert!(Reader(&[0xff; 12]).varint().is_err());
    }
}
