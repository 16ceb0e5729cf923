//! The shard format: its bytes, and what is refused.

use std::path::Path;

use megabyte::data::shard::Shard;
use megabyte::data::{ShardWriter, Split};
use megabyte::modality::{Layout, TextLayout};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Two items, written by a program in another language from the format's description.
const GOLDEN: &str = concat!(
    "894d42530d0a1a0a020000000000000068656c6c6f0a00ff0000000000000000000000000000000000000000000000000500",
    "0000010000008e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99060000000000000007000000",
    "00000000050000000000000002000000000000001878e767f1a09c64a9e3b73ffc1af306482097367e3809bbc800350d2b25",
    "5dc0612e747874c3bc7b2273706c6974223a2276616c6964222c226974656d73223a322c22656e6473223a312c226e616d65",
    "73223a372c227061796c6f6164223a382c226d6f64616c697479223a2274657874222c226c61796f7574223a7b22626f6d22",
    "3a226b656570222c226e65776c696e6573223a226b656570222c22656e636f64696e67223a22227d7d1c5b68cd51be077884",
    "000000000000008de55274c83bf04c",
);
/// The payload of the golden shard.
const PAYLOAD: std::ops::Range<usize> = 16..24;

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
            if !PAYLOAD.contains(&at) {
                refused(folder.path(), &shard, &what);
                continue;
            }
            let error = open(folder.path(), &shard).unwrap().verify().expect_err(&what).to_string();
            let named = if at - PAYLOAD.start < 6 { "a.txt" } else { "ü" };
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
    next[8] = 3;
    assert!(refused(folder.path(), &next, "a later version").contains("version 3"));
    assert!(Shard::open(folder.path()).is_err(), "a folder");
}

/// A shard whose checksums are right, with a header and an index of the caller's: offset, offset with ends, offset and
/// length of the name, flags.
fn forged(header: &str, entries: &[(u64, u64, u64, u32, u32)], names: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut shard = b"\x89MBS\r\n\x1a\n\x02\0\0\0\0\0\0\0".to_vec();
    let mut around = shard.clone();
    let mut after = Vec::new();
    for &(offset, symbol, name_offset, name_len, flags) in entries {
        after.extend([offset, symbol, name_offset].map(u64::to_le_bytes).concat());
        after.extend([name_len, flags].map(u32::to_le_bytes).concat());
        after.extend([0; 32]);
    }
    after.extend(names);
    after.extend(header.as_bytes());
    after.extend(xxh3_64(payload).to_le_bytes());
    after.extend((header.len() as u64).to_le_bytes());
    around.extend(&after);
    shard.extend(payload);
    shard.extend(after);
    shard.extend(xxh3_64(&around).to_le_bytes());
    shard
}

