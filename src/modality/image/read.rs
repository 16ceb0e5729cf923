//! A file's content to an upright picture of 8 bits a channel.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::super::Channels;
use super::super::content::{self, Reader};
use crate::Result;

/// The longest side that is read, in pixels.
const MAX_SIDE: u32 = 16_384;
/// The most memory a decoder may take, in bytes; also the size of the decoded picture at most.
const MAX_ALLOC: u64 = 256 << 20;

/// Reads a PNG or JPEG, told apart by content, within limits of size, and turns it by its EXIF orientation. Of an
/// animated PNG the default image is read.
pub(super) fn read(file: &[u8]) -> Result<DynamicImage> {
    let format = match content::kind(file).reader {
        Reader::Png => ImageFormat::Png,
        Reader::Jpeg => ImageFormat::Jpeg,
        _ => return Err(content::unsupported(file, "PNG and JPEG images", "convert it first")),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(file) {
        return Err(content::damaged(file, "the file ends before the picture does"));
    }
    decode(file, format).map_err(|error| content::damaged(file, error))
}

fn decode(file: &[u8], format: ImageFormat) -> image::ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    // A broken EXIF block says nothing about the pixels, so it isn't a reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Whether an end-of-image marker follows the start of the scan. The JPEG decoder fills what is missing from a
/// truncated file with gray and reports nothing; gray squares don't belong into training data.
fn jpeg_is_whole(file: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    // Segments before the scan: 0xff, marker, big-endian length that counts itself. An embedded thumbnail with an end
    // marker of its own lies inside one of them.
    while let Some(&[0xff, marker, high, low]) = file.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        if marker == START_OF_SCAN {
            return file[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        // Markers may be preceded by any number of 0xff.
        at += if marker == 0xff { 1 } else { 2 + usize::from(u16::from_be_bytes([high, low])) };
    }
    // Not a chain of segments as far as this walk understands: the decoder judges.
    true
}

/// Pixels of the layout's channels, opaque, 8 bits a channel.
#[derive(Debug)]
pub(super) enum Flat {
    Rgb(image::RgbImage),
    Gray(image::GrayImage),
}

/// Composites over `background` by the alpha channel in 8-bit sRGB values, and converts to the layout's channels. Gray
/// is Rec. 709 luma of the sRGB values; 16 bits become 8 by rounding.
pub(super) fn flatten(picture: DynamicImage, channels: Channels, background: [u8; 3]) -> Flat {
    let opaque = if picture.color().has_alpha() {
        let picture = picture.into_rgba8();
        let mut opaque = image::RgbImage::new(picture.width(), picture.height());
        for (from, to) in picture.pixels().zip(opaque.pixels_mut()) {
            let [r, g, b, alpha] = from.0;
            to.0 = [over(r, background[0], alpha), over(g, background[1], alpha), over(b, background[2], alpha)];
        }
        DynamicImage::ImageRgb8(opaque)
    } else {
        picture
    };
    match channels {
        Channels::Rgb => Flat::Rgb(opaque.into_rgb8()),
        Channels::Gray => Flat::Gray(opaque.into_luma8()),
    }
}

/// `front` over `back`, rounded to the nearest value.
fn over(front: u8, back: u8, alpha: u8) -> u8 {
    let (front, back, alpha) = (u32::from(front), u32::from(back), u32::from(alpha));
    ((alpha * front + (255 - alpha) * back + 127) / 255) as u8
}
