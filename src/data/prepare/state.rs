//! What preparation knows of the work done before: an earlier call's, or its own before it was stopped.
//!
//! `manifest.json` is what readers go by, and is replaced in one rename at the end. While the work goes on,
//! `preparing.json` stands for it: it is written after each [`Segment`](super::segment::Segment) of shards, so that
//! what is in them is not done again. `.sources-00000.jsonl` lists the files that have been read, a line each; which list
//! and how much of it counts is in either of the two.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::source::SourceFile;
use crate::config::DataConfig;
use crate::data::manifest::{self, Manifest, Mark, PARTIAL, Settings, ShardInfo, Skipped};
use crate::data::split::Split;
use crate::error::IoContext;
use crate::shown::shown;
use crate::{Error, Result};

/// The name of a list of sources: every replacement begins another.
fn list_name(number: usize) -> String {
    format!(".sources-{number:05}.jsonl")
}

/// Whether a file in a prepared folder is a list of sources.
pub(super) fn is_list(name: &str) -> bool {
    name.strip_prefix(".sources-").and_then(|name| name.strip_suffix(".jsonl")).is_some()
}

/// The lists of sources in a folder.
fn lists(out: &Path) -> Vec<String> {
    let names = std::fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| is_list(name)).collect()
}

/// Of more documents than these each split has some by chance.
const FEW: usize = 1000;

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
    /// What was asked for, absolute.
    sources: Vec<String>,
    open: Option<Open>,
    #[serde(default)]
    by_hash: Vec<u128>,
}

/// A file that has been read in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Its identity.
    id: u128,
    /// Records of it that are done.
    pub records: u64,
}

/// A line of a list of sources: a file that was read, or only documents.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    /// The file's name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<std::borrow::Cow<'a, str>>,
    /// Its identity, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Hashes of the documents in it that are more than one item, half of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    long: Vec<String>,
}

/// The state of a folder that is being prepared.
pub(super) struct State {
    out: PathBuf,
    replaces: bool,
    /// Whether the folder is complete, and what is new comes on top.
    adds: bool,
    asked: Vec<String>,
    pub manifest: Manifest,
    /// What decides which parts of archives are found, and which files are refused: another choice, another hash.
    choice: u128,
    /// Files that have been read, by identity.
    known: HashSet<u128>,
    /// The first half of the BLAKE3 hash of each document that is stored.
    documents: HashSet<u128>,
    /// The same of the first documents that went whole into the split of their hash, from which some may have to be held out.
    by_hash: Vec<u128>,
    open: Option<Open>,
    sources: File,
    checksum: Xxh3,
    /// Lines that belong to the segment at work.
    lines: Vec<u8>,
    long: Vec<String>,
}

