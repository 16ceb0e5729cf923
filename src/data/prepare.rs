//! Files to shards.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::manifest::{self, Manifest, Skipped, Summary};
use super::publish::{Writers, publish};
use super::source::{SourceFile, Walk, is_shard, walk};
use super::split::{self, Split};
use crate::config::DataConfig;
use crate::error::IoContext;
use crate::modality::{Adapter, Layout};
use crate::progress::Progress;
use crate::{Error, Result};

/// Files encoded in parallel before they are written in order: at most this many, of about this many bytes.
const CHUNK_FILES: usize = 1024;
const CHUNK_BYTES: u64 = 128 << 20;
/// Skipped files that are told one by one.
const NOTES: usize = 10;

/// Turns files and folders into shards of byte sequences in the folder `out`, split into train, valid and test.
///
/// The split is that of the folder `train`, `valid` or `test` directly below a source, or else follows from the
/// content alone ([`Split::of_hash`]); text and audio documents longer than `data.cut_over` bytes are cut into all
/// three. Content that was seen before is left out and counted, and so is a file that can't be used, with its reason.
///
/// What an earlier call wrote to `out` is replaced, at the end; other files there are left alone. When the work is
/// cancelled or fails, `out` is as it was.
///
/// Fails where a source is missing, where no file can be used, and where `out` can't be written; with
/// [`Error::Interrupted`] when the work was cancelled.
pub fn prepare(sources: &[PathBuf], data: &DataConfig, out: &Path, progress: &dyn Progress) -> Result<Summary> {
    let layout = data.layout()?;
    let found = walk(sources)?;
    if found.files.is_empty() && found.skipped.is_empty() {
        let names: Vec<_> = sources.iter().map(|source| source.display().to_string()).collect();
        return Err(Error::Usage(format!("there are no files in {}", names.join(", "))));
    }
    let ours = out.join(manifest::FILE);
    if ours.exists() && manifest::shards_in(out).is_empty() {
        return Err(Error::file(ours, "is not a manifest of prepared data: choose another folder to write"));
    }
    let new = !out.exists();
    std::fs::create_dir_all(out).at(out)?;
    let summary = write(&found, &layout, data.cut_over, out, progress);
    if summary.is_err() && new {
        // Only where nothing is in it; a failure is told by `summary`.
        let _ = std::fs::remove_dir(out);
    }
    summary
}

fn write(found: &Walk, layout: &Layout, cut_over: u64, out: &Path, progress: &dyn Progress) -> Result<Summary> {
    let adapter = layout.adapter();
    let mut manifest = Manifest::new(layout.clone(), cut_over);
    let mut skip = Skip { list: Vec::new(), progress };
    for Skipped { path, reason } in &found.skipped {
        skip.push(path, reason.clone());
    }
    let mut writers = Writers::new(out, layout);
    let mut seen = HashSet::new();
    progress.start("prepare", found.files.iter().map(|file| file.size).sum());
    for chunk in chunks(&found.files) {
        let encoded: Vec<_> = chunk.par_iter().map(|file| read(file, adapter.as_ref(), progress)).collect();
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        for (file, encoded) in chunk.iter().zip(encoded) {
            let document = match encoded {
                Ok(document) => document,
                Err(reason) => {
                    skip.push(&file.path, reason);
                    continue;
                }
            };
            if !seen.insert(document.hash) {
                manifest.duplicates += 1;
                continue;
            }
            manifest.files += 1;
            let len = document.bytes.len();
            let pieces = match file.split {
                Some(split) => vec![(split, 0..len)],
                None => {
                    split::cut(len, layout, cut_over).unwrap_or_else(|| vec![(Split::of_hash(&document.hash), 0..len)])
                }
            };
            for (split, range) in pieces {
                let ends = adapter.ends_with_symbol() && range.end == len;
                writers.push(split, &file.name, &document.bytes[range], ends)?;
            }
        }
    }
    manifest.skipped = skip.finish(out);
    if manifest.files == 0 {
        return Err(nothing_usable(layout, &manifest.skipped));
    }

    let shards = writers.finish()?;
    for (_, info) in &shards {
        let count = manifest.splits.entry(info.split).or_default();
        count.items += info.items;
        count.bytes += info.bytes;
    }
    manifest.warnings = warnings(&manifest);
    manifest.shards = shards.iter().map(|(_, info)| info.clone()).collect();
    publish(shards, &manifest, out)?;
    Ok(manifest)
}