#[test]
fn lying_lengths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let header = |items: u64, ends: u64, names: u64, payload: u64| {
        let sizes = format!(r#""items":{items},"ends":{ends},"names":{names},"payload":{payload}"#);
        format!(r#"{{"split":"train",{sizes},"modality":"text","layout":{{}}}}"#)
    };
    let good = [(0, 0, 0, 1, 1), (3, 4, 1, 1, 0)];
    assert!(open(folder.path(), &forged(&header(2, 1, 2, 4), &good, b"ab", b"abcd")).is_ok());

    for (items, ends, names, payload) in [
        (u64::MAX, 1, 2, 4),
        (2, u64::MAX, 2, 4),
        (2, 0, 2, 4),
        (2, 1, u64::MAX, 4),
        (2, 1, 2, u64::MAX),
        (1 << 58, 1, 2, 4),
        (3, 1, 2, 4),
        (1, 1, 2, 4),
    ] {
        let header = header(items, ends, names, payload);
        refused(folder.path(), &forged(&header, &good, b"ab", b"abcd"), &header);
    }
    let indexes = [
        ("an item that begins late", [(1, 1, 0, 1, 0), (3, 3, 1, 1, 1)]),
        ("items in the wrong order", [(3, 3, 0, 1, 0), (0, 0, 1, 1, 1)]),
        ("an item beyond the payload", [(0, 0, 0, 1, 0), (5, 5, 1, 1, 1)]),
        ("an offset that wraps around", [(0, 0, 0, 1, 0), (u64::MAX, u64::MAX, 1, 1, 1)]),
        ("ends that were not counted", [(0, 0, 0, 1, 1), (3, 3, 1, 1, 0)]),
        ("ends that are not there", [(0, 0, 0, 1, 0), (3, 4, 1, 1, 1)]),
        ("a name beyond the names", [(0, 0, 0, 1, 0), (3, 3, 1, 9, 1)]),
        ("names that overlap", [(0, 0, 0, 1, 0), (3, 3, 0, 2, 1)]),
        ("an unknown flag", [(0, 0, 0, 1, 2), (3, 3, 1, 1, 1)]),
    ];
    for (what, entries) in indexes {
        refused(folder.path(), &forged(&header(2, 1, 2, 4), &entries, b"ab", b"abcd"), what);
    }
    refused(folder.path(), &forged(&header(2, 1, 2, 4), &good, b"\xc3\xbc", b"abcd"), "names cut inside a character");
    refused(folder.path(), &forged(&header(0, 0, 0, 4), &[], b"", b"abcd"), "bytes of no item");
    refused(folder.path(), &forged("{}", &good, b"ab", b"abcd"), "a header without keys");
    refused(folder.path(), &forged("[", &good, b"ab", b"abcd"), "a header that is no JSON");
}

#[test]
fn items_of_another_length_than_the_layout_fixes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = r#"{"width":2,"height":2,"channels":"gray","scan":"raster"}"#;
    let header = |items: usize, payload: usize| {
        let sizes = format!(r#""items":{items},"ends":0,"names":0,"payload":{payload}"#);
        format!(r#"{{"split":"train",{sizes},"modality":"image","layout":{layout}}}"#)
    };
    assert!(open(folder.path(), &forged(&header(1, 4), &[(0, 0, 0, 0, 0)], b"", b"abcd")).is_ok());
    refused(folder.path(), &forged(&header(1, 3), &[(0, 0, 0, 0, 0)], b"", b"abc"), "three quarters of a picture");
    let uneven = [(0, 0, 0, 0, 0), (3, 3, 0, 0, 0)];
    refused(folder.path(), &forged(&header(2, 8), &uneven, b"", b"abcdefgh"), "pictures of 3 and 5 bytes");
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
        for with_ends in [false, true] {
            // Every place of the stream, by counting.
            let mut place = 0;
            for (i, (_, bytes, ends)) in items.iter().enumerate() {
                for behind in 0..bytes.len() as u64 + u64::from(with_ends && *ends) {
                    prop_assert_eq!(shard.find(place, with_ends), (i, behind));
                    place += 1;
                }
            }
            prop_assert_eq!(place, shard.bytes() + if with_ends { shard.ends() } else { 0 });
        }
        for (i, (name, bytes, ends)) in items.iter().enumerate() {
            prop_assert_eq!(shard.item(i), (&bytes[..], *ends));
            prop_assert_eq!(shard.name(i), name);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in any::<Vec<u8>>(), header in ".{0,40}", keep in 0..300_usize) {
        let folder = tempfile::tempdir().unwrap();
        prop_assert!(open(folder.path(), &bytes).is_err());
        // The start of a shard, then noise, and noise with the end of one.
        let mut cut = golden();
        cut.truncate(keep);
        cut.append(&mut bytes.clone());
        if let Ok(shard) = open(folder.path(), &cut) {
            prop_assert_eq!(shard.verify().is_ok(), keep >= golden().len());
        }
        bytes.extend(&golden()[keep.min(golden().len())..]);
        let _ = open(folder.path(), &bytes);
        let _ = open(folder.path(), &forged(&header, &[], b"", b""));
    }
}
