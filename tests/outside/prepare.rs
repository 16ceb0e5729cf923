//! Preparation of files that are broken, and of files that can't be opened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use megabyte::config::DataConfig;
use megabyte::data::{Dataset, Existing, survey};
use megabyte::modality::Modality;
use megabyte::progress::Quiet;

use crate::{Done, files, lacks};

/// The most memory this process has used, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

pub fn every_broken_file_is_prepared_or_listed_quickly_and_in_little_memory() -> Done {
    let files = files(&["data/bad", "data/audio/formats"])?;
    let folder = tempfile::tempdir().unwrap();
    assert!(files.len() > 160);
    for modality in [Modality::Image, Modality::Audio, Modality::Text, Modality::Bytes] {
        let mut read = 0;
        for file in &files {
            let data = DataConfig::new(modality);
            let started = Instant::now();
            let out = folder.path().join("out");
            let sources = std::slice::from_ref(file);
            let prepared = megabyte::data::prepare(sources, &data, &out, Existing::Replace, &Quiet);
            let surveyed = survey(sources, &data, &Quiet).unwrap();
            assert!(started.elapsed() < Duration::from_secs(10), "{}: {:?}", file.display(), started.elapsed());
            match prepared {
                Ok(manifest) => {
                    assert_eq!((manifest.documents, manifest.skipped_count), (1, 0), "{}", file.display());
                    assert_eq!((surveyed.documents, surveyed.skipped_count), (1, 0), "{}", file.display());
                    Dataset::open(&out, None).unwrap().verify(&Quiet).unwrap();
                    read += 1;
                }
                Err(error) => {
                    let error = error.to_string();
                    let name = file.file_name().unwrap().to_string_lossy();
                    assert!(error.contains("no file can be used") && error.contains(&*name), "{error}");
                    assert_eq!((surveyed.documents, surveyed.skipped_count), (0, 1), "{}", file.display());
                    assert!(surveyed.skipped[0].reason.len() > 5);
                }
            }
        }
        assert!(read >= 20, "{modality}: {read}");
    }
    assert!(peak() < 1 << 30, "{} MB", peak() >> 20);
    Ok(())
}

/// What could not be opened is listed, and taken by a later call that can.
pub fn files_that_can_not_be_opened() -> Done {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&source).unwrap();
    for i in 0..9 {
        fs::write(source.join(format!("good{i}")), format!("a document, number {i}")).unwrap();
    }
    let closed = source.join("closed");
    fs::write(&closed, "a document that nobody may read").unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    if fs::read(&closed).is_ok() {
        return lacks("a user who may not read every file");
    }
    let prepare = |existing| {
        let sources = std::slice::from_ref(&source);
        megabyte::data::prepare(sources, &DataConfig::new(Modality::Text), &out, existing, &Quiet).unwrap()
    };
    let first = prepare(Existing::Replace);
    assert_eq!((first.documents, first.skipped_count), (9, 1));
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o600)).unwrap();
    let second = prepare(Existing::Add);
    assert_eq!((second.documents, second.skipped_count), (10, 0));
    Ok(())
}
