//! Items of a prepared folder, or of files encoded in memory.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::manifest::{Manifest, difference};
use super::prepare::encode;
use super::shard::Shard;
use super::split::Split;
use crate::error::IoContext;
use crate::modality::Layout;
use crate::progress::Progress;
use crate::{Error, Result};

/// A byte sequence: a document, a piece of one, or a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The bytes, in stream order.
    pub bytes: &'a [u8],
    /// A document ends here: an end-of-sequence symbol follows, where the model's vocabulary is 257.
    pub ends: bool,
}

/// Items in an order that does not change.
#[derive(Debug)]
pub struct Dataset {
    layout: Layout,
    parts: Vec<Part>,
    /// The number of items before each part.
    first: Vec<usize>,
    len: usize,
    bytes: u64,
}

#[derive(Debug)]
enum Part {
    Shard(Shard),
    Memory { name: String, bytes: Vec<u8>, ends: bool },
}

impl Dataset {
    /// Maps the shards of a prepared folder: those of one split, or of all. A split may have no items.
    ///
    /// Fails where the folder is not prepared, or a shard is missing, damaged up to its payload, or another than the
    /// manifest names; [`verify`](Self::verify) checks payloads.
    pub fn open(folder: &Path, split: Option<Split>) -> Result<Self> {
        let manifest = Manifest::load(folder)?;
        let mut parts = Vec::new();
        for info in manifest.shards.iter().filter(|info| split.is_none_or(|split| split == info.split)) {
            let path = folder.join(&info.file);
            if !path.is_file() {
                return Err(Error::file(path, "is missing: run `megabyte prepare` again"));
            }
            let shard = Shard::open(&path)?;
            let (head, payload) = shard.checksums();
            let same = format!("{head:016x}") == info.head_xxh3
                && format!("{payload:016x}") == info.payload_xxh3
                && shard.split() == info.split
                && *shard.layout() == manifest.layout;
            if !same {
                let reason = "is not the shard that the manifest beside it names: run `megabyte prepare` again";
                return Err(Error::file(path, reason));
            }
            parts.push(Part::Shard(shard));
        }
        Ok(Self::new(manifest.layout, parts))
    }

    /// Encodes files in memory, one item a file, in the order given. A file that can't be used is an error that names
    /// it.
    pub fn from_files(files: &[PathBuf], layout: &Layout) -> Result<Self> {
        let adapter = layout.adapter();
        let parts = files.par_iter().map(|path| {
            if path.is_dir() {
                return Err(Error::file(path, "is a folder where a file is expected"));
            }
            let content = std::fs::read(path).at(path)?;
            let bytes = encode(adapter.as_ref(), &content).map_err(|reason| Error::file(path, reason))?;
            Ok(Part::Memory { name: path.display().to_string(), bytes, ends: adapter.ends_with_symbol() })
        });
        Ok(Self::new(layout.clone(), parts.collect::<Result<_>>()?))
    }

    /// Byte sequences that are there already, none of which ends a document.
    pub fn from_memory(items: Vec<Vec<u8>>, layout: &Layout) -> Self {
        let part = |bytes| Part::Memory { name: "memory".to_owned(), bytes, ends: false };
        Self::new(layout.clone(), items.into_iter().map(part).collect())
    }

    fn new(layout: Layout, parts: Vec<Part>) -> Self {
        let (mut first, mut len, mut bytes) = (Vec::with_capacity(parts.len()), 0, 0);
        for part in &parts {
            first.push(len);
            let (items, size) = match part {
                Part::Shard(shard) => (shard.len(), shard.bytes()),
                Part::Memory { bytes, .. } => (1, bytes.len() as u64),
            };
            len += items;
            bytes += size;
        }
        Dataset { layout, parts, first, len, bytes }
    }

    /// How the items are laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all items, without end-of-sequence symbols.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Item `i`.
    ///
    /// # Panics
    /// Where `i` is not below [`len`](Self::len).
    pub fn item(&self, i: usize) -> Item<'_> {
        let (part, at) = self.locate(i);
        match part {
            Part::Shard(shard) => {
                let (bytes, ends) = shard.item(at);
                Item { bytes, ends }
            }
            Part::Memory { bytes, ends, .. } => Item { bytes, ends: *ends },
        }
    }

    /// The name of item `i`: its file's path, for shards below the source. Pieces of one document share it.
    ///
    /// # Panics
    /// Where `i` is not below [`len`](Self::len).
    pub fn name(&self, i: usize) -> &str {
        let (part, at) = self.locate(i);
        match part {
            Part::Shard(shard) => shard.name(at),
            Part::Memory { name, .. } => name,
        }
    }

    /// Reads every payload and compares it with its checksum.
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        progress.start("verify", self.bytes);
        for part in &self.parts {
            if let Part::Shard(shard) = part {
                shard.verify()?;
                progress.advance(shard.bytes());
            }
            if progress.cancelled() {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }

    /// Fails, naming the key, where the items are laid out otherwise than `layout`; `what` is what was opened.
    pub fn expect_layout(&self, layout: &Layout, what: &Path) -> Result<()> {
        expect_layout(layout, &self.layout, what)
    }

    fn locate(&self, i: usize) -> (&Part, usize) {
        assert!(i < self.len, "item {i} of {}", self.len);
        // The last part that begins at or before i; a part without items begins where the next one does.
        let part = self.first.partition_point(|&first| first <= i) - 1;
        (&self.parts[part], i - self.first[part])
    }
}

/// Fails, naming the key, where the layout wanted is not that of the prepared folder.
pub(super) fn expect_layout(wanted: &Layout, prepared: &Layout, folder: &Path) -> Result<()> {
    match difference(wanted, prepared) {
        None => Ok(()),
        Some((key, ours, theirs)) => {
            let folder = folder.display();
            Err(Error::config(
                key,
                format!("is {ours}, but {folder} was prepared with {theirs}: set it to that, or prepare again"),
            ))
        }
    }
}
