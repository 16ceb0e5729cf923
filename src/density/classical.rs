//! What PNG, WebP, FLAC, PPMd, xz, zstd and gzip make of the bytes that a model is measured on, so that its bits per byte
//! can be read against something: by the reference libraries, at settings that are named.
//!
//! PNG, WebP and FLAC see what a person would store: each item is a file, and the sizes of the files are added up,
//! headers included. PPMd, xz, zstd and gzip see the items of the stream one after another, as one file.

use std::io::Write;

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ppmd_rust::Ppmd7Encoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::modality::{Adapter, AudioFormat, AudioLayout, Layout};
use crate::native::coders::{self, WEBP_MAX_SIDE};
use crate::{Error, Result};

/// What one coder makes of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The coder, short enough for a table.
    pub name: String,
    /// The library and its version; empty in what was written before versions were.
    #[serde(default)]
    pub version: String,
    /// The library's setting.
    #[serde(default)]
    pub setting: String,
    /// Compressed size in bytes.
    pub bytes: u64,
    /// 8 · compressed / payload.
    pub bits_per_byte: f64,
}

impl Baseline {
    /// Coder, library and setting: `WebP lossless (libwebp 1.6.0, quality 100, method 6)`.
    pub fn described(&self) -> String {
        let known: Vec<&str> = [&*self.version, &*self.setting].into_iter().filter(|text| !text.is_empty()).collect();
        if known.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, known.join(", ")) }
    }
}

/// Versions of what can't say its own; a test compares them with Cargo.lock.
const PNG_VERSION: &str = "0.18.1";
const PPMD_VERSION: &str = "1.5.2";
const FLATE2_VERSION: &str = "1.1.11";
const ZLIB_RS_VERSION: &str = "0.6.8";

/// Compresses `items` (byte sequences of `layout`, in stream order) with the coders that suit the modality: PNG and
/// lossless WebP for pictures, FLAC for sound, and PPMd, xz, zstd and gzip for everything. A coder that can't hold the
/// items, as WebP can't pictures of more than 16,383 pixels a side, is left out.
///
/// Everything is held in memory at once. Fails with [`Error::Usage`] where there are no bytes, and with
/// [`Error::Content`] where a coder fails.
pub fn classical<'a>(layout: &Layout, items: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Baseline>> {
    let items: Vec<&[u8]> = items.collect();
    let joined = items.concat();
    if joined.is_empty() {
        return Err(Error::Usage("there are no bytes to compress with classical coders".into()));
    }
    let mut found = Vec::new();
    let mut add = |name: &str, version: String, setting: &str, bytes: u64| {
        let bits_per_byte = 8.0 * bytes as f64 / joined.len() as f64;
        found.push(Baseline { name: name.to_owned(), version, setting: setting.to_owned(), bytes, bits_per_byte });
    };
    match layout {
        Layout::Text(_) | Layout::Bytes(_) => {}
        Layout::Image(image) => {
            let adapter = layout.adapter();
            let size = total(&items, |item| png(&*adapter, item))?;
            add("PNG", format!("png {PNG_VERSION}"), "level 9, adaptive filters", size);
            if image.width.max(image.height) <= WEBP_MAX_SIDE as usize {
                let size = total(&items, |item| webp(&*adapter, item))?;
                add(
                    "WebP lossless",
                    format!("libwebp {}", coders::webp_version()),
                    "quality 100, method 6, exact",
                    size,
                );
            }
        }
        Layout::Audio(audio) => {
            let name = match audio.format {
                AudioFormat::Pcm16le | AudioFormat::Pcm16be => "FLAC 16 bit",
                AudioFormat::Pcm8 => "FLAC 8 bit",
                AudioFormat::Mulaw8 => "FLAC of ordered mu-law codes",
            };
            let size = total(&items, |item| flac(audio, item))?;
            add(name, format!("libFLAC {}", coders::flac_version()), "-8 -e -p", size);
        }
    }
    let memory = ppmd_memory(joined.len());
    let setting = format!("variant H, order {PPMD_ORDER}, {} MiB", memory >> 20);
    add("PPMd", format!("ppmd-rust {PPMD_VERSION}"), &setting, ppmd(&joined, memory)?);
    add("xz -9e", format!("liblzma {}", coders::lzma_version()), "-9e", xz(&joined)?);
    let size = zstd::bulk::compress(&joined, 22).map_err(failed("zstd"))?.len() as u64;
    add("zstd -22", format!("libzstd {}", zstd::zstd_safe::version_string()), "-22 --ultra", size);
    add("gzip -9", format!("flate2 {FLATE2_VERSION} with zlib-rs {ZLIB_RS_VERSION}"), "-9", gzip(&joined)?);
    Ok(found)
}

