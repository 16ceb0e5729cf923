use std::io::Write;

use megabyte::data::container::Expanded;
use megabyte::modality::Modality;
use zip::CompressionMethod::Deflated;

use crate::arrays::{idx, npy};
use crate::{gz, open, options, tar, zip};

const MIB: usize = 1 << 20;

#[test]
fn zeros_do_not_unpack_for_ever() {
    let mut small = options(Modality::Text);
    small.max_expansion = 2;
    let zeros = vec![0; 80 * MIB];
    let files = [
        gz(&zeros),
        zstd::encode_all(&zeros[..], 3).unwrap(),
        {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&zeros).unwrap();
            encoder.finish().unwrap()
        },
        gz(&gz(&zeros)),
        zip(&[("a", &zeros)], Deflated),
        gz(&tar(&[("a", &zeros[..60 * MIB])])),
        // Each is small enough by itself.
        zip(&[("a", &zeros[..40 * MIB]), ("b", &zeros[..40 * MIB])], Deflated),
        zip(&[("a.zip", &zip(&[("a", &zeros)], Deflated))], Deflated),
    ];
    for (index, file) in files.iter().enumerate() {
        let found = open(file, &small);
        assert!(found.broken().contains("raise data.limits.max_expansion"), "{index}: {}", found.broken());
    }
    // Who trusts it says so.
    let mut large = options(Modality::Text);
    large.max_expansion = 1 << 20;
    assert_eq!(open(&files[0], &large).whole()[0].1.len(), zeros.len());
}

/// All entries of the directory point to one file of the archive.
#[test]
fn entries_that_share_their_bytes() {
    let zeros = vec![0; 8 * MIB];
    let file = zip(&[("a", &zeros)], Deflated);
    let start = file.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let end = file.windows(4).position(|window| window == b"PK\x05\x06").unwrap();
    let mut bomb = file[..start].to_vec();
    for index in 0..200_u8 {
        let mut entry = file[start..end].to_vec();
        // The name, of one byte, is behind the 46 bytes of the entry.
        entry[46] = index + 33;
        bomb.extend(entry);
    }
    let size = (bomb.len() - start) as u32;
    let mut tail = file[end..].to_vec();
    tail[8..10].copy_from_slice(&200_u16.to_le_bytes());
    tail[10..12].copy_from_slice(&200_u16.to_le_bytes());
    tail[12..16].copy_from_slice(&size.to_le_bytes());
    bomb.extend(tail);
    let mut text = options(Modality::Text);
    text.max_expansion = 100;
    let found = open(&bomb, &text);
    assert!(found.broken().contains("max_expansion"), "{}", found.broken());
    assert!(found.records.len() < 30, "{}", found.records.len());
}

#[test]
fn sparse_members_are_refused() {
    // A hidden one is not even told.
    for (name, told) in [("sparse", 1), (".sparse", 0)] {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::GNUSparse);
        header.set_path(name).unwrap();
        header.set_size(4 * MIB as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(1 << 50);
        // One piece of data, at the very end.
        gnu.sparse[0].set_offset((1 << 50) - 4 * MIB as u64);
        gnu.sparse[0].set_length(4 * MIB as u64);
        header.set_cksum();
        let mut file = header.as_bytes().to_vec();
        file.extend(vec![b'x'; 4 * MIB]);
        file.extend(tar(&[("after", b"after")]));
        let found = open(&file, &options(Modality::Text));
        assert_eq!(found.end, Expanded::Done);
        assert_eq!(found.skipped.len(), told);
        assert!(found.skipped.iter().all(|(_, reason)| reason.contains("sparse")), "{:?}", found.skipped);
        assert_eq!(found.records[0].0, "after");
    }

    let mut builder = ::tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")]).unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_path("sparse").unwrap();
    header.set_size(4);
    header.set_cksum();
    builder.append(&header, &b"0\n\n\n"[..]).unwrap();
    let found = open(&builder.into_inner().unwrap(), &options(Modality::Text));
    assert!(found.records.is_empty() && found.skipped[0].1.contains("sparse"), "{found:?}");
}

/// A name of gigabytes would be read into memory.
#[test]
fn names_have_a_length() {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(32 * MIB as u64);
    header.set_cksum();
    let mut file = header.as_bytes().to_vec();
    file.extend(vec![b'a'; 32 * MIB]);
    file.extend(tar(&[("a", b"1")]));
    let found = open(&gz(&file), &options(Modality::Text));
    assert!(found.broken().contains("header is over 1 MiB"), "{found:?}");
}

#[test]
fn headers_that_claim_too_much() {
    let image = options(Modality::Image);
    let found = open(&idx(&[u32::MAX, 2, 2], &[7; 10]), &image);
    assert_eq!(found.records.len(), 2);
    assert!(found.broken().contains("ends after 2 of 4294967295 pictures"), "{found:?}");
    let found = open(&idx(&[u32::MAX, 65_535, 65_535], &[7; 10]), &image);
    assert!(found.records.is_empty() && !found.broken().is_empty());
    let found = open(&npy("|u1", false, "(18446744073709551615, 2, 2)", &[7; 10]), &image);
    assert_eq!(found.records.len(), 2);
    let found = open(&npy("|u1", true, "(18446744073709551615, 2, 2)", &[7; 10]), &image);
    assert!(found.broken().contains("Fortran"), "{found:?}");
    let deep = format!("{}{}", "(".repeat(2000), ")".repeat(2000));
    assert!(open(&npy("|u1", false, &deep, &[]), &image).broken().contains("header"));
    // 4 GiB of header.
    let found = open(b"\x93NUMPY\x02\0\xff\xff\xff\xff{'descr': ", &image);
    assert!(found.broken().contains("header of 4294967307 bytes"), "{found:?}");
}

/// An xz file may ask for 4 GiB of memory.
#[test]
fn dictionaries_have_a_size() {
    let mut filters = liblzma::stream::Filters::new();
    let mut settings = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    settings.dict_size(1 << 20);
    filters.lzma2(&settings);
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(b"text").unwrap();
    let mut file = encoder.finish().unwrap();
    assert_eq!(open(&file, &options(Modality::Text)).whole()[0].1, b"text");
    // The block header: size, flags, filter 0x21, one byte of properties, padding to 12 bytes, checksum.
    let header = 12;
    assert_eq!(file[header + 2..header + 4], [0x21, 1]);
    file[header + 4] = 40;
    let sum = crc32(&file[header..header + 8]);
    file[header + 8..header + 12].copy_from_slice(&sum.to_le_bytes());
    let found = open(&file, &options(Modality::Text));
    assert!(found.records.is_empty() && !found.broken().is_empty(), "{found:?}");
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
