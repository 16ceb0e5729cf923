//! A picture of any size to the layout's size.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::{GenericImage, ImageBuffer, Pixel, Rgb};

use super::super::{Filter, Fit, ImageLayout};
use super::read::Flat;

/// Raster bytes of the layout's size. A picture that already has the size is untouched, and so is a part that only
/// has to be cut out or padded.
pub(super) fn fit(picture: Flat, layout: &ImageLayout) -> Vec<u8> {
    match picture {
        Flat::Rgb(picture) => fit_pixels::<_, U8x3>(picture, Rgb(layout.background), layout),
        Flat::Gray(picture) => fit_pixels::<_, U8>(picture, Rgb(layout.background).to_luma(), layout),
    }
}

type Picture<P> = ImageBuffer<P, Vec<u8>>;

/// `P` and `Q` are the two libraries' names for the same pixel.
fn fit_pixels<P, Q>(picture: Picture<P>, background: P, layout: &ImageLayout) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + 'static,
    Q: PixelTrait,
{
    let (width, height) = (layout.width as u32, layout.height as u32);
    let scaled = |picture: Picture<P>, width, height| resize::<P, Q>(picture, width, height, layout.filter);
    let fitted = match layout.fit {
        Fit::Stretch => scaled(picture, width, height),
        Fit::Crop => {
            // The largest centred part of the ratio, in whole pixels so that cutting alone blurs nothing.
            let (w, h) = inside(width, height, picture.width(), picture.height());
            let part = if (w, h) == picture.dimensions() { picture } else { middle(&picture, w, h) };
            scaled(part, width, height)
        }
        Fit::Pad => {
            let (w, h) = inside(picture.width(), picture.height(), width, height);
            let whole = scaled(picture, w, h);
            let mut canvas = Picture::from_pixel(width, height, background);
            canvas.copy_from(&whole, (width - w) / 2, (height - h) / 2).expect("the picture lies inside the canvas");
            canvas
        }
    };
    fitted.into_raw()
}

/// The centred part of a picture, a row at a time: `image` copies it pixel by pixel.
fn middle<P>(picture: &Picture<P>, width: u32, height: u32) -> Picture<P>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let channels = usize::from(P::CHANNEL_COUNT);
    let (x, y) = ((picture.width() - width) / 2, (picture.height() - height) / 2);
    let (x, y) = (x as usize * channels, y as usize);
    let (row, part) = (picture.width() as usize * channels, width as usize * channels);
    let mut bytes = Vec::with_capacity(part * height as usize);
    for line in picture.as_raw().chunks_exact(row).skip(y).take(height as usize) {
        bytes.extend_from_slice(&line[x..x + part]);
    }
    Picture::from_raw(width, height, bytes).expect("the part lies inside the picture")
}

/// The largest size of the ratio `width : height` inside `max_width x max_height`, at least one pixel a side.
fn inside(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let (w, h, max_w, max_h) = (u64::from(width), u64::from(height), u64::from(max_width), u64::from(max_height));
    let scaled = |side: u64, by: u64, to: u64| ((side * by + to / 2) / to).max(1) as u32;
    if w * max_h >= h * max_w {
        (max_width, scaled(h, max_w, w).min(max_height))
    } else {
        (scaled(w, max_h, h).min(max_width), max_height)
    }
}

fn resize<P, Q>(picture: Picture<P>, width: u32, height: u32, filter: Filter) -> Picture<P>
where
    P: Pixel<Subpixel = u8> + 'static,
    Q: PixelTrait,
{
    if picture.dimensions() == (width, height) {
        return picture;
    }
    let filter = match filter {
        Filter::Box => FilterType::Box,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Lanczos => FilterType::Lanczos3,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    let mut scaled = Picture::new(width, height);
    {
        let whole = "the buffer holds width * height pixels of bytes";
        let from = TypedImageRef::<Q>::from_buffer(picture.width(), picture.height(), picture.as_raw()).expect(whole);
        let mut to = TypedImage::<Q>::from_buffer(width, height, scaled.as_mut()).expect(whole);
        // The typed call: the other compiles the code of every pixel type there is, minutes of it.
        Resizer::new().resize_typed(&from, &mut to, &options).expect("no part is cut out that could lie outside");
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_part_of_the_ratio_is_in_whole_pixels() {
        assert_eq!(inside(64, 64, 500, 375), (375, 375));
        assert_eq!(inside(64, 64, 65, 64), (64, 64));
        assert_eq!(inside(2, 1, 100, 100), (100, 50));
        assert_eq!(inside(16_384, 1, 64, 64), (64, 1));
        assert_eq!(inside(1, 16_384, 64, 64), (1, 64));
        assert_eq!(inside(64, 64, 1, 1), (1, 1));
        assert_eq!(inside(3, 2, 1, 1), (1, 1));
    }
}
