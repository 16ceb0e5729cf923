//! A shard: many byte sequences in one file that is mapped into memory, not read.
//!
//! The format, byte by byte, is in `docs/shards.md`.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Split;
use crate::error::IoContext;
use crate::modality::Layout;
use crate::native::mapped::Mapped;
use crate::{Error, Result};

/// The first bytes of a shard: not text, and damaged by whatever turns line ends.
pub const MAGIC: [u8; 8] = *b"\x89MBS\r\n\x1a\n";
/// The version that is written and read.
pub const VERSION: u32 = 2;

/// Bytes before the payload.
pub(super) const PREFIX: usize = 16;
/// Bytes after the header.
const TAIL: usize = 24;
/// Bytes of an index entry.
pub(super) const ENTRY: usize = 64;
/// A document ends with this item.
pub(super) const ENDS: u32 = 1;

/// The JSON header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub split: Split,
    pub items: u64,
    pub ends: u64,
    pub names: u64,
    pub payload: u64,
    #[serde(flatten)]
    pub layout: Layout,
}

/// One item's line in the index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub offset: u64,
    /// The offset in the stream that has end-of-sequence symbols.
    pub symbol: u64,
    pub name_offset: u64,
    pub name_len: u32,
    pub flags: u32,
    pub hash: [u8; 32],
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.symbol.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.name_offset.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.name_len.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.flags.to_le_bytes());
        bytes[32..].copy_from_slice(&self.hash);
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Entry {
            offset: u64_at(0),
            symbol: u64_at(8),
            name_offset: u64_at(16),
            name_len: u32_at(24),
            flags: u32_at(28),
            hash: std::array::from_fn(|i| bytes[32 + i]),
        }
    }
}

/// A shard, mapped and checked up to its payload.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    map: Mapped,
    header: Header,
    /// Where index and names start in the file; the payload starts behind the prefix.
    index: usize,
    names: usize,
}

impl Shard {
    /// Maps a shard and checks everything but its payload. [`Error::File`] where it is no shard, is damaged or was
    /// cut short.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at(path)?;
        let map = Mapped::new(file).at(path)?;
        let refuse = |reason: String| Error::file(path, format!("{reason}: run `megabyte prepare --force` again"));
        let (header, [index, names]) = parse(&map).map_err(refuse)?;
        let shard = Shard { path: path.to_owned(), map, header, index, names };
        shard.check()?;
        Ok(shard)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The split whose items these are.
    pub fn split(&self) -> Split {
        self.header.split
    }

    /// How the items are laid out.
    pub fn layout(&self) -> &Layout {
        &self.header.layout
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.header.items as usize
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.header.payload
    }

    /// Items that end a document.
    pub fn ends(&self) -> u64 {
        self.header.ends
    }

    /// Fails where the file is not what it was when it was opened: what was read of it since may be zeros. To be asked
    /// after reading, before anything is made of it.
    pub fn check(&self) -> Result<()> {
        if self.map.is_whole().at(&self.path)? {
            return Ok(());
        }
        let reason = "was cut short, or could not be read, while it was in use: bring it back as it was, or run \
                      `megabyte prepare --force` again";
        Err(Error::file(&self.path, reason))
    }

    /// The bytes of item `i`, and whether a document ends with it.
    ///
    /// # Panics
    /// Where `i` is not below [`len`](Self::len).
    pub fn item(&self, i: usize) -> (&[u8], bool) {
        let Entry { offset, flags, .. } = self.entry(i);
        let end =
            if i + 1 < self.len() { u64_at(&self.map, self.index + (i + 1) * ENTRY) } else { self.header.payload };
        // These are in order, but for an index that was cut off meanwhile: `check` tells.
        let bytes = self.payload().get(offset as usize..end as usize).unwrap_or_default();
        (bytes, flags & ENDS != 0)
    }

    /// The last item that starts at or before a place in the stream of bytes or, `with_ends`, of bytes and
    /// end-of-sequence symbols; and how far behind its start the place is. The place lies inside the stream.
    ///
    /// A guess from the mean length of the items comes first, and doubling steps from there until the place lies
    /// between two: where items are of about one length, an entry or two are read. Then bisection.
    pub fn find(&self, place: u64, with_ends: bool) -> (usize, u64) {
        let at = if with_ends { 8 } else { 0 };
        let start = |i: usize| u64_at(&self.map, self.index + i * ENTRY + at);
        let total = self.header.payload + if with_ends { self.header.ends } else { 0 };
        let guess = u128::from(place) * self.len() as u128 / u128::from(total.max(1));
        let guess = (guess as usize).min(self.len() - 1);
        let (mut low, mut high, mut step) = (guess, guess + 1, 1);
        // The first item starts at 0, and nothing lies behind the last.
        while start(low) > place {
            (low, high) = (low.saturating_sub(step), low);
            step *= 2;
        }
        while high < self.len() && start(high) <= place {
            (low, high) = (high, (high + step).min(self.len()));
            step *= 2;
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            if start(middle) <= place {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low, place.saturating_sub(start(low)))
    }

    /// The name of item `i`: the path of its file below the source it came from.
    pub fn name(&self, i: usize) -> &str {
        let entry = self.entry(i);
        let start = self.names + entry.name_offset as usize;
        let name = self.map.get(start..start + entry.name_len as usize).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The BLAKE3 hash of item `i`.
    pub fn hash(&self, i: usize) -> [u8; 32] {
        self.entry(i).hash
    }

    /// The checksum of everything but the payload, and that of the payload, as they stand in the file.
    pub fn checksums(&self) -> (u64, u64) {
        let len = self.map.len();
        (u64_at(&self.map, len - 8), u64_at(&self.map, len - TAIL))
    }

    fn payload(&self) -> &[u8] {
        &self.map[PREFIX..self.index]
    }

    /// Reads the whole payload and compares it with its checksum; where it differs, the error names the first item
    /// that changed.
    pub fn verify(&self) -> Result<()> {
        let same = xxh3_64(self.payload()) == self.checksums().1;
        self.check()?;
        if same {
            return Ok(());
        }
        let changed = (0..self.len()).find(|&i| *blake3::hash(self.item(i).0).as_bytes() != self.hash(i));
        let what = match changed {
            Some(i) => format!("item {i} (`{}`) differs from its checksum", self.name(i)),
            None => "the payload's checksum is damaged".to_owned(),
        };
        Err(Error::file(&self.path, format!("{what}: run `megabyte prepare --force` again")))
    }

    fn entry(&self, i: usize) -> Entry {
        assert!(i < self.len(), "item {i} of {}", self.len());
        let start = self.index + i * ENTRY;
        let bytes = self.map[start..start + ENTRY].first_chunk().expect("an entry has this many bytes");
        Entry::from_bytes(bytes)
    }
}

fn u64_at(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| file[at + i]))
}

