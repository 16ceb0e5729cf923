//! The layout of pictures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bytes of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Luma.
    Gray,
}

impl Channels {
    /// Bytes of a pixel.
    pub fn count(self) -> usize {
        match self {
            Channels::Rgb => 3,
            Channels::Gray => 1,
        }
    }
}

/// The order in which pixels follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scan {
    /// Row by row.
    Raster,
    /// Square patches row by row, pixels row by row inside a patch (paper, appendix D).
    Patch,
    /// Square patches row by row, inner patches row by row inside a patch, pixels row by row inside those.
    Nested,
    /// All of the first channel row by row, then the next channel.
    Planar,
}

/// What happens to a picture whose sides have another ratio than the layout's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The largest centred part of the right ratio.
    Crop,
    /// The whole picture, on the background.
    Pad,
    /// Both sides scaled on their own.
    Stretch,
}

/// How a picture is scaled. Bits per dimension depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Area average.
    Box,
    /// Linear interpolation.
    Bilinear,
    /// A Lanczos window of three lobes.
    Lanczos,
}

/// Pixels of one size in a scan order, 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = add_size)]
pub struct ImageLayout {
    /// Width in pixels, 1 to 8192; pictures are scaled to it.
    #[schemars(range(min = 1, max = 8192))]
    pub width: usize,
    /// Height in pixels, 1 to 8192.
    #[schemars(range(min = 1, max = 8192))]
    pub height: usize,
    /// Bytes of a pixel.
    pub channels: Channels,
    /// Order of the pixels.
    pub scan: Scan,
    /// Side of a patch in pixels, for the patch scan and the nested one; divides width and height. Units of the model
    /// are these patches where the coarsest `unit` is its bytes: 4 x 4 pixels of RGB are 48.
    pub patch: usize,
    /// Side of an inner patch in pixels, for the nested scan; divides `patch`.
    pub inner: usize,
    /// What happens to pictures of another ratio.
    pub fit: Fit,
    /// How pictures are scaled.
    pub filter: Filter,
    /// The colour behind transparent pixels and around padded pictures: red, green, blue, 0 to 255.
    pub background: [u8; 3],
}

/// `size` is a key of configurations and none of the layout: see [`ImageLayout::spell_size_out`].
fn add_size(schema: &mut schemars::Schema) {
    let side = || serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 8192 });
    schema.ensure_object()["properties"]["size"] = serde_json::json!({
        "description": "`64` or `[64, 48]`: another way to write width and height.",
        "anyOf": [side(), { "type": "array", "items": side(), "minItems": 2, "maxItems": 2 }],
    });
}

impl Default for ImageLayout {
    fn default() -> Self {
        ImageLayout {
            width: 64,
            height: 64,
            channels: Channels::Rgb,
            scan: Scan::Patch,
            patch: 4,
            inner: 4,
            fit: Fit::Crop,
            filter: Filter::Box,
            background: [255, 255, 255],
        }
    }
}

impl ImageLayout {
    /// Bytes of one picture.
    pub fn len(&self) -> usize {
        self.width * self.height * self.channels.count()
    }

    /// Whether a picture has no bytes; never, once validated.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(in super::super) fn validate(&self) -> Result<()> {
        for (key, side) in [("data.width", self.width), ("data.height", self.height)] {
            if side == 0 || side > 8192 {
                return Err(Error::config(key, format!("is {side}, allowed is 1 to 8192")));
            }
        }
        let (p, inner) = (self.patch, self.inner);
        if matches!(self.scan, Scan::Patch | Scan::Nested)
            && (p == 0 || !self.width.is_multiple_of(p) || !self.height.is_multiple_of(p))
        {
            let (w, h) = (self.width, self.height);
            return Err(Error::config("data.patch", format!("is {p}, which must divide {w} x {h}")));
        }
        if self.scan == Scan::Nested && (inner == 0 || !p.is_multiple_of(inner)) {
            return Err(Error::config("data.inner", format!("is {inner}, which must divide data.patch ({p})")));
        }
        Ok(())
    }

    /// Replaces `size = 64` or `size = [64, 48]`, another spelling of width and height, by those.
    pub(in super::super) fn spell_size_out(keys: &mut toml::Table) -> Result<()> {
        let Some(size) = keys.remove("size") else { return Ok(()) };
        if keys.contains_key("width") || keys.contains_key("height") {
            return Err(Error::config(
                "data.size",
                "says what `data.width` and `data.height` say; leave one of them out",
            ));
        }
        let (width, height) = match &size {
            toml::Value::Integer(_) => (size.clone(), size),
            toml::Value::Array(sides) => match &sides[..] {
                [width @ toml::Value::Integer(_), height @ toml::Value::Integer(_)] => (width.clone(), height.clone()),
                _ => return Err(Error::config("data.size", format!("is {size}, expected [width, height] in pixels"))),
            },
            _ => {
                return Err(Error::config(
                    "data.size",
                    format!("is {size}, expected a side or [width, height] in pixels"),
                ));
            }
        };
        keys.insert("width".to_owned(), width);
        keys.insert("height".to_owned(), height);
        Ok(())
    }
}
