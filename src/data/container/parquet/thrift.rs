//! A look at a structure in Thrift's compact protocol before someone else's parser gets it. That one sets memory aside
//! for what lengths claim, and an allocation that fails ends the program.

/// Structures deeper than Parquet's.
const DEPTH: usize = 16;

/// What the fields of structures are, in the order of their numbers from 1 on, by the path to the structure: `n`umbers,
/// `t`ruth values, single b`y`tes, `d`oubles, `b`inaries, `l`ists, `s`tructures. The parser reads these as what they
/// should be, whatever the file says they are, so that one that is told to be another would be read from a wrong place.
/// It passes over all others by what the file says.
pub(super) type Fields = &'static [(&'static [i16], &'static str)];

/// Those of the header of a page.
pub(super) const PAGE_HEADER: Fields = &[
    (&[], "nnnnssss"),
    (&[5], "nnnns"),
    (&[5, 5], STATISTICS),
    (&[7], "nnt"),
    (&[8], "nnnnnnts"),
    (&[8, 8], STATISTICS),
];

/// Those of the description of a file.
pub(super) const DESCRIPTION: Fields = &[
    (&[], "nlnllblsb"),
    (&[2], "nnnbnnnnns"),
    (&[2, 10], "ssssssssssssssssss"),
    (&[2, 10, 5], "nn"),
    (&[2, 10, 7], "ts"),
    (&[2, 10, 7, 2], "sss"),
    (&[2, 10, 8], "ts"),
    (&[2, 10, 8, 2], "sss"),
    (&[2, 10, 10], "yt"),
    (&[2, 10, 16], "y"),
    (&[2, 10, 17], "b"),
    (&[2, 10, 18], "bn"),
    (&[4], "lnnlnnn"),
    (&[4, 1], "bnsnnnnsb"),
    (&[4, 1, 3], "nllnnnnlnnnslnnss"),
    (&[4, 1, 3, 8], "bb"),
    (&[4, 1, 3, 12], STATISTICS),
    (&[4, 1, 3, 13], "nnn"),
    (&[4, 1, 3, 16], "nll"),
    (&[4, 1, 3, 17], "sl"),
    (&[4, 1, 3, 17, 1], "dddddddd"),
    (&[4, 4], "ntt"),
    (&[5], "bb"),
    (&[7], "ss"),
];

const STATISTICS: &str = "bbnnbbtt";

/// Why a structure is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It goes on behind the end of the bytes.
    CutOff,
    /// It is none.
    Invalid,
}

type Looked<T = ()> = Result<T, Refused>;

/// Walks through one structure and gives its length. All lengths in it fit, and `fields` are what they should be.
/// `visit` gets every number and truth value with the numbers of the fields that lead to it; lists add no level.
pub(super) fn walk(bytes: &[u8], fields: Fields, visit: &mut dyn FnMut(&[i16], i64)) -> Looked<usize> {
    let mut walker = Walker { bytes, at: 0, path: Vec::new(), fields, visit };
    walker.structure()?;
    Ok(walker.at)
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<i16>,
    fields: Fields,
    visit: &'a mut dyn FnMut(&[i16], i64),
}

impl Walker<'_> {
    fn structure(&mut self) -> Looked {
        if self.path.len() == DEPTH {
            return Err(Refused::Invalid);
        }
        let fields = self.fields.iter().find(|(path, _)| *path == self.path).map_or("", |(_, fields)| *fields);
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
            let field = usize::try_from(self.path[last]).ok().and_then(|field| field.checked_sub(1));
            let told = match byte & 15 {
                1 | 2 => b't',
                3 => b'y',
                4..=6 => b'n',
                7 => b'd',
                8 => b'b',
                9 | 10 => b'l',
                12 => b's',
                _ => b'-',
            };
            if field.and_then(|field| fields.as_bytes().get(field)).is_some_and(|&meant| meant != told) {
                return Err(Refused::Invalid);
            }
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
            // Truth values in a list take a byte, and the parser passes over them as if they took none. Parquet has no
            // such lists.
            1 | 2 => Err(Refused::Invalid),
            3 => self.skip(1),
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
        let walked = walk(&bytes, &[], &mut |path, value| seen.push((path.to_vec(), value)));
        assert_eq!(walked, Ok(bytes.len()));
        assert_eq!(seen, [(vec![1], -2), (vec![3], 1), (vec![3], 2), (vec![5, 1], 1)]);
        for cut in 0..bytes.len() {
            assert_eq!(walk(&bytes[..cut], &[], &mut |_, _| ()), Err(Refused::CutOff), "{cut}");
        }
        assert_eq!(walk(&[0x18, 0xff, 0xff, 0xff, 0xff, 15], &[], &mut |_, _| ()), Err(Refused::CutOff));
        assert_eq!(walk(&[0x1c; 99], &[], &mut |_, _| ()), Err(Refused::Invalid));
    }

    #[test]
    fn fields_are_what_they_should_be() {
        let look = |bytes: &[u8], fields| walk(bytes, fields, &mut |_, _| ());
        // 1: i32, 2: i32, 5: struct { 1: i32 }
        let page = [0x15, 0, 0x15, 4, 0x3c, 0x15, 2, 0, 0];
        assert_eq!(look(&page, PAGE_HEADER), Ok(page.len()));
        // Other sizes of numbers are written alike.
        assert_eq!(look(&[0x14, 0, 0x16, 4, 0], PAGE_HEADER), Ok(5));
        // 2 as a binary: its length would be read as the number, and its bytes as what follows.
        assert_eq!(look(&[0x15, 0, 0x18, 2, 0x15, 0, 0], PAGE_HEADER), Err(Refused::Invalid));
        assert_eq!(look(&[0x5c, 0x18, 0, 0, 0], PAGE_HEADER), Err(Refused::Invalid));
        // The number of a later field may be unknown, and is passed over.
        assert_eq!(look(&[0x98, 1, 7, 0], PAGE_HEADER), Ok(4));
        // A list of two truth values.
        assert_eq!(look(&[0x99, 0x21, 1, 1, 0], PAGE_HEADER), Err(Refused::Invalid));
    }
}