impl State {
    /// Looks at what is in `out`. Fails where that was prepared with other settings and is not to be replaced, where it
    /// is being replaced by something else, and where the list of what was read is lost.
    pub(super) fn begin(sources: &[PathBuf], out: &Path, data: &DataConfig, existing: Existing) -> Result<Self> {
        let absolute =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
        let asked: Vec<String> = sources.iter().map(absolute).collect();
        let settings = settings(data)?;
        let choice = serde_json::to_vec(&(&data.include, &data.exclude, &data.limits)).expect("these are plain values");
        let complete = Manifest::is_at(out);
        let partial = partial(out);
        if existing == Existing::Add
            && partial.as_ref().is_some_and(|partial| complete && partial.replaces && partial.sources != asked)
        {
            let reason = "is being replaced by other sources: \
                          finish that with the command that began it, or prepare anew with --force";
            return Err(Error::file(out, reason));
        }
        // What replaces is only what was asked for; what adds may add to anything.
        let partial = partial.filter(|partial| {
            let same = partial.sources == asked && (partial.replaces || !complete);
            (existing == Existing::Add || same) && partial.manifest.settings == settings
        });
        let (mut manifest, replaces, open, by_hash) = match partial {
            Some(Partial { manifest, replaces, open, by_hash, .. }) => (manifest, replaces, open, by_hash),
            None if complete && existing == Existing::Add => {
                let manifest = Manifest::load(out)?;
                if let Some((key, ours, theirs)) = manifest::settings_difference(&settings, &manifest.settings) {
                    let out = shown(out);
                    let reason = format!(
                        "is {ours}, but {out} was prepared with {theirs}: \
                         set it to that, write to another folder, or replace what is there with --force"
                    );
                    return Err(Error::config(key, reason));
                }
                (manifest, false, None, Vec::new())
            }
            None => (Manifest::new(settings), existing == Existing::Replace, None, Vec::new()),
        };
        let fresh = manifest.sources.file.is_empty();
        if fresh {
            // Another list than the one that readers of the old manifest go by.
            let used = lists(out);
            manifest.sources.file = (0..).map(list_name).find(|name| !used.contains(name)).expect("a number is free");
        }
        let list = out.join(&manifest.sources.file);
        if !fresh && !list.is_file() {
            return Err(Error::file(list, "is missing, so that nothing can be added: prepare anew with --force"));
        }
        let mut state = State {
            out: out.to_owned(),
            replaces,
            adds: complete && !replaces,
            asked,
            choice: xxh3_128(&choice),
            known: HashSet::new(),
            documents: HashSet::new(),
            by_hash,
            open,
            sources: File::options().read(true).write(true).create(fresh).truncate(false).open(&list).at(&list)?,
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

    /// Takes the part of the list of sources that counts. Without it nobody knows which long documents are stored.
    fn read_sources(&mut self) -> Result<()> {
        let path = self.out.join(&self.manifest.sources.file);
        let mut text = std::fs::read(&path).at(&path)?;
        text.truncate(usize::try_from(self.manifest.sources.bytes).unwrap_or(usize::MAX));
        let Mark { bytes, xxh3, .. } = self.manifest.sources;
        if text.len() as u64 != bytes || (bytes > 0 && xxhash_rust::xxh3::xxh3_64(&text) != xxh3) {
            let reason = "differs from what the manifest says, so that nothing can be added: prepare anew with --force";
            return Err(Error::file(path, reason));
        }
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            self.known.extend(line.id.and_then(|id| u128::from_str_radix(&id, 16).ok()));
            let hashes = line.long.iter().filter_map(|hash| u128::from_str_radix(hash, 16).ok());
            self.documents.extend(hashes);
        }
        self.checksum.update(&text);
        self.sources.set_len(text.len() as u64).at(&path)?;
        self.sources.seek(SeekFrom::End(0)).at(&path)?;
        Ok(())
    }

    /// Forgets what was told of files which are looked at again: that they were skipped, and what there was to know. It is
    /// told again where it still holds. Files are known by their places, however their paths are written.
    pub(super) fn forget<'a>(&mut self, files: impl Iterator<Item = &'a Path>, skipped: &'a [Skipped]) {
        let Manifest { skipped: listed, skipped_count, file_warnings, file_warnings_count, .. } = &mut self.manifest;
        if listed.is_empty() && file_warnings.is_empty() {
            return;
        }
        let mut places = Places::default();
        let again = files.chain(skipped.iter().map(|skipped| Path::new(&skipped.path)));
        let again: HashSet<PathBuf> = again.map(|path| places.of(path)).collect();
        for (listed, count) in [(listed, skipped_count), (file_warnings, file_warnings_count)] {
            let before = listed.len();
            // What is listed may be a part of an archive: every folder of its path may be one.
            listed.retain(|listed| {
                let path = Path::new(&listed.path);
                !path.ancestors().any(|path| path.file_name().is_some() && again.contains(&places.of(path)))
            });
            // A damaged manifest may count fewer than it lists.
            *count = count.saturating_sub((before - listed.len()) as u64);
        }
    }

    /// Whether a file has been read, has not changed since, and would give the same now.
    pub(super) fn knows(&self, file: &SourceFile) -> bool {
        self.known.contains(&identity(file)) || self.known.contains(&self.chosen(file))
    }

    /// The identity of a file that gives something else under another choice.
    fn chosen(&self, file: &SourceFile) -> u128 {
        identity(file).wrapping_add(self.choice)
    }

    /// How many records of a file are done.
    pub(super) fn done(&self, file: &SourceFile) -> u64 {
        let id = self.chosen(file);
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
        self.open = Some(Open { id: self.chosen(file), records });
    }

    /// A file that is one document is done, and need not be read again.
    pub(super) fn finish(&mut self, file: &SourceFile) {
        self.done_with(file, identity(file));
    }

    /// A file that is an archive, or was refused, is done, and need not be read again unless the choice is another.
    pub(super) fn finish_chosen(&mut self, file: &SourceFile) {
        self.done_with(file, self.chosen(file));
    }

