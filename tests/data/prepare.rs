//! Preparation: what becomes of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use megabyte::config::DataConfig;
use megabyte::data::{Dataset, Existing, Manifest, Split, prepared_in};
use megabyte::modality::{AudioLayout, ImageLayout, Layout, Modality, TextLayout};
use megabyte::progress::{Progress, Quiet};

use super::{add, noise, prepare, text, text_for, uncut, write};

/// The split of each item, by content.
fn splits(folder: &Path) -> BTreeMap<Vec<u8>, Split> {
    let items = |split| {
        let data = Dataset::open(folder, Some(split)).unwrap();
        (0..data.len()).map(|i| (data.item(i).bytes.to_vec(), split)).collect::<Vec<_>>()
    };
    Split::ALL.into_iter().flat_map(items).collect()
}

#[test]
fn the_split_follows_from_the_content_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out, more) = (folder.path().join("in"), folder.path().join("out"), folder.path().join("more"));
    for i in 0..400 {
        write(&source, &format!("{i}.txt"), format!("document {i}"));
    }
    let summary = prepare(&source, &text(), &out).unwrap();
    let before = splits(&out);
    assert_eq!((before.len(), summary.documents, summary.total().items), (400, 400, 400));
    assert!(summary.warnings.is_empty() && summary.skipped.is_empty());
    let share = |split| before.values().filter(|&&of| of == split).count();
    assert!((340..=380).contains(&share(Split::Train)), "{}", share(Split::Train));
    assert!((8..=40).contains(&share(Split::Valid)) && (8..=40).contains(&share(Split::Test)));
    for (content, split) in &before {
        assert_eq!(*split, Split::of_hash(blake3::hash(content).as_bytes()));
    }

    (0..300).for_each(|i| drop(write(&source, &format!("sub/{i}"), format!("another {i}"))));
    std::fs::rename(source.join("7.txt"), source.join("renamed")).unwrap();
    prepare(&source, &text(), &more).unwrap();
    let after = splits(&more);
    assert_eq!(after.len(), 700);
    assert!(before.iter().all(|(content, split)| after[content] == *split));
}

#[test]
fn names_and_order_are_those_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "b/c.txt", text_for(Split::Train, 1));
    write(&source, "a.txt", text_for(Split::Train, 2));
    write(&source, "d.txt", text_for(Split::Train, 3));
    write(&source, "e.txt", text_for(Split::Valid, 4));
    write(&source, "f.txt", text_for(Split::Test, 5));
    prepare(&source, &uncut(), &out).unwrap();
    let data = Dataset::open(&out, Some(Split::Train)).unwrap();
    assert_eq!((0..3).map(|i| data.name(i)).collect::<Vec<_>>(), ["a.txt", "b/c.txt", "d.txt"]);
    assert!((0..3).all(|i| data.item(i).ends));
    assert_eq!(data.item(1).bytes, text_for(Split::Train, 1).as_bytes());
    data.verify(&Quiet).unwrap();
}

#[test]
fn long_texts_are_cut_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let source = write(folder.path(), "long.txt", noise(1001, 1));
    let out = folder.path().join("out");
    let mut data = text();
    data.cut_over = 1000;
    prepare(&source, &data, &out).unwrap();
    let expected = [(Split::Train, 0..900, false), (Split::Valid, 900..950, false), (Split::Test, 950..1001, true)];
    for (split, range, ends) in expected {
        let data = Dataset::open(&out, Some(split)).unwrap();
        assert_eq!((data.len(), data.name(0)), (1, "long.txt"));
        assert_eq!((data.item(0).bytes, data.item(0).ends), (&noise(1001, 1)[range], ends));
    }
    let all = Dataset::open(&out, None).unwrap();
    assert_eq!((all.len(), all.bytes()), (3, 1001));

    // One document is too few to be held out or not; 0 is never.
    for (cut_over, items) in [(1001, 3), (0, 1)] {
        data.cut_over = cut_over;
        let found = prepare(&source, &data, &out).unwrap();
        assert_eq!((found.total().items, found.by_place), (items, cut_over > 0));
    }
    // Of two bytes, valid gets none: the piece is left out.
    let two = write(folder.path(), "two", "ab");
    data.cut_over = 1;
    assert_eq!(prepare(&two, &data, &out).unwrap().total().items, 2);
}

