//! What a prepared folder holds.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Split;
use super::shard::Shard;
use super::writer::temporary;
use crate::error::IoContext;
use crate::modality::Layout;
use crate::shown::{shown, shown_lines};
use crate::{Error, Result};

/// The manifest's name in its folder.
pub(super) const FILE: &str = "manifest.json";
/// The name of what stands for it while the work goes on.
pub(super) const PARTIAL: &str = "preparing.json";
const FORMAT: u32 = 2;
/// Skipped files that are listed.
const LISTED: usize = 10_000;

/// Items and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Items: documents, pieces of documents, pictures.
    pub items: u64,
    /// Their bytes, without end-of-sequence symbols.
    pub bytes: u64,
}

/// A file, or a part of one, that could not be used, or of which there is something to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file as it was found, and for a part of an archive its name in there.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", shown(&self.path), shown_lines(&self.reason))
    }
}

impl Skipped {
    /// A file, however its name is written, and why it can't be used.
    pub fn new(path: impl Display, reason: impl Into<String>) -> Self {
        Skipped { path: path.to_string(), reason: reason.into() }
    }
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
    /// XXH3-64 of everything but the payload, as 16 hexadecimal digits.
    pub head_xxh3: String,
    /// XXH3-64 of the payload.
    pub payload_xxh3: String,
}

/// `manifest.json`: what a prepared folder holds and how it came to be. Written last: a folder without it is not
/// prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's version, 2.
    pub format: u32,
    /// What was asked for.
    #[serde(flatten)]
    pub settings: Settings,
    /// What each split holds; all three are listed.
    pub splits: BTreeMap<Split, Count>,
    /// Documents, pictures and recordings in the shards.
    pub documents: u64,
    /// Those of them that went whole into the split that the hash of their content says.
    #[serde(default)]
    pub by_hash: u64,
    /// Whether documents of any length are cut by place, because they were too few to hold some of them out.
    #[serde(default)]
    pub by_place: bool,
    /// Which of documents that are so few and can't be cut are held out, by the first half of the hash of their content, 32
    /// hexadecimal digits; the others of that time are trained on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_out: BTreeMap<String, Split>,
    /// Those left out because another has the same content.
    pub duplicates: u64,
    /// How many could not be used.
    pub skipped_count: u64,
    /// The first of these.
    pub skipped: Vec<Skipped>,
    /// How many are used in part, or are read otherwise than their headers say.
    #[serde(default)]
    pub file_warnings_count: u64,
    /// The first of these.
    #[serde(default)]
    pub file_warnings: Vec<Skipped>,
    /// What a person should know before training on this.
    pub warnings: Vec<String>,
    /// The shards, in the order of their items.
    pub shards: Vec<ShardInfo>,
    /// Which files have been read.
    pub sources: Mark,
}

/// What decides how files become items. A folder holds items of one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `"modality": …, "layout": {…}`.
    #[serde(flatten)]
    pub layout: Layout,
    /// Documents of more bytes were cut; 0: none.
    pub cut_over: u64,
    /// The column of tables that was read, where one was named.
    pub column: Option<String>,
    /// The size of the pictures in the rows of a sheet, where files are sheets.
    pub sheet: Option<[u32; 2]>,
}

/// The list of sources beside the manifest, and how much of it belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file's name.
    pub file: String,
    /// Bytes from the front.
    pub bytes: u64,
    /// Their XXH3-64.
    pub xxh3: u64,
}

impl Manifest {
    pub(super) fn new(settings: Settings) -> Self {
        Manifest {
            format: FORMAT,
            settings,
            splits: Split::ALL.into_iter().map(|split| (split, Count::default())).collect(),
            documents: 0,
            by_hash: 0,
            by_place: false,
            held_out: BTreeMap::new(),
            duplicates: 0,
            skipped_count: 0,
            skipped: Vec::new(),
            file_warnings_count: 0,
            file_warnings: Vec::new(),
            warnings: Vec::new(),
            shards: Vec::new(),
            sources: Mark::default(),
        }
    }

    /// How the items are laid out.
    pub fn layout(&self) -> &Layout {
        &self.settings.layout
    }

