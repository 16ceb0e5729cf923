//! The keys of the text layout.

use std::io::Cursor;

use megabyte::modality::{Bom, Layout, Newlines, TextLayout};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases;
use crate::input::Chunks;

fn layout(bom: Bom, newlines: Newlines, encoding: &str) -> Layout {
    let layout = Layout::Text(TextLayout { bom, newlines, encoding: encoding.to_owned() });
    layout.validate().unwrap();
    layout
}

fn encode(layout: &Layout, bytes: &[u8], sizes: &[usize]) -> megabyte::Result<Vec<u8>> {
    let mut out = Vec::new();
    layout.adapter().encode_to(&mut Chunks { bytes: Cursor::new(bytes), sizes, turn: 0 }, &mut out)?;
    Ok(out)
}

/// What the keys mean, for a whole text.
fn expected(text: &str, bom: Bom, newlines: Newlines) -> String {
    let text = if bom == Bom::Strip { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    if newlines == Newlines::Lf { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn borders_of_chunks_change_nothing(
        text in "(\u{feff})?[a-zяЖ€😀\r\n]{0,60}",
        strip in any::<bool>(),
        lf in any::<bool>(),
        sizes in vec(1usize..9, 1..6),
    ) {
        let bom = if strip { Bom::Strip } else { Bom::Keep };
        let newlines = if lf { Newlines::Lf } else { Newlines::Keep };
        let expected = expected(&text, bom, newlines).into_bytes();
        for (encoding, bytes) in [
            ("", text.clone().into_bytes()),
            ("utf-8", text.clone().into_bytes()),
            ("utf-16le", utf16(&text, u16::to_le_bytes)),
            ("utf-16be", utf16(&text, u16::to_be_bytes)),
        ] {
            prop_assert_eq!(&encode(&layout(bom, newlines, encoding), &bytes, &sizes).unwrap(), &expected, "{}", encoding);
        }
    }

    #[test]
    fn without_keys_any_bytes_pass(bytes in vec(any::<u8>(), 0..100), sizes in vec(1usize..9, 1..6)) {
        prop_assert_eq!(encode(&layout(Bom::Keep, Newlines::Keep, ""), &bytes, &sizes).unwrap(), bytes);
    }
}

#[test]
fn eight_bit_encodings_become_utf8() {
    let keep = |encoding| layout(Bom::Keep, Newlines::Keep, encoding);
    assert_eq!(encode(&keep("windows-1251"), b"\xcf\xf0\xe8\xe2\xe5\xf2", &[1]).unwrap(), "Привет".as_bytes());
    assert_eq!(encode(&keep("koi8-r"), b"\xf0\xd2\xc9\xd7\xc5\xd4", &[4]).unwrap(), "Привет".as_bytes());
    assert_eq!(encode(&keep("shift_jis"), b"\x82\xb1\x82\xf1", &[1]).unwrap(), "こん".as_bytes());
    assert_eq!(encode(&keep("iso-8859-15"), b"\xa4", &[1]).unwrap(), "€".as_bytes());
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    for (encoding, bytes, place) in [
        ("utf-8", &b"fine \xff here"[..], "byte 5"),
        ("utf-8", b"cut \xd0", "byte 4"),
        ("utf-16le", b"a\0b\0\0\xd8c\0", "byte 4"),
        ("utf-16le", b"a\0b", "byte 2"),
    ] {
        for size in [1, 3, 100] {
            let error = encode(&layout(Bom::Keep, Newlines::Keep, encoding), bytes, &[size]).unwrap_err().to_string();
            let named = error.contains("data.encoding") && error.to_lowercase().contains(encoding);
            assert!(named && error.contains(place), "{encoding}, {size}: {error}");
        }
    }
}

#[test]
fn the_mark_of_another_encoding_is_refused() {
    let error = encode(&layout(Bom::Keep, Newlines::Keep, "utf-16"), b"\xfe\xff\0a", &[1]).unwrap_err().to_string();
    assert!(error.contains("UTF-16BE") && error.contains("UTF-16LE"), "{error}");
    // To others such bytes are letters.
    let letters = encode(&layout(Bom::Keep, Newlines::Keep, "windows-1251"), b"\xff\xfe", &[1]).unwrap();
    assert_eq!(letters, "яю".as_bytes());
}

/// A mark is left out only at the start, and half a mark is text.
#[test]
fn half_a_mark_stays() {
    let strip = layout(Bom::Strip, Newlines::Keep, "");
    for (bytes, expected) in [
        (&b"\xef\xbb"[..], &b"\xef\xbb"[..]),
        (b"\xef\xbb\xbf", b""),
        (b"\xef\xbb\xbf\xef\xbb\xbfx", b"\xef\xbb\xbfx"),
        (b"\xef\xbbx", b"\xef\xbbx"),
        (b"x\xef\xbb\xbf", b"x\xef\xbb\xbf"),
        (b"", b""),
    ] {
        for size in [1, 2, 100] {
            assert_eq!(encode(&strip, bytes, &[size]).unwrap(), expected);
        }
    }
}
