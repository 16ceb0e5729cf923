//! What files say of themselves, before they are encoded: sizes of pictures, rates of sounds.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use megabyte::data::walk;
use megabyte::modality::{Description, describe};

/// Kinds of a folder that are listed.
const KINDS: usize = 12;

/// One file as a line.
pub(super) fn line(description: &Description) -> String {
    match description {
        Description::Picture { format, width, height, colour, bits } => {
            format!("{format} of {width} x {height} pixels, {colour}, {bits} bits")
        }
        Description::Sound { format, rate, channels, seconds } => {
            let seconds = seconds.map_or(String::new(), |seconds| format!(", {seconds:.2} seconds"));
            format!("{format} of {rate} Hz, {channels} channel{}{seconds}", if *channels == 1 { "" } else { "s" })
        }
    }
}

/// The most frequent kinds of pictures and sounds among the files below a path, archives not opened.
pub(super) fn kinds(path: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for file in walk(&[path.to_owned()])?.files {
        let Some(mut description) = File::open(&file.path).ok().and_then(|mut file| describe(&mut file)) else {
            continue;
        };
        if let Description::Sound { seconds, .. } = &mut description {
            // Every recording has a length of its own.
            *seconds = None;
        }
        *counts.entry(line(&description)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(KINDS);
    Ok(counts)
}
