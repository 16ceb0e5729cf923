//! Classical coders of pictures and sound, through the adapters.

use megabyte::density::{Baseline, classical};
use megabyte::modality::{AudioLayout, ImageLayout, Layout, Scan};

fn bytes_of(baselines: &[Baseline], name: &str) -> u64 {
    baselines.iter().find(|baseline| baseline.name == name).unwrap_or_else(|| panic!("no {name}")).bytes
}

/// A picture of 32 x 32 pixels with smooth colours, as a stream of `layout`.
fn item(layout: &Layout, seed: u32) -> Vec<u8> {
    let png = crate::folder::png(32, 32, |x, y| [(x * 8 + seed) as u8, (y * 8) as u8, ((x + y) * 4 + seed) as u8]);
    layout.adapter().encode(&png).unwrap()
}

#[test]
fn png_and_webp_see_pictures_whatever_the_scan_order() {
    let layout = |scan| Layout::Image(ImageLayout { width: 32, height: 32, scan, ..ImageLayout::default() });
    let measure = |layout: &Layout| {
        let items: Vec<Vec<u8>> = (0..5).map(|seed| item(layout, seed)).collect();
        classical(layout, items.iter().map(Vec::as_slice)).unwrap()
    };
    let (patch, raster) = (measure(&layout(Scan::Patch)), measure(&layout(Scan::Raster)));
    let names: Vec<&str> = patch.iter().map(|baseline| baseline.name.as_str()).collect();
    assert_eq!(names, ["PNG", "WebP lossless", "PPMd", "xz -9e", "zstd -22", "gzip -9"]);
    for name in ["PNG", "WebP lossless"] {
        assert_eq!(bytes_of(&patch, name), bytes_of(&raster, name), "{name}");
    }
    assert_ne!(bytes_of(&patch, "xz -9e"), bytes_of(&raster, "xz -9e"));
    // Filters turn gradients into constants: a PNG is small but for its headers, and so must the sum be.
    assert!(bytes_of(&patch, "PNG") < 5 * 32 * 32 * 3 / 4, "{patch:?}");
    for baseline in &patch {
        assert_eq!(baseline.bits_per_byte, 8.0 * baseline.bytes as f64 / (5.0 * 32.0 * 32.0 * 3.0));
    }
}

#[test]
fn flac_beats_xz_on_a_tone() {
    let layout = Layout::Audio(AudioLayout::default());
    let tone: Vec<u8> =
        (0..20_000).flat_map(|t| (((t as f64 * 0.03).sin() * 9_000.0) as i16 + (t % 7) as i16).to_le_bytes()).collect();
    let baselines = classical(&layout, tone.chunks(8_192)).unwrap();
    assert!(bytes_of(&baselines, "FLAC 16 bit") < bytes_of(&baselines, "xz -9e"), "{baselines:?}");
}
