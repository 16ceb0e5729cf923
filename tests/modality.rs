//! Files to bytes and back, for every layout: round trips, the orders of pixels, the formats of samples, how pictures
//! and sounds of other kinds are brought to the layout, and what is refused.

// The lint allows unwrap in test functions, not in their helpers.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use megabyte::modality::{AudioFormat, Channels, Filter, Fit, ImageLayout, Layout, Scan, TextLayout};
use proptest::collection::vec;
use proptest::prelude::*;

use common::{audio, image};

const FORMATS: [AudioFormat; 3] = [AudioFormat::Pcm16le, AudioFormat::Pcm8, AudioFormat::Mulaw8];

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Failing cases are printed, not written beside the tests.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

prop_compose! {
    fn image_layout()(columns in 1usize..6, rows in 1usize..6, patch in 1usize..6, rgb in any::<bool>(), raster in any::<bool>())
        -> ImageLayout
    {
        ImageLayout {
            width: columns * patch,
            height: rows * patch,
            channels: if rgb { Channels::Rgb } else { Channels::Gray },
            scan: if raster { Scan::Raster } else { Scan::Patch },
            patch,
            ..ImageLayout::default()
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn text_is_its_bytes(bytes in vec(any::<u8>(), 0..200)) {
        let adapter = Layout::Text(TextLayout::default()).adapter();
        prop_assert_eq!(&adapter.decode(&bytes).unwrap(), &bytes);
        prop_assert_eq!(adapter.encode(&bytes).unwrap(), bytes);
    }

    #[test]
    fn pictures_come_back_byte_for_byte(layout in image_layout(), seed in vec(any::<u8>(), 1..400)) {
        let adapter = image(layout.clone());
        let bytes: Vec<u8> = seed.iter().copied().cycle().take(layout.len()).collect();
        let file = adapter.decode(&bytes).unwrap();
        prop_assert_eq!(adapter.encode(&file).unwrap(), bytes.clone());
        let picture = image::load_from_memory(&file).unwrap();
        prop_assert_eq!((picture.width() as usize, picture.height() as usize), (layout.width, layout.height));
        prop_assert_eq!(picture.color().channel_count() as usize, layout.channels.count());

        // A part is completed with black, and one byte too many is refused.
        let part = bytes.len() / 2;
        let back = adapter.encode(&adapter.decode(&bytes[..part]).unwrap()).unwrap();
        prop_assert_eq!(&back[..part], &bytes[..part]);
        prop_assert!(back[part..].iter().all(|&byte| byte == 0));
        prop_assert!(adapter.decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_patch_scan_follows_its_formula(layout in image_layout(), seed in vec(any::<u8>(), 1..400)) {
        let layout = ImageLayout { scan: Scan::Patch, channels: Channels::Rgb, ..layout };
        let (w, h, p) = (layout.width, layout.height, layout.patch);
        let raster: Vec<u8> = seed.iter().copied().cycle().take(layout.len()).collect();
        let file = png(RgbImage::from_raw(w as u32, h as u32, raster.clone()).unwrap());
        let stream = image(layout).encode(&file).unwrap();
        for (t, &byte) in stream.iter().enumerate() {
            let (patch, pixel, channel) = (t / (3 * p * p), t / 3 % (p * p), t % 3);
            let x = patch % (w / p) * p + pixel % p;
            let y = patch / (w / p) * p + pixel / p;
            prop_assert_eq!(byte, raster[(y * w + x) * 3 + channel], "byte {}", t);
        }
    }

    #[test]
    fn sounds_come_back_byte_for_byte(
        rate in 1_000u32..48_000,
        format in proptest::sample::select(&FORMATS),
        mut bytes in vec(any::<u8>(), 0..500),
    ) {
        let adapter = audio(rate, format);
        let back = adapter.encode(&adapter.decode(&bytes).unwrap()).unwrap();
        if format == AudioFormat::Pcm16le {
            bytes.truncate(bytes.len() / 2 * 2);
        }
        prop_assert_eq!(back, bytes);
    }

    #[test]
    fn hostile_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300), start in 0usize..8) {
        let starts: [&[u8]; 8] = [
            b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
            b"fLaC\0\0\0\x22", b"OggS\0\x02", b"\xff\xfb\x90\x00", b"\0\0\0\x20ftypM4A ",
        ];
        bytes.splice(0..0, starts[start].iter().copied());
        let _ = image(ImageLayout::default()).encode(&bytes);
        let _ = audio(16_000, AudioFormat::Pcm16le).encode(&bytes);
    }
}

#[test]
fn all_256_mulaw_codes_come_back() {
    let codes: Vec<u8> = (0..=255).collect();
    let adapter = audio(8_000, AudioFormat::Mulaw8);
    let wav = adapter.decode(&codes).unwrap();
    assert_eq!(adapter.encode(&wav).unwrap(), codes);
    let samples: Vec<i16> = hound::WavReader::new(&wav[..]).unwrap().into_samples().map(|s| s.unwrap()).collect();
    assert_eq!((samples[0x00], samples[0x80], samples[0xff], samples[0x7f]), (-32_124, 32_124, 0, -1));
}

#[test]
fn adapters_say_what_models_need() {
    let patches = image(ImageLayout { patch: 8, ..ImageLayout::default() });
    assert_eq!((patches.patch_size(), patches.sequence_len()), (192, Some(64 * 64 * 3)));
    assert_eq!((patches.extension(), patches.ends_with_symbol()), ("png", false));
    let sound = audio(16_000, AudioFormat::Pcm16le);
    assert_eq!((sound.patch_size(), sound.sequence_len(), sound.bytes_per_second()), (32, None, Some(32_000.0)));
    assert_eq!((sound.extension(), sound.ends_with_symbol()), ("wav", false));
    assert_eq!(audio(8_000, AudioFormat::Mulaw8).bytes_per_second(), Some(8_000.0));
    let text = Layout::Text(TextLayout::default()).adapter();
    assert_eq!((text.extension(), text.ends_with_symbol(), text.sequence_len()), ("txt", true, None));
}

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
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Jpeg).unwrap();
    let mut jpeg = file.into_inner();
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

/// A WAV file of whatever spec, its samples given by their index.
fn wav(channels: u16, rate: u32, bits: u16, samples: impl Iterator<Item = i32>) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: hound::SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    samples.for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

#[test]
fn wav_samples_are_exact_and_channels_averaged() {
    let pcm16 = audio(8_000, AudioFormat::Pcm16le);
    let all: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    assert_eq!(pcm16.encode(&wav(1, 8_000, 16, -32_768..32_768)).unwrap(), all);
    assert_eq!(pcm16.encode(&wav(1, 8_000, 24, (-32_768..32_768).map(|s| s << 8))).unwrap(), all);
    assert_eq!(pcm16.encode(&wav(1, 8_000, 32, (-32_768..32_768).map(|s| s << 16))).unwrap(), all);
    let stereo = wav(2, 8_000, 16, [100, 200, -5, 5, 32_767, 32_767].into_iter());
    assert_eq!(pcm16.encode(&stereo).unwrap(), [150i16, 0, 32_767].map(i16::to_le_bytes).concat());
    // A live recording leaves the lengths open.
    let mut open = wav(1, 8_000, 16, 0..1_000);
    for unknown in [0xff, 0] {
        open[4..8].fill(unknown);
        open[40..44].fill(unknown);
        assert_eq!(pcm16.encode(&open).unwrap().len(), 2_000);
    }
    assert!(pcm16.encode(&wav(1, 8_000, 16, 0..0)).unwrap().is_empty());
    let mut cut = wav(1, 8_000, 16, 0..1_000);
    cut.truncate(1_000);
    assert!(pcm16.encode(&cut).unwrap_err().to_string().contains("can't be read"));
}
