//! A picture beside the heat map of what its pixels cost.

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::modality::ImageLayout;
use crate::{Error, Result};

/// Pictures are enlarged by a whole number to sides of at most about this many pixels.
const SIDE: usize = 384;
/// Pixels between picture, map and scale.
const GAP: usize = 12;
/// Width of the scale, and of its numbers.
const SCALE: usize = 14;
const NUMBERS: usize = 52;
/// The share of the pixels whose cost may lie beyond the scale.
const BEYOND: f64 = 0.01;

/// Colours of the scale from its bottom to its top, dark to light, at equal distances.
const COLOURS: [[f64; 3]; 6] = [
    [6.0, 4.0, 24.0],
    [66.0, 14.0, 108.0],
    [150.0, 40.0, 100.0],
    [222.0, 82.0, 58.0],
    [250.0, 164.0, 42.0],
    [252.0, 250.0, 172.0],
];

/// Digits and a point, 3 x 5 dots each, row by row, the highest bit first.
const DIGITS: [u16; 11] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
    0b000_000_000_000_010,
];
/// Pixels of a dot.
const DOT: usize = 3;

/// A PNG: the picture, the bits of its pixels (all channels together), and the scale, whose top is what one pixel in a
/// hundred exceeds. `bytes` and their `nats` are those of a whole picture.
pub(super) fn map(layout: &ImageLayout, bytes: &[u8], nats: &[f32]) -> Result<Vec<u8>> {
    let (width, height, channels) = (layout.width, layout.height, layout.channels.count());
    if bytes.len() != layout.len() || nats.len() != layout.len() {
        let message = format!("{} bytes are no {width} x {height} picture of {} bytes", bytes.len(), layout.len());
        return Err(Error::Content(message));
    }
    let (mut raster, mut heat) = (vec![0; layout.len()], vec![0.0; width * height]);
    for ((place, &byte), &nats) in layout.raster_places().into_iter().zip(bytes).zip(nats) {
        raster[place] = byte;
        heat[place / channels] += f64::from(nats) / std::f64::consts::LN_2;
    }
    let mut sorted = heat.clone();
    sorted.sort_by(f64::total_cmp);
    let within = (sorted.len() as f64 * (1.0 - BEYOND)).ceil() as usize;
    let top = sorted[within.max(1) - 1].max(f64::MIN_POSITIVE);

    let times = (SIDE / width.max(height)).max(1);
    let (w, h) = (width * times, (height * times).max(4 * 5 * DOT));
    let mut image = RgbImage::from_pixel((2 * w + 3 * GAP + SCALE + NUMBERS) as u32, h as u32, Rgb([255; 3]));
    for y in 0..height * times {
        for x in 0..w {
            let pixel = y / times * width + x / times;
            let colour = match &raster[pixel * channels..(pixel + 1) * channels] {
                &[red, green, blue] => [red, green, blue],
                gray => [gray[0]; 3],
            };
            image.put_pixel(x as u32, y as u32, Rgb(colour));
            image.put_pixel((w + GAP + x) as u32, y as u32, Rgb(ramp(heat[pixel] / top)));
        }
    }
    let scale = 2 * (w + GAP);
    for y in 0..h {
        let colour = Rgb(ramp(1.0 - y as f64 / (h - 1) as f64));
        (scale..scale + SCALE).for_each(|x| image.put_pixel(x as u32, y as u32, colour));
    }
    // Three digits, so that they fit.
    let decimals = [9.995, 99.95].iter().filter(|&&limit| top < limit).count();
    let number = format!("{top:.decimals$}");
    write(&mut image, &number, scale + SCALE + DOT, 0);
    write(&mut image, "0", scale + SCALE + DOT, h - 5 * DOT);
    let mut png = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image)
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Error::Content(format!("can't be written as PNG: {error}")))?;
    Ok(png.into_inner())
}

/// The colour of a share of the scale.
fn ramp(share: f64) -> [u8; 3] {
    let at = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let below = (at as usize).min(COLOURS.len() - 2);
    let (a, b) = (COLOURS[below], COLOURS[below + 1]);
    std::array::from_fn(|i| (a[i] + (b[i] - a[i]) * (at - below as f64)).round() as u8)
}

/// Writes a number with its top left corner at (x, y), as far as there is room.
fn write(image: &mut RgbImage, number: &str, mut x: usize, y: usize) {
    for character in number.chars() {
        let dots = DIGITS[character.to_digit(10).map_or(10, |digit| digit as usize)];
        for (i, j) in (0..5 * DOT).flat_map(|i| (0..3 * DOT).map(move |j| (i, j))) {
            let dot = 14 - (i / DOT * 3 + j / DOT);
            if dots >> dot & 1 == 1
                && let Some(pixel) = image.get_pixel_mut_checked((x + j) as u32, (y + i) as u32)
            {
                *pixel = Rgb([40; 3]);
            }
        }
        x += 4 * DOT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modality::{Channels, Scan};

    #[test]
    fn a_dear_pixel_glows_where_it_is_seen() {
        let layout = ImageLayout { width: 4, height: 4, patch: 2, scan: Scan::Patch, ..ImageLayout::default() };
        // The second patch's third pixel: row 1, column 2.
        let (mut bytes, mut nats) = (vec![0; 48], vec![0.001; 48]);
        (bytes[12 + 6], nats[12 + 7], nats[12 + 8]) = (200, 1.0, 2.0);
        let png = map(&layout, &bytes, &nats).unwrap();
        let image = image::load_from_memory(&png).unwrap().into_rgb8();
        let times = (SIDE / 4) as u32;
        for (y, x) in (0..4).flat_map(|y| (0..4).map(move |x| (y, x))) {
            let (px, py) = (x * times + times / 2, y * times + times / 2);
            let dear = (y, x) == (1, 2);
            assert_eq!(image.get_pixel(px, py).0, [if dear { 200 } else { 0 }, 0, 0], "{y} {x}");
            let bright = image.get_pixel(4 * times + GAP as u32 + px, py).0[0] > 200;
            assert_eq!(bright, dear, "{y} {x}");
        }
        let gray = ImageLayout { channels: Channels::Gray, ..layout };
        assert!(map(&gray, &bytes[..16], &nats[..16]).is_ok());
        assert!(map(&gray, &bytes, &nats).is_err());
    }
}
