//! What a prepared folder holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Split;
use super::writer::temporary;
use crate::error::IoContext;
use crate::modality::Layout;
use crate::{Error, Result};

/// The manifest's name in its folder.
pub(super) const FILE: &str = "manifest.json";
const FORMAT: u32 = 1;

/// Items and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Items: documents, pieces of documents, pictures.
    pub items: u64,
    /// Their bytes, without end-of-sequence symbols.
    pub bytes: u64,
}

/// A file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file, as it was found.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A shard of a prepared folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// The file's name.
    pub file: String,
    /// The split whose items it holds.
    pub split: Split,
    /// How many.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// XXH3-64 of everything before the payload, as 16 hexadecimal digits.
    pub head_xxh3: String,
    /// XXH3-64 of the payload.
    pub payload_xxh3: String,
}

/// `manifest.json`: what a prepared folder holds and how it came to be. Written last: a folder without it is not
/// prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's version, 1.
    pub format: u32,
    /// `"modality": …, "layout": {…}`.
    #[serde(flatten)]
    pub layout: Layout,
    /// Documents of more bytes were cut; 0: none.
    pub cut_over: u64,
    /// What each split holds; all three are listed.
    pub splits: BTreeMap<Split, Count>,
    /// Files whose content is in the shards.
    pub files: u64,
    /// Files left out because another has the same content.
    pub duplicates: u64,
    /// Files left out because they could not be used.
    pub skipped: Vec<Skipped>,
    /// What a person should know before training on this.
    pub warnings: Vec<String>,
    /// The shards, in the order of their items.
    pub shards: Vec<ShardInfo>,
}

/// What [`prepare`](super::prepare()) did: the manifest it wrote.
pub type Summary = Manifest;

impl Manifest {
    pub(super) fn new(layout: Layout, cut_over: u64) -> Self {
        Manifest {
            format: FORMAT,
            layout,
            cut_over,
            splits: Split::ALL.into_iter().map(|split| (split, Count::default())).collect(),
            files: 0,
            duplicates: 0,
            skipped: Vec::new(),
            warnings: Vec::new(),
            shards: Vec::new(),
        }
    }

    /// What a split holds.
    pub fn count(&self, split: Split) -> Count {
        self.splits.get(&split).copied().unwrap_or_default()
    }

    /// What all splits hold together.
    pub fn total(&self) -> Count {
        let sum = |total: Count, count: &Count| Count {
            items: total.items.saturating_add(count.items),
            bytes: total.bytes.saturating_add(count.bytes),
        };
        self.splits.values().fold(Count::default(), sum)
    }

    /// Whether `prepare` wrote this folder: it has a manifest and shards beside it.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(FILE).is_file() && !shards_in(folder).is_empty()
    }

    /// Reads the manifest of a prepared folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                let reason = format!("is not a prepared folder (it has no {FILE}): run `megabyte prepare`");
                return Err(Error::file(folder, reason));
            }
            Err(error) => return Err(Error::io(&path, error)),
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
            Error::file(&path, format!("is damaged or no manifest ({error}): run `megabyte prepare` again"))
        })?;
        if manifest.format != FORMAT {
            let reason = format!(
                "is a manifest of version {}, this program reads {FORMAT}: run `megabyte prepare` again",
                manifest.format
            );
            return Err(Error::file(&path, reason));
        }
        manifest.layout.validate().map_err(|error| Error::file(&path, error))?;
        Ok(manifest)
    }

    /// Writes the manifest beside its place and renames it.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let mut file = temporary(folder)?;
        let mut text = serde_json::to_vec_pretty(self).expect("a manifest has string keys only");
        text.push(b'\n');
        file.write_all(&text).at(&path)?;
        file.as_file().sync_all().at(&path)?;
        file.persist(&path).map_err(|error| error.error).at(&path)?;
        Ok(())
    }
}

/// The name of shard `number` of a split.
pub(super) fn shard_name(split: Split, number: usize) -> String {
    format!("{split}-{number:05}.shard")
}

/// The files in `folder` that have a shard's name.
pub(super) fn shards_in(folder: &Path) -> Vec<PathBuf> {
    let is_shard = |name: &str| {
        let number = name.strip_suffix(".shard").and_then(|name| name.split_once('-'));
        number.is_some_and(|(split, number)| {
            split.parse::<Split>().is_ok() && number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut shards: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.file_name().to_str().is_some_and(is_shard))
        .map(|entry| entry.path())
        .collect();
    shards.sort();
    shards
}

/// The first key in which two layouts differ, dotted, with both values: for an error that says what to change.
pub(super) fn difference(ours: &Layout, theirs: &Layout) -> Option<(String, String, String)> {
    if ours.modality() != theirs.modality() {
        return Some(("data.modality".to_owned(), ours.modality().to_string(), theirs.modality().to_string()));
    }
    let (ours, theirs) = (ours.keys(), theirs.keys());
    let differing = ours.into_iter().find(|(key, value)| theirs.get(key) != Some(value));
    differing.map(|(key, value)| {
        let other = theirs.get(&key).map_or("nothing".to_owned(), ToString::to_string);
        (format!("data.{key}"), value.to_string(), other)
    })
}