/// The files that could not be used; the first of them are told as they come.
struct Skip<'a> {
    list: Vec<Skipped>,
    progress: &'a dyn Progress,
}

impl Skip<'_> {
    fn push(&mut self, path: &Path, reason: String) {
        if self.list.len() < NOTES {
            self.progress.note(&format!("skipped {}: {reason}", path.display()));
        }
        self.list.push(Skipped { path: path.to_owned(), reason });
    }

    fn finish(self, out: &Path) -> Vec<Skipped> {
        if let Some(more) = self.list.len().checked_sub(NOTES).filter(|&more| more > 0) {
            let list = out.join(manifest::FILE);
            self.progress.note(&format!("skipped {more} more files, listed in {}", list.display()));
        }
        self.list
    }
}

/// Files in runs that fit in memory together.
fn chunks(files: &[SourceFile]) -> impl Iterator<Item = &[SourceFile]> {
    let mut rest = files;
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let fits = |file: &&SourceFile| {
            bytes = bytes.saturating_add(file.size);
            bytes <= CHUNK_BYTES
        };
        let len = rest.iter().take(CHUNK_FILES).take_while(fits).count().max(1).min(rest.len());
        let (chunk, after) = rest.split_at(len);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

struct Document {
    bytes: Vec<u8>,
    hash: [u8; 32],
}

/// Reads and encodes a file; the error is the reason to skip it.
fn read(file: &SourceFile, adapter: &dyn Adapter, progress: &dyn Progress) -> Result<Document, String> {
    if progress.cancelled() {
        return Err("stopped".to_owned());
    }
    let content = std::fs::read(&file.path).map_err(|error| error.to_string());
    progress.advance(file.size);
    let bytes = encode(adapter, &content?)?;
    let hash = *blake3::hash(&bytes).as_bytes();
    Ok(Document { bytes, hash })
}

/// Encodes a file's content; the error is the reason why it can't be used.
pub(super) fn encode(adapter: &dyn Adapter, content: &[u8]) -> Result<Vec<u8>, String> {
    if content.is_empty() {
        return Err("is empty".to_owned());
    }
    if is_shard(content) {
        return Err("is a shard of prepared data".to_owned());
    }
    let bytes = adapter.encode(content).map_err(|error| error.to_string())?;
    if bytes.is_empty() { Err("has no content".to_owned()) } else { Ok(bytes) }
}

fn nothing_usable(layout: &Layout, skipped: &[Skipped]) -> Error {
    let mut message = format!("no file can be used as {}", layout.modality());
    for Skipped { path, reason } in skipped.iter().take(5) {
        message.push_str(&format!("\n  {}: {reason}", path.display()));
    }
    if skipped.len() > 5 {
        message.push_str(&format!("\n  and {} more", skipped.len() - 5));
    }
    Error::Content(message)
}

fn warnings(manifest: &Manifest) -> Vec<String> {
    let empty: Vec<_> = Split::ALL.into_iter().filter(|&split| manifest.count(split).items == 0).collect();
    if empty.is_empty() {
        return Vec::new();
    }
    let remedy = match manifest.layout {
        Layout::Image(_) => "",
        _ => ", or lower data.cut_over, so that documents are cut",
    };
    let names: Vec<_> = empty.iter().map(|split| split.name()).collect();
    let items = manifest.total().items;
    vec![format!(
        "no item of {items} fell into {}: add files, sort them into folders named train, valid and test{remedy}",
        names.join(" or ")
    )]
}
