//! What preparation knows of the work done before: an earlier call's, or its own before it was stopped.
//!
//! `manifest.json` is what readers go by, and is replaced in one rename at the end. While the work goes on,
//! `preparing.json` stands for it: it is written after each [`Segment`](super::segment::Segment) of shards, so that
//! what is in them is not done again. `.sources.jsonl` lists the files that have been read, a line each; how much of it
//! counts is in either of the two.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::manifest::{self, Manifest, Mark, PARTIAL, Settings, ShardInfo, Skipped};
use super::source::SourceFile;
use crate::error::IoContext;
use crate::{Error, Result};

/// The name of the list of sources.
const SOURCES: &str = ".sources.jsonl";

/// What to do where a folder is prepared already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Keep what it holds and add what is new. The settings must be the same.
    Add,
    /// Prepare anew; what it holds is removed at the end.
    Replace,
}

/// `preparing.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Partial {
    manifest: Manifest,
    replaces: bool,
    open: Option<Open>,
}

/// A file that has been read in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Its identity.
    id: u128,
    /// Records of it that are done.
    pub records: u64,
}

/// A line of `.sources.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    file: std::borrow::Cow<'a, str>,
    size: u64,
    modified: u128,
    /// Hashes of the documents in it that are more than one item, half of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    long: Vec<String>,
}

/// The state of a folder that is being prepared.
pub(super) struct State {
    out: PathBuf,
    replaces: bool,
    pub manifest: Manifest,
    /// Files that have been read, by identity.
    known: HashSet<u128>,
    /// The first half of the BLAKE3 hash of each document that is stored.
    documents: HashSet<u128>,
    open: Option<Open>,
    sources: File,
    checksum: Xxh3,
    /// Lines that belong to the segment at work.
    lines: Vec<u8>,
    long: Vec<String>,
}

impl State {
    /// Looks at what is in `out`. Fails where that was prepared with other settings and is not to be replaced.
    pub(super) fn begin(out: &Path, settings: Settings, existing: Existing) -> Result<Self> {
        let complete = Manifest::is_at(out);
        let partial = partial(out).filter(|partial| {
            let wanted = existing == Existing::Add || partial.replaces || !complete;
            wanted && partial.manifest.settings == settings
        });
        let (manifest, replaces, open) = match partial {
            Some(Partial { manifest, replaces, open }) => (manifest, replaces, open),
            None if complete && existing == Existing::Add => {
                let manifest = Manifest::load(out)?;
                if let Some((key, ours, theirs)) = manifest::settings_difference(&settings, &manifest.settings) {
                    let out = out.display();
                    let reason = format!(
                        "is {ours}, but {out} was prepared with {theirs}: \
                         set it to that, write to another folder, or replace what is there with --force"
                    );
                    return Err(Error::config(key, reason));
                }
                (manifest, false, None)
            }
            None => (Manifest::new(settings), existing == Existing::Replace, None),
        };
        let mut state = State {
            out: out.to_owned(),
            replaces,
            known: HashSet::new(),
            documents: HashSet::new(),
            open,
            sources: File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(out.join(SOURCES))
                .at(out)?,
            checksum: Xxh3::new(),
            lines: Vec::new(),
            long: Vec::new(),
            manifest,
        };
        state.read_sources()?;
        for info in &state.manifest.shards {
            let shard = state.manifest.shard(out, info)?;
            state.documents.extend((0..shard.len()).map(|i| short(&shard.hash(i))));
        }
        Ok(state)
    }