#[test]
fn sound_is_cut_at_whole_samples() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let layout = Layout::Audio(AudioLayout { rate: 8000, ..Default::default() });
    let samples = noise(2 * 4999, 1);
    let source = write(folder.path(), "a.wav", layout.adapter().decode(&samples).unwrap());
    let mut data = DataConfig::new(Modality::Audio);
    data.layout.insert("rate".to_owned(), 8000.into());
    data.cut_over = 1000;
    let summary = prepare(&source, &data, &out).unwrap();
    let bytes: Vec<_> = Split::ALL.into_iter().map(|split| summary.count(split).bytes).collect();
    // 90 and 95 % of 9998 bytes are 8998 and 9498: both even. Of 4999 samples, that is 4499 and 4749.
    assert_eq!(bytes, [8998, 500, 500]);
    let all = Dataset::open(&out, None).unwrap();
    assert_eq!((0..3).map(|i| all.item(i).bytes).collect::<Vec<_>>().concat(), samples);

    let odd = write(folder.path(), "b.wav", layout.adapter().decode(&samples[..2 * 1001]).unwrap());
    let summary = prepare(&odd, &data, &out).unwrap();
    // 90 and 95 % of 2002 bytes are 1801 and 1901, both inside a sample.
    assert_eq!(summary.splits.values().map(|count| count.bytes).collect::<Vec<_>>(), [1800, 100, 102]);
}

#[test]
fn folders_named_after_splits_decide() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let mut data = text();
    data.cut_over = 10;
    for (i, split) in Split::ALL.into_iter().enumerate() {
        // Content that the hash would send elsewhere, and longer than cut_over.
        let other = if split == Split::Train { Split::Test } else { Split::Train };
        write(&source, &format!("{split}/deep/{i}.txt"), text_for(other, i));
    }
    prepare(&source, &data, &out).unwrap();
    for (i, split) in Split::ALL.into_iter().enumerate() {
        let data = Dataset::open(&out, Some(split)).unwrap();
        assert_eq!((data.len(), data.name(0)), (1, &*format!("{split}/deep/{i}.txt")));
        assert!(data.item(0).ends);
    }
}

/// Other names of splits, in any case; deeper folders and files decide nothing.
#[test]
fn folders_of_splits_are_told_in_any_case() {
    let names =
        [("Train", Split::Train), ("TRAINING", Split::Train), ("Validation", Split::Valid), ("VAL", Split::Valid)];
    for (name, split) in
        names.into_iter().chain([("Dev", Split::Valid), ("TEST", Split::Test), ("Testing", Split::Test)])
    {
        let folder = tempfile::tempdir().unwrap();
        let (source, out) = (folder.path().join("in"), folder.path().join("out"));
        let other = if split == Split::Train { Split::Test } else { Split::Train };
        let text = text_for(other, 1);
        write(&source, &format!("{name}/a.txt"), &text);
        // In an archive the same, which is found to be the same.
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{name}/b.txt"), &b"again"[..]).unwrap();
        write(&source, "a.tar", archive.into_inner().unwrap());
        prepare(&source, &uncut(), &out).unwrap();
        let found = splits(&out);
        assert_eq!((found[text.as_bytes()], found[&b"again"[..]]), (split, split), "{name}");
    }
}

/// Files are decoded by `data.encoding`; strings of tables are UTF-8 by then.
#[test]
fn strings_of_tables_are_decoded_once() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let mut data = uncut();
    data.column = Some("text".to_owned());
    data.layout.insert("encoding".to_owned(), "latin1".into());
    write(&source, "latin.jsonl", b"{\"text\": \"caf\xe9\"}\n");
    write(&source, "utf8.jsonl", "{\"text\": \"na\u{ef}ve\"}\n{\"text\": \"\\u00e4\"}\n");
    write(&source, "latin.csv", b"n,text\n1,\xfcber\n");
    write(&source, "not.txt", b"caf\xe9 without a column");
    let manifest = prepare(&source, &data, &out).unwrap();
    let found: Vec<String> = splits(&out).into_keys().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
    assert_eq!(found, ["café", "naïve", "ä", "über"]);
    assert_eq!(manifest.skipped_count, 1);
    assert!(manifest.skipped[0].path.ends_with("not.txt") && manifest.skipped[0].reason.contains("no column `text`"));
}

