//! Examples of a prepared folder, decoded back: what a model will see.

use std::path::{Path, PathBuf};

use anyhow::Context;
use image::{DynamicImage, GenericImage, ImageFormat, RgbImage};
use megabyte::data::Dataset;
use megabyte::modality::{Adapter, Layout};

use crate::commands::output::{check_free, write as write_file};

/// Pixels between pictures.
const GAP: u32 = 2;
/// Bytes of a text, and seconds of a sound.
const TEXT: usize = 4096;
const SECONDS: f64 = 10.0;

/// Writes about `count` items, spread over all of them, to `folder`: pictures on one contact sheet, others as files.
pub(super) fn write(data: &Dataset, folder: &Path, count: usize, force: bool) -> anyhow::Result<Vec<PathBuf>> {
    check_free(folder, force)?;
    let adapter = data.layout().adapter();
    let count = count.min(data.len());
    // In the middle of each of `count` equal parts.
    let items = (0..count).map(|i| data.item((2 * i + 1) * data.len() / (2 * count)).bytes);
    if let Layout::Image(layout) = data.layout() {
        let sheet = contact_sheet(items, adapter.as_ref(), layout.width as u32, layout.height as u32)?;
        let path = folder.join("contact-sheet.png");
        let mut png = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(sheet).write_to(&mut png, ImageFormat::Png)?;
        write_file(&path, png.get_ref())?;
        return Ok(vec![path]);
    }
    let most = adapter.bytes_per_second().map_or(TEXT, |rate| (rate * SECONDS) as usize);
    let mut written = Vec::new();
    for (i, bytes) in items.enumerate() {
        let path = folder.join(format!("{i:03}.{}", adapter.extension()));
        write_file(&path, &adapter.decode(&bytes[..bytes.len().min(most)])?)?;
        written.push(path);
    }
    Ok(written)
}

/// Pictures in rows and columns, as square as they get.
fn contact_sheet<'a>(
    items: impl ExactSizeIterator<Item = &'a [u8]>,
    adapter: &dyn Adapter,
    width: u32,
    height: u32,
) -> anyhow::Result<RgbImage> {
    let columns = (items.len() as f64).sqrt().ceil().max(1.0) as u32;
    let rows = (items.len() as u32).div_ceil(columns).max(1);
    let mut sheet = RgbImage::new(columns * (width + GAP) - GAP, rows * (height + GAP) - GAP);
    for (i, bytes) in items.enumerate() {
        let picture = image::load_from_memory(&adapter.decode(bytes)?).context("what was just encoded")?.into_rgb8();
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        sheet.copy_from(&picture, column * (width + GAP), row * (height + GAP))?;
    }
    Ok(sheet)
}
