//! Archives to files.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::super::coder::ByteDecoder;
use super::container::{join, unstore};
use super::header::{Coding, Container, Header};
use super::lockstep::{Task, Way, batches, run};
use super::wire::damaged;
use super::{Codec, Identity};
use crate::modality::{BytesLayout, Layout};
use crate::progress::Progress;
use crate::{Error, Result};

/// How archives are decompressed.
#[derive(Debug, Clone, Copy)]
pub struct DecompressOptions {
    /// Threads, each with a batch of its own.
    pub threads: usize,
    /// What the work is called.
    pub stage: &'static str,
}

impl Default for DecompressOptions {
    /// One thread.
    fn default() -> Self {
        DecompressOptions { threads: 1, stage: "decompress" }
    }
}

/// A part of an archive that is lost.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Where it stands in the archive.
    pub archive: Range<u64>,
    /// Which bytes of the content it holds; none where it is what the file has beside the content.
    pub content: Range<u64>,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A file that came back.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The file. Where there is damage, zeros stand for the content that is lost.
    pub file: Vec<u8>,
    /// What is lost: nothing, as a rule, and then the file is the one that was compressed.
    pub damage: Vec<Damage>,
    /// The archive's header.
    pub header: Header,
}

/// An archive of which everything but the model's part is known.
pub(super) struct Opened<'a> {
    pub header: Header,
    side: &'a [u8],
    content: Vec<u8>,
    pub damage: Vec<Damage>,
    /// Where the codes of the blocks are.
    places: Vec<Range<u64>>,
    tasks: Vec<Task>,
}

/// Brings a file back from an archive that no model has a part in. Fails with [`Error::Content`] where the archive is
/// coded by one, and where its header is damaged.
pub fn unpack(archive: &[u8]) -> Result<Restored> {
    let refuse = |_: &Coding| Err(Error::Content("is coded by a model: say with --model which".to_owned()));
    finish(&Layout::Bytes(BytesLayout {}), open(0, archive, refuse)?)
}

impl Codec {
    /// Decompresses archives together. Each gives a file or an error of its own: it is none, its header is damaged, or
    /// it was made with another model or another way to compute. Fails as a whole where the work is interrupted.
    pub fn decompress<'a>(
        &self,
        archives: &[&'a [u8]],
        options: DecompressOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Result<Restored>>> {
        let mut identities = BTreeMap::new();
        let open = |(i, archive): (usize, &&'a [u8])| open(i, archive, |coding| self.check(coding, &mut identities));
        let mut opened: Vec<Result<Opened<'a>>> = archives.iter().enumerate().map(open).collect();

        // Batches are of archives that have the same number of rows.
        let mut by_lanes: BTreeMap<usize, Vec<Task>> = BTreeMap::new();
        for task in opened.iter_mut().flatten().flat_map(|opened| std::mem::take(&mut opened.tasks)) {
            by_lanes.entry(task.lanes).or_default().push(task);
        }
        let bytes = |tasks: &Vec<Task>| tasks.iter().map(|task| task.content.len() as u64).sum::<u64>();
        progress.start(options.stage, by_lanes.values().map(bytes).sum());
        for (lanes, mut tasks) in by_lanes {
            let threads = self.threads_for(lanes, options.threads)?;
            tasks.sort_by_key(|task| std::cmp::Reverse(task.steps()));
            for task in run(&self.model, batches(tasks), threads, progress)? {
                if let Ok(opened) = &mut opened[task.owner.0] {
                    opened.decoded(task);
                }
            }
        }
        let layout = &self.layout;
        let finish = |opened: Result<Opened<'_>>| opened.and_then(|opened| finish(layout, opened));
        Ok(opened.into_par_iter().map(finish).collect())
    }

    /// Refuses what this model, here, can't decode.
    pub(super) fn check(&self, coding: &Coding, identities: &mut BTreeMap<usize, Identity>) -> Result<()> {
        coding.identity.check_model(self.fingerprint)?;
        if coding.window != self.model.config().context {
            return Err(damaged("its windows are not the model's context"));
        }
        self.check_lanes(coding.lanes).map_err(damaged)?;
        let here = match identities.get(&coding.lanes) {
            Some(here) => *here,
            None => *identities.entry(coding.lanes).or_insert(self.identity(coding.lanes)?),
        };
        coding.identity.check(&here)
    }
}

/// Reads an archive's header, and what of its blocks is there; `check` refuses what can't be decoded here.
pub(super) fn open(owner: usize, archive: &[u8], check: impl FnOnce(&Coding) -> Result<()>) -> Result<Opened<'_>> {
    let (header, body) = Header::read(archive)?;
    if let Some(coding) = &header.coding {
        check(coding)?;
    }
    let side_len = header.side.map_or(0, |(len, _)| len);
    let mut opened =
        Opened { header, side: &[], content: Vec::new(), damage: Vec::new(), places: Vec::new(), tasks: Vec::new() };
    let mut at = body + side_len;
    if let Some((_, crc)) = opened.header.side {
        match archive.get(body..at).ok_or("is cut off").and_then(|side| whole(side, crc)) {
            Ok(side) => opened.side = side,
            Err(reason) => opened.damage.push(Damage { archive: range(body, at), content: 0..0, reason }),
        }
    }
    for (i, block) in opened.header.blocks.clone().into_iter().enumerate() {
        let end = at.saturating_add(block.len);
        let place = opened.header.range(i);
        let code = archive.get(at..end).ok_or("is cut off").and_then(|code| whole(code, block.code_crc));
        opened.places.push(range(at, end));
        at = end;
        let len = (place.end - place.start) as usize;
        match (code, opened.header.coding) {
            (Err(reason), _) => opened.lose(i, reason),
            (Ok(code), Some(coding)) => {
                let mut content = Vec::new();
                content.try_reserve_exact(len).map_err(|_| damaged("a block is beyond memory"))?;
                content.resize(len, 0);
                let way = Way::Decode(Some(ByteDecoder::new(code)));
                opened.tasks.push(Task {
                    owner: (owner, i),
                    row: block.row,
                    lanes: coding.lanes,
                    content,
                    window: coding.window,
                    way,
                });
            }
            (Ok(code), None) => match unstore(code, len as u64) {
                Ok(content) => opened.put(i, &content),
                Err(_) => opened.lose(i, "can't be unpacked"),
            },
        }
    }
    if at < archive.len() {
        return Err(damaged(format!("{} bytes follow its end", archive.len() - at)));
    }
    Ok(opened)
}

impl Opened<'_> {
    /// A block's content.
    fn put(&mut self, block: usize, content: &[u8]) {
        let place = self.header.range(block);
        // Grows with what is there, not with what a header claims.
        if self.content.len() < place.end as usize {
            self.content.resize(place.end as usize, 0);
        }
        self.content[place.start as usize..place.end as usize].copy_from_slice(content);
    }

