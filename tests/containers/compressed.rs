use std::io::Write;

use megabyte::data::container::Expanded;
use megabyte::modality::Modality;

use crate::{gz, named, open, options, tar};

fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn bz2(content: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zst(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 3).unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;
const CODECS: [(&str, Compress); 4] = [("gz", gz), ("xz", xz), ("bz2", bz2), ("zst", zst)];

#[test]
fn one_document_compressed() {
    for (name, compress) in CODECS {
        let found = open(&compress(b"a document"), &options(Modality::Text)).whole();
        assert_eq!(found, named(&[("", b"a document")]), "{name}");
    }
}

#[test]
fn members_that_follow_one_another_are_one_content() {
    for (name, compress) in CODECS {
        let joined = [compress(b"one "), compress(b""), compress(b"two")].concat();
        assert_eq!(open(&joined, &options(Modality::Text)).whole(), named(&[("", b"one two")]), "{name}");
    }
}

#[test]
fn a_zstandard_file_may_begin_with_a_skippable_frame() {
    let file = [b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip".as_slice(), &zst(b"text")].concat();
    assert_eq!(open(&file, &options(Modality::Text)).whole(), named(&[("", b"text")]));
}

#[test]
fn an_archive_compressed_is_an_archive() {
    let members: [(&str, &[u8]); 2] = [("a/b.txt", b"one"), ("c.txt", b"two")];
    for (name, compress) in CODECS {
        let found = open(&compress(&tar(&members)), &options(Modality::Text)).whole();
        assert_eq!(found, named(&members), "{name}");
    }
}

#[test]
fn long_content_is_a_file_and_equal() {
    let long: Vec<u8> = (0..20_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let found = open(&zst(&long), &options(Modality::Text)).whole();
    assert!(found[0].1 == long);
    let found = open(&tar(&[("a", &long), ("b", b"short")]), &options(Modality::Text)).whole();
    assert!(found[0].1 == long && found[1].1 == b"short");
}

#[test]
fn four_deep_and_no_deeper() {
    let mut file = b"deep".to_vec();
    for _ in 0..4 {
        file = gz(&file);
    }
    assert_eq!(open(&file, &options(Modality::Text)).whole(), named(&[("", b"deep")]));
    let found = open(&gz(&file), &options(Modality::Text));
    assert!(found.broken().contains("inside 4 others"), "{found:?}");
    assert_eq!(found.records, []);
}

#[test]
fn text_that_begins_like_a_format_is_text() {
    for text in
        [&b"BZh9 is what bzip2 files begin with"[..], b"PK", b"", b"PAR", b"\x1f\x8b", b"{\"a\": 1}\n", b"\x93NUMPY"]
    {
        let found = open(text, &options(Modality::Text));
        assert_eq!(found.end, Expanded::NotAContainer, "{text:?}");
        assert!(found.records.is_empty() && found.skipped.is_empty());
    }
}

/// As gzip has it: zeros of a tape or of a block of a disk, or anything else behind the last member.
#[test]
fn what_is_behind_the_last_member_is_ignored_with_a_warning() {
    for (name, compress) in CODECS {
        for junk in [&[0; 1][..], &[0; 511], &[0; 512], b"junk", b"\x1f", b"\n", &[0xff; 70_000]] {
            let file = [&compress(b"one "), &compress(b"two"), junk].concat();
            let found = open(&file, &options(Modality::Text));
            assert_eq!((found.end, found.skipped), (Expanded::Done, Vec::new()), "{name}");
            assert_eq!(found.records, named(&[("", b"one two")]), "{name}");
            // Zeros in fours are padding where the format has it.
            let padding = name == "xz" && junk.len() % 4 == 0 && junk[0] == 0;
            let warned = [(
                String::new(),
                format!("{} bytes behind the compressed data belong to nothing and are ignored", junk.len()),
            )];
            assert_eq!(found.warned, warned[usize::from(padding)..], "{name}");
        }
        // An archive with it is an archive all the same.
        let found =
            open(&[&compress(&tar(&[("a.txt", b"a")])), &[0; 100][..], b"x"].concat(), &options(Modality::Text));
        assert_eq!((found.records, found.warned.len()), (named(&[("a.txt", b"a")]), 1), "{name}");
        // What is cut is no junk.
        let whole = [compress(b"one "), compress(&[b'x'; 1000])].concat();
        for lacking in [1, 5, 12] {
            let found = open(&whole[..whole.len() - lacking], &options(Modality::Text));
            assert!(matches!(found.end, Expanded::Broken(_)), "{name} without {lacking}: {found:?}");
        }
    }
    let padded = [&xz(b"one ")[..], &[0; 8], &xz(b"two")].concat();
    assert_eq!(open(&padded, &options(Modality::Text)).whole(), named(&[("", b"one two")]));
}
