//! Files around the content: PNG with its chunks, WAV with its header, and what neither can be.

use std::io::Cursor;

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use megabyte::density::archive::{Codec, CompressOptions, Compressed, Container};
use megabyte::modality::{
    AudioFormat, AudioLayout, BytesLayout, Channels, ImageLayout, Layout, Newlines, Scan, TextLayout,
};
use megabyte::progress::Quiet;

use super::{bytes_codec, codec, compress, restore};

/// Compresses, and checks that the file comes back, of whatever use the model is.
fn there_and_back(codec: &Codec, file: &[u8]) -> Compressed {
    let made = compress(codec, &[file.to_vec()], super::options()).remove(0);
    assert_eq!(made.header.container, container(codec, file));
    assert_eq!(restore(codec, &made.archive), file);
    made
}

/// A smooth picture with some noise.
fn picture(width: u32, height: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let noise = (x * 31 + y * 17 + x * y % 7) % 23;
        image::Rgb([(x * 3 + noise) as u8, (y * 2 + noise) as u8, (x + y) as u8])
    })
}

fn png(picture: &image::DynamicImage, compression: CompressionType, filter: FilterType) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, compression, filter)
        .write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into())
        .unwrap();
    file
}

/// A chunk with its checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], name, data, &crc.sum().to_be_bytes()].concat()
}

/// The file with a text chunk behind its header and one before its end.
fn with_text(png: &[u8]) -> Vec<u8> {
    let (head, rest) = png.split_at(33);
    let (body, end) = rest.split_at(rest.len() - 12);
    let [first, last] = [chunk(b"tEXt", b"Comment\0made by hand"), chunk(b"tIME", &[7, 234, 1, 2, 3, 4, 5])];
    [head, &first, body, &last, end, b"and something behind it"].concat()
}

fn image_codec(size: usize, scan: Scan) -> Codec {
    codec(Layout::Image(ImageLayout { width: size, height: size, patch: 4, scan, ..ImageLayout::default() }))
}

/// How a file is taken apart.
fn container(codec: &Codec, file: &[u8]) -> Container {
    megabyte::density::archive::container_of(file, codec.layout())
}

#[test]
fn png_files_come_back_with_every_chunk() {
    let codec = image_codec(32, Scan::Patch);
    let rgb = image::DynamicImage::from(picture(32, 32));
    let opaque = image::DynamicImage::from(rgb.to_rgba8());
    for picture in [&rgb, &opaque] {
        for compression in [CompressionType::Fast, CompressionType::Default, CompressionType::Best] {
            for filter in [FilterType::NoFilter, FilterType::Sub, FilterType::Paeth, FilterType::Adaptive] {
                let file = with_text(&png(picture, compression, filter));
                // What some compressors do can't be predicted, and such a file is stored.
                there_and_back(&codec, &file);
            }
        }
    }
}

#[test]
fn png_files_of_zlib_cost_little_beside_their_pixels() {
    // 32 x 32 pixels by zlib 1.2 at level 6: all filters by turns, two IDAT chunks, a text and a time.
    let file = include_bytes!("zlib.png");
    let codec = image_codec(32, Scan::Patch);
    assert_eq!(container(&codec, file), Container::Png);
    let side = megabyte::density::archive::side_of(file, codec.layout()).unwrap();
    assert!(side.len() < 300, "{} of {} bytes", side.len(), file.len());
    there_and_back(&codec, file);
}

#[test]
fn pictures_that_the_layout_changes_are_stored() {
    let codec = image_codec(32, Scan::Patch);
    let other_size = png(&picture(40, 32).into(), CompressionType::Default, FilterType::Sub);
    let mut jpeg = Vec::new();
    picture(32, 32).write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
    let mut transparent = image::DynamicImage::from(picture(32, 32)).to_rgba8();
    transparent.get_pixel_mut(3, 3).0[3] = 100;
    let transparent = png(&transparent.into(), CompressionType::Default, FilterType::Sub);
    let mut broken = png(&picture(32, 32).into(), CompressionType::Default, FilterType::Sub);
    broken.truncate(200);
    for file in [other_size, jpeg, transparent, broken, b"no picture".to_vec()] {
        assert_eq!(there_and_back(&codec, &file).header.container, Container::Stored);
    }
}

