use globset::{Glob, GlobSet};
use megabyte::Error;
use megabyte::data::container::{Expanded, expand};
use megabyte::modality::Modality;
use proptest::prelude::*;
use zip::CompressionMethod::{Deflated, Stored};

use crate::{Opened, gz, named, open, options, png, tar, zip};

fn globs(pattern: &str) -> Option<GlobSet> {
    Some(GlobSet::builder().add(Glob::new(pattern).unwrap()).build().unwrap())
}

#[test]
fn every_file_of_an_archive_is_a_document() {
    let long = format!("{}/{}.txt", "folder".repeat(20), "name".repeat(30));
    let members: [(&str, &[u8]); 4] = [("a.txt", b"one"), ("b/c.json", b"{}"), (&long, b"long"), ("d", b"")];
    assert_eq!(open(&tar(&members), &options(Modality::Text)).whole(), named(&members));
    for method in [Stored, Deflated] {
        assert_eq!(open(&zip(&members, method), &options(Modality::Text)).whole(), named(&members));
    }
}

#[test]
fn pax_names_are_read() {
    let mut builder = ::tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", "é/pax.txt".as_bytes()), ("mtime", b"1.5")]).unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(3);
    header.set_cksum();
    builder.append(&header, &b"pax"[..]).unwrap();
    let found = open(&builder.into_inner().unwrap(), &options(Modality::Text));
    assert_eq!(found.whole(), named(&[("é/pax.txt", b"pax")]));
}

#[test]
fn what_nobody_means_is_left_out() {
    let members: [(&str, &[u8]); 4] =
        [("__MACOSX/._a.txt", b"x"), (".DS_Store", b"x"), ("a/.hidden/b.txt", b"x"), ("a/b.txt", b"kept")];
    assert_eq!(open(&tar(&members), &options(Modality::Text)).whole(), named(&members[3..]));
    assert_eq!(open(&zip(&members, Deflated), &options(Modality::Text)).whole(), named(&members[3..]));

    let mut builder = ::tar::Builder::new(Vec::new());
    let kinds =
        [::tar::EntryType::Directory, ::tar::EntryType::Symlink, ::tar::EntryType::Link, ::tar::EntryType::Fifo];
    for (index, kind) in kinds.into_iter().enumerate() {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_link_name("/etc/passwd").unwrap();
        builder.append_data(&mut header, format!("member{index}"), &b""[..]).unwrap();
    }
    assert_eq!(open(&builder.into_inner().unwrap(), &options(Modality::Text)).whole(), []);
}

#[test]
fn names_that_lead_out_are_only_names() {
    // The writer of tar archives refuses such a name, so the header is written here.
    let mut header = ::tar::Header::new_gnu();
    header.as_old_mut().name[..16].copy_from_slice(b"../../etc/passwd");
    header.set_size(3);
    header.set_cksum();
    let mut file = header.as_bytes().to_vec();
    file.extend(b"ohs");
    file.resize(512 * 4, 0);
    assert_eq!(open(&file, &options(Modality::Text)).whole(), named(&[("etc/passwd", b"ohs")]));
    let file = zip(&[("/../../etc/passwd", b"ohs")], Stored);
    assert_eq!(open(&file, &options(Modality::Text)).whole(), named(&[("etc/passwd", b"ohs")]));
}

#[test]
fn archives_in_archives() {
    let inner = zip(&[("x.txt", b"one"), ("y.txt", b"two")], Deflated);
    let outer = tar(&[("first.txt", b"zero"), ("in/ner.zip", &inner), ("z.txt.gz", &gz(b"three"))]);
    let expected = named(&[
        ("first.txt", b"zero"),
        ("in/ner.zip/x.txt", b"one"),
        ("in/ner.zip/y.txt", b"two"),
        ("z.txt.gz", b"three"),
    ]);
    assert_eq!(open(&gz(&outer), &options(Modality::Text)).whole(), expected);
    assert_eq!(open(&zip(&[("o.tar", &outer)], Stored), &options(Modality::Text)).whole().len(), 4);
}

#[test]
fn patterns_choose_members_at_any_depth() {
    let inner = zip(&[("x.txt", b"one"), ("y.md", b"two")], Deflated);
    let outer = tar(&[("a.md", b"zero"), ("in.zip", &inner), ("b.txt", b"three")]);
    let mut chosen = options(Modality::Text);
    chosen.include = globs("**/*.txt");
    assert_eq!(open(&outer, &chosen).whole(), named(&[("in.zip/x.txt", b"one"), ("b.txt", b"three")]));
    chosen.exclude = globs("in.zip/**");
    assert_eq!(open(&outer, &chosen).whole(), named(&[("b.txt", b"three")]));
}

