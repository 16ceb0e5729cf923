//! What the tests share; each of them uses a part.
#![allow(dead_code, clippy::unwrap_used)]

pub mod device;
pub mod models;

// Each test program uses its own part.

use std::path::{Path, PathBuf};

use megabyte::modality::{Adapter, AudioFormat, AudioLayout, ImageLayout, Layout};

/// The repository; a test program that was carried elsewhere is told where it is by the variable that cargo sets.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A Python with torch, numpy and safetensors, for what stands in `tests/reference`: `$MEGABYTE_PYTHON`, or the one that
/// `make setup` prepares.
pub fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("MEGABYTE_PYTHON") {
        return named.into();
    }
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), ".venv is absent: make setup creates it");
    python
}

/// A file or folder of the shared development data: `$MEGABYTE_SHARED`, else `shared` beside the repository. Prints
/// what is skipped and gives `None` where it is absent.
pub fn shared(path: impl AsRef<Path>) -> Option<PathBuf> {
    let beside = || root().join("../shared");
    let folder = std::env::var_os("MEGABYTE_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent (MEGABYTE_SHARED names the folder)", path.display());
    None
}

/// Files below a shared folder, in the order of their names; none where it is absent.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let Some(folder) = shared(folder) else { return Vec::new() };
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    walk.map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect()
}

/// The adapter of a valid layout.
pub fn image(layout: ImageLayout) -> Box<dyn Adapter> {
    let layout = Layout::Image(layout);
    layout.validate().unwrap();
    layout.adapter()
}

/// The adapter of a mono layout.
pub fn audio(rate: u32, format: AudioFormat) -> Box<dyn Adapter> {
    sound(AudioLayout { rate, format, ..AudioLayout::default() })
}

/// The adapter of a valid layout.
pub fn sound(layout: AudioLayout) -> Box<dyn Adapter> {
    let layout = Layout::Audio(layout);
    layout.validate().unwrap();
    layout.adapter()
}
