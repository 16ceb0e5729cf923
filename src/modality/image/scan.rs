//! The order of pixels in a byte sequence.

use std::ops::Range;

use super::super::{ImageLayout, Scan};

/// The runs of raster bytes (`height * width * channels`) that follow each other in the stream.
fn for_each_run(layout: &ImageLayout, mut run: impl FnMut(Range<usize>)) {
    let channels = layout.channels.count();
    match layout.scan {
        Scan::Raster => run(0..layout.len()),
        Scan::Planar => {
            for channel in 0..channels {
                for byte in (channel..layout.len()).step_by(channels) {
                    run(byte..byte + 1);
                }
            }
        }
        Scan::Patch => patches(layout, layout.patch, run),
        Scan::Nested => patches(layout, layout.inner, run),
    }
}

/// Patches in row-major order, inside each the inner patches in row-major order, and of those a row of pixels at a
/// time, all channels of a pixel together. The plain patch scan has one inner patch, as large as the patch.
fn patches(layout: &ImageLayout, inner: usize, mut run: impl FnMut(Range<usize>)) {
    let channels = layout.channels.count();
    for patch_y in (0..layout.height).step_by(layout.patch) {
        for patch_x in (0..layout.width).step_by(layout.patch) {
            for inner_y in (patch_y..patch_y + layout.patch).step_by(inner) {
                for inner_x in (patch_x..patch_x + layout.patch).step_by(inner) {
                    for y in inner_y..inner_y + inner {
                        let start = (y * layout.width + inner_x) * channels;
                        run(start..start + inner * channels);
                    }
                }
            }
        }
    }
}

/// Raster bytes to the stream's order.
pub(super) fn to_stream(raster: &[u8], layout: &ImageLayout) -> Vec<u8> {
    let mut stream = Vec::with_capacity(raster.len());
    for_each_run(layout, |run| stream.extend_from_slice(&raster[run]));
    stream
}

/// A stream of full length back to raster bytes.
pub(super) fn to_raster(stream: &[u8], layout: &ImageLayout) -> Vec<u8> {
    let mut raster = vec![0; stream.len()];
    let mut rest = stream;
    for_each_run(layout, |run| {
        let (next, after) = rest.split_at(run.len());
        raster[run].copy_from_slice(next);
        rest = after;
    });
    raster
}

/// The raster place of each byte of the stream.
pub(in super::super) fn places(layout: &ImageLayout) -> Vec<usize> {
    let mut places = Vec::with_capacity(layout.len());
    for_each_run(layout, |run| places.extend(run));
    places
}

/// The picture flipped left to right, in raster bytes.
pub(super) fn flip(raster: &mut [u8], layout: &ImageLayout) {
    let channels = layout.channels.count();
    for row in raster.chunks_exact_mut(layout.width * channels) {
        // Reversing all bytes reverses the channels of every pixel too.
        row.reverse();
        row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
    }
}
