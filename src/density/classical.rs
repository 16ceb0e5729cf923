//! What PNG, WebP, FLAC, xz and gzip make of the bytes that a model is measured on, so that its bits per byte can be
//! read against something.
//!
//! PNG, WebP and FLAC see what a person would store: each item is a file, and the sizes of the files are added up,
//! headers included. xz and gzip see the items of the stream one after another, as one file.

use std::io::Write;

use flacenc::component::BitRepr;
use flacenc::error::Verify;
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::modality::{Adapter, AudioFormat, AudioLayout, Layout};
use crate::{Error, Result};

/// What one coder makes of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The coder and its setting.
    pub name: String,
    /// Compressed size in bytes.
    pub bytes: u64,
    /// 8 · compressed / payload.
    pub bits_per_byte: f64,
}

/// Compresses `items` (byte sequences of `layout`, in stream order) with the coders that suit the modality: PNG and
/// lossless WebP for pictures, FLAC for sound, and xz and gzip for everything, each at its strongest setting.
///
/// Everything is held in memory at once. Fails with [`Error::Usage`] where there are no bytes, and with
/// [`Error::Content`] where a coder fails.
pub fn classical<'a>(layout: &Layout, items: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Baseline>> {
    let items: Vec<&[u8]> = items.collect();
    let joined = items.concat();
    if joined.is_empty() {
        return Err(Error::Usage("there are no bytes to compress with classical coders".into()));
    }
    let mut sizes: Vec<(&str, u64)> = Vec::new();
    match layout {
        Layout::Text(_) => {}
        Layout::Image(_) => {
            let adapter = layout.adapter();
            sizes.push(("PNG", total(&items, |item| png(&*adapter, item))?));
            sizes.push(("WebP lossless", total(&items, |item| webp(&*adapter, item))?));
        }
        Layout::Audio(audio) => {
            let name = match audio.format {
                AudioFormat::Pcm16le => "FLAC 16 bit",
                AudioFormat::Pcm8 => "FLAC 8 bit",
                AudioFormat::Mulaw8 => "FLAC of ordered mu-law codes",
            };
            sizes.push((name, total(&items, |item| flac(audio, item))?));
        }
    }
    sizes.push(("xz -9e", xz(&joined)?));
    sizes.push(("gzip -9", gzip(&joined)?));
    let baseline = |(name, bytes): (&str, u64)| Baseline {
        name: name.to_owned(),
        bytes,
        bits_per_byte: 8.0 * bytes as f64 / joined.len() as f64,
    };
    Ok(sizes.into_iter().map(baseline).collect())
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
    let image = pixels(adapter, item)?;
    let mut file = Vec::new();
    WebPEncoder::new_lossless(&mut file)
        .write_image(image.as_bytes(), image.width(), image.height(), image.color().into())
        .map_err(failed("WebP"))?;
    Ok(file)
}

/// A FLAC file of one item. A byte after the last whole sample is counted as it is.
fn flac(layout: &AudioLayout, item: &[u8]) -> Result<Vec<u8>> {
    let (samples, rest) = samples(layout.format, item);
    let mut config = flacenc::config::Encoder::default();
    config.multithread = false;
    config.subframe_coding.qlpc.lpc_order = 12; // what `flac --best` uses
    let config = config.into_verified().map_err(|(_, error)| failed("FLAC")(error))?;
    let bits = 8 * layout.bytes_per_sample();
    let source = flacenc::source::MemSource::from_samples(&samples, 1, bits, layout.rate as usize);
    let mut stream =
        flacenc::encode_with_fixed_block_size(&config, source, config.block_size).map_err(failed("FLAC"))?;
    // The header's block sizes leave out the last block (RFC 9639, 8.2); flacenc counts it.
    stream.stream_info_mut().set_block_sizes(config.block_size, config.block_size).map_err(failed("FLAC"))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).map_err(failed("FLAC"))?;
    let mut file = sink.into_inner();
    file.extend(rest);
    Ok(file)
}

