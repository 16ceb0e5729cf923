//! The shards of a folder: written beside their places, then named together.

use std::path::Path;

use tempfile::NamedTempFile;

use super::manifest::{self, Manifest, ShardInfo};
use super::{ShardWriter, Split};
use crate::Result;
use crate::error::IoContext;
use crate::modality::Layout;

/// A shard is closed before its payload grows beyond this.
const SHARD_BYTES: u64 = 1 << 30;

/// The shards of each split that are being written.
pub(super) struct Writers<'a> {
    out: &'a Path,
    layout: &'a Layout,
    open: [Option<ShardWriter>; 3],
    begun: [usize; 3],
    done: Vec<(NamedTempFile, ShardInfo)>,
}

impl<'a> Writers<'a> {
    pub(super) fn new(out: &'a Path, layout: &'a Layout) -> Self {
        Writers { out, layout, open: [None, None, None], begun: [0; 3], done: Vec::new() }
    }

    pub(super) fn push(&mut self, split: Split, name: &str, bytes: &[u8], ends: bool) -> Result<()> {
        let slot = split as usize;
        let full = |writer: &mut ShardWriter| {
            writer.bytes() > 0 && writer.bytes().saturating_add(bytes.len() as u64) > SHARD_BYTES
        };
        if let Some(writer) = self.open[slot].take_if(full) {
            self.done.push(writer.finish_unnamed()?);
        }
        let writer = match &mut self.open[slot] {
            Some(writer) => writer,
            empty => {
                let path = self.out.join(manifest::shard_name(split, self.begun[slot]));
                self.begun[slot] += 1;
                empty.insert(ShardWriter::new(&path, split, self.layout)?)
            }
        };
        writer.push(name, bytes, ends)
    }

    /// The shards, not yet under their names, in the order of splits and numbers.
    pub(super) fn finish(self) -> Result<Vec<(NamedTempFile, ShardInfo)>> {
        let mut done = self.done;
        for writer in self.open.into_iter().flatten() {
            done.push(writer.finish_unnamed()?);
        }
        done.sort_by(|(_, a), (_, b)| (a.split, &a.file).cmp(&(b.split, &b.file)));
        Ok(done)
    }
}

/// Gives the shards their names. The manifest goes first and comes last, so that the folder never looks prepared while
/// old and new shards stand side by side.
pub(super) fn publish(shards: Vec<(NamedTempFile, ShardInfo)>, manifest: &Manifest, out: &Path) -> Result<()> {
    let ours = out.join(manifest::FILE);
    if ours.exists() {
        std::fs::remove_file(&ours).at(&ours)?;
    }
    for old in manifest::shards_in(out) {
        std::fs::remove_file(&old).at(&old)?;
    }
    for (file, info) in shards {
        let path = out.join(&info.file);
        file.persist(&path).map_err(|error| error.error).at(&path)?;
    }
    manifest.save(out)
}
