//! Arrays of pictures: IDX, CIFAR, NumPy, and sheets. What comes out of them is read as a picture.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::data::container::Options;
use megabyte::modality::{ImageLayout, Layout, Limits, Modality};
use megabyte_fuzz::{folder, init, open, pick};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((&[choice, width, height], bytes)) = data.split_first_chunk() else { return };
    let mut options = Options::new(Modality::Image, folder());
    options.max_expansion = 4;
    options.column = pick(choice, [None, Some("x"), Some("data")]).map(str::to_owned);
    options.sheet = (choice >= 128).then(|| (u32::from(width), u32::from(height)));
    let (records, _) = open(bytes, &options);
    if bytes.starts_with(b"\x93NUMPY") || bytes.starts_with(b"\0\0\x08") {
        let layout = ImageLayout { width: 8, height: 8, ..ImageLayout::default() };
        let adapter = Layout::Image(layout).adapter_within(&Limits { max_pixels: 1 << 20, max_bytes: 64 << 20 });
        for (name, picture) in records {
            match adapter.encode(&picture) {
                Ok(bytes) => assert_eq!(bytes.len(), 192),
                Err(error) => assert!(error.to_string().contains("more than the limit"), "{name}: {error}"),
            }
        }
    }
});