/// The signed samples of an item, and the bytes after the last whole one.
fn samples(format: AudioFormat, item: &[u8]) -> (Vec<i32>, &[u8]) {
    match format {
        AudioFormat::Pcm16le => {
            let pairs = item.chunks_exact(2);
            let rest = pairs.remainder();
            (pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]]).into()).collect(), rest)
        }
        AudioFormat::Pcm8 => (item.iter().map(|&byte| i32::from(byte) - 128).collect(), &[]),
        AudioFormat::Mulaw8 => (item.iter().map(|&code| mulaw_rank(code)).collect(), &[]),
    }
}

/// The rank of a mu-law code among all 256 in the order of their levels, from -128: a prediction of ranks is then a
/// prediction of levels, and nothing is lost. Codes count down in size, negative ones from 0x00, positive from 0x80.
fn mulaw_rank(code: u8) -> i32 {
    if code < 0x80 { i32::from(code) - 128 } else { 255 - i32::from(code) }
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
    use std::io::Cursor;

    use symphonia::core::audio::{Audio, GenericAudioBufferRef};
    use symphonia::core::codecs::audio::AudioDecoderOptions;
    use symphonia::core::formats::{FormatOptions, TrackType, probe::Hint};
    use symphonia::core::io::MediaSourceStream;
    use symphonia::core::meta::MetadataOptions;

    use super::*;
    use crate::modality::TextLayout;

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
        let layout = AudioLayout { rate: 16_000, format: AudioFormat::Pcm16le };
        let bytes = tone(30_000);
        let file = flac(&layout, &bytes).unwrap();
        assert!(file.len() < bytes.len() * 8 / 10, "{} of {}", file.len(), bytes.len());
        let decoded: Vec<u8> = unflac(file, 16).into_iter().flat_map(|s| (s as i16).to_le_bytes()).collect();
        assert!(decoded == bytes);
    }

    #[test]
    fn flac_is_lossless_for_every_short_length_and_format() {
        for format in [AudioFormat::Pcm16le, AudioFormat::Pcm8, AudioFormat::Mulaw8] {
            let layout = AudioLayout { rate: 8_000, format };
            let bits = 8 * layout.bytes_per_sample() as u32;
            for length in (1..150).chain([4095 * 2, 4096 * 2, 4097 * 2, 8200]) {
                let bytes = &tone(length)[..length * layout.bytes_per_sample()];
                let file = flac(&layout, bytes).unwrap();
                assert_eq!(unflac(file, bits), samples(format, bytes).0, "{format:?}, {length} samples");
            }
        }
    }

    #[test]
    fn a_half_sample_at_the_end_is_counted() {
        let layout = AudioLayout { rate: 8_000, format: AudioFormat::Pcm16le };
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

    #[test]
    fn sizes_are_those_of_whole_files() {
        let items = [b"the same words, ".repeat(50), b"the same words again ".repeat(50)];
        let layout = Layout::Text(TextLayout {});
        let baselines = classical(&layout, items.iter().map(Vec::as_slice)).unwrap();
        let joined = items.concat();
        let mut xz = Vec::new();
        std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(&joined[..], 9), &mut xz).unwrap();
        let names: Vec<&str> = baselines.iter().map(|baseline| baseline.name.as_str()).collect();
        assert_eq!(names, ["xz -9e", "gzip -9"]);
        assert!(baselines[0].bytes.abs_diff(xz.len() as u64) <= 8, "{} and {}", baselines[0].bytes, xz.len());
        for baseline in &baselines {
            assert_eq!(baseline.bits_per_byte, 8.0 * baseline.bytes as f64 / joined.len() as f64);
        }
    }

    #[test]
    fn no_bytes_is_an_error() {
        assert!(matches!(classical(&Layout::Text(TextLayout {}), [].into_iter()), Err(Error::Usage(_))));
    }
}