/// The checksum of everything but the payload.
pub(super) fn checksum_around(before: &[u8], after: &[u8]) -> u64 {
    let mut checksum = Xxh3::new();
    checksum.update(before);
    checksum.update(after);
    checksum.digest()
}

/// Checks everything but the payload. Returns the header and where index and names start; every range that the index
/// names lies inside the file.
fn parse(file: &[u8]) -> Result<(Header, [usize; 2]), String> {
    if !file.starts_with(&MAGIC) {
        let what = if MAGIC.starts_with(file) { "is cut short" } else { "is no shard" };
        return Err(what.to_owned());
    }
    let version = file.get(8..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes).ok_or("is cut short")?;
    if version != VERSION {
        return Err(format!("is a shard of version {version}, this program reads {VERSION}"));
    }
    let damaged = || "is cut short, or damaged at its end".to_owned();
    let end = file.len().checked_sub(TAIL).filter(|&end| end >= PREFIX).ok_or_else(damaged)?;
    let header_len = usize::try_from(u64_at(file, end + 8)).map_err(|_| damaged())?;
    let header_at = end.checked_sub(header_len).filter(|&at| at >= PREFIX).ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(&file[header_at..end]).map_err(|_| damaged())?;
    header.layout.validate().map_err(|error| format!("has a damaged header ({error})"))?;

    let sizes = || {
        let index = PREFIX.checked_add(usize::try_from(header.payload).ok()?)?;
        let names = usize::try_from(header.items).ok()?.checked_mul(ENTRY)?.checked_add(index)?;
        let total = names.checked_add(usize::try_from(header.names).ok()?)?;
        Some((index, names, total))
    };
    let (index, names, total) = sizes().ok_or("has a damaged header (sizes)")?;
    if total != header_at {
        let (found, said) = (file.len(), total.saturating_add(header_len + TAIL));
        return Err(format!("has {found} bytes where its header says {said}"));
    }
    if checksum_around(&file[..PREFIX], &file[index..file.len() - 8]) != u64_at(file, file.len() - 8) {
        return Err("differs from its checksum".to_owned());
    }
    check_index(&header, &file[index..names], &file[names..header_at])?;
    Ok((header, [index, names]))
}

/// Checks that the entries cover names and payload exactly.
fn check_index(header: &Header, index: &[u8], names: &[u8]) -> Result<(), String> {
    let fixed = header.layout.adapter().sequence_len();
    let (mut offset, mut ends, mut name_offset) = (0_u64, 0_u64, 0_u64);
    let (entries, _) = index.as_chunks::<ENTRY>();
    for (i, entry) in entries.iter().map(Entry::from_bytes).enumerate() {
        let damaged = |what: &str| format!("has a damaged index (item {i}: {what})");
        // `offset` is at most the payload, and `ends` at most the number of items.
        if entry.offset != offset || entry.symbol != offset + ends || entry.name_offset != name_offset {
            return Err(damaged("offset"));
        }
        if entry.flags & !ENDS != 0 {
            return Err(damaged("flags"));
        }
        let next = entries.get(i + 1).map_or(header.payload, |next| Entry::from_bytes(next).offset);
        let len = next.checked_sub(offset).filter(|_| next <= header.payload).ok_or_else(|| damaged("length"))?;
        if fixed.is_some_and(|fixed| fixed as u64 != len) {
            return Err(damaged("length"));
        }
        offset = next;
        ends += u64::from(entry.flags & ENDS);
        let name_end = name_offset.checked_add(entry.name_len.into()).filter(|&end| end <= header.names);
        let name_end = name_end.ok_or_else(|| damaged("name"))?;
        std::str::from_utf8(&names[name_offset as usize..name_end as usize]).map_err(|_| damaged("name"))?;
        name_offset = name_end;
    }
    if offset != header.payload || ends != header.ends || name_offset != header.names {
        return Err("has a damaged index (bytes that belong to no item)".to_owned());
    }
    Ok(())
}
