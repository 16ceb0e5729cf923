//! Which files are found below a source.

use std::os::unix::fs::symlink;

use megabyte::data::{Split, walk};

use super::{add, prepare, text, write};

#[test]
fn folders_are_walked_in_order_and_links_end() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    for name in ["b", "a", "c/z", "c/y", "valid/v", "test", ".git/config", "c/.hidden"] {
        write(&source, name, name);
    }
    symlink(&source, source.join("c/loop")).unwrap();
    symlink(folder.path().join("nowhere"), source.join("dangling")).unwrap();
    symlink(source.join("a"), source.join("link")).unwrap();
    let found = walk(std::slice::from_ref(&source)).unwrap();
    let names: Vec<_> = found.files.iter().map(|file| file.name().into_owned()).collect();
    assert_eq!(names, ["a", "b", "c/y", "c/z", "link", "test", "valid/v"]);
    // A file named after a split says nothing; a folder does.
    let splits: Vec<_> = found.files.iter().filter_map(|file| file.split()).collect();
    assert_eq!(splits, [Split::Valid]);
    let skipped: Vec<_> = found.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    assert_eq!(skipped, ["c/loop", "dangling"].map(|name| source.join(name).display().to_string()));
    assert!(found.skipped[0].reason.contains("link"), "{}", found.skipped[0].reason);
    assert!(walk(&[folder.path().join("nowhere")]).unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn prepared_folders_are_not_documents() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    write(&source, "a", "first");
    write(&source, "b", "second");
    let out = source.join("out");
    let first = prepare(&source, &text(), &out).unwrap();
    assert_eq!(first.documents, 2);
    assert_eq!(add(&source, &text(), &out).unwrap(), first, "what was written is not read again");
    let error = prepare(&out, &text(), &folder.path().join("other")).unwrap_err().to_string();
    assert!(error.contains("prepared folder already"), "{error}");
    std::fs::remove_file(out.join("manifest.json")).unwrap();
    let summary = prepare(&source, &text(), &folder.path().join("other")).unwrap();
    assert_eq!(summary.documents, 2);
    assert!(!summary.skipped.is_empty() && summary.skipped.iter().all(|skipped| skipped.reason.contains("shard")));
}

#[test]
fn nothing_to_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    std::fs::create_dir(&source).unwrap();
    let error = prepare(&source, &text(), &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("no files in") && error.contains("in"), "{error}");
    assert!(!folder.path().join("out").exists());
}