    /// Takes the part of the list of sources that counts, where it is what it was; else the list begins anew, every
    /// file is read again, and nothing is stored twice all the same.
    fn read_sources(&mut self) -> Result<()> {
        let path = self.out.join(SOURCES);
        let mut text = std::fs::read(&path).at(&path)?;
        text.truncate(self.manifest.sources.bytes as usize);
        let mark = Mark { bytes: text.len() as u64, xxh3: xxhash_rust::xxh3::xxh3_64(&text) };
        let known = mark == self.manifest.sources;
        if !known {
            text.clear();
            self.open = None;
        }
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            self.known.insert(identity(&line.file, line.size, line.modified));
            let hashes = line.long.iter().filter_map(|hash| u128::from_str_radix(hash, 16).ok());
            self.documents.extend(hashes);
        }
        self.checksum.update(&text);
        self.sources.set_len(text.len() as u64).at(&path)?;
        self.sources.seek(SeekFrom::End(0)).at(&path)?;
        self.manifest.sources.bytes = text.len() as u64;
        Ok(())
    }

    /// Forgets that files which are looked at again were skipped: they are listed again where they still are.
    pub(super) fn forget<'a>(&mut self, files: impl Iterator<Item = &'a Path>, skipped: &[Skipped]) {
        let mut again: HashSet<String> = skipped.iter().map(|skipped| skipped.path.clone()).collect();
        if !self.manifest.skipped.is_empty() {
            again.extend(files.map(|path| path.display().to_string()));
        }
        let before = self.manifest.skipped.len();
        self.manifest.skipped.retain(|skipped| !again.contains(&skipped.path));
        // A damaged manifest may count fewer than it lists.
        let fewer = (before - self.manifest.skipped.len()) as u64;
        self.manifest.skipped_count = self.manifest.skipped_count.saturating_sub(fewer);
    }

    /// Whether a file has been read, and has not changed since.
    pub(super) fn knows(&self, file: &SourceFile) -> bool {
        self.known.contains(&identity(&file.name(), file.size, file.modified))
    }

    /// How many records of a file are done.
    pub(super) fn done(&self, file: &SourceFile) -> u64 {
        let id = identity(&file.name(), file.size, file.modified);
        self.open.filter(|open| open.id == id).map_or(0, |open| open.records)
    }

    /// Whether a document is new; from now on it is not.
    pub(super) fn is_new(&mut self, hash: &[u8; 32]) -> bool {
        self.documents.insert(short(hash))
    }

    /// Remembers a document that is more than one item, which the shards can't tell.
    pub(super) fn remember(&mut self, hash: &[u8; 32]) {
        self.long.push(format!("{:032x}", short(hash)));
    }

    /// `records` of a file are done.
    pub(super) fn advance(&mut self, file: &SourceFile, records: u64) {
        self.open = Some(Open { id: identity(&file.name(), file.size, file.modified), records });
    }

    /// A file is done, and need not be read again.
    pub(super) fn finish(&mut self, file: &SourceFile) {
        self.open = None;
        let long = std::mem::take(&mut self.long);
        self.line(Line { file: file.name(), size: file.size, modified: file.modified, long });
    }

    fn line(&mut self, line: Line<'_>) {
        serde_json::to_writer(&mut self.lines, &line).expect("memory takes everything");
        self.lines.push(b'\n');
    }

    /// Takes the shards of a segment in, which are in their places. From here on their content is not done again.
    pub(super) fn commit(&mut self, shards: Vec<ShardInfo>) -> Result<()> {
        if !self.long.is_empty() {
            // Of a file that is still being read.
            let long = std::mem::take(&mut self.long);
            self.line(Line { file: "".into(), size: 0, modified: 0, long });
        }
        let path = self.out.join(SOURCES);
        self.sources.write_all(&self.lines).at(&path)?;
        self.sources.sync_all().at(&path)?;
        self.checksum.update(&self.lines);
        self.manifest.sources.bytes += self.lines.len() as u64;
        self.manifest.sources.xxh3 = self.checksum.digest();
        self.lines.clear();
        shards.into_iter().for_each(|info| self.manifest.add_shard(info));
        let partial = Partial { manifest: self.manifest.clone(), replaces: self.replaces, open: self.open };
        manifest::write_json(&partial, &self.out.join(PARTIAL))
    }

    /// The folder is prepared: readers see the new manifest, and what it does not name goes.
    pub(super) fn complete(self) -> Result<Manifest> {
        self.manifest.save(&self.out)?;
        remove(&self.out.join(PARTIAL))?;
        let named = |path: &Path| self.manifest.shards.iter().any(|info| path.ends_with(&info.file));
        for shard in manifest::shards_in(&self.out).iter().filter(|path| !named(path)) {
            remove(shard)?;
        }
        Ok(self.manifest)
    }

    /// Nothing came of it: what was begun goes, what was there stays.
    pub(super) fn abandon(self) -> Result<()> {
        remove(&self.out.join(PARTIAL))?;
        if !self.out.join(manifest::FILE).exists() {
            remove(&self.out.join(SOURCES))?;
        }
        Ok(())
    }
}

/// What an interrupted call left in a folder, where it can be read.
fn partial(out: &Path) -> Option<Partial> {
    let text = std::fs::read(out.join(PARTIAL)).ok()?;
    serde_json::from_slice(&text).ok().filter(|partial: &Partial| partial.manifest.stranger().is_none())
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

/// A name for a file as it is: 128 bits, so that two of billions don't meet.
fn identity(name: &str, size: u64, modified: u128) -> u128 {
    let mut field = Vec::with_capacity(name.len() + 24);
    field.extend_from_slice(name.as_bytes());
    field.extend_from_slice(&size.to_le_bytes());
    field.extend_from_slice(&modified.to_le_bytes());
    xxh3_128(&field)
}

fn short(hash: &[u8; 32]) -> u128 {
    u128::from_le_bytes(std::array::from_fn(|i| hash[i]))
}
