//! A look at a structure in Thrift's compact protocol before someone else's parser gets it. That one sets memory aside
//! for what lengths claim, and an allocation that fails ends the program.

/// Structures deeper than Parquet's.
const DEPTH: usize = 16;

/// Why a structure is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It goes on behind the end of the bytes.
    CutOff,
    /// It is none.
    Invalid,
}

type Looked<T = ()> = Result<T, Refused>;

/// Walks through one structure and gives its length. All lengths in it fit. `visit` gets every number and truth value
/// with the numbers of the fields that lead to it; lists add no level.
pub(super) fn walk(bytes: &[u8], visit: &mut dyn FnMut(&[i16], i64)) -> Looked<usize> {
    let mut walker = Walker { bytes, at: 0, path: Vec::new(), visit };
    walker.structure()?;
    Ok(walker.at)
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<i16>,
    visit: &'a mut dyn FnMut(&[i16], i64),
}

impl Walker<'_> {
    fn structure(&mut self) -> Looked {
        if self.path.len() == DEPTH {
            return Err(Refused::Invalid);
        }
        self.path.push(0);
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                break;
            }
            let last = self.path.len() - 1;
            self.path[last] = match byte >> 4 {
                0 => i16::try_from(self.signed()?).map_err(|_| Refused::Invalid)?,
                step => self.path[last].checked_add(i16::from(step)).ok_or(Refused::Invalid)?,
            };
            match byte & 15 {
                // Truth values of fields stand in the type.
                kind @ (1 | 2) => (self.visit)(&self.path, i64::from(kind == 1)),
                kind => self.value(kind, 0)?,
            }
        }
        self.path.pop();
        Ok(())
    }

    fn value(&mut self, kind: u8, lists: usize) -> Looked {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => {
                let value = self.signed()?;
                (self.visit)(&self.path, value);
                Ok(())
            }
            7 => self.skip(8),
            8 => {
                let len = self.unsigned()?;
                self.skip(len)
            }
            9 | 10 if lists < DEPTH => {
                let byte = self.byte()?;
                let len = if byte >> 4 == 15 { self.unsigned()? } else { u64::from(byte >> 4) };
                self.fits(len)?;
                (0..len).try_for_each(|_| self.value(byte & 15, lists + 1))
            }
            12 => self.structure(),
            16 => self.skip(16),
            // Parquet has no maps.
            _ => Err(Refused::Invalid),
        }
    }

    fn byte(&mut self) -> Looked<u8> {
        let byte = *self.bytes.get(self.at).ok_or(Refused::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    /// Every element of a list takes a byte or more.
    fn fits(&self, len: u64) -> Looked {
        if len > (self.bytes.len() - self.at) as u64 { Err(Refused::CutOff) } else { Ok(()) }
    }

    fn skip(&mut self, len: u64) -> Looked {
        self.fits(len)?;
        self.at += len as usize;
        Ok(())
    }

    fn unsigned(&mut self) -> Looked<u64> {
        varint(self.bytes, &mut self.at).ok_or(Refused::CutOff)
    }

    fn signed(&mut self) -> Looked<i64> {
        self.unsigned().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

/// A number of seven bits a byte, low bits first (LEB128).
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_through_fields_and_refuses_false_lengths() {
        // 1: i32 -2; 2: binary "ab"; 3: list of two i32 (1, 2); 5: struct { 1: true }
        let bytes = [0x15, 3, 0x18, 2, b'a', b'b', 0x19, 0x25, 2, 4, 0x2c, 0x11, 0, 0];
        let mut seen = Vec::new();
        let walked = walk(&bytes, &mut |path, value| seen.push((path.to_vec(), value)));
        assert_eq!(walked, Ok(bytes.len()));
        assert_eq!(seen, [(vec![1], -2), (vec![3], 1), (vec![3], 2), (vec![5, 1], 1)]);
        for cut in 0..bytes.len() {
            assert_eq!(walk(&bytes[..cut], &mut |_, _| ()), Err(Refused::CutOff), "{cut}");
        }
        assert_eq!(walk(&[0x18, 0xff, 0xff, 0xff, 0xff, 15], &mut |_, _| ()), Err(Refused::CutOff));
        assert_eq!(walk(&[0x1c; 99], &mut |_, _| ()), Err(Refused::Invalid));
    }
}
