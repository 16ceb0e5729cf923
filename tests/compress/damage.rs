//! Archives that are cut, changed or of somebody else: an error, or what is left, and never the wrong file.

use megabyte::density::archive::{Codec, CompressOptions, Header};
use megabyte::modality::{BytesLayout, Layout};
use proptest::prelude::*;

use super::{bytes_codec, compress, config, decompress, model, options, random, restore};

/// A file of five blocks, each of four windows of 64 bytes but the last.
fn example(codec: &Codec) -> (Vec<u8>, Vec<u8>, Header) {
    let file = random(1100, 11);
    let made =
        compress(codec, std::slice::from_ref(&file), CompressOptions { block_bytes: 256, ..options() }).remove(0);
    assert_eq!(made.header.blocks.len(), 5);
    assert_eq!(restore(codec, &made.archive), file);
    (file, made.archive, made.header)
}

/// Whatever comes back from this is right where it isn't said to be lost.
fn check(codec: &Codec, archive: &[u8], file: &[u8]) {
    let Ok(restored) = decompress(codec, &[archive]).remove(0) else { return };
    assert_eq!(restored.file.len(), file.len());
    assert!(!restored.damage.is_empty(), "it looks whole");
    for (at, (ours, theirs)) in restored.file.iter().zip(file).enumerate() {
        let lost = restored.damage.iter().any(|damage| damage.content.contains(&(at as u64)));
        assert!(if lost { *ours == 0 } else { ours == theirs }, "byte {at}");
    }
}

#[test]
fn an_archive_cut_at_any_place_gives_an_error_or_its_first_blocks() {
    let codec = bytes_codec();
    let (file, archive, header) = example(&codec);
    for len in 0..archive.len() {
        // Behind the header, one length in ten and those around the blocks' ends.
        if len < 140 || len % 10 == 0 || len + 3 > archive.len() {
            check(&codec, &archive[..len], &file);
        }
    }
    let code: usize = header.blocks.iter().map(|block| block.len).sum();
    let third: usize = header.blocks[..3].iter().map(|block| block.len).sum();
    let cut = &archive[..archive.len() - code + third];
    let restored = decompress(&codec, &[cut]).remove(0).unwrap();
    assert_eq!(restored.file[..768], file[..768], "three blocks of 256 bytes");
    let lost: Vec<_> = restored.damage.iter().map(|damage| damage.content.clone()).collect();
    assert_eq!(lost, [768..1024, 1024..1100]);
    assert!(restored.damage.iter().all(|damage| damage.reason == "is cut off"));
}

#[test]
fn every_flipped_bit_is_found() {
    let codec = bytes_codec();
    let file = random(100, 12);
    let archive = compress(&codec, std::slice::from_ref(&file), options()).remove(0).archive;
    for bit in 0..archive.len() * 8 {
        let mut changed = archive.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        check(&codec, &changed, &file);
    }
}

#[test]
fn a_damaged_block_is_named_and_the_others_come_back() {
    let codec = bytes_codec();
    let (file, archive, header) = example(&codec);
    let start = archive.len() - header.blocks.iter().map(|block| block.len).sum::<usize>();
    let second = start + header.blocks[0].len;
    let mut changed = archive.clone();
    changed[second + 5] ^= 0x40;
    let restored = decompress(&codec, &[&changed]).remove(0).unwrap();
    let [damage] = &restored.damage[..] else { panic!("{:?}", restored.damage) };
    assert_eq!(damage.content, 256..512);
    assert_eq!(damage.archive, second as u64..(second + header.blocks[1].len) as u64);
    assert_eq!(damage.reason, "has a wrong checksum");
    assert_eq!(restored.file[..256], file[..256]);
    assert_eq!(restored.file[256..512], [0; 256]);
    assert_eq!(restored.file[512..], file[512..]);
}

