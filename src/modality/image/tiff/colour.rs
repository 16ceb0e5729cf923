//! Samples to pixels of 8 bits a channel.

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

/// What the first samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Colour {
    Gray {
        /// Whether 0 is white.
        white_is_zero: bool,
    },
    Rgb,
    /// A number of a colour.
    Palette,
    Cmyk,
    YCbCr {
        /// Red of Cr, blue of Cb, and of green what red and blue take, over what green weighs.
        red: f64,
        blue: f64,
        /// The weights of red and blue in brightness, over that of green.
        shares: [f64; 2],
        /// Codes of black, and of full range above it over the codes that it takes: brightness, then Cb and Cr.
        black: [f64; 3],
        range: [f64; 3],
    },
}

/// What an alpha channel did to the colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// They are multiplied by it (associated alpha).
    Premultiplied,
    /// Nothing.
    Separate,
}

/// What all samples of a pixel are.
#[derive(Debug)]
pub(super) struct Colours {
    pub colour: Colour,
    /// The palette: all reds, all greens, all blues.
    pub palette: Vec<u8>,
    /// Which sample is alpha.
    pub alpha: Option<(usize, Alpha)>,
}

impl Colour {
    /// Chroma by the tags YCbCrCoefficients and ReferenceBlackWhite (TIFF 6.0, section 21), each by its default where it
    /// is not whole.
    pub fn ycbcr(coefficients: &[f64], reference: &[f64]) -> Self {
        let usual = [0.299, 0.587, 0.114];
        let sound =
            |weights: &[f64]| weights.len() == 3 && weights.iter().all(|weight| *weight > 0.0 && *weight <= 1.0);
        let weights = if sound(coefficients) { coefficients } else { &usual };
        let (r, g, b) = (weights[0], weights[1], weights[2]);
        let full = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
        let whole = reference.len() == 6 && reference.chunks(2).all(|pair| (pair[1] - pair[0]).abs() >= 1.0);
        let reference = if whole { reference } else { &full };
        let range = |i: usize, codes: f64| codes / (reference[2 * i + 1] - reference[2 * i]);
        Colour::YCbCr {
            red: 2.0 - 2.0 * r,
            blue: 2.0 - 2.0 * b,
            shares: [r / g, b / g],
            black: [reference[0], reference[2], reference[4]],
            range: [range(0, 255.0), range(1, 127.0), range(2, 127.0)],
        }
    }

    /// How many samples it has.
    pub fn samples(self) -> usize {
        match self {
            Colour::Gray { .. } | Colour::Palette => 1,
            Colour::Rgb | Colour::YCbCr { .. } => 3,
            Colour::Cmyk => 4,
        }
    }
}

impl Colours {
    /// Samples of a pixel that are used: colours, then alpha.
    pub fn used(&self) -> usize {
        self.colour.samples() + usize::from(self.alpha.is_some())
    }

    /// Channels of the picture.
    pub fn channels(&self) -> usize {
        let colours = if matches!(self.colour, Colour::Gray { .. }) { 1 } else { 3 };
        colours + usize::from(self.alpha.is_some())
    }

    /// The used samples of a chunk, each with its place among the used: of all samples, or of those of a plane.
    pub fn slots(&self, plane: usize, planar: bool) -> Vec<(usize, usize)> {
        let alpha = self.alpha.iter().map(|&(sample, _)| sample);
        let used = (0..self.colour.samples()).chain(alpha).enumerate();
        match planar {
            true => used.filter(|&(_, sample)| sample == plane).map(|(slot, _)| (0, slot)).collect(),
            false => used.map(|(slot, sample)| (sample, slot)).collect(),
        }
    }