    fn done_with(&mut self, file: &SourceFile, id: u128) {
        self.open = None;
        let long = std::mem::take(&mut self.long);
        self.line(Line { file: Some(file.name()), id: Some(format!("{id:032x}")), long });
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
            self.line(Line { file: None, id: None, long });
        }
        let path = self.out.join(&self.manifest.sources.file);
        self.sources.write_all(&self.lines).at(&path)?;
        self.sources.sync_all().at(&path)?;
        self.checksum.update(&self.lines);
        self.manifest.sources.bytes += self.lines.len() as u64;
        self.manifest.sources.xxh3 = self.checksum.digest();
        self.lines.clear();
        shards.into_iter().for_each(|info| self.manifest.add_shard(info));
        let (manifest, sources) = (self.manifest.clone(), self.asked.clone());
        let partial =
            Partial { manifest, replaces: self.replaces, sources, open: self.open, by_hash: self.by_hash.clone() };
        manifest::write_json(&partial, &self.out.join(PARTIAL))
    }

    /// Whether there are documents that went whole into the split of their hash, and could be cut instead, or be enough for one
    /// in each split. What was complete before is not moved.
    pub(super) fn may_hold_some_out(&self, cut_over: u64) -> bool {
        let Manifest { by_hash, by_place, .. } = self.manifest;
        let cut = cut_over > 0 && self.manifest.layout().cut_unit().is_some();
        !self.adds && !by_place && by_hash > 0 && (cut || by_hash >= Split::ALL.len() as u64)
    }

    /// Begins from the front, with documents of any length cut by place; of those that can't be cut a twentieth, and one at
    /// least, goes into each split that is held out, by the order of their hashes.
    pub(super) fn hold_some_out(&mut self) -> Result<()> {
        let file = std::mem::take(&mut self.manifest.sources.file);
        self.manifest = Manifest::new(self.manifest.settings.clone());
        self.manifest.sources.file = file;
        self.manifest.by_place = true;
        let mut hashes = std::mem::take(&mut self.by_hash);
        hashes.sort_unstable();
        if hashes.len() >= Split::ALL.len() {
            let each = (hashes.len() / 20).max(1);
            let of =
                |(i, hash): (usize, &u128)| (format!("{hash:032x}"), if i < each { Split::Valid } else { Split::Test });
            self.manifest.held_out = hashes.iter().enumerate().take(2 * each).map(of).collect();
        }
        self.known.clear();
        self.documents.clear();
        self.open = None;
        self.lines.clear();
        self.long.clear();
        self.checksum = Xxh3::new();
        // Readers of the list go by this, so it is first.
        self.commit(Vec::new())?;
        let path = self.out.join(&self.manifest.sources.file);
        self.sources.set_len(0).at(&path)?;
        self.sources.rewind().at(&path)
    }

    /// The split of a document that goes whole into one, of which its folder says nothing.
    pub(super) fn split_of(&mut self, hash: &[u8; 32]) -> Split {
        self.manifest.by_hash += 1;
        if self.by_hash.len() < FEW {
            self.by_hash.push(short(hash));
        }
        if self.adds || self.manifest.held_out.is_empty() {
            return Split::of_hash(hash);
        }
        self.manifest.held_out.get(&format!("{:032x}", short(hash))).copied().unwrap_or(Split::Train)
    }

    /// The folder is prepared: readers see the new manifest, and what it does not name goes.
    pub(super) fn complete(self) -> Result<Manifest> {
        self.manifest.save(&self.out)?;
        remove(&self.out.join(PARTIAL))?;
        let named = |path: &Path| self.manifest.shards.iter().any(|info| path.ends_with(&info.file));
        for shard in manifest::shards_in(&self.out).iter().filter(|path| !named(path)) {
            remove(shard)?;
        }
        for list in lists(&self.out).iter().filter(|list| **list != self.manifest.sources.file) {
            remove(&self.out.join(list))?;
        }
        Ok(self.manifest)
    }

    /// Nothing came of it: what was begun goes, what was there stays.
    pub(super) fn abandon(self) -> Result<()> {
        remove(&self.out.join(PARTIAL))?;
        remove(&self.out.join(&self.manifest.sources.file))
    }
}

/// Paths without links and dots.
#[derive(Default)]
struct Places {
    /// Of folders.
    known: HashMap<PathBuf, PathBuf>,
}

impl Places {
    /// The place of a file, or of what was one.
    fn of(&mut self, path: &Path) -> PathBuf {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
        if !self.known.contains_key(folder) {
            let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let place = at.canonicalize().or_else(|_| std::path::absolute(at)).unwrap_or_else(|_| at.to_owned());
            self.known.insert(folder.to_owned(), place);
        }
        self.known[folder].join(name)
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

/// What decides how files become items.
pub(super) fn settings(data: &DataConfig) -> Result<Settings> {
    let layout = data.layout()?;
    data.check_sheet()?;
    Ok(Settings { layout, cut_over: data.cut_over, column: data.column.clone(), sheet: data.sheet })
}

/// A name for a file as it is, by its place, size and time of change: 128 bits, so that two of billions don't meet.
fn identity(file: &SourceFile) -> u128 {
    // Not its name below the source, which a file below another source may share. Without a current folder the path
    // has to do as it is.
    let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
    let mut field = path.into_os_string().into_encoded_bytes();
    field.extend_from_slice(&file.size.to_le_bytes());
    field.extend_from_slice(&file.modified.to_le_bytes());
    xxh3_128(&field)
}

fn short(hash: &[u8; 32]) -> u128 {
    u128::from_le_bytes(std::array::from_fn(|i| hash[i]))
}