#[test]
fn content_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    for name in ["a", "b", "sub/c", "test/d"] {
        write(&source, name, "the same");
    }
    write(&source, "e", "another");
    let summary = prepare(&source, &text(), &out).unwrap();
    assert_eq!((summary.documents, summary.duplicates, summary.total().items), (2, 3, 2));
}

#[test]
fn what_can_not_be_read_is_skipped_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let layout = Layout::Image(ImageLayout { width: 8, height: 8, ..Default::default() });
    let png = |seed| layout.adapter().decode(&noise(192, seed)).unwrap();
    for i in 0..5 {
        write(&source, &format!("good{i}.png"), png(i));
    }
    write(&source, "half.png", &png(9)[..png(9).len() / 2]);
    write(&source, "empty.png", "");
    write(&source, "notes.txt", "not a picture");
    write(&source, ".hidden.png", png(8));
    let mut data = DataConfig::new(Modality::Image);
    data.layout = toml::toml! { width = 8
    height = 8 };
    let summary = prepare(&source, &data, &out).unwrap();
    assert_eq!((summary.documents, summary.total()), (5, megabyte::data::Count { items: 5, bytes: 5 * 192 }));
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let skipped: Vec<_> = summary.skipped.iter().map(|skipped| name(&skipped.path)).collect();
    assert_eq!(
        (skipped, summary.skipped_count),
        (["empty.png", "half.png", "notes.txt"].map(str::to_owned).to_vec(), 3)
    );
    assert!(summary.skipped.iter().all(|skipped| !skipped.reason.is_empty()));
    assert_eq!(Manifest::load(&out).unwrap(), summary);
    let stored = splits(&out);
    assert!((0..5).all(|i| stored.contains_key(&noise(192, i))));

    let only_bad = folder.path().join("bad");
    (0..9).for_each(|i| drop(write(&only_bad, &format!("{i}.png"), "no picture")));
    let error = prepare(&only_bad, &data, &folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("0.png") && error.contains("4 more"), "{error}");
    assert!(!folder.path().join("none").exists());
}

/// The bytes of each split.
fn bytes(manifest: &Manifest) -> [u64; 3] {
    Split::ALL.map(|split| manifest.count(split).bytes)
}

#[test]
fn documents_that_are_too_few_are_cut_by_place() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    for len in [1000, 50_000, 1_000_000] {
        let file = write(folder.path(), "input.txt", noise(len, 3));
        let found = prepare(&file, &text(), &out).unwrap();
        assert_eq!(bytes(&found), [len as u64 * 9 / 10, len as u64 / 20, len as u64 / 20]);
        assert!(found.warnings.len() == 1 && found.warnings[0].contains("1 document is too little"), "{found:?}");
        let all = Dataset::open(&out, None).unwrap();
        assert_eq!((0..3).map(|i| all.item(i).bytes).collect::<Vec<_>>().concat(), noise(len, 3));
        assert_eq!([0, 1, 2].map(|i| all.item(i).ends), [false, false, true]);
    }

    // Some for each split by their hashes: each stays whole.
    for (i, split) in Split::ALL.into_iter().enumerate() {
        write(&source, &i.to_string(), text_for(split, i));
    }
    let found = prepare(&source, &text(), &out).unwrap();
    assert!(!found.by_place && found.by_hash == 3 && found.warnings.is_empty(), "{found:?}");
    // None for one of them: all are cut.
    std::fs::remove_file(source.join("2")).unwrap();
    let found = prepare(&source, &text(), &out).unwrap();
    assert!(found.by_place && found.documents == 2 && found.total().items == 6, "{found:?}");
    // Those of a byte or two can't be.
    (0..3).for_each(|i| drop(write(&source, &i.to_string(), [b'a' + i])));
    let found = prepare(&source, &text(), &out).unwrap();
    assert_eq!((found.by_hash, bytes(&found)), (3, [1, 1, 1]));
    assert!(found.warnings.iter().all(|warning| !warning.contains("by place")), "{found:?}");
}

