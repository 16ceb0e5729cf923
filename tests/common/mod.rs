//! What the tests share; each of them uses a part.
#![allow(dead_code, clippy::unwrap_used)]

pub mod device;
pub mod models;

// Each test program uses its own part.

use std::path::PathBuf;

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
