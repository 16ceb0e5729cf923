//! Data: shards, preparation, and the batches that come out.

#![allow(clippy::unwrap_used)]

mod again;
mod archives;
mod batches;
mod files;
mod prepare;
mod shards;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use megabyte::config::DataConfig;
use megabyte::data::{Existing, Manifest, Split};
use megabyte::modality::Modality;
use megabyte::progress::{Progress, Quiet};

/// Stops the work after some questions whether it should.
struct StopAfter(AtomicUsize);

impl Progress for StopAfter {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

/// Writes a file, and the folders above it.
fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

fn text() -> DataConfig {
    DataConfig::new(Modality::Text)
}

/// The same, of which no document is cut, however few there are.
fn uncut() -> DataConfig {
    DataConfig { cut_over: 0, ..text() }
}

/// Prepares anew.
fn prepare(source: &Path, data: &DataConfig, out: &Path) -> megabyte::Result<Manifest> {
    megabyte::data::prepare(&[source.to_owned()], data, out, Existing::Replace, &Quiet)
}

/// Prepares what is new.
fn add(source: &Path, data: &DataConfig, out: &Path) -> megabyte::Result<Manifest> {
    megabyte::data::prepare(&[source.to_owned()], data, out, Existing::Add, &Quiet)
}

/// A short text whose content puts it into `split`.
fn text_for(split: Split, number: usize) -> String {
    (0..)
        .map(|i| format!("document {number}, variant {i}\n"))
        .find(|text| Split::of_hash(blake3::hash(text.as_bytes()).as_bytes()) == split)
        .unwrap()
}

/// Bytes without a pattern.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed as u8; 32]).finalize_xof().fill(&mut bytes);
    bytes
}
