//! A part of the work that is finished together: shards of each split that get their names at one time.

use std::path::Path;

use tempfile::NamedTempFile;

use crate::Result;
use crate::data::manifest::{self, ShardInfo};
use crate::data::{ShardWriter, Split};
use crate::error::IoContext;
use crate::modality::Layout;

/// A shard is closed before its payload grows beyond this, and a segment once its payload has.
const SHARD_BYTES: u64 = 1 << 30;

/// The shards that are being written. Until they are named, nothing of them outlives the program.
pub(super) struct Segment<'a> {
    out: &'a Path,
    layout: &'a Layout,
    open: [Option<ShardWriter>; 3],
    /// The number of each split's next shard.
    next: [usize; 3],
    done: Vec<(NamedTempFile, ShardInfo)>,
    bytes: u64,
}

impl<'a> Segment<'a> {
    pub(super) fn new(out: &'a Path, layout: &'a Layout) -> Self {
        let next = Split::ALL.map(|split| manifest::next_number(out, split));
        Segment { out, layout, open: [None, None, None], next, done: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, split: Split, name: &str, bytes: &[u8], hash: [u8; 32], ends: bool) -> Result<()> {
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
                let path = self.out.join(manifest::shard_name(split, self.next[slot]));
                self.next[slot] += 1;
                empty.insert(ShardWriter::new(&path, split, self.layout)?)
            }
        };
        self.bytes += bytes.len() as u64;
        writer.push_hashed(name, bytes, hash, ends)
    }

    /// Whether a split has something in it.
    pub(super) fn holds(&self, split: Split) -> bool {
        let open = self.open[split as usize].as_ref().is_some_and(|writer| writer.bytes() > 0);
        open || self.done.iter().any(|(_, info)| info.split == split && info.bytes > 0)
    }

    /// Whether it is time to name the shards.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= SHARD_BYTES
    }

    /// Whether nothing waits to be named.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0 && self.done.is_empty()
    }

    /// Names the shards, and begins with the next ones.
    pub(super) fn name(&mut self) -> Result<Vec<ShardInfo>> {
        for writer in self.open.iter_mut().filter_map(Option::take) {
            self.done.push(writer.finish_unnamed()?);
        }
        self.bytes = 0;
        let mut named = Vec::new();
        for (file, info) in self.done.drain(..) {
            let path = self.out.join(&info.file);
            file.persist(&path).map_err(|error| error.error).at(&path)?;
            named.push(info);
        }
        Ok(named)
    }
}
