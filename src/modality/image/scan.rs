//! The order of pixels in a byte sequence.

use std::ops::Range;

use super::super::{ImageLayout, Scan};

/// The runs of raster bytes that follow each other in the stream: whole pixels, all channels of a pixel together.
/// The raster scan is one run; the patch scan is `patch` pixels of a row at a time, patches in row-major order.
fn runs(layout: &ImageLayout) -> Vec<Range<usize>> {
    if layout.scan == Scan::Raster {
        return std::iter::once(0..layout.len()).collect();
    }
    let side = layout.patch;
    let run = side * layout.channels.count();
    let row = layout.width * layout.channels.count();
    let mut runs = Vec::with_capacity(layout.len() / run);
    for patch_y in 0..layout.height / side {
        for patch_x in 0..layout.width / side {
            for y in 0..side {
                let start = (patch_y * side + y) * row + patch_x * run;
                runs.push(start..start + run);
            }
        }
    }
    runs
}

/// Raster bytes (`height * width * channels`) to the stream's order.
pub(super) fn to_stream(raster: &[u8], layout: &ImageLayout) -> Vec<u8> {
    let mut stream = Vec::with_capacity(raster.len());
    for run in runs(layout) {
        stream.extend_from_slice(&raster[run]);
    }
    stream
}

/// A stream of full length back to raster bytes.
pub(super) fn to_raster(stream: &[u8], layout: &ImageLayout) -> Vec<u8> {
    let mut raster = vec![0; stream.len()];
    let mut rest = stream;
    for run in runs(layout) {
        let (next, after) = rest.split_at(run.len());
        raster[run].copy_from_slice(next);
        rest = after;
    }
    raster
}
