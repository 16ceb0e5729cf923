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
