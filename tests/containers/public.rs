//! Files as others made them, where the shared development data is there.

use std::fs::File;

use megabyte::data::container::{Content, Expanded, Found, expand};
use megabyte::modality::Modality;

use crate::{Opened, bytes_of, common, options};

fn opened(path: &str, modality: Modality) -> Option<Opened> {
    let mut file = File::open(common::shared(path)?).unwrap();
    let (mut records, mut skipped) = (Vec::new(), Vec::new());
    let end = expand(&mut file, path, &options(modality), &mut |found| {
        match found {
            Found::Record(record) => records.push((record.name, bytes_of(record.content))),
            Found::Skipped { name, reason } => skipped.push((name, reason)),
        }
        Ok(())
    });
    Some(Opened { records, skipped, end: end.unwrap() })
}

#[test]
fn mnist() {
    let Some(found) = opened("data/images/mnist/train-images-idx3-ubyte.gz", Modality::Image) else { return };
    let records = found.whole();
    assert_eq!(records.len(), 60_000);
    assert!(records.iter().all(|(_, picture)| picture.len() == 13 + 784 && picture.starts_with(b"P5\n28 28\n255\n")));
    // The known mean of the training set.
    let sum: u64 = records.iter().flat_map(|(_, picture)| &picture[13..]).map(|&byte| u64::from(byte)).sum();
    assert!((sum as f64 / (60_000.0 * 784.0) / 255.0 - 0.1307).abs() < 1e-4);
    let Some(labels) = opened("data/images/mnist/train-labels-idx1-ubyte.gz", Modality::Image) else { return };
    assert_eq!((labels.records.len(), labels.skipped.len(), labels.end), (0, 1, Expanded::Done));
}

#[test]
fn archives_of_tiles() {
    for path in ["data/images/twemoji_64x64.tar", "data/images/dcss_tiles_32x32.tar.xz"] {
        let Some(found) = opened(path, Modality::Image) else { return };
        assert_eq!(found.end, Expanded::Done);
        assert!(found.records.len() > 1000, "{path}: {}", found.records.len());
        assert!(found.records.iter().all(|(_, picture)| picture.starts_with(b"\x89PNG")));
    }
}

#[test]
fn texts() {
    let Some(found) = opened("data/text/multilingual/udhr2.zip", Modality::Text) else { return };
    assert_eq!(found.end, Expanded::Done);
    assert!(found.records.len() > 380, "{}", found.records.len());
    let Some(found) = opened("data/text/source-code/cpython-3.11.2-stdlib-py.tar.xz", Modality::Text) else { return };
    assert_eq!((found.end, found.skipped.len()), (Expanded::Done, 0));
    assert!(found.records.iter().any(|(name, _)| name.ends_with("argparse.py")));
}

/// A long document is never in memory.
#[test]
fn enwik8_is_a_file() {
    let Some(path) = common::shared("data/text/enwik8.xz") else { return };
    let mut lens = Vec::new();
    let end = expand(&mut File::open(path).unwrap(), "enwik8.xz", &options(Modality::Text), &mut |found| {
        match found {
            Found::Record(record) => match record.content {
                Content::File(file) => lens.push(file.metadata().unwrap().len()),
                Content::Memory(bytes) => panic!("{} bytes in memory", bytes.len()),
            },
            Found::Skipped { reason, .. } => panic!("{reason}"),
        }
        Ok(())
    });
    assert_eq!((end.unwrap(), lens), (Expanded::Done, vec![100_000_000]));
}
