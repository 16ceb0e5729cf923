//! The shard format: its bytes, and what is refused.

use std::path::Path;

use megabyte::data::shard::Shard;
use megabyte::data::{ShardWriter, Split};
use megabyte::modality::{Layout, TextLayout};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Two items, written by a program in another language from the format's description.
const GOLDEN: &str = concat!(
    "894d42530d0a1a0a010000007b0000007b2273706c6974223a2276616c6964222c226974656d73223a322c226e616d657322",
    "3a372c227061796c6f6164223a382c226d6f64616c697479223a2274657874222c226c61796f7574223a7b22626f6d223a22",
    "6b656570222c226e65776c696e6573223a226b656570222c22656e636f64696e67223a22227d7d0000000000000000060000",
    "0000000000000000000000000005000000010000008e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd",
    "629a9906000000000000000200000000000000050000000000000002000000000000001878e767f1a09c64a9e3b73ffc1af3",
    "06482097367e3809bbc800350d2b255dc0612e747874c3bcda110cdd50a7272868656c6c6f0a00ff1c5b68cd51be0778",
);
/// Where the payload of the golden shard starts: 16 + 123 of header + 2 · 64 of index + 7 of names + 8 of checksum.
const PAYLOAD: usize = 16 + 123 + 128 + 7 + 8;

fn golden() -> Vec<u8> {
    let digits: Vec<u32> = GOLDEN.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn layout() -> Layout {
    Layout::Text(TextLayout::default())
}

fn open(folder: &Path, bytes: &[u8]) -> megabyte::Result<Shard> {
    let path = folder.join("a.shard");
    std::fs::write(&path, bytes).unwrap();
    Shard::open(&path)
}

fn refused(folder: &Path, bytes: &[u8], what: &str) -> String {
    let error = open(folder, bytes).expect_err(what).to_string();
    assert!(error.contains("a.shard") && error.contains("megabyte prepare"), "{what}: {error}");
    error
}

#[test]
fn the_format_is_the_documented_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("valid-00000.shard");
    let mut writer = ShardWriter::new(&path, Split::Valid, &layout()).unwrap();
    writer.push("a.txt", b"hello\n", true).unwrap();
    writer.push("ü", &[0, 255], false).unwrap();
    let info = writer.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), golden());
    assert_eq!((info.file.as_str(), info.items, info.bytes), ("valid-00000.shard", 2, 8));

    let shard = Shard::open(&path).unwrap();
    shard.verify().unwrap();
    assert_eq!((shard.split(), shard.layout(), shard.len(), shard.bytes()), (Split::Valid, &layout(), 2, 8));
    assert_eq!((shard.item(0), shard.name(0)), ((&b"hello\n"[..], true), "a.txt"));
    assert_eq!((shard.item(1), shard.name(1)), ((&[0, 255][..], false), "ü"));
    assert_eq!(shard.hash(1), *blake3::hash(&[0, 255]).as_bytes());
    let (head, payload) = shard.checksums();
    assert_eq!([info.head_xxh3, info.payload_xxh3], [format!("{head:016x}"), format!("{payload:016x}")]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
}

#[test]
fn a_shard_of_another_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shard = golden();
    for len in 0..shard.len() {
        refused(folder.path(), &shard[..len], "a part of a shard");
    }
    refused(folder.path(), &[&shard[..], &[0]].concat(), "a shard and a byte");
    assert!(open(folder.path(), &shard).is_ok());
}

#[test]
fn every_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..golden().len() {
        for bit in 0..8 {
            let mut shard = golden();
            shard[at] ^= 1 << bit;
            let what = format!("bit {bit} of byte {at} is flipped");
            if at < PAYLOAD {
                refused(folder.path(), &shard, &what);
                continue;
            }
            let error = open(folder.path(), &shard).unwrap().verify().expect_err(&what).to_string();
            let named = match at - PAYLOAD {
                0..6 => "a.txt",
                6..8 => "ü",
                _ => "checksum",
            };
            assert!(error.contains(named) && error.contains("megabyte prepare"), "{what}: {error}");
        }
    }
}

#[test]
fn foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path(), b"hello", "text").contains("is no shard"));
    assert!(refused(folder.path(), &[0; 4096], "zeros").contains("is no shard"));
    let mut next = golden();
    next[8] = 2;
    assert!(refused(folder.path(), &next, "a later version").contains("version 2"));
    assert!(Shard::open(folder.path()).is_err(), "a folder");
}

