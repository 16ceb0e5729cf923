//! A file's content to an upright picture of 8 bits a channel.

use std::io::{BufReader, Cursor};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::super::budget::{PICTURES, Permit};
use super::super::content::{self, Reader};
use super::super::{Channels, Input, Limits, unreadable};
use super::jpeg::{self, Lack};
use super::{ico, tga, tiff};
use crate::native::webp;
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

/// A picture that was read.
pub(super) struct Decoded {
    pub picture: DynamicImage,
    /// What there is to know of it.
    pub warnings: Vec<String>,
    /// For the picture's memory.
    pub permit: Permit<'static>,
}

/// Reads a picture within limits and turns it by its orientation. Of an animation the first frame is read, of an
/// animated PNG the default image, of an icon the largest picture, of a TIFF the first page. Rows that a JPEG or a lossy
/// WebP lacks are gray.
pub(super) fn read(head: &[u8], input: &mut dyn Input, limits: &Limits) -> Result<Decoded> {
    let (format, name) = format(head, input)?;
    match format {
        ImageFormat::Jpeg => return read_jpeg(name, input, limits),
        ImageFormat::Ico => {
            let inside = ico::png(&mut *input);
            content::rewind(input)?;
            if let Ok(Some(png)) = inside {
                return read(&png, &mut Cursor::new(&png), limits);
            }
        }
        ImageFormat::Tiff => {
            let refused = |reason| content::damaged(name, reason);
            let header = tiff::Header::read(&mut *input).map_err(refused)?;
            pixels(header.width, header.height, limits)?;
            let permit = within(header.working_bytes(), limits)?;
            let picture = header.pixels(input).map_err(refused)?;
            return Ok(Decoded { picture, warnings: Vec::new(), permit });
        }
        _ => {}
    }
    let mut permit = None;
    let decoded = decode(format, name, &mut *input, limits, |decoder, pixels| {
        permit = Some(within(working_bytes(format, decoder) + pixels * 4, limits)?);
        Ok(())
    });
    match (decoded, permit) {
        (Ok((mut picture, orientation)), Some(permit)) => {
            picture.apply_orientation(orientation);
            Ok(Decoded { picture, warnings: Vec::new(), permit })
        }
        (Err(error), permit) if format == ImageFormat::WebP => {
            drop(permit);
            read_cut_webp(input, limits)?.ok_or(error)
        }
        (Err(error), _) => Err(error),
        (Ok(_), None) => Err(content::damaged(name, "it has no size")),
    }
}

/// Decodes a picture with the decoder of its format, once `allowed` had a look at the bytes of the picture and its pixels.
/// It is not turned.
fn decode(
    format: ImageFormat,
    name: &str,
    input: &mut dyn Input,
    limits: &Limits,
    allowed: impl FnOnce(u64, u64) -> Result<()>,
) -> Result<(DynamicImage, Orientation)> {
    let refused = |error: image::ImageError| content::damaged(name, error);
    let mut decoder = open(input, format, limits).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    allowed(decoder.total_bytes(), pixels(width, height, limits)?)?;
    // A broken EXIF block says nothing about the pixels, so it isn't a reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(refused)?, orientation))
}

/// The gray of rows that are lost.
const LOST: u8 = 128;

