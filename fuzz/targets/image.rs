//! Pictures of any format to the bytes of any layout, and back.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use megabyte::modality::{Description, Layout, Limits, describe, detect};
use megabyte_fuzz::{Bounded, Parts, image_layout, init, split};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((choices, content)) = split(data) else { return };
    let layout = image_layout(choices);
    let limits = Limits { max_pixels: 1 << 18, max_bytes: 16 << 20 };
    let adapter = Layout::Image(layout.clone()).adapter_within(&limits);
    let described = describe(&mut Cursor::new(content));
    detect(content);
    let Ok(bytes) = adapter.encode(content) else { return };
    assert!(!matches!(described, Some(Description::Sound { .. })), "{described:?}");
    assert_eq!(bytes.len(), layout.len());
    let mut again = Bounded::default();
    adapter.encode_to(&mut Parts::new(content, &choices[11..]), &mut again).expect("it was read before");
    assert!(again.0 == bytes, "parts make a difference");
    let png = adapter.decode(&bytes).expect("whole pictures are shown");
    assert!(adapter.encode(&png).expect("what is shown is read") == bytes, "{layout:?}");
});
