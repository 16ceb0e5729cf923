//! Preparation that is taken up again: after an interruption, or with more files.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use megabyte::config::DataConfig;
use megabyte::data::{Dataset, Existing, Manifest, Split};
use megabyte::progress::{Progress, Quiet};

use super::{StopAfter, add, noise, prepare, text, text_for, uncut, write};

/// Every item: split, name, bytes and whether it ends.
fn items(folder: &Path) -> Vec<(Split, String, Vec<u8>, bool)> {
    let mut items = Vec::new();
    for split in Split::ALL {
        let data = Dataset::open(folder, Some(split)).unwrap();
        data.verify(&Quiet).unwrap();
        items.extend((0..data.len()).map(|i| {
            let item = data.item(i);
            (split, data.name(i).to_owned(), item.bytes.to_vec(), item.ends)
        }));
    }
    items
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_cut_by_place_is_added_to_by_place() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "first", noise(4000, 1));
    assert!(add(&source, &text(), &out).unwrap().by_place);
    let before = items(&out);
    assert_eq!(before.iter().map(|(split, ..)| *split).collect::<Vec<_>>(), Split::ALL);
    (0..100).for_each(|i| drop(write(&source, &format!("later{i}"), noise(200, i + 2))));
    let found = add(&source, &text(), &out).unwrap();
    let after = items(&out);
    assert!(found.by_place && found.documents == 101 && after.len() == 303, "{found:?}");
    // Nothing has moved from one split to another.
    assert!(before.iter().all(|item| after.contains(item)));

    // What was whole stays whole, also where some split has nothing.
    let whole = folder.path().join("whole");
    let mut never = text();
    never.cut_over = 0;
    add(&write(folder.path(), "alone/first", noise(4000, 1)), &never, &whole).unwrap();
    let found = add(&write(folder.path(), "alone/second", noise(4000, 2)), &never, &whole).unwrap();
    assert!(!found.by_place && found.total().items == 2 && found.warnings[0].contains("data.cut_over"), "{found:?}");
    // Prepared anew with enough of them, each goes whole into one split.
    let found = prepare(&source, &text(), &out).unwrap();
    assert!(!found.by_place && found.by_hash == 101 && found.total().items == 101, "{found:?}");
}

#[test]
fn work_on_too_few_documents_is_interrupted_and_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (source, whole) = (folder.path().join("in"), folder.path().join("whole"));
    // None of them is held out by its hash.
    (0..20).for_each(|i| drop(write(&source, &format!("{i:02}"), text_for(Split::Train, i))));
    let uninterrupted = prepare(&source, &text(), &whole).unwrap();
    assert!(uninterrupted.by_place && uninterrupted.total().items == 60, "{uninterrupted:?}");
    for patience in 0..60 {
        let out = folder.path().join(format!("out{patience}"));
        let stop = StopAfter(AtomicUsize::new(patience));
        match megabyte::data::prepare(std::slice::from_ref(&source), &text(), &out, Existing::Add, &stop) {
            Err(megabyte::Error::Interrupted) => drop(add(&source, &text(), &out).unwrap()),
            done => drop(done.unwrap()),
        }
        assert_eq!(items(&out), items(&whole), "{patience}");
        assert!(!out.join("preparing.json").exists());
    }
}

#[test]
fn interrupted_work_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (source, whole) = (folder.path().join("in"), folder.path().join("whole"));
    for i in 0..700 {
        // Some twice, and some that are cut into all splits.
        write(&source, &format!("{i:04}"), noise(if i % 50 == 7 { 900 } else { 40 }, i % 250));
    }
    let mut data = text();
    data.cut_over = 500;
    let uninterrupted = prepare(&source, &data, &whole).unwrap();
    assert_eq!((uninterrupted.documents, uninterrupted.duplicates), (250, 450));
    let mut stops = 0;
    for patience in [1, 5, 300, 900, 1000, 1300] {
        let out = folder.path().join(format!("out{patience}"));
        let done = loop {
            let stop = StopAfter(AtomicUsize::new(patience));
            let sources = std::slice::from_ref(&source);
            match megabyte::data::prepare(sources, &data, &out, Existing::Add, &stop) {
                Err(megabyte::Error::Interrupted) => stops += 1,
                other => break other.unwrap(),
            }
            if patience < 900 {
                // The files are looked at first, which takes all of it.
                break prepare(&source, &data, &out).unwrap();
            }
            let error = Dataset::open(&out, None).unwrap_err().to_string();
            assert!(error.contains("not prepared to the end"), "{error}");
        };
        assert_eq!((done.documents, done.duplicates), (250, 450), "{patience}");
        assert_eq!(items(&out), items(&whole), "{patience}");
        assert!(!out.join("preparing.json").exists());
    }
    assert!(stops >= 6, "{stops}");
}