#[test]
fn sound_that_is_too_little_is_cut_between_frames() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::Audio(AudioLayout { rate: 8000, ..Default::default() });
    let samples = noise(2 * 1001, 1);
    let source = write(folder.path(), "a.wav", layout.adapter().decode(&samples).unwrap());
    let mut data = DataConfig::new(Modality::Audio);
    data.layout.insert("rate".to_owned(), 8000.into());
    let found = prepare(&source, &data, &folder.path().join("out")).unwrap();
    assert!(found.by_place);
    assert_eq!(bytes(&found), [1800, 100, 102]);
}

#[test]
fn some_of_few_pictures_are_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let mut data = DataConfig::new(Modality::Image);
    data.layout.insert("size".to_owned(), 4.into());
    std::fs::create_dir(&source).unwrap();
    image::RgbImage::from_pixel(4, 4, image::Rgb([7, 8, 9])).save(source.join("0.png")).unwrap();
    let found = prepare(&source, &data, &out).unwrap();
    assert!(!found.by_place && found.total().items == 1);
    let warning = &found.warnings[0];
    assert!(warning.contains("no item of 1") && warning.contains("folders named train, valid and test"), "{warning}");

    // Of three or more, one goes into each split at least, and which one depends on their content alone.
    let picture = |i: u8| image::RgbImage::from_pixel(4, 4, image::Rgb([i, 100, 50]));
    let held_out = |names: &dyn Fn(u8) -> String, count: u8| {
        std::fs::remove_dir_all(&source).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        std::fs::create_dir(&source).unwrap();
        (0..count).for_each(|i| picture(i).save(source.join(names(i))).unwrap());
        let found = prepare(&source, &data, &out).unwrap();
        let of = |split| {
            let data = Dataset::open(&out, Some(split)).unwrap();
            (0..data.len()).map(|i| data.item(i).bytes.to_vec()).collect::<std::collections::BTreeSet<_>>()
        };
        (found, Split::ALL.map(of))
    };
    let (mut shared_out, mut by_chance) = (0, 0);
    for count in 3..60 {
        let (found, splits) = held_out(&|i| format!("{i}.png"), count);
        assert!(splits.iter().all(|split| !split.is_empty()), "{count}: {found:?}");
        assert_eq!(splits.iter().map(|split| split.len()).sum::<usize>(), usize::from(count));
        if found.by_place {
            shared_out += 1;
            let few = usize::from(count / 20).max(1);
            assert_eq!([splits[1].len(), splits[2].len()], [few, few]);
            assert!(
                found.warnings.len() == 1 && found.warnings[0].contains(&format!("{few} in valid and {few} in test"))
            );
            if shared_out == 1 {
                assert_eq!(held_out(&|i| format!("other-{}.png", 99 - i), count).1, splits);
            }
        } else {
            by_chance += 1;
            assert!(found.warnings.is_empty(), "{found:?}");
        }
    }
    assert!(shared_out > 3 && by_chance > 0, "{shared_out} {by_chance}");
    // Those whose folder says their split are no matter.
    std::fs::create_dir_all(source.join("Train")).unwrap();
    (100..140).for_each(|i| picture(i).save(source.join(format!("Train/{i}.png"))).unwrap());
    std::fs::remove_dir_all(&out).unwrap();
    (0..60).for_each(|i| drop(std::fs::remove_file(source.join(format!("{i}.png")))));
    (0..4).for_each(|i| picture(i).save(source.join(format!("{i}.png"))).unwrap());
    let found = prepare(&source, &data, &out).unwrap();
    assert!(found.by_place && found.by_hash == 4 && found.documents == 44, "{found:?}");
    assert_eq!(Split::ALL.map(|split| found.count(split).items), [42, 1, 1]);
    assert!(found.warnings[0].starts_with("4 documents are too few to leave it to chance"), "{found:?}");
    // What is added later goes where its hash says, and nothing moves.
    let (before, splits) = held_out(&|i| format!("{i}.png"), 4);
    assert!(before.by_place);
    (100..200).for_each(|i| picture(i).save(source.join(format!("{i}.png"))).unwrap());
    let after = add(&source, &data, &out).unwrap();
    assert_eq!((after.documents, &after.held_out), (104, &before.held_out));
    let valid = Dataset::open(&out, Some(Split::Valid)).unwrap();
    assert!(valid.len() > 1 && (0..valid.len()).any(|i| splits[1].contains(valid.item(i).bytes)));
}

