//! Archives and arrays as others made them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use megabyte::data::container::{Content, Expanded, Found, Options, expand};
use megabyte::modality::Modality;

use crate::{Done, shared};

fn options(modality: Modality) -> Options {
    let spool = std::env::temp_dir();
    Options::new(modality, spool)
}

/// What was found in a file.
struct Opened {
    records: Vec<(String, Vec<u8>)>,
    skipped: usize,
    end: Expanded,
}

fn open(path: &Path, modality: Modality) -> Opened {
    let (mut records, mut skipped) = (Vec::new(), 0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let end = expand(&mut File::open(path).unwrap(), name, &options(modality), &mut |found| {
        match found {
            Found::Record(record) => {
                let bytes = match record.content {
                    Content::Memory(bytes) => bytes,
                    Content::File(mut file) => {
                        let mut bytes = Vec::new();
                        file.read_to_end(&mut bytes).unwrap();
                        bytes
                    }
                };
                records.push((record.name, bytes));
            }
            Found::Skipped { .. } => skipped += 1,
            Found::Warning { reason, .. } => panic!("{reason}"),
        }
        Ok(())
    });
    Opened { records, skipped, end: end.unwrap() }
}

pub fn mnist() -> Done {
    let pictures = shared("data/images/mnist/train-images-idx3-ubyte.gz")?;
    let labels = shared("data/images/mnist/train-labels-idx1-ubyte.gz")?;
    let Opened { records, skipped, end } = open(&pictures, Modality::Image);
    assert_eq!((records.len(), skipped, end), (60_000, 0, Expanded::Done));
    assert!(records.iter().all(|(_, picture)| picture.len() == 13 + 784 && picture.starts_with(b"P5\n28 28\n255\n")));
    // The known mean of the training set.
    let sum: u64 = records.iter().flat_map(|(_, picture)| &picture[13..]).map(|&byte| u64::from(byte)).sum();
    assert!((sum as f64 / (60_000.0 * 784.0) / 255.0 - 0.1307).abs() < 1e-4);
    let labels = open(&labels, Modality::Image);
    assert_eq!((labels.records.len(), labels.skipped, labels.end), (0, 1, Expanded::Done));
    Ok(())
}

pub fn archives_of_tiles() -> Done {
    for path in ["data/images/twemoji_64x64.tar", "data/images/dcss_tiles_32x32.tar.xz"] {
        let found = open(&shared(path)?, Modality::Image);
        assert_eq!(found.end, Expanded::Done);
        assert!(found.records.len() > 1000, "{path}: {}", found.records.len());
        assert!(found.records.iter().all(|(_, picture)| picture.starts_with(b"\x89PNG")));
    }
    Ok(())
}

pub fn texts() -> Done {
    let languages = shared("data/text/multilingual/udhr2.zip")?;
    let code = shared("data/text/source-code/cpython-3.11.2-stdlib-py.tar.xz")?;
    let found = open(&languages, Modality::Text);
    assert_eq!(found.end, Expanded::Done);
    assert!(found.records.len() > 380, "{}", found.records.len());
    let found = open(&code, Modality::Text);
    assert_eq!((found.end, found.skipped), (Expanded::Done, 0));
    assert!(found.records.iter().any(|(name, _)| name.ends_with("argparse.py")));
    Ok(())
}

/// A long document is never in memory.
pub fn enwik8_is_a_file() -> Done {
    let path = shared("data/text/enwik8.xz")?;
    let mut lens = Vec::new();
    let end = expand(&mut File::open(path).unwrap(), "enwik8.xz", &options(Modality::Text), &mut |found| {
        match found {
            Found::Record(record) => match record.content {
                Content::File(file) => lens.push(file.metadata().unwrap().len()),
                Content::Memory(bytes) => panic!("{} bytes in memory", bytes.len()),
            },
            Found::Skipped { reason, .. } | Found::Warning { reason, .. } => panic!("{reason}"),
        }
        Ok(())
    });
    assert_eq!((end.unwrap(), lens), (Expanded::Done, vec![100_000_000]));
    Ok(())
}
