//! Cards and checksums of folders.

use std::collections::HashMap;
use std::fs;

use megabyte::data::download::{Card, card, digest};

use super::manifest;

#[test]
fn a_folder_digest_sees_names_and_contents() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::write(folder.path().join("b/two"), "2").unwrap();
    fs::write(folder.path().join("a"), "1").unwrap();
    let expected = manifest(&[("a", b"1"), ("b/two", b"2")]);
    assert_eq!(digest::folder(folder.path()).unwrap(), expected);
    fs::rename(folder.path().join("a"), folder.path().join("c")).unwrap();
    assert_ne!(digest::folder(folder.path()).unwrap(), expected);
}

#[test]
fn cards_that_make_no_sense_are_refused() {
    let good = fs::read_to_string("datasets/enwik8.toml").unwrap();
    assert!(Card::parse(&good).is_ok());
    let changes = [
        ("name = \"enwik8\"", "name = \"../enwik8\"", "plain file name"),
        ("file = \"enwik8.zip\"", "file = \"a/b.zip\"", "plain file name"),
        ("unpack = [\"zip\"]", "unpack = [\"gz\", \"zip\"]", "download.unpack"),
        ("member = \"enwik8\"\n", "", "member"),
        ("licence =", "license =", "license"),
        ("sha256 = \"2b49", "sha256 = \"2B49", "hexadecimal"),
        ("split =", "obtain = \"ask\"\nsplit =", "obtain"),
    ];
    for (from, to, expected) in changes {
        assert!(good.contains(from), "{from}");
        let message = Card::parse(&good.replace(from, to)).unwrap_err();
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn every_committed_card_is_complete() {
    let mut names = HashMap::new();
    for entry in fs::read_dir("datasets").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let card = Card::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), card.name);
        let Card { title, what, licence, attribution, homepage, url, split, .. } = &card;
        for text in [title, what, licence, attribution, homepage, url, split] {
            assert!(!text.trim().is_empty(), "{}", card.name);
        }
        assert!(homepage.starts_with("https://") && url.starts_with("http"), "{}", card.name);
        assert!(card.items > 0, "{}", card.name);
        if card.obtain.is_some() {
            let prepare = card.prepare.as_ref().expect("who fetched it wants to know what then");
            assert!(prepare.starts_with("megabyte prepare "), "{}", card.name);
        } else {
            assert!(card.bytes > 0, "{}", card.name);
            let package = card.package.as_ref().expect("the demo relies on packages");
            assert!(package.file.contains(&package.version), "{}", card.name);
        }
        names.insert(card.name.clone(), card);
    }
    for name in ["enwik8", "twemoji", "mnist", "cifar10", "piano", "asterisk", "imagenet64", "imagenet", "pg19"] {
        assert!(names.contains_key(name), "{name}");
    }
}

#[test]
fn an_unknown_card_lists_the_known_ones() {
    let message = card::find("nothing").unwrap_err().to_string();
    assert!(message.contains("nothing") && message.contains("enwik8") && message.contains("twemoji"), "{message}");
    assert!(card::find("./nothing.toml").unwrap_err().to_string().contains("nothing.toml"));
    assert_eq!(card::find("datasets/piano.toml").unwrap().name, "piano");
    assert_eq!(card::find("piano").unwrap().name, "piano");
}