/// The sum of the sizes of what `encode` makes of each item.
fn total(items: &[&[u8]], encode: impl Fn(&[u8]) -> Result<Vec<u8>> + Sync) -> Result<u64> {
    let sizes = items.par_iter().filter(|item| !item.is_empty()).map(|item| Ok(encode(item)?.len() as u64));
    sizes.try_reduce(|| 0, |a, b| Ok(a + b))
}

/// The picture of one item: its pixels in raster order, whatever the stream's scan order.
fn pixels(adapter: &dyn Adapter, item: &[u8]) -> Result<image::DynamicImage> {
    image::load_from_memory_with_format(&adapter.decode(item)?, image::ImageFormat::Png).map_err(failed("PNG"))
}

fn png(adapter: &dyn Adapter, item: &[u8]) -> Result<Vec<u8>> {
    let image = pixels(adapter, item)?;
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive)
        .write_image(image.as_bytes(), image.width(), image.height(), image.color().into())
        .map_err(failed("PNG"))?;
    Ok(file)
}

fn webp(adapter: &dyn Adapter, item: &[u8]) -> Result<Vec<u8>> {
    let image = pixels(adapter, item)?.into_rgb8();
    coders::webp_lossless(image.as_raw(), image.width(), image.height())
}

/// A FLAC file of one item. Bytes after the last whole frame are counted as they are.
fn flac(layout: &AudioLayout, item: &[u8]) -> Result<Vec<u8>> {
    let (whole, rest) = item.split_at(item.len() - item.len() % layout.bytes_per_frame());
    let (channels, bits) = (layout.channels.count() as u32, 8 * layout.bytes_per_sample() as u32);
    let mut file = coders::flac(&samples(layout.format, whole), channels, bits, layout.rate)?;
    file.extend(rest);
    Ok(file)
}

/// The signed samples of whole frames, channels by turns.
fn samples(format: AudioFormat, frames: &[u8]) -> Vec<i32> {
    let pairs = frames.as_chunks::<2>().0.iter();
    match format {
        AudioFormat::Pcm16le => pairs.map(|&pair| i16::from_le_bytes(pair).into()).collect(),
        AudioFormat::Pcm16be => pairs.map(|&pair| i32::from(u16::from_be_bytes(pair)) - 32_768).collect(),
        AudioFormat::Pcm8 => frames.iter().map(|&byte| i32::from(byte) - 128).collect(),
        AudioFormat::Mulaw8 => frames.iter().map(|&code| mulaw_rank(code)).collect(),
    }
}

/// The rank of a mu-law code among all 256 in the order of their levels, from -128: a prediction of ranks is then a
/// prediction of levels, and nothing is lost. Codes count down in size, negative ones from 0x00, positive from 0x80.
fn mulaw_rank(code: u8) -> i32 {
    if code < 0x80 { i32::from(code) - 128 } else { 255 - i32::from(code) }
}

/// 7-zip's variant of PPMd, at the order that suits text.
const PPMD_ORDER: u32 = 12;

/// The memory of PPMd's model, in bytes: as much as it can fill (about 25 times a text, less of others), so that it
/// forgets nothing, up to 1 GiB.
fn ppmd_memory(len: usize) -> u32 {
    len.saturating_mul(32).clamp(1 << 20, 1 << 30).next_power_of_two() as u32
}

/// The size of the code alone, to which 7-zip's container adds about 100 bytes.
fn ppmd(bytes: &[u8], memory: u32) -> Result<u64> {
    let mut encoder = Ppmd7Encoder::new(Vec::new(), PPMD_ORDER, memory).map_err(failed("PPMd"))?;
    encoder.write_all(bytes).map_err(failed("PPMd"))?;
    Ok(encoder.finish(false).map_err(failed("PPMd"))?.len() as u64)
}

fn xz(bytes: &[u8]) -> Result<u64> {
    const EXTREME: u32 = 1 << 31;
    let mut options = liblzma::stream::LzmaOptions::new_preset(9 | EXTREME).map_err(failed("xz"))?;
    // A window longer than the data costs memory (half a gigabyte) and finds nothing more.
    options.dict_size(bytes.len().clamp(1 << 12, 1 << 26) as u32);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let stream =
        liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64).map_err(failed("xz"))?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(std::io::sink(), stream);
    encoder.write_all(bytes).and_then(|()| encoder.try_finish()).map_err(failed("xz"))?;
    Ok(encoder.total_out())
}

fn gzip(bytes: &[u8]) -> Result<u64> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).map_err(failed("gzip"))?;
    Ok(encoder.finish().map_err(failed("gzip"))?.len() as u64)
}