/// Stops the work at once.
struct Stop(AtomicBool);

impl Progress for Stop {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _done: u64) {
        self.0.store(true, Ordering::Relaxed);
    }
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn cancelled_work_leaves_what_readers_see_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "a", "first");
    let cancelled = |out: &Path| {
        let stop = Stop(AtomicBool::new(false));
        megabyte::data::prepare(std::slice::from_ref(&source), &text(), out, Existing::Add, &stop).unwrap_err()
    };
    assert!(matches!(cancelled(&out), megabyte::Error::Interrupted));
    assert!(!out.exists());

    let before = prepare(&source, &text(), &out).unwrap();
    write(&source, "b", "second");
    cancelled(&out);
    assert_eq!(Manifest::load(&out).unwrap(), before);
    Dataset::open(&out, None).unwrap().verify(&Quiet).unwrap();
    assert_eq!(add(&source, &text(), &out).unwrap().documents, 2);
}

#[test]
fn what_was_prepared_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    for split in Split::ALL {
        write(&source, split.name(), text_for(split, 1));
    }
    prepare(&source, &uncut(), &out).unwrap();
    write(&out, "notes.txt", "mine");
    std::fs::remove_file(source.join("test")).unwrap();
    prepare(&source, &uncut(), &out).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".sources-00001.jsonl", "manifest.json", "notes.txt", "train-00001.shard", "valid-00001.shard"]);

    let web = folder.path().join("web");
    write(&web, "manifest.json", "{}");
    let error = prepare(&source, &uncut(), &web).unwrap_err().to_string();
    assert!(error.contains("manifest.json"), "{error}");
    assert_eq!(std::fs::read(web.join("manifest.json")).unwrap(), b"{}");
}

#[test]
fn data_prepared_for_a_run_is_used_again_until_something_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (folder.path().join("in"), folder.path().join("cache"));
    write(&source, "a", "first");
    let mut data = text();
    let get = |data: &_| prepared_in(&cache, std::slice::from_ref(&source), data, &Quiet).unwrap();
    let first = get(&data);
    let written = || std::fs::metadata(get(&text()).join("manifest.json")).unwrap().modified().unwrap();
    let when = written();
    assert_eq!((get(&data), written()), (first.clone(), when));
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1);

    data.cut_over = 2;
    assert_ne!(get(&data), first);
    data = text();
    write(&source, "b", "second");
    let second = get(&data);
    assert_ne!(second, first);
    assert_eq!(Dataset::open(&second, None).unwrap().len(), 2);
    // A change that keeps the size shows in the time.
    let file = std::fs::File::options().append(true).open(source.join("b")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_ne!(get(&data), second);
}

