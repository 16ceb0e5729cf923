//! What PNG, WebP, FLAC, xz, zstd and gzip make of the bytes that a model is measured on, so that its bits per byte can be
//! read against something.
//!
//! PNG, WebP and FLAC see what a person would store: each item is a file, and the sizes of the files are added up,
//! headers included. xz, zstd and gzip see the items of the stream one after another, as one file.

use std::io::Write;

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::flac::flac;
use crate::modality::{Adapter, AudioFormat, Layout};
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
/// lossless WebP for pictures, FLAC for sound, and xz, zstd and gzip for everything. The encoders of WebP and FLAC are
/// written in Rust and weaker than libwebp and libFLAC.
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
        Layout::Text(_) | Layout::Bytes(_) => {}
        Layout::Image(_) => {
            let adapter = layout.adapter();
            sizes.push(("PNG", total(&items, |item| png(&*adapter, item))?));
            sizes.push(("WebP lossless", total(&items, |item| webp(&*adapter, item))?));
        }
        Layout::Audio(audio) => {
            let name = match audio.format {
                AudioFormat::Pcm16le | AudioFormat::Pcm16be => "FLAC 16 bit",
                AudioFormat::Pcm8 => "FLAC 8 bit",
                AudioFormat::Mulaw8 => "FLAC of ordered mu-law codes",
            };
            sizes.push((name, total(&items, |item| flac(audio, item))?));
        }
    }
    sizes.push(("xz -9e", xz(&joined)?));
    sizes.push(("zstd -22", zstd::bulk::compress(&joined, 22).map_err(failed("zstd"))?.len() as u64));
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
pub(super) fn failed<E: std::fmt::Display>(coder: &str) -> impl FnOnce(E) -> Error {
    move |error| Error::Content(format!("{coder}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modality::TextLayout;

    #[test]
    fn sizes_are_those_of_whole_files() {
        let items = [b"the same words, ".repeat(50), b"the same words again ".repeat(50)];
        let layout = Layout::Text(TextLayout::default());
        let baselines = classical(&layout, items.iter().map(Vec::as_slice)).unwrap();
        let joined = items.concat();
        let mut xz = Vec::new();
        std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(&joined[..], 9), &mut xz).unwrap();
        let names: Vec<&str> = baselines.iter().map(|baseline| baseline.name.as_str()).collect();
        assert_eq!(names, ["xz -9e", "zstd -22", "gzip -9"]);
        assert!(baselines[0].bytes.abs_diff(xz.len() as u64) <= 8, "{} and {}", baselines[0].bytes, xz.len());
        for baseline in &baselines {
            assert_eq!(baseline.bits_per_byte, 8.0 * baseline.bytes as f64 / joined.len() as f64);
        }
    }

    #[test]
    fn no_bytes_is_an_error() {
        assert!(matches!(classical(&Layout::Text(TextLayout::default()), [].into_iter()), Err(Error::Usage(_))));
    }
}
