//! Items of a prepared folder, or of files encoded in memory.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::documents::{Document, documents};
use super::manifest::{Manifest, Skipped, difference};
use super::shard::Shard;
use super::split::Split;
use crate::modality::Layout;
use crate::progress::Progress;
use crate::shown::shown;
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
    /// The number of items, bytes, and bytes and ends of documents, before each part.
    first: Vec<Place>,
    total: Place,
    file_warnings: Vec<Skipped>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    items: usize,
    bytes: u64,
    symbols: u64,
}

#[derive(Debug)]
enum Part {
    Shard(Shard),
    Memory(Document),
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
            parts.push(Part::Shard(manifest.shard(folder, info)?));
        }
        Ok(Self::new(manifest.settings.layout, parts))
    }

    /// Maps shards that are of one layout, whichever folder and split they are of.
    pub fn from_shards(paths: &[PathBuf]) -> Result<Self> {
        let shards = paths.iter().map(|path| Shard::open(path)).collect::<Result<Vec<_>>>()?;
        let Some(first) = shards.first() else {
            return Err(Error::Usage("there is no shard to open".to_owned()));
        };
        let layout = first.layout().clone();
        if let Some(other) = shards.iter().find(|shard| *shard.layout() != layout) {
            return Err(Error::file(other.path(), "is laid out otherwise than the shards before it"));
        }
        Ok(Self::new(layout, shards.into_iter().map(Part::Shard).collect()))
    }

    /// Encodes files in memory, in the order given: one item a file, or of an archive one item for each document in it.
    /// A file that can't be used is an error that names it; in an archive, what can't be used is left out.
    pub fn from_files(files: &[PathBuf], layout: &Layout) -> Result<Self> {
        let adapter = layout.adapter();
        let read = |path: &PathBuf| documents(path, &path.display().to_string(), layout, adapter.as_ref());
        let (mut parts, mut warnings) = (Vec::new(), Vec::new());
        for (found, more) in files.par_iter().map(read).collect::<Result<Vec<_>>>()? {
            parts.extend(found.into_iter().map(Part::Memory));
            warnings.extend(more);
        }
        Ok(Dataset { file_warnings: warnings, ..Self::new(layout.clone(), parts) })
    }

    /// As [`from_files`](Self::from_files), for files that go by names of the caller's choice; those that can't be used
    /// are left out and given back with the reasons.
    pub(super) fn from_usable(files: &[(&Path, &str)], layout: &Layout) -> (Self, Vec<Skipped>) {
        let adapter = layout.adapter();
        let read = |&(path, name): &(&Path, &str)| documents(path, name, layout, adapter.as_ref());
        let (mut parts, mut warnings, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for ((path, _), found) in files.iter().zip(files.par_iter().map(read).collect::<Vec<_>>()) {
            match found {
                Ok((found, more)) => {
                    parts.extend(found.into_iter().map(Part::Memory));
                    warnings.extend(more);
                }
                Err(Error::File { path, reason }) => skipped.push(Skipped::new(path.display(), reason)),
                Err(Error::Io { path, error }) => skipped.push(Skipped::new(path.display(), error.to_string())),
                Err(error) => skipped.push(Skipped::new(path.display(), error.to_string())),
            }
        }
        (Dataset { file_warnings: warnings, ..Self::new(layout.clone(), parts) }, skipped)
    }

    /// Byte sequences that are there already, none of which ends a document.
    pub fn from_memory(items: Vec<Vec<u8>>, layout: &Layout) -> Self {
        let part = |bytes| {
            Part::Memory(Document { name: "memory".to_owned(), source: "memory".to_owned(), bytes, ends: false })
        };
        Self::new(layout.clone(), items.into_iter().map(part).collect())
    }

    fn new(layout: Layout, parts: Vec<Part>) -> Self {
        let (mut first, mut total) = (Vec::with_capacity(parts.len()), Place::default());
        for part in &parts {
            first.push(total);
            let (items, bytes, ends) = match part {
                Part::Shard(shard) => (shard.len(), shard.bytes(), shard.ends()),
                Part::Memory(Document { bytes, ends, .. }) => (1, bytes.len() as u64, u64::from(*ends)),
            };
            total.items += items;
            total.bytes += bytes;
            total.symbols += bytes + ends;
        }
        Dataset { layout, parts, first, total, file_warnings: Vec::new() }
    }

    /// What there is to know of the files that it was read from: those that are used in part, or are read otherwise than their
    /// headers say. Of a prepared folder, the manifest has it.
    pub fn file_warnings(&self) -> &[Skipped] {
        &self.file_warnings
    }

    /// How the items are laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.total.items
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all items, without end-of-sequence symbols.
    pub fn bytes(&self) -> u64 {
        self.total.bytes
    }

    /// The length of the stream of all items one after the other, `with_ends` with a symbol after each that ends a
    /// document.
    pub fn stream_len(&self, with_ends: bool) -> u64 {
        if with_ends { self.total.symbols } else { self.total.bytes }
    }

    /// The item in which a place of that stream lies, and how far behind its start; the place is below the stream's
    /// length. Found by bisection: it takes no memory that grows with the items.
    pub(super) fn find(&self, place: u64, with_ends: bool) -> (usize, u64) {
        let start = |first: &Place| if with_ends { first.symbols } else { first.bytes };
        let part = self.first.partition_point(|first| start(first) <= place) - 1;
        let first = &self.first[part];
        let behind = place - start(first);
        match &self.parts[part] {
            Part::Shard(shard) => {
                let (item, behind) = shard.find(behind, with_ends);
                (first.items + item, behind)
            }
            Part::Memory(_) => (first.items, behind),
        }
    }

    /// A name for what the items are, by the checksums of their shards: another data set has another.
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for part in &self.parts {
            match part {
                Part::Shard(shard) => {
                    let (head, payload) = shard.checksums();
                    hash.update(&head.to_le_bytes()).update(&payload.to_le_bytes());
                }
                Part::Memory(Document { bytes, ends, .. }) => {
                    hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes).update(&[u8::from(*ends)]);
                }
            }
        }
        hash.finalize().to_hex()[..16].to_owned()
    }

    /// Fails where a shard is not what it was when it was opened, and names it: what was read since may be zeros. To be asked
    /// after items were read, before anything is made of them.
    pub fn check(&self) -> Result<()> {
        (0..self.parts.len()).try_for_each(|part| self.check_part(part))
    }

    /// The same of one part, as [`part_of`](Self::part_of) names it.
    pub(super) fn check_part(&self, part: usize) -> Result<()> {
        match &self.parts[part] {
            Part::Shard(shard) => shard.check(),
            Part::Memory(_) => Ok(()),
        }
    }

    /// The part, a shard or a document in memory, that item `i` is in.
    pub(super) fn part_of(&self, i: usize) -> usize {
        // The last part that begins at or before i; a part without items begins where the next one does.
        self.first.partition_point(|first| first.items <= i) - 1
    }

    /// Item `i`. Of a shard it is where the file is mapped: see [`check`](Self::check).
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
            Part::Memory(Document { bytes, ends, .. }) => Item { bytes, ends: *ends },
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
            Part::Memory(Document { name, .. }) => name,
        }
    }

    /// What item `i` comes from: of shards the first folder, or archive, of its name that is no split's, of files in
    /// memory the folder they are in; `.` where there is none.
    ///
    /// # Panics
    /// Where `i` is not below [`len`](Self::len).
    pub fn source(&self, i: usize) -> &str {
        let (part, at) = self.locate(i);
        match part {
            Part::Shard(shard) => {
                let name = shard.name(at);
                let below = match Split::of_name(name) {
                    Some(_) => name.split_once('/').map_or(name, |(_, below)| below),
                    None => name,
                };
                below.split_once('/').map_or(".", |(first, _)| first)
            }
            Part::Memory(Document { source, .. }) => source,
        }
    }

    /// Reads every payload and compares it with its checksum.
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        progress.start("verify", self.bytes());
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
        assert!(i < self.len(), "item {i} of {}", self.len());
        let part = self.part_of(i);
        (&self.parts[part], i - self.first[part].items)
    }
}

/// Fails, naming the key, where the layout wanted is not that of the prepared folder.
pub(super) fn expect_layout(wanted: &Layout, prepared: &Layout, folder: &Path) -> Result<()> {
    match difference(wanted, prepared) {
        None => Ok(()),
        Some((key, ours, theirs)) => {
            let folder = shown(folder);
            Err(Error::config(
                key,
                format!("is {ours}, but {folder} was prepared with {theirs}: set it to that, or prepare again"),
            ))
        }
    }
}
