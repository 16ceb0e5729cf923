//! The binary versions of CIFAR-10 and CIFAR-100: records of one or two labels and a picture of 32 x 32 pixels, all
//! red values, then all green ones, then all blue ones.
//!
//! ```text
//! CIFAR-10    u8 label < 10                    3072 bytes
//! CIFAR-100   u8 coarse < 20   u8 fine < 100   3072 bytes
//! ```
//!
//! There is no signature: a file is one of these where its length and the labels of all its records fit.

use std::io::{BufRead, BufReader, Read};

use super::content::Content;
use super::fence::Step;
use super::pnm::Pixels;
use super::walk::{Place, Walk};

const PIXELS: Pixels = Pixels { width: 32, height: 32, channels: 3, planar: true };
const PICTURE: usize = 3072;
/// How many values each label of a record has.
const VERSIONS: [&[u8]; 2] = [&[10], &[20, 100]];

/// Whether a file of this length may be one.
pub(super) fn fits(len: u64) -> bool {
    VERSIONS.iter().any(|labels| holds_records(len, labels))
}

fn holds_records(len: u64, labels: &[u8]) -> bool {
    len > 0 && len.is_multiple_of((labels.len() + PICTURE) as u64)
}

/// Visits the pictures, where the content is one of these; says whether it is.
pub(super) fn expand(walk: &mut Walk<'_>, content: &mut Content, place: &Place) -> Step<bool> {
    let len = content.len()?;
    for labels in VERSIONS {
        if !holds_records(len, labels) || !labels_fit(content, labels)? {
            continue;
        }
        let mut reader = content.reader()?;
        let mut record = vec![0; labels.len() + PICTURE];
        for row in 0..len / record.len() as u64 {
            reader.read_exact(&mut record)?;
            walk.record_bytes(place.join(&format!("row {row}")), PIXELS.file(&record[labels.len()..]))?;
        }
        return Ok(true);
    }
    Ok(false)
}

fn labels_fit(content: &mut Content, labels: &[u8]) -> Step<bool> {
    let mut reader = BufReader::new(content.reader()?);
    let mut record = vec![0; labels.len() + PICTURE];
    while !reader.fill_buf()?.is_empty() {
        reader.read_exact(&mut record)?;
        if record.iter().zip(labels).any(|(label, values)| label >= values) {
            return Ok(false);
        }
    }
    Ok(true)
}