#[test]
fn more_files_are_added_and_nothing_else_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    (0..60).for_each(|i| drop(write(&source, &format!("a{i:02}"), format!("document {i}"))));
    write(&source, "void", "");
    let first = prepare(&source, &text(), &out).unwrap();
    let before = items(&out);
    assert_eq!(add(&source, &text(), &out).unwrap(), first, "there is nothing new");

    // Were a file that is known read again, it would now be missed.
    let hidden = source.join("a00");
    let time = std::fs::metadata(&hidden).unwrap().modified().unwrap();
    std::fs::write(&hidden, "DOCUMENT 0").unwrap();
    std::fs::File::options().write(true).open(&hidden).unwrap().set_modified(time).unwrap();
    (0..40).for_each(|i| drop(write(&source, &format!("b{i:02}"), format!("more {i}"))));
    write(&source, "b-again", "document 7");
    let second = add(&source, &text(), &out).unwrap();
    assert_eq!((second.documents, second.duplicates, second.skipped_count), (100, 1, 1));
    let after = items(&out);
    assert!(before.iter().all(|item| after.contains(item)), "nothing moves");
    assert_eq!(after.len(), 100);
    assert!(!after.iter().any(|item| item.2 == b"DOCUMENT 0"));
    for info in &first.shards {
        assert!(second.shards.contains(info), "finished shards stay");
    }

    // A file that changed has new content; the old stays until all is replaced.
    write(&source, "a01", "changed");
    let third = add(&source, &text(), &out).unwrap();
    assert_eq!(third.documents, 101);
    assert_eq!(prepare(&source, &text(), &out).unwrap().documents, 100);
    let shards = names(&out).into_iter().filter(|name| name.ends_with(".shard")).count();
    assert_eq!(shards, Manifest::load(&out).unwrap().shards.len(), "replaced shards go");
}

#[test]
fn files_of_one_name_size_and_time_below_two_sources_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, out) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("out"));
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    for (source, content) in [(&a, "from a"), (&b, "from b")] {
        let path = write(source, "same.txt", content);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(add(&a, &text(), &out).unwrap().documents, 1);
    assert_eq!(add(&b, &text(), &out).unwrap().documents, 2);
    let both = megabyte::data::prepare(&[a, b], &text(), &out, Existing::Add, &Quiet).unwrap();
    assert_eq!((both.documents, both.duplicates), (2, 0));
}

#[test]
fn without_the_list_of_what_was_read_nothing_is_added() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    (0..60).for_each(|i| drop(write(&source, &format!("a{i:02}"), format!("document {i}"))));
    // A document of several items is known by the list alone.
    write(&source, "long", noise(3000, 1));
    let mut data = text();
    data.cut_over = 1000;
    prepare(&source, &data, &out).unwrap();
    let before = items(&out);
    let list = out.join(".sources-00000.jsonl");
    let whole = std::fs::read(&list).unwrap();
    for damage in [&b""[..], b"{\"file\":\"a00\",\"size\":1", &whole[1..]] {
        std::fs::write(&list, damage).unwrap();
        let error = add(&source, &data, &out).unwrap_err().to_string();
        assert!(error.contains(".sources-00000.jsonl") && error.contains("--force"), "{error}");
    }
    std::fs::remove_file(&list).unwrap();
    assert!(add(&source, &data, &out).unwrap_err().to_string().contains("is missing"));
    assert_eq!(items(&out), before);
    assert_eq!(prepare(&source, &data, &out).unwrap().documents, 61);
}

