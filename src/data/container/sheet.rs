//! A picture whose rows of pixels are pictures themselves, as tfjs has CIFAR-10 and MNIST: 10,000 pictures of 32 x 32
//! pixels are one PNG of 1024 x 10,000.

use std::io::Cursor;

use image::{GenericImageView, ImageReader};

use super::content::Content;
use super::fence::{Step, Stop, broken, fenced};
use super::pnm::Pixels;
use super::walk::{Place, Walk};
use crate::modality::{Limits, picture};

/// Memory for the decoded picture.
const MEMORY: u64 = 256 << 20;

/// Visits a picture a row, where the picture is as wide as one of `size` has pixels; says whether it is.
pub(super) fn expand(
    walk: &mut Walk<'_>,
    content: &mut Content,
    (width, height): (u32, u32),
    place: &Place,
) -> Step<bool> {
    let wide = u64::from(width) * u64::from(height);
    // What can't be opened is for the picture reader to refuse.
    let Ok(found) = fenced(|| reader(content)?.into_dimensions().map_err(std::io::Error::other)) else {
        return Ok(false);
    };
    if wide == 0 || u64::from(found.0) != wide {
        return Ok(false);
    }
    let limits = Limits { max_bytes: MEMORY, ..Limits::default() };
    content.reader()?;
    let read = match content {
        Content::Memory(bytes) => picture(&mut Cursor::new(bytes), &limits),
        Content::File(file) => picture(file, &limits),
    };
    let (sheet, warnings) = read.map_err(|error| Stop::Broken(error.to_string()))?;
    for warning in warnings {
        walk.warn(place.name.clone(), warning)?;
    }
    walk.budget.take(sheet.as_bytes().len() as u64)?;
    let transparent = sheet.color().has_alpha() && sheet.pixels().any(|(_, _, pixel)| pixel[3] < 255);
    if transparent {
        return broken("is a sheet of pictures with transparency, which is not read");
    }
    let (bytes, channels) = match sheet.color().has_color() {
        true => (sheet.into_rgb8().into_raw(), 3),
        false => (sheet.into_luma8().into_raw(), 1),
    };
    let pixels = Pixels { width: width.into(), height: height.into(), channels, planar: false };
    for (row, picture) in bytes.chunks_exact((wide * channels) as usize).enumerate() {
        walk.record_bytes(place.join(&format!("row {row}")), pixels.file(picture))?;
    }
    Ok(true)
}

fn reader(content: &mut Content) -> std::io::Result<ImageReader<impl std::io::BufRead + std::io::Seek + '_>> {
    ImageReader::new(std::io::BufReader::new(content.reader()?)).with_guessed_format()
}
