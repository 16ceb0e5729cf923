//! What a text looks like before anything is done to it: a guess at its encoding, its ends of lines, and what is odd.

/// What was found in the bytes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFindings {
    /// The encoding as far as bytes tell it: that of the mark, else the one that they fit.
    pub encoding: &'static str,
    /// Whether a byte order mark says so.
    pub mark: bool,
    /// Lines that end with LF alone.
    pub lf: u64,
    /// Lines that end with CR LF.
    pub crlf: u64,
    /// Lines that end with CR alone.
    pub cr: u64,
    /// Bytes of the longest line, without its end.
    pub longest_line: u64,
    /// NUL characters.
    pub nul: u64,
}

/// Looks at a text.
pub fn text_findings(text: &[u8]) -> TextFindings {
    let (encoding, mark, width, little) = encoding(text);
    let mut findings = TextFindings { encoding, mark, lf: 0, crlf: 0, cr: 0, longest_line: 0, nul: 0 };
    let (mut line, mut after_cr) = (0, false);
    for unit in units(text, width, little) {
        findings.nul += u64::from(unit == 0);
        match unit {
            0x0a if after_cr => {
                findings.cr -= 1;
                findings.crlf += 1;
            }
            0x0a => findings.lf += 1,
            0x0d => findings.cr += 1,
            _ => line += width as u64,
        }
        if matches!(unit, 0x0a | 0x0d) {
            findings.longest_line = findings.longest_line.max(line);
            line = 0;
        }
        after_cr = unit == 0x0d;
    }
    findings.longest_line = findings.longest_line.max(line);
    findings
}

/// The marks of encodings, the bytes of a unit, and whether its least significant byte is first; longer marks first.
const MARKS: [(&[u8], &str, usize, bool); 5] = [
    (b"\xff\xfe\0\0", "UTF-32LE", 4, true),
    (b"\0\0\xfe\xff", "UTF-32BE", 4, false),
    (b"\xff\xfe", "UTF-16LE", 2, true),
    (b"\xfe\xff", "UTF-16BE", 2, false),
    (b"\xef\xbb\xbf", "UTF-8", 1, true),
];

/// The encoding, whether a mark tells it, and its units.
fn encoding(text: &[u8]) -> (&'static str, bool, usize, bool) {
    if let Some(&(_, name, width, little)) = MARKS.iter().find(|(mark, ..)| text.starts_with(mark)) {
        return (name, true, width, little);
    }
    // Without a mark: whole characters throughout, among them spaces and ends of lines.
    for &(_, name, width, little) in MARKS.iter().filter(|(_, _, width, _)| *width > 1) {
        if text.len() >= 2 * width && text.len().is_multiple_of(width) && fits(text, width, little) {
            return (name, false, width, little);
        }
    }
    let name = match std::str::from_utf8(text) {
        Ok(_) if text.is_ascii() => "ASCII",
        Ok(_) => "UTF-8",
        // These are controls in ISO 8859 and letters in the code pages of Windows.
        Err(_) if text.iter().any(|byte| (0x80..0xa0).contains(byte)) => "8 bits, such as Windows-1252",
        Err(_) => "8 bits, such as Latin-1 (ISO 8859-1)",
    };
    (name, false, 1, true)
}

/// Whether bytes are characters of so many bytes, and look like a text of them.
fn fits(text: &[u8], width: usize, little: bool) -> bool {
    let whole = match width {
        2 => char::decode_utf16(units(text, 2, little).map(|unit| unit as u16)).all(|character| character.is_ok()),
        _ => units(text, 4, little).all(|unit| char::from_u32(unit).is_some()),
    };
    let usual =
        |little| units(text, width, little).filter(|unit| matches!(unit, 0x09 | 0x0a | 0x0d | 0x20..=0x7e)).count();
    let (count, found, nul) =
        (text.len() / width, usual(little), units(text, width, little).filter(|unit| *unit == 0).count());
    // Other letters than Latin ones have spaces between them, and a few bytes of anything may happen to fit.
    let enough = found * 2 >= count || found >= 3 && found * 20 >= count;
    whole && enough && found > 4 * usual(!little) && found > nul
}

fn units(text: &[u8], width: usize, little: bool) -> impl Iterator<Item = u32> + '_ {
    text.chunks_exact(width).map(move |bytes| {
        let digits = bytes.iter().map(|&byte| u32::from(byte));
        if little { digits.rev().fold(0, |n, digit| n << 8 | digit) } else { digits.fold(0, |n, digit| n << 8 | digit) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_with_and_without_a_mark() {
        let text = "Wörter und Zeilen\nпривет\n";
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let utf32 =
            |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| bytes(c.into())).collect::<Vec<_>>();
        for mark in [false, true] {
            let text = if mark { format!("\u{feff}{text}") } else { text.to_owned() };
            for (bytes, name) in [
                (text.clone().into_bytes(), "UTF-8"),
                (utf16(&text, u16::to_le_bytes), "UTF-16LE"),
                (utf16(&text, u16::to_be_bytes), "UTF-16BE"),
                (utf32(&text, u32::to_le_bytes), "UTF-32LE"),
                (utf32(&text, u32::to_be_bytes), "UTF-32BE"),
            ] {
                let found = text_findings(&bytes);
                assert_eq!((found.encoding, found.mark, found.lf, found.nul), (name, mark, 2, 0), "{name}");
            }
        }
        for (bytes, name) in [
            (&b"plain\n"[..], "ASCII"),
            (b"", "ASCII"),
            (b"caf\xe9 ", "8 bits, such as Latin-1 (ISO 8859-1)"),
            (b"\x93quoted\x94 ", "8 bits, such as Windows-1252"),
            (b"a\0b\0c", "ASCII"),
            (b"a\0b\0", "UTF-16LE"),
            (b"\0a\0\n", "UTF-16BE"),
            (b"a\0b\r\n\xe9", "8 bits, such as Latin-1 (ISO 8859-1)"),
            (b"some\0\0\0\0 words\0\0", "ASCII"),
        ] {
            assert_eq!(text_findings(bytes).encoding, name, "{bytes:?}");
        }
    }

    #[test]
    fn ends_of_lines_long_lines_and_nuls_are_counted() {
        let found = text_findings(b"one\ntwo\r\n\rlongest\0line\r\nx");
        assert_eq!((found.lf, found.crlf, found.cr, found.longest_line, found.nul), (1, 2, 1, 12, 1));
    }
}
