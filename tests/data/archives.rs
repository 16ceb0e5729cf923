//! Archives and data sets' own formats through preparation: the right items, names and splits; and what is hostile.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use megabyte::config::DataConfig;
use megabyte::data::{Dataset, Existing, Split, guess};
use megabyte::modality::{ImageLayout, Layout, Modality, Scan};

use super::{StopAfter, add, noise, prepare, text, text_for, write};

/// A tar of members.
fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Not through `set_path`, which refuses what a hostile archive has.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &content[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// Gray pictures of `side` x `side` pixels in raster order.
fn gray(side: usize) -> DataConfig {
    let layout = ImageLayout {
        width: side,
        height: side,
        channels: megabyte::modality::Channels::Gray,
        scan: Scan::Raster,
        ..Default::default()
    };
    DataConfig::of(&Layout::Image(layout))
}

/// Names and bytes of a split's items.
fn items(folder: &Path, split: Option<Split>) -> Vec<(String, Vec<u8>)> {
    let data = Dataset::open(folder, split).unwrap();
    (0..data.len()).map(|i| (data.name(i).to_owned(), data.item(i).bytes.to_vec())).collect()
}

#[test]
fn members_are_documents_and_their_folders_are_splits() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let members: Vec<_> =
        Split::ALL.iter().map(|split| (format!("{split}/a.txt"), format!("of {split}").into_bytes())).collect();
    let members: Vec<_> = members.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
    write(&source, "all.tar.gz", gzip(&tar(&members)));
    write(&source, "b.txt.gz", gzip(text_for(Split::Train, 1).as_bytes()));
    write(&source, "test/c.tar", tar(&[("train/d.txt", b"where the archive lies decides".to_vec())]));
    let summary = prepare(&source, &text(), &out).unwrap();
    assert_eq!((summary.documents, summary.skipped_count), (5, 0));
    let names = |split| items(&out, Some(split)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(Split::Train), ["all.tar.gz/train/a.txt", "b.txt.gz"]);
    assert_eq!(names(Split::Valid), ["all.tar.gz/valid/a.txt"]);
    assert_eq!(names(Split::Test), ["all.tar.gz/test/a.txt", "test/c.tar/train/d.txt"]);
    assert_eq!(items(&out, Some(Split::Valid))[0].1, b"of valid");
    assert_eq!(add(&source, &text(), &out).unwrap(), summary, "nothing is new");
}

#[test]
fn an_archive_that_was_read_in_part_is_taken_up_inside() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, out) = (folder.path().join("whole"), folder.path().join("out"));
    let names: Vec<_> = (0..1500).map(|i| format!("{i:04}.txt")).collect();
    let members: Vec<_> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), noise(20, i as u64 % 200))).collect();
    let source = write(folder.path(), "many.tar", tar(&members));
    prepare(&source, &text(), &whole).unwrap();
    let mut stops = 0;
    loop {
        let stop = StopAfter(AtomicUsize::new(1800));
        match megabyte::data::prepare(std::slice::from_ref(&source), &text(), &out, Existing::Add, &stop) {
            Err(megabyte::Error::Interrupted) => stops += 1,
            other => break assert_eq!((other.as_ref().unwrap().documents, other.unwrap().duplicates), (200, 1300)),
        }
    }
    assert!(stops > 0);
    for split in Split::ALL {
        assert_eq!(items(&out, Some(split)), items(&whole, Some(split)));
    }
}

#[test]
fn rows_of_pixels_are_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let pictures: Vec<_> = (0..9).map(|i| noise(16, i)).collect();
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 4];
    pictures.iter().for_each(|picture| idx.extend(picture));
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 9][..], &[7; 9]].concat();
    let source = folder.path().join("in");
    write(&source, "images.gz", gzip(&idx));
    write(&source, "labels", labels);
    let summary = prepare(&source, &gray(4), &folder.path().join("out")).unwrap();
    assert_eq!((summary.documents, summary.skipped_count), (9, 1));
    assert!(summary.skipped[0].reason.contains("labels"), "{:?}", summary.skipped);
    let mut found: Vec<_> = items(&folder.path().join("out"), None).into_iter().map(|(_, bytes)| bytes).collect();
    found.sort();
    let mut expected = pictures;
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(guess(&source.join("images.gz")).unwrap(), Modality::Image);
    assert_eq!(guess(&write(folder.path(), "t.tar", tar(&[("a", b"text".to_vec())]))).unwrap(), Modality::Text);
}