#[test]
fn a_replacement_that_fails_changes_nothing_for_later_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (source, other, out) = (folder.path().join("in"), folder.path().join("other"), folder.path().join("out"));
    write(&source, "a", noise(9 << 20, 1));
    write(&source, "b", noise(9 << 20, 2));
    (0..900).for_each(|i| drop(write(&other, &format!("{i}"), format!("other {i}"))));
    write(folder.path(), "void/nothing", "");
    let before = prepare(&source, &text(), &out).unwrap();
    assert!(prepare(&folder.path().join("void"), &text(), &out).is_err());
    assert_eq!(add(&source, &text(), &out).unwrap(), before, "both long documents are known");

    // Replaced in part by something else: nobody else goes on with that unasked.
    let stop = StopAfter(AtomicUsize::new(1400));
    let replace = |sources: &Path, progress: &dyn Progress| {
        megabyte::data::prepare(&[sources.to_owned()], &text(), &out, Existing::Replace, progress)
    };
    assert!(matches!(replace(&other, &stop), Err(megabyte::Error::Interrupted)));
    assert!(out.join("preparing.json").exists());
    let error = add(&source, &text(), &out).unwrap_err().to_string();
    assert!(error.contains("being replaced") && error.contains("--force"), "{error}");
    assert_eq!(Manifest::load(&out).unwrap(), before);
    // Anew is anew: nothing of the unfinished work is taken over.
    assert_eq!(replace(&source, &Quiet).unwrap().documents, 2);
    assert_eq!(replace(&other, &Quiet).unwrap().documents, 900);
    assert_eq!(names(&out).iter().filter(|name| name.starts_with(".sources-")).count(), 1);
}

#[test]
fn foreign_folders_are_left_alone_and_what_a_killed_call_left_is_not_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "a", "first");
    write(&out, "mine.txt", "mine");
    let error = add(&source, &text(), &out).unwrap_err().to_string();
    assert!(error.contains("is there already") && error.contains("--force"), "{error}");
    assert_eq!(names(&out), ["mine.txt"]);
    let left = folder.path().join("left");
    write(&left, ".sources-00000.jsonl", "");
    write(&left, ".megabyte-x.tmp", "half a shard");
    write(&left, "train-00000.shard", "named before anything said so");
    assert_eq!(add(&source, &text(), &left).unwrap().documents, 1);
    Dataset::open(&left, None).unwrap().verify(&Quiet).unwrap();
    assert!(!names(&left).iter().any(|name| name == "train-00000.shard"));
    assert!(!names(&left).contains(&".megabyte-x.tmp".to_owned()));
    let error = add(&source, &text(), &source.join("a")).unwrap_err().to_string();
    assert!(error.contains("is not a folder"), "{error}");
}

#[test]
fn folders_that_links_lead_back_to_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("all/in"), folder.path().join("out"));
    for split in ["train", "val"] {
        (0..3).for_each(|i| drop(write(&source, &format!("{split}/{i}"), format!("{i} of {split}"))));
    }
    write(folder.path(), "elsewhere/other", "from elsewhere");
    for (link, target) in
        [("a", folder.path().join("all")), ("b", source.join("val")), ("c", folder.path().join("elsewhere"))]
    {
        std::os::unix::fs::symlink(target, source.join(link)).unwrap();
    }
    let summary = prepare(&source, &text(), &out).unwrap();
    assert_eq!((summary.documents, summary.duplicates, summary.skipped_count), (7, 0, 2));
    assert!(summary.count(Split::Valid).items >= 3, "the folder val decides");
    assert!(summary.skipped.iter().all(|skipped| skipped.reason.contains("is a link")), "{:?}", summary.skipped);
}

#[test]
fn other_settings_are_refused_unless_all_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "a", "first");
    let before = prepare(&source, &text(), &out).unwrap();
    let refused = |data: &DataConfig| add(&source, data, &out).unwrap_err().to_string();
    let other = DataConfig { cut_over: 5, ..text() };
    let error = refused(&other);
    assert!(error.contains("data.cut_over") && error.contains("1048576") && error.contains("--force"), "{error}");
    let error = refused(&DataConfig { column: Some("text".to_owned()), ..text() });
    assert!(error.contains("data.column") && error.contains("null"), "{error}");
    assert_eq!(Manifest::load(&out).unwrap(), before);
    assert_eq!(prepare(&source, &other, &out).unwrap().settings.cut_over, 5);
}