#[test]
fn the_pictures_of_samples_are_records_and_the_rest_is_about_them() {
    let (one, two, three) = (png(b"1"), png(b"2"), png(b"3"));
    let file = tar(&[
        ("s/000.cls", b"7"),
        ("s/000.jpg", &one),
        ("s/000.json", b"{}"),
        ("s/001.seg.png", &two),
        ("s/001.txt", b"about"),
        ("s/002.cls", b"8"),
        ("s/002.json", b"{}"),
        ("t/002.png", &three),
        ("README", b"about"),
    ]);
    let found = open(&file, &options(Modality::Image));
    assert_eq!(found.end, Expanded::Done);
    assert_eq!(found.records, named(&[("s/000.jpg", &one), ("s/001.seg.png", &two), ("t/002.png", &three)]));
    let names: Vec<_> = found.skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["s/002", "README"]);
    assert_eq!(found.skipped[0].1, "holds no image: 002.cls looks like text");
    // As text, every member is a document.
    assert_eq!(open(&file, &options(Modality::Text)).whole().len(), 9);
}

#[test]
fn sounds_of_samples() {
    let wav = b"RIFF\x04\0\0\0WAVE".as_slice();
    let found = open(&tar(&[("1.wav", wav), ("1.txt", b"hello")]), &options(Modality::Audio)).whole();
    assert_eq!(found, named(&[("1.wav", wav)]));
}

#[test]
fn a_damaged_member_is_skipped_and_the_archive_goes_on() {
    let members: [(&str, &[u8]); 3] = [("a", b"first content"), ("b", b"second content"), ("c", b"third content")];
    let mut file = zip(&members, Stored);
    let at = file.windows(6).position(|window| window == b"second").unwrap();
    file[at] ^= 1;
    let found = open(&file, &options(Modality::Text));
    assert_eq!(found.end, Expanded::Done);
    assert_eq!(found.records, named(&[members[0], members[2]]));
    assert_eq!(found.skipped[0].0, "b");

    let mut broken = gz(b"content");
    broken[12] ^= 0xff;
    let found = open(&tar(&[("a", b"1"), ("b.gz", &broken), ("c", b"3")]), &options(Modality::Text));
    assert_eq!(found.records, named(&[("a", b"1"), ("c", b"3")]));
    assert_eq!(found.skipped[0].0, "b.gz");
}

#[test]
fn encrypted_files_are_skipped() {
    let mut file = zip(&[("a", b"content"), ("b", b"plain")], Stored);
    // The first bit of the flags, in the file's header and in the directory.
    file[6] |= 1;
    let directory = file.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    file[directory + 8] |= 1;
    let found = open(&file, &options(Modality::Text));
    assert_eq!(found.records, named(&[("b", b"plain")]));
    assert_eq!(found.skipped, [("a".to_owned(), "is encrypted, which is not read".to_owned())]);
}

#[test]
fn the_callers_error_ends_the_work() {
    let members: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("c", b"3")];
    for bytes in [tar(&members), zip(&members, Stored), gz(&tar(&members)), tar(&[("d.tar", &tar(&members))])] {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let mut count = 0;
        let ended = expand(&mut file, "file", &options(Modality::Text), &mut |_| {
            count += 1;
            if count == 2 { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(Error::Interrupted)));
        assert_eq!(count, 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_put_in_is_found(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..12)) {
        let names: Vec<String> = (0..contents.len()).map(|index| format!("folder/{index}.bin")).collect();
        let members: Vec<(&str, &[u8])> =
            names.iter().zip(&contents).map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        // An archive of nothing has no header to tell it by.
        if !members.is_empty() {
            prop_assert_eq!(open(&tar(&members), &options(Modality::Text)).whole(), named(&members));
            prop_assert_eq!(open(&gz(&tar(&members)), &options(Modality::Text)).whole(), named(&members));
        }
        for method in [Stored, Deflated] {
            let Opened { records, .. } = open(&zip(&members, method), &options(Modality::Text));
            prop_assert_eq!(records, named(&members));
        }
    }
}
