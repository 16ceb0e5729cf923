//! Layouts of every modality over any bytes: what is decoded encodes to the same bytes, and text does not depend on how
//! it comes in parts.
#![no_main]

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use libfuzzer_sys::fuzz_target;
use megabyte::modality::{Bom, Layout, Newlines, TextLayout};
use megabyte_fuzz::{Bounded, Parts, init, layout, split};

/// What a text layout makes of a file, worked out on the whole of it.
fn text(content: &[u8], layout: &TextLayout) -> Option<Vec<u8>> {
    let text = match Encoding::for_label(layout.encoding.as_bytes()) {
        None => content.to_vec(),
        Some(encoding) => {
            let unicode = [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding);
            if unicode && Encoding::for_bom(content).is_some_and(|(marked, _)| marked != encoding) {
                return None;
            }
            let text = encoding.decode_without_bom_handling_and_without_replacement(content)?;
            text.into_owned().into_bytes()
        }
    };
    let text = match layout.bom {
        Bom::Strip => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text),
        Bom::Keep => &text,
    };
    let mut lines = Vec::new();
    for (i, &byte) in text.iter().enumerate() {
        match (layout.newlines, byte) {
            (Newlines::Lf, b'\n') if i > 0 && text[i - 1] == b'\r' => {}
            (Newlines::Lf, b'\r') => lines.push(b'\n'),
            _ => lines.push(byte),
        }
    }
    Some(lines)
}

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((choices, content)) = split(data) else { return };
    let layout = layout(choices);
    let again = Layout::from_keys(layout.modality(), layout.keys()).expect("its keys are valid");
    assert_eq!(again, layout);
    let adapter = layout.adapter();
    let round = |bytes: &[u8]| adapter.encode(&adapter.decode(bytes).expect("it is shown")).expect("it is read");
    match &layout {
        Layout::Image(image) => {
            let mut bytes = content.to_vec();
            bytes.truncate(image.len());
            let part = adapter.decode(&bytes).expect("a part is shown");
            bytes.resize(image.len(), 0);
            assert!(adapter.decode(&bytes).expect("it is shown") == part, "what is missing is black: {layout:?}");
            assert!(round(&bytes) == bytes, "{layout:?}");
            let mirrored = adapter.mirrored(&bytes).expect("it is a whole picture");
            assert!(adapter.mirrored(&mirrored).as_deref() == Some(&bytes), "{layout:?}");
        }
        Layout::Audio(audio) => {
            let whole = &content[..content.len() - content.len() % audio.bytes_per_frame()];
            let bytes = round(content);
            if audio.trim_db == 0.0 {
                assert!(bytes == whole, "{layout:?}");
            }
            assert!(round(&bytes) == bytes, "{layout:?}");
        }
        Layout::Text(options) => {
            let expected = text(content, options);
            let mut bytes = Bounded::default();
            let result = adapter.encode_to(&mut Parts::new(content, &choices[3..15]), &mut bytes);
            assert_eq!(result.is_ok(), expected.is_some(), "{result:?} {layout:?}");
            assert_eq!(adapter.encode(content).ok(), expected, "{layout:?}");
            assert!(expected.is_none_or(|expected| expected == bytes.0), "parts make a difference: {layout:?}");
        }
        Layout::Bytes(_) => assert!(round(content) == content),
    }
});