/// A shard whose checksums are right, with a header and an index of the caller's.
fn forged(header: &str, entries: &[(u64, u64, u64, u32, u32)], names: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut shard = b"\x89MBS\r\n\x1a\n\x01\0\0\0".to_vec();
    shard.extend((header.len() as u32).to_le_bytes());
    shard.extend(header.as_bytes());
    for &(offset, len, name_offset, name_len, flags) in entries {
        shard.extend([offset, len, name_offset].map(u64::to_le_bytes).concat());
        shard.extend([name_len, flags].map(u32::to_le_bytes).concat());
        shard.extend([0; 32]);
    }
    shard.extend(names);
    shard.extend(xxh3_64(&shard).to_le_bytes());
    shard.extend(payload);
    shard.extend(xxh3_64(payload).to_le_bytes());
    shard
}

#[test]
fn lying_lengths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let header = |items: u64, names: u64, payload: u64| {
        let sizes = format!(r#""items":{items},"names":{names},"payload":{payload}"#);
        format!(r#"{{"split":"train",{sizes},"modality":"text","layout":{{}}}}"#)
    };
    let good = [(0, 3, 0, 1, 1), (3, 1, 1, 1, 0)];
    assert!(open(folder.path(), &forged(&header(2, 2, 4), &good, b"ab", b"abcd")).is_ok());

    for sizes in [(u64::MAX, 2, 4), (2, u64::MAX, 4), (2, 2, u64::MAX), (1 << 58, 2, 4), (3, 2, 4), (1, 2, 4)] {
        let header = header(sizes.0, sizes.1, sizes.2);
        refused(folder.path(), &forged(&header, &good, b"ab", b"abcd"), &header);
    }
    let indexes = [
        ("an overlap", [(0, 3, 0, 1, 0), (2, 2, 1, 1, 0)]),
        ("a gap", [(0, 2, 0, 1, 0), (3, 1, 1, 1, 0)]),
        ("an item beyond the payload", [(0, 3, 0, 1, 0), (3, 2, 1, 1, 0)]),
        ("a length that wraps around", [(0, 3, 0, 1, 0), (3, u64::MAX - 1, 1, 1, 0)]),
        ("bytes of no item", [(0, 3, 0, 1, 0), (3, 0, 1, 1, 0)]),
        ("a name beyond the names", [(0, 3, 0, 1, 0), (3, 1, 1, 9, 0)]),
        ("names that overlap", [(0, 3, 0, 1, 0), (3, 1, 0, 2, 0)]),
        ("an unknown flag", [(0, 3, 0, 1, 2), (3, 1, 1, 1, 0)]),
    ];
    for (what, entries) in indexes {
        refused(folder.path(), &forged(&header(2, 2, 4), &entries, b"ab", b"abcd"), what);
    }
    refused(folder.path(), &forged(&header(2, 2, 4), &good, b"\xc3\xbc", b"abcd"), "names cut inside a character");
    refused(folder.path(), &forged("{}", &good, b"ab", b"abcd"), "a header without keys");
    refused(folder.path(), &forged("[", &good, b"ab", b"abcd"), "a header that is no JSON");
}

#[test]
fn items_of_another_length_than_the_layout_fixes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = r#"{"width":2,"height":2,"channels":"gray","scan":"raster"}"#;
    let header = |payload: usize| {
        let sizes = format!(r#""items":1,"names":0,"payload":{payload}"#);
        format!(r#"{{"split":"train",{sizes},"modality":"image","layout":{layout}}}"#)
    };
    assert!(open(folder.path(), &forged(&header(4), &[(0, 4, 0, 0, 0)], b"", b"abcd")).is_ok());
    refused(folder.path(), &forged(&header(3), &[(0, 3, 0, 0, 0)], b"", b"abc"), "three quarters of a picture");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(items in prop::collection::vec((".{0,12}", any::<Vec<u8>>(), any::<bool>()), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-00000.shard");
        let mut writer = ShardWriter::new(&path, Split::Train, &layout()).unwrap();
        for (name, bytes, ends) in &items {
            writer.push(name, bytes, *ends).unwrap();
        }
        writer.finish().unwrap();
        let shard = Shard::open(&path).unwrap();
        shard.verify().unwrap();
        prop_assert_eq!(shard.len(), items.len());
        for (i, (name, bytes, ends)) in items.iter().enumerate() {
            prop_assert_eq!(shard.item(i), (&bytes[..], *ends));
            prop_assert_eq!(shard.name(i), name);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in any::<Vec<u8>>(), header in ".{0,40}", keep in 0..300_usize) {
        let folder = tempfile::tempdir().unwrap();
        prop_assert!(open(folder.path(), &bytes).is_err());
        // The start of a shard, then noise.
        let mut shard = golden();
        shard.truncate(keep);
        shard.append(&mut bytes);
        if let Ok(shard) = open(folder.path(), &shard) {
            prop_assert_eq!(shard.verify().is_ok(), keep >= 254);
        }
        let _ = open(folder.path(), &forged(&header, &[], b"", b""));
    }
}
