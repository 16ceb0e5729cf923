//! Event files, read back by a decoder that shares nothing with the writer.

use std::fs;

use megabyte::report::EventWriter;

use crate::folder::{png, wav};

/// CRC-32C bit by bit, and TFRecord's mask.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The payloads of a file's records, every checksum checked.
fn records(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes(), "checksum of a length");
        let payload = &rest[12..12 + length];
        assert_eq!(rest[12 + length..16 + length], masked_crc(payload).to_le_bytes(), "checksum of a payload");
        records.push(payload);
        rest = &rest[16 + length..];
    }
    records
}

#[derive(Debug, Clone, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

/// The fields of a message, in order, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Varint(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        fields.push((
            key >> 3,
            match key & 7 {
                1 => Field::Fixed64(value.try_into().unwrap()),
                5 => Field::Fixed32(value.try_into().unwrap()),
                _ => Field::Bytes(value),
            },
        ));
    }
    fields
}

/// The only field with a number.
fn field(bytes: &[u8], number: u64) -> Field<'_> {
    let found: Vec<_> = fields(bytes).into_iter().filter(|field| field.0 == number).collect();
    assert_eq!(found.len(), 1, "field {number} of {:?}", fields(bytes));
    found[0].1.clone()
}

fn message(bytes: &[u8], number: u64) -> &[u8] {
    match field(bytes, number) {
        Field::Bytes(bytes) => bytes,
        other => panic!("field {number} is {other:?}"),
    }
}

/// Step, tag and `Summary.Value` of an event.
fn value(event: &[u8]) -> (u64, String, &[u8]) {
    let Field::Varint(step) = field(event, 2) else { panic!("no step") };
    let value = message(message(event, 5), 1);
    (step, String::from_utf8(message(value, 1).to_vec()).unwrap(), value)
}

#[test]
fn an_independent_decoder_reads_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (png, wav) = (png(3, 2, |x, y| [x as u8, y as u8, 7]), wav(8_000, &[0, 100, -100]));
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.scalar("loss/train", 300, 2.5).unwrap();
    writer.image("sample", 300, &png, 3, 2, 3).unwrap();
    writer.audio("sound", 70_000_000_000, &wav, 8_000, 1, 3).unwrap();
    writer.text("text", 1, "héllo").unwrap();
    writer.restart(200).unwrap();
    writer.flush().unwrap();

    let file = fs::read(writer.path()).unwrap();
    let events = records(&file);
    assert_eq!(events.len(), 6);
    for event in &events {
        let Field::Fixed64(time) = field(event, 1) else { panic!("no time") };
        assert!(f64::from_le_bytes(time) > 1.7e9, "seconds since 1970");
    }
    assert_eq!(message(events[0], 3), b"brain.Event:2");

    let (step, tag, scalar) = value(events[1]);
    assert_eq!((step, tag.as_str()), (300, "loss/train"));
    assert_eq!(field(scalar, 2), Field::Fixed32(2.5f32.to_le_bytes()));

    let (_, _, image) = value(events[2]);
    let image = message(image, 4);
    let sizes = [1, 2, 3].map(|number| field(image, number));
    assert_eq!(sizes, [Field::Varint(2), Field::Varint(3), Field::Varint(3)], "height, width, channels");
    assert_eq!(message(image, 4), png);

    let (step, _, audio) = value(events[3]);
    let audio = message(audio, 6);
    assert_eq!(step, 70_000_000_000);
    assert_eq!(field(audio, 1), Field::Fixed32(8_000f32.to_le_bytes()));
    assert_eq!([field(audio, 2), field(audio, 3)], [Field::Varint(1), Field::Varint(3)]);
    assert_eq!((message(audio, 4), message(audio, 5)), (wav.as_slice(), &b"audio/wav"[..]));

    let (_, _, text) = value(events[4]);
    let tensor = message(text, 8);
    assert_eq!(field(tensor, 1), Field::Varint(7), "DT_STRING");
    assert_eq!(message(tensor, 8), "héllo".as_bytes());
    assert_eq!(message(message(message(text, 9), 1), 1), b"text");

    assert_eq!(field(message(events[5], 7), 1), Field::Varint(1), "SessionLog.START");
}

#[test]
fn samples_are_written_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.sample("a", 1, "png", &png(5, 4, |_, _| [1, 2, 3])).unwrap();
    writer.sample("b", 1, "wav", &wav(16_000, &[1, 2, 3, 4])).unwrap();
    writer.sample("c", 1, "txt", b"*not* bold\n\xff").unwrap();
    assert!(writer.sample("d", 1, "png", b"no picture").unwrap_err().to_string().contains("not a PNG file"));
    assert!(writer.sample("d", 1, "wav", b"no sound").unwrap_err().to_string().contains("not a WAV file"));
    writer.flush().unwrap();
    let file = fs::read(writer.path()).unwrap();
    let events = records(&file);
    assert_eq!(events.len(), 4, "what can't be read writes nothing");
    let image = message(value(events[1]).2, 4);
    assert_eq!([1, 2, 3].map(|n| field(image, n)), [Field::Varint(4), Field::Varint(5), Field::Varint(3)]);
    let audio = message(value(events[2]).2, 6);
    assert_eq!([field(audio, 2), field(audio, 3)], [Field::Varint(1), Field::Varint(4)]);
    assert_eq!(message(message(value(events[3]).2, 8), 8), "    *not* bold\n    \u{fffd}".as_bytes());
}

#[test]
fn writers_of_one_folder_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    let writers: Vec<_> = (0..3).map(|_| EventWriter::create(&dir).unwrap()).collect();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
    assert!(writers.iter().all(|writer| writer.path().to_str().unwrap().contains("/events.out.tfevents.")));
}