    /// Counts what could not be used, and lists it while the list is short.
    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.skipped_count += 1;
        if self.skipped.len() < LISTED {
            self.skipped.push(skipped);
        }
    }

    /// Counts a file of which there is something to know, and lists it while the list is short.
    pub(super) fn warn(&mut self, warning: Skipped) {
        self.file_warnings_count += 1;
        if self.file_warnings.len() < LISTED {
            self.file_warnings.push(warning);
        }
    }

    /// Takes a finished shard in, in the order of splits and numbers.
    pub(super) fn add_shard(&mut self, info: ShardInfo) {
        let count = self.splits.entry(info.split).or_default();
        count.items += info.items;
        count.bytes += info.bytes;
        let place = self.shards.partition_point(|other| (other.split, &other.file) <= (info.split, &info.file));
        self.shards.insert(place, info);
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

    /// Whether `prepare` is writing this folder, or has written it.
    pub fn is_begun(folder: &Path) -> bool {
        Self::is_at(folder) || folder.join(PARTIAL).is_file()
    }

    /// Reads the manifest of a prepared folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
                let reason = if folder.join(PARTIAL).is_file() {
                    "was not prepared to the end: run the same `megabyte prepare` again".to_owned()
                } else {
                    format!("is not a prepared folder (it has no {FILE}): run `megabyte prepare`")
                };
                return Err(Error::file(folder, reason));
            }
            Err(error) => return Err(Error::io(&path, error)),
        };
        let damaged = |error| {
            Error::file(&path, format!("is damaged or no manifest ({error}): run `megabyte prepare --force` again"))
        };
        // The version first: a manifest of another has other fields.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(&text).map_err(damaged)?;
        if format != FORMAT {
            let reason = format!(
                "is a manifest of version {format}, this program reads {FORMAT}: run `megabyte prepare --force` again"
            );
            return Err(Error::file(&path, reason));
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(damaged)?;
        manifest.layout().validate().map_err(|error| Error::file(&path, error))?;
        if let Some(name) = manifest.stranger() {
            let reason = format!("names {name:?}, which is no shard beside it: run `megabyte prepare --force` again");
            return Err(Error::file(&path, reason));
        }
        Ok(manifest)
    }

    /// Maps one of the shards beside it. Fails where that is missing, damaged up to its payload, or another one.
    pub(super) fn shard(&self, folder: &Path, info: &ShardInfo) -> Result<Shard> {
        let path = folder.join(&info.file);
        if !path.is_file() {
            return Err(Error::file(path, "is missing: run `megabyte prepare --force` again"));
        }
        let shard = Shard::open(&path)?;
        let (head, payload) = shard.checksums();
        let same = format!("{head:016x}") == info.head_xxh3
            && format!("{payload:016x}") == info.payload_xxh3
            && shard.split() == info.split
            && shard.layout() == self.layout();
        if !same {
            let reason = "is not the shard that the manifest beside it names: run `megabyte prepare --force` again";
            return Err(Error::file(path, reason));
        }
        Ok(shard)
    }

    /// A name in the list of shards that is not one of a shard beside the manifest.
    pub(super) fn stranger(&self) -> Option<&str> {
        self.shards.iter().map(|info| info.file.as_str()).find(|name| !is_shard(name))
    }

    /// Writes the manifest.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        write_json(self, &folder.join(FILE))
    }
}

/// Writes JSON beside its place and renames it.
pub(super) fn write_json(value: &impl Serialize, path: &Path) -> Result<()> {
    let mut file = temporary(path.parent().unwrap_or(Path::new(".")))?;
    let mut text = serde_json::to_vec_pretty(value).expect("it has string keys only");
    text.push(b'\n');
    file.write_all(&text).at(path)?;
    file.as_file().sync_all().at(path)?;
    file.persist(path).map_err(|error| error.error).at(path)?;
    Ok(())
}

/// The name of shard `number` of a split.
pub(super) fn shard_name(split: Split, number: usize) -> String {
    format!("{split}-{number:05}.shard")
}

/// Whether a file has a shard's name.
pub(super) fn is_shard(name: &str) -> bool {
    let number = name.strip_suffix(".shard").and_then(|name| name.split_once('-'));
    number.is_some_and(|(split, number)| {
        split.parse::<Split>().is_ok() && number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// The files in `folder` that have a shard's name.
pub(super) fn shards_in(folder: &Path) -> Vec<PathBuf> {
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

/// The number of the next shard of a split in a folder: above all that are there.
pub(super) fn next_number(folder: &Path, split: Split) -> usize {
    let number = |path: &PathBuf| {
        let name = path.file_stem()?.to_str()?;
        name.strip_prefix(split.name())?.strip_prefix('-')?.parse::<usize>().ok()
    };
    shards_in(folder).iter().filter_map(number).max().map_or(0, |number| number + 1)
}

/// The first setting that is another, as [`difference`] gives it.
pub(super) fn settings_difference(ours: &Settings, theirs: &Settings) -> Option<(String, String, String)> {
    fn show(value: &impl Serialize) -> String {
        serde_json::to_string(value).expect("it has string keys only")
    }
    let rest = [
        ("data.cut_over", show(&ours.cut_over), show(&theirs.cut_over)),
        ("data.column", show(&ours.column), show(&theirs.column)),
        ("data.sheet", show(&ours.sheet), show(&theirs.sheet)),
    ];
    let rest = || rest.into_iter().find(|(_, ours, theirs)| ours != theirs);
    difference(&ours.layout, &theirs.layout).or_else(|| rest().map(|(key, a, b)| (key.to_owned(), a, b)))
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