/// A WAV file of these samples, with a chunk before and one after them.
pub fn wav(rate: u32, bits: u16, channels: u16, samples: &[u8], extra: bool) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut format = [1u16.to_le_bytes(), channels.to_le_bytes()].concat();
    format.extend(rate.to_le_bytes());
    format.extend((rate * u32::from(frame)).to_le_bytes());
    format.extend([frame.to_le_bytes(), bits.to_le_bytes()].concat());
    let riff = |name: &[u8; 4], data: &[u8]| [&name[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let mut body = [b"WAVE", &riff(b"fmt ", &format)[..]].concat();
    if extra {
        body.extend(riff(b"LIST", b"INFOISFT\x0e\0\0\0a text of our\0"));
    }
    body.extend(riff(b"data", samples));
    if extra {
        body.extend(riff(b"id3 ", b"something behind the samples, even"));
    }
    riff(b"RIFF", &body)
}

pub fn tone(samples: usize) -> Vec<u8> {
    (0..samples).flat_map(|t| (((t as f64 * 0.07).sin() * 9000.0) as i16 + (t * t % 13) as i16).to_le_bytes()).collect()
}

#[test]
fn wav_files_come_back_with_every_chunk() {
    for format in [AudioFormat::Pcm16le, AudioFormat::Pcm16be] {
        let codec = codec(Layout::Audio(AudioLayout { rate: 8000, format, ..AudioLayout::default() }));
        let plain = wav(8000, 16, 1, &tone(3000), false);
        assert_eq!(container(&codec, &plain), Container::Decoded, "{format:?}");
        there_and_back(&codec, &plain);
        let extra = wav(8000, 16, 1, &tone(3000), true);
        assert_eq!(container(&codec, &extra), Container::Patch, "{format:?}");
        let side = megabyte::density::archive::side_of(&extra, codec.layout()).unwrap();
        assert!(side.len() < 160, "{} bytes", side.len());
        there_and_back(&codec, &extra);
        // Another rate, two channels, more bits: the samples would be others.
        for other in [wav(16_000, 16, 1, &tone(3000), false), wav(8000, 16, 2, &tone(3000), false)] {
            assert_eq!(there_and_back(&codec, &other).header.container, Container::Stored);
        }
    }
}

#[test]
fn texts_that_the_layout_changes_come_back() {
    let layout = TextLayout { newlines: Newlines::Lf, ..TextLayout::default() };
    let codec = codec(Layout::Text(layout));
    let text = "a line of some words and one more\r\nanother one, of other words\r\n".repeat(30);
    there_and_back(&codec, text.as_bytes());
    assert_eq!(container(&codec, b"one line\n"), Container::Plain);
}

#[test]
fn content_alone_is_the_file_decoded() {
    let codec = image_codec(32, Scan::Patch);
    let mut jpeg = Vec::new();
    picture(50, 40).write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
    let options = CompressOptions { payload_only: true, ..CompressOptions::default() };
    let made = compress(&codec, &[jpeg.clone()], options).remove(0);
    let adapter = codec.layout().adapter();
    assert!(made.header.payload_only);
    assert_eq!(restore(&codec, &made.archive), adapter.decode(&adapter.encode(&jpeg).unwrap()).unwrap());
    assert!(codec.compress(&[b"no picture".to_vec()], options, &Quiet).is_err());
}

#[test]
fn any_model_codes_files_as_they_are() {
    let codec = image_codec(32, Scan::Patch);
    let file = png(&picture(32, 32).into(), CompressionType::Default, FilterType::Sub);
    let options = CompressOptions { raw: true, ..super::options() };
    let made = compress(&codec, std::slice::from_ref(&file), options).remove(0);
    assert_eq!(made.header.container, Container::Plain);
    assert_eq!(made.content, file);
    assert_eq!(restore(&codec, &made.archive), file);
}

#[test]
fn gray_pictures_come_back() {
    let layout = ImageLayout { width: 28, height: 28, channels: Channels::Gray, patch: 4, ..ImageLayout::default() };
    let codec = codec(Layout::Image(layout));
    let gray = image::DynamicImage::from(image::DynamicImage::from(picture(28, 28)).to_luma8());
    there_and_back(&codec, &with_text(&png(&gray, CompressionType::Default, FilterType::Adaptive)));
}

#[test]
fn hostile_descriptions_are_refused() {
    let layout = Layout::Image(ImageLayout { width: 8, height: 8, patch: 4, ..ImageLayout::default() });
    let bytes = Layout::Bytes(BytesLayout {});
    for seed in 0..300 {
        let side = super::random(seed % 60, seed as u64);
        for kind in 0..2 {
            let found = megabyte::density::archive::rebuild(kind, &layout, vec![0; 192], &side, 5000);
            assert!(found.is_err() || kind == 0);
            let _ = megabyte::density::archive::rebuild(kind, &bytes, vec![0; 192], &side, u64::MAX);
        }
    }
    assert!(restore(&bytes_codec(), &compress(&bytes_codec(), &[vec![]], super::options())[0].archive).is_empty());
}