    /// What to call them.
    pub fn name(&self) -> &'static str {
        match (self.colour, self.alpha.is_some()) {
            (Colour::Gray { .. }, false) => "gray",
            (Colour::Gray { .. }, true) => "gray with alpha",
            (Colour::Palette, false) => "palette",
            (Colour::Palette, true) => "palette with alpha",
            (Colour::Cmyk, _) => "CMYK",
            (Colour::Rgb | Colour::YCbCr { .. }, false) => "RGB",
            (Colour::Rgb | Colour::YCbCr { .. }, true) => "RGB with alpha",
        }
    }

    /// Pixels of used samples, of which `most` is full brightness.
    pub fn write(&self, samples: &[u32], most: u32, pixels: &mut [u8]) {
        let eight = |value: u32| match most {
            255 => value as u8,
            most => ((u64::from(value) * 255 + u64::from(most) / 2) / u64::from(most)) as u8,
        };
        let pixels = pixels.chunks_exact_mut(self.channels());
        let mut own = [0; 4];
        for (sample, pixel) in samples.chunks_exact(self.used()).zip(pixels) {
            let (colour, alpha) = sample.split_at(self.colour.samples());
            own[..colour.len()].copy_from_slice(colour);
            // What the colours are multiplied by, if they are; nothing is left of them under none.
            let multiplied = match (self.alpha, alpha) {
                (Some((_, Alpha::Premultiplied)), &[alpha, ..]) if alpha > 0 => Some(alpha),
                _ => None,
            };
            if let Some(alpha) = multiplied.filter(|_| self.colour != Colour::Palette) {
                // Down to the next whole number, as Pillow has it.
                own.iter_mut().for_each(|value| *value = divided(*value, most, alpha, most));
            }
            let rgb = match self.colour {
                Colour::Gray { white_is_zero: true } => [eight(most - own[0]); 3],
                Colour::Gray { white_is_zero: false } => [eight(own[0]); 3],
                Colour::Rgb => [eight(own[0]), eight(own[1]), eight(own[2])],
                Colour::Palette => {
                    let count = self.palette.len() / 3;
                    let mut rgb = [0, 1, 2].map(|plane| u32::from(self.palette[plane * count + own[0] as usize]));
                    if let Some(alpha) = multiplied {
                        rgb = rgb.map(|value| divided(value, most, alpha, 255));
                    }
                    rgb.map(|value| value as u8)
                }
                Colour::Cmyk => cmyk([eight(own[0]), eight(own[1]), eight(own[2]), eight(own[3])]),
                Colour::YCbCr { red, blue, shares, black, range } => {
                    let [y, cb, cr] = [0, 1, 2].map(|i| (f64::from(own[i]) - black[i]) * range[i]);
                    let (r, b) = (y + red * cr, y + blue * cb);
                    let g = y - shares[0] * (r - y) - shares[1] * (b - y);
                    [r, g, b].map(|value| value.round().clamp(0.0, 255.0) as u8)
                }
            };
            match (pixel, alpha) {
                ([gray], _) => *gray = rgb[0],
                ([gray, to], &[alpha, ..]) => (*gray, *to) = (rgb[0], eight(alpha)),
                ([r, g, b], _) => [*r, *g, *b] = rgb,
                ([r, g, b, to], &[alpha, ..]) => ([*r, *g, *b], *to) = (rgb, eight(alpha)),
                _ => {}
            }
        }
    }

    /// The picture of these pixels.
    pub fn picture(&self, width: u32, height: u32, pixels: Vec<u8>) -> Option<DynamicImage> {
        Some(match self.channels() {
            1 => GrayImage::from_raw(width, height, pixels)?.into(),
            2 => GrayAlphaImage::from_raw(width, height, pixels)?.into(),
            3 => RgbImage::from_raw(width, height, pixels)?.into(),
            _ => RgbaImage::from_raw(width, height, pixels)?.into(),
        })
    }
}

/// `value * by / to`, not above `most`.
fn divided(value: u32, by: u32, to: u32, most: u32) -> u32 {
    (u64::from(value) * u64::from(by) / u64::from(to)).min(most.into()) as u32
}

/// Ink to light, as Pillow has it: what ink and black leave of white.
fn cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * light + 128;
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}
