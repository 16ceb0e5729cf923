//! Pictures: files of many formats to pixels of one size in a scan order, and back to PNG.

pub(super) mod describe;
mod fit;
mod ico;
mod jpeg;
mod read;
pub(super) mod scan;
mod tga;
mod tiff;

use std::io::Write;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder};

use super::{Adapter, Channels, ImageLayout, Input, Limits, Scan, content, unwritable};
use crate::{Error, Result};

/// The wanted size of a patch of the raster scan, in bytes: 16 RGB pixels of a row.
const RASTER_PATCH: usize = 48;

/// One picture, one sequence of `height * width * channels` bytes.
///
/// A picture is read, turned upright by its EXIF orientation, brought to 8 bits a channel, composited over the
/// background where it is transparent, converted to the layout's channels, fitted to the layout's size, and scanned.
/// All arithmetic is on the stored values, taken as sRGB: colour profiles and gamma chunks aren't applied.
#[derive(Debug)]
pub struct ImageAdapter {
    layout: ImageLayout,
    limits: Limits,
}

impl ImageAdapter {
    /// An adapter for a validated layout, for pictures within limits.
    pub fn new(layout: ImageLayout, limits: Limits) -> Self {
        ImageAdapter { layout, limits }
    }
}

/// A picture as it is, upright, and what there is to know of it.
pub(crate) fn picture(input: &mut dyn Input, limits: &Limits) -> Result<(DynamicImage, Vec<String>)> {
    let head = content::head(input)?;
    content::contained(&head, || {
        let read::Decoded { picture, warnings, .. } = read::read(&head, input, limits)?;
        Ok((picture, warnings))
    })
}

impl Adapter for ImageAdapter {
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<Vec<String>> {
        let head = content::head(input)?;
        let (pixels, warnings) = content::contained(&head, || {
            let read::Decoded { picture, warnings, permit } = read::read(&head, input, &self.limits)?;
            let picture = read::flatten(picture, self.layout.channels, self.layout.background);
            let pixels = fit::fit(picture, &self.layout);
            drop(permit);
            Ok((pixels, warnings))
        })?;
        out.write_all(&scan::to_stream(&pixels, &self.layout)).map_err(unwritable)?;
        Ok(warnings)
    }

    fn mirrored(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() != self.layout.len() {
            return None;
        }
        let mut pixels = scan::to_raster(bytes, &self.layout);
        scan::flip(&mut pixels, &self.layout);
        Some(scan::to_stream(&pixels, &self.layout))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let layout = &self.layout;
        if bytes.len() > layout.len() {
            let (w, h, len) = (layout.width, layout.height, layout.len());
            let message = format!("{} bytes are more than the {len} of one {w} x {h} picture", bytes.len());
            return Err(Error::Content(message));
        }
        let mut stream = bytes.to_vec();
        stream.resize(layout.len(), 0);
        let pixels = scan::to_raster(&stream, layout);
        let color = match layout.channels {
            Channels::Rgb => ExtendedColorType::Rgb8,
            Channels::Gray => ExtendedColorType::L8,
        };
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&pixels, layout.width as u32, layout.height as u32, color)
            .map_err(|error| Error::Content(format!("can't be written as PNG: {error}")))?;
        Ok(png)
    }

    fn extension(&self) -> &'static str {
        "png"
    }

    /// The bytes of a patch, the outer one, for scans in patches. For scans in rows, the part of a row nearest 48 bytes
    /// that divides the row into whole pixels, or 16 pixels where rows have no such part.
    fn patch_size(&self) -> usize {
        let layout = &self.layout;
        let channels = match layout.scan {
            Scan::Patch | Scan::Nested => return layout.patch * layout.patch * layout.channels.count(),
            Scan::Raster => layout.channels.count(),
            // Rows of one channel.
            Scan::Planar => 1,
        };
        let row = layout.width * channels;
        if row <= RASTER_PATCH {
            return row;
        }
        let parts = (1..=layout.width).filter(|pixels| layout.width.is_multiple_of(*pixels));
        let nearest = parts.map(|pixels| pixels * channels).min_by_key(|bytes| bytes.abs_diff(RASTER_PATCH));
        nearest.filter(|bytes| (RASTER_PATCH / 4..=RASTER_PATCH * 4).contains(bytes)).unwrap_or(16 * channels)
    }

    fn sequence_len(&self) -> Option<usize> {
        Some(self.layout.len())
    }

    fn bytes_per_second(&self) -> Option<f64> {
        None
    }

    fn ends_with_symbol(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raster_patch_divides_the_row() {
        for (width, channels, expected) in [
            (64, Channels::Rgb, 48),
            (28, Channels::Gray, 28),
            (32, Channels::Gray, 32),
            (64, Channels::Gray, 32),
            (50, Channels::Rgb, 30),
            (97, Channels::Rgb, 48),
            (4, Channels::Gray, 4),
        ] {
            let layout = ImageLayout { width, channels, scan: Scan::Raster, ..ImageLayout::default() };
            assert_eq!(ImageAdapter::new(layout, Limits::default()).patch_size(), expected, "{width} x {channels:?}");
        }
    }
}
