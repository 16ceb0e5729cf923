//! A file's content to an upright picture of 8 bits a channel.

use std::io::{BufReader, Cursor};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::super::budget::{PICTURES, Permit};
use super::super::content::{self, Reader};
use super::super::{Channels, Input, Limits, unreadable};
use super::{ico, jpeg, tga, tiff};
use crate::{Error, Result};

const SUPPORTED: &str = "PNG, JPEG, WebP, GIF, BMP, TIFF, PNM, QOI, TGA and ICO images";

/// The format of a picture, told by its content, and the name of that format for messages.
pub(super) fn format(head: &[u8], input: &mut dyn Input) -> Result<(ImageFormat, &'static str)> {
    let kind = content::kind(head);
    match kind.reader {
        Reader::Image(format) => Ok((format, kind.name)),
        // The one format without a mark at its start.
        Reader::None if tga::is_tga(head, input)? => Ok((ImageFormat::Tga, "a TGA image")),
        _ => Err(content::unsupported(kind.name, SUPPORTED, "convert it first")),
    }
}

/// Reads a picture within limits and turns it by its orientation. Of an animation the first frame is read, of an
/// animated PNG the default image, of an icon the largest picture. The permit is for the picture's memory.
pub(super) fn read(head: &[u8], input: &mut dyn Input, limits: &Limits) -> Result<(DynamicImage, Permit<'static>)> {
    let (format, name) = format(head, input)?;
    let mut permit = None;
    if format == ImageFormat::Jpeg {
        let Ok(outline) = jpeg::outline(&mut *input) else {
            return Err(content::damaged(name, "the file ends before the picture does"));
        };
        content::rewind(input)?;
        if outline.cut {
            return Err(content::damaged(name, "the file ends before the picture does"));
        }
        // Its decoder reads the whole file when it is opened, so room has to be there before.
        let len = length(input)?;
        permit = Some(match outline.frame {
            Some((width, height, components)) => {
                let pixels = pixels(width, height, limits)?;
                let working = pixels * components * if outline.progressive { 3 } else { 1 };
                within(len + working + pixels * 3, limits)?
            }
            None => within(limits.max_bytes, limits)?,
        });
    }
    if format == ImageFormat::Ico {
        let inside = ico::png(&mut *input);
        content::rewind(input)?;
        if let Ok(Some(png)) = inside {
            return read(&png, &mut Cursor::new(&png), limits);
        }
    }
    if format == ImageFormat::Tiff {
        let plain = tiff::plain(&mut *input);
        content::rewind(input)?;
        if let Some(plain) = plain {
            let pixels = pixels(plain.width, plain.height, limits)?;
            let permit = within(plain.working_bytes() + pixels * 4, limits)?;
            let picture = plain.read(input, limits.max_bytes).map_err(|error| content::damaged(name, error))?;
            return Ok((picture, permit));
        }
    }
    let refused = |error: image::ImageError| content::damaged(name, error);
    let mut decoder = open(&mut *input, format, limits).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let pixels = pixels(width, height, limits)?;
    let permit = match permit {
        Some(permit) => permit,
        None => within(working_bytes(format, decoder.total_bytes()) + pixels * 4, limits)?,
    };
    // A broken EXIF block says nothing about the pixels, so it isn't a reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    picture.apply_orientation(orientation);
    Ok((picture, permit))
}

/// The decoder of a format, which has read the headers.
pub(super) fn open<'a>(
    input: &'a mut dyn Input,
    format: ImageFormat,
    limits: &Limits,
) -> image::ImageResult<impl ImageDecoder + 'a> {
    let mut reader = ImageReader::with_format(BufReader::new(input), format);
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.max_bytes);
    reader.limits(allowed);
    reader.into_decoder()
}

/// The pixels of a picture, if they are no more than the limit.
fn pixels(width: u32, height: u32, limits: &Limits) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        let most = limits.max_pixels;
        let message = format!("has {width} x {height} pixels, more than the limit of {most}; scale it down first");
        return Err(Error::Content(message));
    }
    Ok(pixels)
}

/// Takes memory for a picture that needs `bytes`, if the limit allows that at all.
fn within(bytes: u64, limits: &Limits) -> Result<Permit<'static>> {
    if bytes > limits.max_bytes {
        let (needed, most) = (bytes >> 20, limits.max_bytes >> 20);
        let message =
            format!("needs {needed} MiB to be decoded, more than the limit of {most} MiB; scale it down first");
        return Err(Error::Content(message));
    }
    Ok(PICTURES.take(bytes))
}

/// What a decoder holds at its peak, the decoded picture included, for `decoded` bytes of picture.
fn working_bytes(format: ImageFormat, decoded: u64) -> u64 {
    match format {
        // A second copy of the pixels, or a canvas beside the frame.
        ImageFormat::Tiff | ImageFormat::Gif | ImageFormat::WebP | ImageFormat::Ico => decoded.saturating_mul(2),
        _ => decoded,
    }
}

fn length(input: &mut dyn Input) -> Result<u64> {
    let len = input.seek(std::io::SeekFrom::End(0)).map_err(unreadable)?;
    content::rewind(input)?;
    Ok(len)
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