/// An error of a coder, by name.
fn failed<E: std::fmt::Display>(coder: &str) -> impl FnOnce(E) -> Error {
    move |error| Error::Content(format!("{coder}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use symphonia::core::audio::{Audio, GenericAudioBufferRef};
    use symphonia::core::codecs::audio::AudioDecoderOptions;
    use symphonia::core::formats::{FormatOptions, TrackType, probe::Hint};
    use symphonia::core::io::MediaSourceStream;
    use symphonia::core::meta::MetadataOptions;

    use super::*;
    use crate::modality::{AudioChannels, TextLayout};

    #[test]
    fn sizes_are_those_of_whole_files() {
        let items = [b"the same words, ".repeat(50), b"the same words again ".repeat(50)];
        let layout = Layout::Text(TextLayout::default());
        let baselines = classical(&layout, items.iter().map(Vec::as_slice)).unwrap();
        let joined = items.concat();
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(&joined[..], 9).read_to_end(&mut xz).unwrap();
        let names: Vec<&str> = baselines.iter().map(|baseline| baseline.name.as_str()).collect();
        assert_eq!(names, ["PPMd", "xz -9e", "zstd -22", "gzip -9"]);
        assert!(baselines[1].bytes.abs_diff(xz.len() as u64) <= 8, "{} and {}", baselines[1].bytes, xz.len());
        for baseline in &baselines {
            assert_eq!(baseline.bits_per_byte, 8.0 * baseline.bytes as f64 / joined.len() as f64);
        }
    }

    #[test]
    fn no_bytes_is_an_error() {
        assert!(matches!(classical(&Layout::Text(TextLayout::default()), [].into_iter()), Err(Error::Usage(_))));
    }

    #[test]
    fn what_libraries_cannot_say_of_their_version_is_what_cargo_locked() {
        let lock = include_str!("../../Cargo.lock");
        let named = [
            ("png", PNG_VERSION),
            ("ppmd-rust", PPMD_VERSION),
            ("flate2", FLATE2_VERSION),
            ("zlib-rs", ZLIB_RS_VERSION),
        ];
        for (package, version) in named {
            let lines = format!("name = \"{package}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&lines), "{package} is not {version}");
        }
        let flate2 = lock.split("[[package]]").find(|package| package.contains("name = \"flate2\"")).unwrap();
        assert!(flate2.contains("\"zlib-rs\""), "gzip is made by another library: {flate2}");
    }

    #[test]
    fn every_coder_says_its_library_and_setting() {
        let layout = Layout::Audio(AudioLayout::default());
        let bytes = tone(3_000);
        for baseline in classical(&layout, std::iter::once(&bytes[..])).unwrap() {
            let version = baseline.version.rsplit(' ').next().unwrap();
            assert!(version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.'), "{baseline:?}");
            assert!(baseline.version.starts_with(char::is_alphabetic) && !baseline.setting.is_empty(), "{baseline:?}");
        }
        let json = r#"{"name":"PNG","bytes":4,"bits_per_byte":8.0}"#;
        assert_eq!(serde_json::from_str::<Baseline>(json).unwrap().described(), "PNG", "of before versions");
    }

    #[test]
    fn ppmd_comes_back_and_its_memory_forgets_nothing() {
        let mut noise = 1u32;
        let words: Vec<u8> = (0..60_000)
            .flat_map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [b"of ", b"and", b" th", b"e,\n"][(noise >> 30) as usize].iter().copied()
            })
            .collect();
        let memory = ppmd_memory(words.len());
        let mut encoder = Ppmd7Encoder::new(Vec::new(), PPMD_ORDER, memory).unwrap();
        encoder.write_all(&words).unwrap();
        let code = encoder.finish(false).unwrap();
        assert_eq!(ppmd(&words, memory).unwrap(), code.len() as u64);
        assert_eq!(ppmd(&words, 4 * memory).unwrap(), code.len() as u64, "more memory changes nothing");
        let mut back = vec![0; words.len()];
        ppmd_rust::Ppmd7Decoder::new(&code[..], PPMD_ORDER, memory).unwrap().read_exact(&mut back).unwrap();
        assert!(back == words);
        assert_eq!([1, 5_000_000, usize::MAX].map(ppmd_memory), [1 << 20, 1 << 28, 1 << 30]);
    }

    #[test]
    fn another_decoder_finds_every_pixel_in_what_libwebp_wrote() {
        // Sides of one pixel and of many, few colours and many.
        for (width, height, colours) in [(1u32, 1u32, 9u32), (1, 40, 256), (37, 1, 256), (64, 48, 256), (33, 65, 3)] {
            let mut noise = 7u32;
            let rgb: Vec<u8> = (0..3 * width * height)
                .map(|i| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((i / 7 + (noise >> 28)) % colours) as u8
                })
                .collect();
            let file = coders::webp_lossless(&rgb, width, height).unwrap();
            let back = image::load_from_memory_with_format(&file, image::ImageFormat::WebP).unwrap();
            assert_eq!((back.width(), back.height()), (width, height));
            assert!(back.into_rgb8().into_raw() == rgb, "{width} x {height}, {colours} colours");
        }
        let error = coders::webp_lossless(&vec![0; 3 * 16_384], 16_384, 1).unwrap_err();
        assert!(error.to_string().contains("16384 x 1 pixels"), "{error}");
    }

    /// The samples of a FLAC file by a decoder of other people.
    fn unflac(file: Vec<u8>, bits: u32) -> Vec<i32> {
        let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
        let mut hint = Hint::new();
        hint.with_extension("flac");
        let mut format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .unwrap();
        let track = format.default_track(TrackType::Audio).unwrap();
        let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
        let mut decoder =
            symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default()).unwrap();
        let mut samples = Vec::new();
        while let Some(packet) = format.next_packet().unwrap() {
            match decoder.decode(&packet).unwrap() {
                // Samples are left-aligned in 32 bits.
                GenericAudioBufferRef::S32(buffer) => {
                    samples.extend(buffer.iter_interleaved().map(|sample| sample >> (32 - bits)))
                }
                other => panic!("unexpected samples: {}", other.num_planes()),
            }
        }
        samples
    }

    /// A decaying tone with noise, as bytes of 16-bit samples.
    fn tone(samples: usize) -> Vec<u8> {
        let mut noise = 1u32;
        let sample = |t: usize| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let tone = (t as f64 * 0.05).sin() * 12_000.0 * (-(t as f64) / 20_000.0).exp();
            (tone + f64::from(noise >> 24)) as i16
        };
        (0..samples).map(sample).flat_map(i16::to_le_bytes).collect()
    }

    #[test]
    fn flac_of_sixteen_bits_is_lossless_and_smaller() {
        let layout = AudioLayout { format: AudioFormat::Pcm16le, ..AudioLayout::default() };
        let bytes = tone(30_000);
        let file = flac(&layout, &bytes).unwrap();
        assert!(file.len() < bytes.len() * 8 / 10, "{} of {}", file.len(), bytes.len());
        let decoded: Vec<u8> = unflac(file, 16).into_iter().flat_map(|s| (s as i16).to_le_bytes()).collect();
        assert!(decoded == bytes);
    }

    #[test]
    fn flac_is_lossless_for_every_short_length_and_format() {
        for format in [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8] {
            let layout = AudioLayout { rate: 8_000, format, ..AudioLayout::default() };
            let bits = 8 * layout.bytes_per_sample() as u32;
            for length in (1..150).chain([4095 * 2, 4096 * 2, 4097 * 2, 8200]) {
                let bytes = &tone(length)[..length * layout.bytes_per_sample()];
                let file = flac(&layout, bytes).unwrap();
                assert_eq!(unflac(file, bits), samples(format, bytes), "{format:?}, {length} samples");
            }
        }
    }

    #[test]
    fn flac_of_stereo_keeps_its_channels() {
        let layout = AudioLayout { channels: AudioChannels::Stereo, ..AudioLayout::default() };
        let bytes = tone(10_001);
        // The last sample has no partner.
        let file = flac(&layout, &bytes).unwrap();
        assert_eq!(file[file.len() - 2..], bytes[20_000..]);
        assert_eq!(unflac(file[..file.len() - 2].to_vec(), 16), samples(AudioFormat::Pcm16le, &bytes[..20_000]));
    }

    #[test]
    fn a_half_sample_at_the_end_is_counted() {
        let layout = AudioLayout { rate: 8_000, ..AudioLayout::default() };
        let whole = tone(100);
        let more = [&whole[..], &[7]].concat();
        assert_eq!(flac(&layout, &more).unwrap().len(), flac(&layout, &whole).unwrap().len() + 1);
    }

    #[test]
    fn ranks_of_mu_law_codes_rise_with_their_levels() {
        // Levels of ITU-T G.711: the code's bits are inverted; sign, 3 bits of exponent, 4 of fraction.
        let level = |code: u8| {
            let bits = i32::from(!code);
            let size = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
            if bits & 128 != 0 { -size } else { size }
        };
        let mut codes: Vec<u8> = (0..=255).collect();
        codes.sort_by_key(|&code| mulaw_rank(code));
        assert!(codes.windows(2).all(|pair| level(pair[0]) <= level(pair[1])));
        assert_eq!((mulaw_rank(codes[0]), mulaw_rank(codes[255])), (-128, 127));
    }
}
