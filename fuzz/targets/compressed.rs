//! Archives of `megabyte compress`: headers, and what stands beside the content. Half of the headers get a right
//! checksum. No model is needed for these.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::density::archive::{Header, MAGIC, container_of, rebuild};
use megabyte::modality::Layout;
use megabyte_fuzz::{audio_layout, image_layout, init, split, text_layout};

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((choices, bytes)) = split(data) else { return };
    let mut archive = bytes.to_vec();
    if choices[0] % 2 == 0 {
        archive = MAGIC.to_vec();
        // A varint of two bytes, in its shortest spelling.
        let fields = &bytes[..bytes.len().min(16_000)];
        match fields.len() {
            len @ ..128 => archive.push(len as u8),
            len => archive.extend([len as u8 | 0x80, (len >> 7) as u8]),
        }
        archive.extend(fields);
        let sum = crc32c::crc32c(&archive);
        archive.extend(sum.to_le_bytes());
    }
    if let Ok((header, end)) = Header::read(&archive) {
        assert!(header.write() == archive[..end], "it has two spellings");
        for block in 0..header.blocks.len() {
            assert!(header.range(block).end <= header.content_len);
        }
    }
    // Another layout for each kind of content.
    let layout = match choices[1] % 3 {
        0 => Layout::Image(image_layout(choices)),
        1 => Layout::Audio(audio_layout(choices)),
        _ => Layout::Text(text_layout(choices)),
    };
    let content = match &layout {
        Layout::Image(image) => vec![choices[2]; image.len()],
        _ => bytes[..bytes.len() / 2 & !3].to_vec(),
    };
    let len = bytes.len() as u64 * u64::from(choices[3]);
    let _ = rebuild(choices[4], &layout, content, bytes, len);
    container_of(bytes, &layout);
});
