//! What the header of a picture says.

use image::{ExtendedColorType, ImageDecoder, ImageFormat};

use super::super::content::damaged;
use super::super::{Description, Input, Limits};
use super::{jpeg, read, tiff};
use crate::Result;

/// Reads the header of a picture.
pub(in super::super) fn describe(head: &[u8], input: &mut dyn Input) -> Result<Description> {
    let (format, name) = read::format(head, input)?;
    if format == ImageFormat::Jpeg {
        // Its decoder would read the whole file.
        let frame = jpeg::outline(input).ok().and_then(|outline| outline.frame);
        let (width, height, components) = frame.ok_or_else(|| damaged(name, "it has no frame header"))?;
        let colour = match components {
            1 => "gray",
            4 => "CMYK",
            _ => "RGB",
        };
        return Ok(Description::Picture { format: name, width, height, colour, bits: 8 });
    }
    if format == ImageFormat::Tiff {
        let header = tiff::Header::read(input).map_err(|reason| damaged(name, reason))?;
        let (width, height, colour, bits) = (header.width, header.height, header.colour(), header.bits);
        return Ok(Description::Picture { format: name, width, height, colour, bits });
    }
    let decoder = read::open(input, format, &Limits::default()).map_err(|error| damaged(name, error))?;
    let (width, height) = decoder.dimensions();
    let (colour, bits) = colour(decoder.original_color_type());
    Ok(Description::Picture { format: name, width, height, colour, bits })
}

/// The kind of colour and the bits of a channel.
fn colour(kind: ExtendedColorType) -> (&'static str, u16) {
    use ExtendedColorType as Kind;
    let name = match kind {
        Kind::L1 | Kind::L2 | Kind::L4 | Kind::L8 | Kind::L16 => "gray",
        Kind::La1 | Kind::La2 | Kind::La4 | Kind::La8 | Kind::La16 => "gray with alpha",
        Kind::Cmyk8 | Kind::Cmyk16 => "CMYK",
        Kind::A8 => "alpha",
        Kind::Rgba1 | Kind::Rgba2 | Kind::Rgba4 | Kind::Rgba8 | Kind::Rgba16 | Kind::Rgba32F | Kind::Bgra8 => {
            "RGB with alpha"
        }
        _ => "RGB",
    };
    (name, kind.bits_per_pixel() / u16::from(kind.channel_count()).max(1))
}