#[test]
fn patterns_and_columns_reach_into_archives() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let members = [("a.txt", b"one".to_vec()), ("b.md", b"two".to_vec()), ("old/c.txt", b"three".to_vec())];
    write(&source, "x.tar", tar(&members));
    let data = DataConfig { include: vec!["*.txt".to_owned()], exclude: vec!["old/**".to_owned()], ..text() };
    prepare(&source, &data, &out).unwrap();
    assert_eq!(items(&out, None), [("x.tar/a.txt".to_owned(), b"one".to_vec())]);
    // With other patterns an archive gives something else, and is read again; a document is what it is.
    let other = DataConfig { include: vec!["*.md".to_owned()], ..text() };
    assert_eq!(add(&source, &other, &out).unwrap().documents, 2);
    assert_eq!(add(&source, &other, &out).unwrap().duplicates, 0);
    // Wanted by its own name, it is wanted whole.
    let data = DataConfig { include: vec!["*.tar".to_owned()], ..text() };
    assert_eq!(prepare(&source, &data, &out).unwrap().documents, 3);

    let lines = "{\"text\":\"uno\",\"n\":1}\n{\"text\":\"dos\"}\n{\"n\":2}\n";
    let lines = write(folder.path(), "l.jsonl", lines);
    assert_eq!(prepare(&lines, &text(), &out).unwrap().documents, 1, "without a column it is a text");
    let summary = prepare(&lines, &DataConfig { column: Some("text".to_owned()), ..text() }, &out).unwrap();
    assert_eq!((summary.documents, summary.skipped_count), (2, 1));
}

#[test]
fn hostile_archives_are_refused_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in/deep"), folder.path().join("out"));
    write(&source, "good.txt", "good");
    write(&source, "up.tar", tar(&[("../../escaped.txt", b"a name that leads out".to_vec())]));
    // A thousandfold gzip of zeros, twice: 1 GiB from a few kB.
    let zeros = gzip(&vec![0; 16 << 20]);
    let many = gzip(&zeros.repeat(64));
    write(&source, "bomb.gz", &many);
    write(&source, "cut.tar", &tar(&[("a", noise(2000, 1)), ("b", noise(2000, 2))])[..3000]);
    write(&source, "part.tar", tar(&[("void", Vec::new()), ("fine", b"fine".to_vec())]));
    write(&source, "not.zip", b"PK\x03\x04 and no more");
    let started = Instant::now();
    let summary = prepare(&folder.path().join("in"), &text(), &out).unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let reasons: Vec<_> =
        summary.skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason)).collect();
    for file in ["bomb.gz", "cut.tar", "not.zip", "part.tar/void: is empty"] {
        assert!(reasons.iter().any(|reason| reason.contains(file)), "{file}: {reasons:#?}");
    }
    assert!(reasons.iter().any(|reason| reason.contains("max_expansion")), "{reasons:#?}");
    // What was refused stays so, and is listed once, until the limits are others.
    let again = add(&folder.path().join("in"), &text(), &out).unwrap();
    assert_eq!((again.skipped_count, &again.skipped), (summary.skipped_count, &summary.skipped));
    let mut trusting = text();
    trusting.limits.max_document = 1 << 20;
    let again = add(&folder.path().join("in"), &trusting, &out).unwrap();
    assert_eq!(again.skipped_count, summary.skipped_count);
    let names: Vec<_> = items(&out, None).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name.ends_with("escaped.txt")), "{names:?}");
    assert!(names.iter().all(|name| !name.contains("..")), "{names:?}");
    let mut around = walkdir::WalkDir::new(folder.path()).into_iter();
    assert!(!around.any(|entry| entry.unwrap().file_name() == "escaped.txt"), "nothing is unpacked to a name");
}