#[test]
fn an_interrupted_replacement_leaves_the_old_data_readable() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    (0..600).for_each(|i| drop(write(&source, &format!("{i}"), format!("document {i}"))));
    prepare(&source, &text(), &out).unwrap();
    let before = items(&out);
    let other = DataConfig { cut_over: 5, ..text() };
    let replace = |progress: &dyn Progress| {
        megabyte::data::prepare(std::slice::from_ref(&source), &other, &out, Existing::Replace, progress)
    };
    let stopped = replace(&StopAfter(AtomicUsize::new(900)));
    assert!(matches!(stopped, Err(megabyte::Error::Interrupted)));
    assert!(out.join("preparing.json").exists(), "something was done");
    assert_eq!(items(&out), before);
    replace(&Quiet).unwrap();
    assert_eq!(Manifest::load(&out).unwrap().settings.cut_over, 5);
    // Of the ten that are a byte shorter, valid gets nothing.
    assert_eq!(items(&out).len(), 600 * 3 - 10);
}

#[test]
fn long_documents_are_stored_in_pieces_that_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    let long = noise((20 << 20) + 1, 1);
    write(&source, "train/long", &long);
    write(&source, "train/short", "short");
    write(&source, "valid/long again", &long);
    let summary = prepare(&source, &text(), &out).unwrap();
    assert_eq!((summary.documents, summary.duplicates), (2, 1));
    let data = Dataset::open(&out, Some(Split::Train)).unwrap();
    let pieces: Vec<_> = (0..data.len()).filter(|&i| data.name(i) == "train/long").map(|i| data.item(i)).collect();
    assert_eq!(pieces.iter().map(|item| item.ends).collect::<Vec<_>>(), [false, false, true]);
    assert!(pieces.iter().map(|item| item.bytes).collect::<Vec<_>>().concat() == long);
    // Known by its hash in the list of sources.
    write(&source, "test/long once more", &long);
    assert_eq!(add(&source, &text(), &out).unwrap().duplicates, 2);
}

#[test]
fn patterns_choose_files() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    for name in ["a.txt", "b.md", "sub/c.txt", "sub/d.txt", "drafts/e.txt"] {
        write(&source, name, name);
    }
    let owned = |list: &[&str]| list.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
    let data = DataConfig { include: owned(&["*.txt"]), exclude: owned(&["drafts", "d.*"]), ..text() };
    prepare(&source, &data, &out).unwrap();
    let mut names: Vec<_> = items(&out).into_iter().map(|item| item.1).collect();
    names.sort();
    assert_eq!(names, ["a.txt", "sub/c.txt"]);
}

#[test]
fn names_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "good", text_for(Split::Train, 1));
    std::fs::write(source.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), text_for(Split::Train, 2)).unwrap();
    std::fs::write(source.join(std::ffi::OsStr::from_bytes(b"empt\xff")), "").unwrap();
    let summary = prepare(&source, &text(), &out).unwrap();
    assert_eq!((summary.documents, summary.skipped_count), (2, 1));
    assert!(items(&out).iter().any(|item| item.1 == "caf\u{fffd}"));
    assert!(summary.skipped.iter().any(|skipped| skipped.path.ends_with("empt\u{fffd}")));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_skipped_this_time() {
    /// Changes a file once the work has begun.
    struct Meddle(std::path::PathBuf, AtomicUsize);
    impl Progress for Meddle {
        fn start(&self, _stage: &str, _total: u64) {
            if self.1.fetch_add(1, Ordering::Relaxed) == 0 {
                std::fs::write(&self.0, "longer than it was when it was found").unwrap();
            }
        }
        fn advance(&self, _done: u64) {}
        fn note(&self, _message: &str) {}
        fn cancelled(&self) -> bool {
            false
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    write(&source, "still", "still");
    let moving = write(&source, "moving", "short");
    let meddle = Meddle(moving, AtomicUsize::new(0));
    let first = megabyte::data::prepare(std::slice::from_ref(&source), &uncut(), &out, Existing::Add, &meddle).unwrap();
    assert_eq!((first.documents, first.skipped_count), (1, 1));
    assert!(first.skipped[0].reason.contains("changed while"), "{:?}", first.skipped);
    let second = add(&source, &uncut(), &out).unwrap();
    assert_eq!((second.documents, second.skipped_count), (2, 0));
}
