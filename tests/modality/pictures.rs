//! Pictures of every format to the layout's size and channels.

use std::io::Cursor;

use base64::Engine as _;
use image::{ImageFormat, Rgb, RgbImage, RgbaImage};
use megabyte::modality::{
    AudioFormat, Channels, Description, Filter, Fit, ImageLayout, Layout, Limits, Scan, describe,
};

use crate::common::{audio, image};
use crate::{file, png};

/// A 2 x 2 RGB layout in raster order.
fn small(fit: Fit) -> ImageLayout {
    ImageLayout { width: 2, height: 2, scan: Scan::Raster, fit, background: [9, 9, 9], ..ImageLayout::default() }
}

#[test]
fn pictures_are_fitted_as_asked() {
    let row = RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 10, 0, 200]));
    let pixels = |fit| image(small(fit)).encode(&png(row.clone())).unwrap();
    // The middle two columns, untouched.
    assert_eq!(pixels(Fit::Crop), [10, 0, 200, 20, 0, 200, 10, 0, 200, 20, 0, 200]);
    // Pairs of columns averaged.
    assert_eq!(pixels(Fit::Stretch), [5, 0, 200, 25, 0, 200, 5, 0, 200, 25, 0, 200]);
    // Two by one pixels above one row of background.
    assert_eq!(pixels(Fit::Pad), [5, 0, 200, 25, 0, 200, 9, 9, 9, 9, 9, 9]);
    for filter in [Filter::Box, Filter::Bilinear, Filter::Lanczos] {
        let flat = RgbImage::from_pixel(50, 37, Rgb([1, 128, 255]));
        let bytes = image(ImageLayout { filter, ..small(Fit::Crop) }).encode(&png(flat)).unwrap();
        assert_eq!(bytes, [1, 128, 255].repeat(4), "{filter:?}");
    }
}

#[test]
fn alpha_gray_and_16_bits_become_the_layouts_channels() {
    let clear = RgbaImage::from_fn(2, 2, |x, y| image::Rgba([100, 50, 0, [0, 51, 255, 255][(x + 2 * y) as usize]]));
    let expected = [9, 9, 9, 27, 17, 7, 100, 50, 0, 100, 50, 0];
    assert_eq!(image(small(Fit::Crop)).encode(&png(clear)).unwrap(), expected);

    let gray = ImageLayout { channels: Channels::Gray, ..small(Fit::Crop) };
    let levels = image::GrayImage::from_raw(2, 2, vec![0, 7, 200, 255]).unwrap();
    assert_eq!(image(gray.clone()).encode(&png(levels.clone())).unwrap(), [0, 7, 200, 255]);
    assert_eq!(image(small(Fit::Crop)).encode(&png(levels)).unwrap(), [0, 0, 0, 7, 7, 7, 200, 200, 200, 255, 255, 255]);
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 2, vec![0, 257 * 7, 257 * 200, 65_535]).unwrap();
    assert_eq!(image(gray).encode(&png(deep)).unwrap(), [0, 7, 200, 255]);
}

#[test]
fn exif_orientation_is_applied_and_truncated_jpegs_are_refused() {
    let (black, white) = (Rgb([0, 0, 0]), Rgb([255, 255, 255]));
    let picture = RgbImage::from_fn(32, 16, |x, _| if x < 16 { black } else { white });
    let mut jpeg = file(picture, ImageFormat::Jpeg);
    // TIFF header, one entry: tag 0x112 (orientation), type 3 (short), count 1, value 6 (turn right).
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [&[0xff, 0xe1, 0, exif.len() as u8 + 2], &exif[..]].concat();
    jpeg.splice(2..2, segment);
    let layout =
        ImageLayout { width: 16, height: 32, channels: Channels::Gray, scan: Scan::Raster, ..small(Fit::Crop) };
    let bytes = image(layout.clone()).encode(&jpeg).unwrap();
    let mean = |half: &[u8]| half.iter().map(|&byte| u32::from(byte)).sum::<u32>() / half.len() as u32;
    assert!(mean(&bytes[..256]) < 5 && mean(&bytes[256..]) > 250, "the left half becomes the upper half");

    jpeg.truncate(jpeg.len() - 8);
    let error = image(layout).encode(&jpeg).unwrap_err().to_string();
    assert!(error.contains("a JPEG image") && error.contains("ends before"), "{error}");
}