fn read_jpeg(name: &str, input: &mut dyn Input, limits: &Limits) -> Result<Decoded> {
    let ends = || content::damaged(name, "the file ends before the picture does");
    let outline = jpeg::outline(&mut *input).map_err(|_| ends())?;
    content::rewind(input)?;
    // Its decoder reads the whole file when it is opened, so room has to be there before.
    let len = length(input)?;
    let permit = match outline.frame {
        Some((width, height, components)) => {
            let pixels = pixels(width, height, limits)?;
            let working = pixels * components * if outline.progressive { 3 } else { 1 };
            within(2 * len + working + pixels * 3, limits)?
        }
        None => within(limits.max_bytes, limits)?,
    };
    // Its decoder makes gray or noise of what it lacks or can't decode, and says nothing.
    let mut file = Vec::new();
    input.read_to_end(&mut file).map_err(unreadable)?;
    let lack = match jpeg::complete(&file) {
        Some((_, lack @ (Lack::Nothing | Lack::Surplus))) if !outline.cut => lack,
        Some((completed, lack)) => {
            file = completed;
            lack
        }
        None if outline.cut => return Err(ends()),
        // Of a kind that the decoder knows, or refuses.
        None => Lack::Nothing,
    };
    let (mut picture, orientation) = decode(ImageFormat::Jpeg, name, &mut Cursor::new(file), limits, |_, _| Ok(()))?;
    let height = picture.height();
    let warnings = match lack {
        Lack::Nothing => Vec::new(),
        Lack::Surplus => vec!["some of it may be damaged: codes are left over behind its last row".to_owned()],
        Lack::Rows(0) if outline.cut => return Err(ends()),
        Lack::Rows(0) => return Err(content::damaged(name, "its codes are damaged before a row is whole")),
        Lack::Rows(row) => {
            lose(&mut picture, row);
            vec![lost_rows(row, height)]
        }
        Lack::Scans(scan) => vec![format!("its finer detail is lost: the file ends before scan {scan} does")],
    };
    picture.apply_orientation(orientation);
    Ok(Decoded { picture, warnings, permit })
}

/// What there is to know of a picture of which the rows from one on are lost.
fn lost_rows(row: u32, height: u32) -> String {
    format!("the lower {} of {height} rows are lost: the file is cut or damaged there", height - row)
}

/// Makes the rows from one on gray.
fn lose(picture: &mut DynamicImage, row: u32) {
    let start = row as usize * picture.width() as usize * usize::from(picture.color().channel_count());
    let bytes = match picture {
        DynamicImage::ImageLuma8(picture) => &mut **picture,
        DynamicImage::ImageRgb8(picture) => &mut **picture,
        _ => return,
    };
    bytes[start..].fill(LOST);
}

/// Reads a lossy WebP as far as it goes; nothing where no row of it can be decoded, or where it is no such file.
fn read_cut_webp(input: &mut dyn Input, limits: &Limits) -> Result<Option<Decoded>> {
    content::rewind(input)?;
    let len = length(input)?;
    if len > limits.max_bytes {
        return Ok(None);
    }
    let mut file = Vec::new();
    input.read_to_end(&mut file).map_err(unreadable)?;
    let Some((width, height)) = webp::size(&file).filter(|_| is_lossy_webp(&file)) else { return Ok(None) };
    let permit = within(len + pixels(width, height, limits)? * 8, limits)?;
    let Some((rows, mut bytes)) = webp::rows(&file) else { return Ok(None) };
    for pixel in bytes[rows as usize * width as usize * 4..].as_chunks_mut().0 {
        *pixel = [LOST, LOST, LOST, 255];
    }
    let Some(picture) = image::RgbaImage::from_raw(width, height, bytes) else { return Ok(None) };
    let warnings = if rows < height { vec![lost_rows(rows, height)] } else { Vec::new() };
    Ok(Some(Decoded { picture: picture.into(), warnings, permit }))
}

/// Whether a WebP file has a lossy picture: its first chunk of picture is `VP8 `, not `VP8L`, and not an animation's.
fn is_lossy_webp(file: &[u8]) -> bool {
    let mut at = 12;
    while let Some([a, b, c, d, l0, l1, l2, l3]) = file.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        match &[*a, *b, *c, *d] {
            b"VP8 " => return true,
            b"VP8L" | b"ANIM" | b"ANMF" => return false,
            _ => at = at.saturating_add(8 + (u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize).next_multiple_of(2)),
        }
    }
    false
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

/// The pixels of a picture, if there are some and they are no more than the limit.
fn pixels(width: u32, height: u32, limits: &Limits) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Error::Content(format!("has {width} x {height} pixels, so there is nothing to see")));
    }
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
        ImageFormat::Gif | ImageFormat::WebP | ImageFormat::Ico => decoded.saturating_mul(2),
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