    fn lose(&mut self, block: usize, reason: &'static str) {
        let (archive, content) = (self.places[block].clone(), self.header.range(block));
        self.damage.push(Damage { archive, content, reason });
    }

    /// What the model made of a block.
    fn decoded(&mut self, task: Task) {
        let block = task.owner.1;
        let whole = matches!(task.way, Way::Decode(Some(_)))
            && crc32c::crc32c(&task.content) == self.header.blocks[block].content_crc;
        if whole { self.put(block, &task.content) } else { self.lose(block, "decodes to another content") }
    }
}

/// The file of a content, checked.
fn finish(layout: &Layout, mut opened: Opened<'_>) -> Result<Restored> {
    // Zeros for what is lost at the end.
    let missing = opened.header.content_len as usize - opened.content.len();
    opened.content.try_reserve(missing).map_err(|error| damaged(format!("its content is lost: {error}")))?;
    opened.content.resize(opened.header.content_len as usize, 0);
    let Opened { header, side, content, mut damage, .. } = opened;
    damage.sort_by_key(|damage| damage.archive.start);
    if damage.is_empty() {
        let file = join(header.container, layout, content, side, header.file_len)?;
        if file.len() as u64 != header.file_len || xxh3_64(&file) != header.file_hash {
            let reason = "the file that comes back is not the one that was compressed: its checksum is another";
            return Err(Error::Content(reason.to_owned()));
        }
        return Ok(Restored { file, damage, header });
    }
    let file = match header.container {
        Container::Stored | Container::Plain => content,
        container => {
            let decoded = layout.adapter().decode(&content)?;
            join(container, layout, content, side, header.file_len).unwrap_or(decoded)
        }
    };
    Ok(Restored { file, damage, header })
}

fn range(start: usize, end: usize) -> Range<u64> {
    start as u64..end as u64
}

/// Bytes whose checksum is right.
fn whole(bytes: &[u8], crc: u32) -> Result<&[u8], &'static str> {
    if crc32c::crc32c(bytes) == crc { Ok(bytes) } else { Err("has a wrong checksum") }
}
