//! Files to bytes and back, for every layout: round trips, the orders of pixels, the formats of samples, how pictures
//! and sounds of other kinds are brought to the layout, and what is refused.

// The lint allows unwrap in test functions, not in their helpers.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod formats;
mod input;
mod pictures;
mod recordings;
mod sounds;
mod streams;
mod texts;
mod waves;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use megabyte::modality::{
    AudioChannels, AudioFormat, AudioLayout, BytesLayout, Channels, ImageLayout, Layout, Modality, Scan, TextLayout,
};
use proptest::collection::vec;
use proptest::prelude::*;

use common::{audio, image, sound};

const FORMATS: [AudioFormat; 4] = [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8];

/// The 16-bit samples of a sound at a rate, and the warnings.
fn samples(rate: u32, content: &[u8]) -> megabyte::Result<(Vec<i16>, Vec<String>)> {
    let layout = AudioLayout { rate, format: AudioFormat::Pcm16le, ..AudioLayout::default() };
    let mut bytes = Vec::new();
    let warnings = sound(layout).encode_to(&mut Cursor::new(content), &mut bytes)?;
    Ok((bytes.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect(), warnings))
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    file(picture, ImageFormat::Png)
}

fn file(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Failing cases are printed, not written beside the tests.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

prop_compose! {
    fn image_layout()(
        columns in 1usize..5,
        rows in 1usize..5,
        inner in 1usize..4,
        factor in 1usize..4,
        rgb in any::<bool>(),
        scan in proptest::sample::select(&[Scan::Raster, Scan::Patch, Scan::Nested, Scan::Planar][..]),
    ) -> ImageLayout {
        let patch = inner * factor;
        ImageLayout {
            width: columns * patch,
            height: rows * patch,
            channels: if rgb { Channels::Rgb } else { Channels::Gray },
            scan,
            patch,
            inner,
            ..ImageLayout::default()
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn text_and_plain_bytes_are_their_bytes(bytes in vec(any::<u8>(), 0..200)) {
        for layout in [Layout::Text(TextLayout::default()), Layout::Bytes(BytesLayout {})] {
            let adapter = layout.adapter();
            prop_assert_eq!(&adapter.decode(&bytes).unwrap(), &bytes);
            prop_assert_eq!(&adapter.encode(&bytes).unwrap(), &bytes);
            prop_assert!(adapter.mirrored(&bytes).is_none());
        }
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
    fn a_mirrored_stream_is_the_stream_of_the_flipped_picture(layout in image_layout(), seed in vec(any::<u8>(), 1..400)) {
        let adapter = image(layout.clone());
        let bytes: Vec<u8> = seed.iter().copied().cycle().take(layout.len()).collect();
        let mirrored = adapter.mirrored(&bytes).unwrap();
        let flipped = image::load_from_memory(&adapter.decode(&bytes).unwrap()).unwrap().fliph();
        prop_assert_eq!(&adapter.encode(&png(flipped)).unwrap(), &mirrored);
        prop_assert_eq!(adapter.mirrored(&mirrored).unwrap(), bytes.clone());
        prop_assert!(adapter.mirrored(&bytes[1..]).is_none());
    }

    #[test]
    fn scans_follow_their_formulas(layout in image_layout(), seed in vec(any::<u8>(), 1..400)) {
        let layout = ImageLayout { channels: Channels::Rgb, ..layout };
        let (w, h, p, q) = (layout.width, layout.height, layout.patch, layout.inner);
        let raster: Vec<u8> = seed.iter().copied().cycle().take(layout.len()).collect();
        let file = png(RgbImage::from_raw(w as u32, h as u32, raster.clone()).unwrap());
        let stream = image(layout.clone()).encode(&file).unwrap();
        for (t, &byte) in stream.iter().enumerate() {
            // Where a square of a side lies among those of its kind in an area of a width.
            let place = |index: usize, side: usize, width: usize| {
                (index % (width / side) * side, index / (width / side) * side)
            };
            let (x, y, channel) = match layout.scan {
                Scan::Raster => (t / 3 % w, t / 3 / w, t % 3),
                Scan::Planar => (t % (w * h) % w, t % (w * h) / w, t / (w * h)),
                Scan::Patch => {
                    let (patch, pixel) = (place(t / 3 / (p * p), p, w), place(t / 3 % (p * p), 1, p));
                    (patch.0 + pixel.0, patch.1 + pixel.1, t % 3)
                }
                Scan::Nested => {
                    let patch = place(t / 3 / (p * p), p, w);
                    let inner = place(t / 3 % (p * p) / (q * q), q, p);
                    let pixel = place(t / 3 % (q * q), 1, q);
                    (patch.0 + inner.0 + pixel.0, patch.1 + inner.1 + pixel.1, t % 3)
                }
            };
            prop_assert_eq!(byte, raster[(y * w + x) * 3 + channel], "byte {} of {:?}", t, layout.scan);
        }
    }

    #[test]
    fn sounds_come_back_byte_for_byte(
        rate in 1_000u32..48_000,
        format in proptest::sample::select(&FORMATS),
        stereo in any::<bool>(),
        mut bytes in vec(any::<u8>(), 0..500),
    ) {
        let channels = if stereo { AudioChannels::Stereo } else { AudioChannels::Mono };
        let layout = AudioLayout { rate, channels, format, ..AudioLayout::default() };
        let frame = layout.bytes_per_frame();
        let adapter = sound(layout);
        let back = adapter.encode(&adapter.decode(&bytes).unwrap()).unwrap();
        bytes.truncate(bytes.len() / frame * frame);
        prop_assert_eq!(back, bytes);
    }

    #[test]
    fn hostile_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300), start in 0usize..22) {
        let starts: [&[u8]; 22] = [
            b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
            b"fLaC\0\0\0\x22", b"OggS\0\x02", b"\xff\xfb\x90\x00", b"\0\0\0\x20ftypM4A ", b"GIF89a\x04\0\x04\0",
            b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"P6 4 4 255\n",
            b"P7\nWIDTH 4\nHEIGHT 4\n", b"qoif\0\0\0\x04\0\0\0\x04\x03\0", b"\0\0\x02\0\0\0\0\0\0\0\0\0\x04\0\x04\0\x18\0",
            b"\0\0\x01\0\x01\0", b"RIFF\0\0\0\0WEBPVP8 ", b".snd\0\0\0\x18", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
            b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0", b"caff\0\x01\0\0desc",
        ];
        bytes.splice(0..0, starts[start].iter().copied());
        let _ = image(ImageLayout::default()).encode(&bytes);
        let _ = audio(16_000, AudioFormat::Pcm16le).encode(&bytes);
        let _ = megabyte::modality::describe(&mut Cursor::new(&bytes));
    }
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
    let stereo = AudioLayout { channels: AudioChannels::Stereo, ..AudioLayout::default() };
    assert_eq!((stereo.bytes_per_frame(), crate::sound(stereo).bytes_per_second()), (4, Some(64_000.0)));
    let nested = ImageLayout { patch: 16, inner: 4, scan: Scan::Nested, ..ImageLayout::default() };
    assert_eq!(image(nested).patch_size(), 768);
    assert_eq!(image(ImageLayout { scan: Scan::Planar, ..ImageLayout::default() }).patch_size(), 32);
    let text = Layout::Text(TextLayout::default()).adapter();
    assert_eq!((text.extension(), text.ends_with_symbol(), text.sequence_len()), ("txt", true, None));
}

/// The layout's keys as they would stand in a configuration.
fn layout(modality: Modality, keys: &str) -> megabyte::Result<Layout> {
    Layout::from_keys(modality, toml::from_str(keys).unwrap())
}

#[test]
fn keys_have_defaults_other_spellings_and_checks() {
    for modality in [Modality::Text, Modality::Image, Modality::Audio, Modality::Bytes] {
        assert_eq!(modality.name().parse::<Modality>().unwrap(), modality);
        let default = layout(modality, "").unwrap();
        assert_eq!(default.modality(), modality);
        assert_eq!(Layout::from_keys(modality, default.keys()).unwrap(), default);
    }
    let square = layout(Modality::Image, "size = 32").unwrap().keys();
    assert_eq!((&square["width"], &square["height"]), (&32.into(), &32.into()));
    let wide = layout(Modality::Image, "size = [64, 48]").unwrap().keys();
    assert_eq!((&wide["width"], &wide["height"], wide.get("size")), (&64.into(), &48.into(), None));
    for (modality, keys, named) in [
        (Modality::Image, "size = 32\nwidth = 32", "`data.size`"),
        (Modality::Image, "size = [1, 2, 3]", "`data.size`"),
        (Modality::Image, "size = \"big\"", "`data.size`"),
        (Modality::Image, "size = 0", "`data.width`"),
        (Modality::Image, "size = -1", "`data.height`"),
        (Modality::Image, "patch = 7", "`data.patch`"),
        (Modality::Image, "scan = \"nested\"\npatch = 16\ninner = 3", "`data.inner`"),
        (Modality::Image, "scan = \"nested\"\npatch = 16\ninner = 0", "`data.inner`"),
        (Modality::Audio, "trim_db = 3.0", "`data.trim_db`"),
        (Modality::Audio, "trim_db = nan", "`data.trim_db`"),
        (Modality::Audio, "channels = \"quad\"", "`data.channels`"),
        (Modality::Text, "encoding = \"klingon\"", "`data.encoding`"),
        (Modality::Bytes, "width = 3", "`data.width`"),
    ] {
        let error = layout(modality, keys).unwrap_err().to_string();
        assert!(error.starts_with(named), "{keys}: {error}");
    }
}
