//! What the tests share; each of them uses a part.
#![allow(dead_code, clippy::unwrap_used)]

pub mod models;

// Each test program uses its own part.

use megabyte::modality::{Adapter, AudioFormat, AudioLayout, ImageLayout, Layout};

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