#[test]
fn wrong_kinds_are_named_and_bombs_refused() {
    let error = image(ImageLayout::default()).encode(b"\0\0\0\x20ftypheic").unwrap_err().to_string();
    assert!(error.contains("a HEIC image") && error.contains("PNG, JPEG"), "{error}");
    let error = audio(16_000, AudioFormat::Pcm8).encode(&png(RgbImage::new(1, 1))).unwrap_err().to_string();
    assert!(error.contains("a PNG image") && error.contains("WAV"), "{error}");
    assert!(audio(16_000, AudioFormat::Pcm8).encode(b"").is_err());
    // The header of a picture of 60,000 x 60,000 pixels, whole but for its pixels.
    let mut bomb = png(RgbImage::new(1, 1));
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let error = image(ImageLayout::default()).encode(&bomb).unwrap_err().to_string();
    assert!(error.contains("limit"), "{error}");
}

/// 8 x 8 pixels of CMYK with Adobe's marker, by Pillow 13.0.0, and seven of the pixels that the same program reads from
/// it: as CMYK, and with the marker's last byte changed to say YCCK.
#[test]
fn cmyk_jpegs_agree_with_another_decoder() {
    let file = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6\
                pseZqKuk/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAMEBf/EAB0QAAECBwAAAAAAAAAAAAAAAAACBAMFFSExQmL/\
                2gAOBEMATQBZAEsAAD8ASfbD1voteO83N6Is/9k=";
    let mut file = base64::engine::general_purpose::STANDARD.decode(file).unwrap();
    let places = [0, 7, 9, 28, 35, 56, 63];
    let cmyk = [
        [240, 249, 252],
        [36, 224, 153],
        [214, 224, 228],
        [115, 149, 154],
        [140, 124, 154],
        [220, 46, 156],
        [32, 41, 72],
    ];
    let ycck = [[0, 143, 0], [136, 227, 0], [0, 143, 0], [58, 154, 54], [36, 121, 74], [0, 15, 134], [206, 130, 206]];
    let layout = ImageLayout { width: 8, height: 8, scan: Scan::Raster, ..ImageLayout::default() };
    for (transform, expected) in [(0, cmyk), (2, ycck)] {
        file[6 + 11] = transform;
        let ours = image(layout.clone()).encode(&file).unwrap();
        for (place, expected) in places.into_iter().zip(expected) {
            let ours = &ours[3 * place..3 * place + 3];
            let apart = ours.iter().zip(expected).map(|(&ours, theirs)| i32::from(ours).abs_diff(theirs)).max();
            assert!(apart <= Some(3), "{transform}, pixel {place}: {ours:?}, not {expected:?}");
        }
    }
    let described = describe(&mut Cursor::new(&file)).unwrap();
    assert_eq!(
        described,
        Description::Picture { format: "a JPEG image", width: 8, height: 8, colour: "CMYK", bits: 8 }
    );
}

#[test]
fn limits_are_the_callers() {
    let layout = Layout::Image(ImageLayout::default());
    let picture = png(RgbImage::new(100, 100));
    let error = layout.adapter_within(&Limits { max_pixels: 9_999, ..Limits::default() }).encode(&picture).unwrap_err();
    assert!(error.to_string().contains("100 x 100") && error.to_string().contains("9999"), "{error}");
    let error = layout.adapter_within(&Limits { max_bytes: 50_000, ..Limits::default() }).encode(&picture).unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
    assert!(layout.adapter_within(&Limits { max_pixels: 10_000, ..Limits::default() }).encode(&picture).is_ok());
}

/// The most memory this process ever had, in MiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Five threads, each with a picture that takes 250 MiB: without a common bound this needs more than a gibibyte.
#[cfg(target_os = "linux")]
#[test]
fn huge_pictures_at_once_stay_below_a_gibibyte() {
    let picture = file(image::GrayImage::from_pixel(9_000, 7_000, image::Luma([128])), ImageFormat::Png);
    let adapter = image(small(Fit::Crop));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| assert_eq!(adapter.encode(&picture).unwrap(), [128; 12]));
        }
    });
    assert!(peak() < 1_024, "{} MiB", peak());
}