#[test]
fn a_block_that_decodes_to_something_else_is_found_by_its_content() {
    let codec = bytes_codec();
    let (file, archive, mut header) = example(&codec);
    let start = archive.len() - header.blocks.iter().map(|block| block.len).sum::<usize>();
    let mut changed = archive[start..].to_vec();
    changed[3] ^= 1;
    header.blocks[0].code_crc = crc32c::crc32c(&changed[..header.blocks[0].len]);
    let restored = decompress(&codec, &[&[header.write(), changed].concat()]).remove(0).unwrap();
    assert_eq!(restored.damage[0].reason, "decodes to another content");
    assert_eq!(restored.file[256..], file[256..]);
}

#[test]
fn other_files_are_no_archives() {
    let codec = bytes_codec();
    let foreign: [&[u8]; 6] = [b"", b"\x89", b"hello", b"\x89PNG\r\n\x1a\n", b"\x89MBS\r\n\x1a\n", &[0xff; 300]];
    for bytes in foreign {
        let error = decompress(&codec, &[bytes]).remove(0).unwrap_err().to_string();
        assert_eq!(error, "is no archive of `megabyte compress`");
    }
    let (_, archive, _) = example(&codec);
    let mut newer = archive.clone();
    newer[4] = 3;
    let error = decompress(&codec, &[&newer]).remove(0).unwrap_err().to_string();
    assert!(error.contains("version 3") && error.contains("reads version 2"), "{error}");
    let error = decompress(&codec, &[&[&archive[..], b"xyz"].concat()]).remove(0).unwrap_err().to_string();
    assert!(error.contains("3 bytes follow its end"), "{error}");
}

#[test]
fn another_model_is_refused_by_name() {
    let codec = bytes_codec();
    let (file, archive, _) = example(&codec);
    let (ours, text) = (Layout::Bytes(BytesLayout {}), Layout::Text(Default::default()));
    let mut wider = config();
    wider.context = 128;
    let others = [
        Codec::new(ours.clone(), model(&config(), 2)).unwrap(),
        Codec::new(ours.clone(), model(&wider, 1)).unwrap(),
        Codec::new(text, model(&config(), 1)).unwrap(),
    ];
    for other in others {
        let error = decompress(&other, &[&archive]).remove(0).unwrap_err().to_string();
        assert!(error.contains("was made with another model"), "{error}");
        assert!(error.contains(&format!("{:016x}", codec.fingerprint())), "{error}");
        assert!(error.contains(&format!("{:016x}", other.fingerprint())), "{error}");
    }
    // The same again is the same.
    assert_eq!(restore(&Codec::new(ours, model(&config(), 1)).unwrap(), &archive), file);
}

#[test]
fn other_arithmetic_is_refused() {
    let codec = bytes_codec();
    let (_, archive, header) = example(&codec);
    let end = header.write().len();
    let with = |change: &dyn Fn(&mut megabyte::density::archive::Coding)| {
        let mut header = header.clone();
        change(header.coding.as_mut().unwrap());
        let archive = [&header.write()[..], &archive[end..]].concat();
        decompress(&codec, &[&archive]).remove(0).unwrap_err().to_string()
    };
    assert!(with(&|coding| coding.identity.arithmetic ^= 1).contains("computes other numbers"));
    assert!(with(&|coding| coding.lanes += 1).contains("computes other numbers"), "rows are part of it");
    assert!(with(&|coding| coding.window = 32).contains("damaged"));
}

#[test]
fn a_bad_archive_among_good_ones_is_the_only_one_that_fails() {
    let codec = bytes_codec();
    let files = [random(300, 1), random(200, 2)];
    let archives = compress(&codec, &files, options());
    let all: [&[u8]; 3] = [&archives[0].archive, b"no archive", &archives[1].archive];
    let restored = decompress(&codec, &all);
    assert!(restored[1].is_err());
    assert_eq!(restored[0].as_ref().unwrap().file, files[0]);
    assert_eq!(restored[2].as_ref().unwrap().file, files[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn headers_of_any_bytes_are_read_or_refused(fields in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = megabyte::density::archive::MAGIC.to_vec();
        let len = fields.len();
        bytes.extend(if len < 128 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] });
        bytes.extend(fields);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        if let Ok((header, end)) = Header::read(&bytes) {
            prop_assert_eq!(end, bytes.len());
            prop_assert_eq!(header.write(), bytes);
        }
    }
}