#[test]
fn a_prepared_folder_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out, cache) = (folder.path().join("in"), folder.path().join("out"), folder.path().join("cache"));
    let layout = Layout::Image(ImageLayout { width: 8, height: 8, ..Default::default() });
    write(&source, "a.png", layout.adapter().decode(&noise(192, 1)).unwrap());
    let mut data = DataConfig::new(Modality::Image);
    data.layout.insert("width".to_owned(), 8.into());
    data.layout.insert("height".to_owned(), 8.into());
    prepare(&source, &data, &out).unwrap();
    let get = |sources: &[PathBuf], data: &DataConfig| prepared_in(&cache, sources, data, &Quiet);
    assert_eq!(get(std::slice::from_ref(&out), &data).unwrap(), out);
    assert!(!cache.exists());

    let error = get(std::slice::from_ref(&out), &text()).unwrap_err().to_string();
    assert!(error.contains("`data.modality`") && error.contains("image"), "{error}");
    data.layout.insert("width".to_owned(), 12.into());
    let error = get(std::slice::from_ref(&out), &data).unwrap_err().to_string();
    assert!(error.contains("`data.width` is 12") && error.contains('8'), "{error}");
    let error = get(&[], &data).unwrap_err().to_string();
    assert!(error.contains("data.sources"), "{error}");
    let error = get(&[out, source], &data).unwrap_err().to_string();
    assert!(error.contains("prepared folder already"), "{error}");
}

#[test]
fn a_folder_that_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out, other) = (folder.path().join("in"), folder.path().join("out"), folder.path().join("other"));
    write(&source, "a", text_for(Split::Train, 1));
    prepare(&source, &text(), &out).unwrap();
    write(&source, "b", text_for(Split::Train, 2));
    prepare(&source, &text(), &other).unwrap();
    let error = |folder: &Path| Dataset::open(folder, None).unwrap_err().to_string();

    std::fs::copy(other.join("train-00000.shard"), out.join("train-00000.shard")).unwrap();
    assert!(error(&out).contains("not the shard"), "{}", error(&out));
    let added = add(&source, &text(), &out).unwrap_err().to_string();
    assert!(added.contains("not the shard"), "{added}");
    std::fs::remove_file(out.join("train-00000.shard")).unwrap();
    assert!(error(&out).contains("is missing"), "{}", error(&out));
    assert!(error(&source).contains("not a prepared folder"), "{}", error(&source));
    let manifest = std::fs::read(other.join("manifest.json")).unwrap();
    write(&other, "manifest.json", &manifest[..manifest.len() / 2]);
    assert!(error(&other).contains("manifest.json"), "{}", error(&other));
    let mut later: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    later["format"] = 3.into();
    write(&other, "manifest.json", later.to_string());
    assert!(error(&other).contains("version 3"), "{}", error(&other));

    // Shards lie beside their manifest, and nowhere else.
    for name in ["../out/train-00000.shard", "/dev/zero", "", "a.txt", "train-1.shard"] {
        let mut stranger: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        stranger["shards"][0]["file"] = name.into();
        write(&other, "manifest.json", stranger.to_string());
        assert!(error(&other).contains("no shard beside it"), "{}", error(&other));
        let error = add(&source, &text(), &other).unwrap_err().to_string();
        assert!(error.contains("no shard beside it"), "{error}");
    }
    // What is wrong with a number in it is no reason to stop.
    let mut few: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    few["skipped"] = serde_json::json!([{"path": source.join("c").display().to_string(), "reason": "is empty"}]);
    few["skipped_count"] = 0.into();
    write(&other, "manifest.json", few.to_string());
    write(&source, "c", text_for(Split::Train, 3));
    let manifest = add(&source, &text(), &other).unwrap();
    assert_eq!((manifest.skipped.len(), manifest.skipped_count), (0, 0));
}

#[test]
fn files_can_be_used_without_preparing() {
    let folder = tempfile::tempdir().unwrap();
    let files = [write(folder.path(), "b", "bee"), write(folder.path(), "a", "ay")];
    let layout = Layout::Text(TextLayout::default());
    let data = Dataset::from_files(&files, &layout).unwrap();
    assert_eq!((data.len(), data.bytes(), data.layout()), (2, 5, &layout));
    assert_eq!((data.item(0).bytes, data.item(0).ends), (&b"bee"[..], true));
    assert!(data.name(1).ends_with("/a"));
    let error = |path| Dataset::from_files(&[path], &layout).unwrap_err().to_string();
    assert!(error(folder.path().join("missing")).contains("missing"));
    assert!(error(folder.path().to_owned()).contains("is a folder"));
    assert!(error(write(folder.path(), "void", "")).contains("is empty"));
}
