//! Sound files of any format to the bytes of any layout, and back.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use megabyte::modality::{Layout, describe, detect};
use megabyte_fuzz::{Bounded, Parts, audio_layout, init, split};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((choices, content)) = split(data) else { return };
    let layout = audio_layout(choices);
    let adapter = Layout::Audio(layout.clone()).adapter();
    describe(&mut Cursor::new(content));
    detect(content);
    let mut bytes = Bounded::default();
    if adapter.encode_to(&mut Cursor::new(content), &mut bytes).is_err() {
        return;
    }
    let bytes = bytes.0;
    assert_eq!(bytes.len() % layout.bytes_per_frame(), 0);
    if choices[15] % 4 == 0 {
        let mut again = Bounded::default();
        adapter.encode_to(&mut Parts::new(content, &choices[7..]), &mut again).expect("it was read before");
        assert!(again.0 == bytes, "parts make a difference");
    }
    let wav = adapter.decode(&bytes).expect("whole frames are shown");
    assert!(adapter.encode(&wav).expect("what is shown is read") == bytes, "{layout:?}");
});
