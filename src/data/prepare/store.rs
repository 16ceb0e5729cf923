//! The last stage of preparation: documents to items of shards, in order.

use std::path::Path;

use super::encode::{Done, Outcome};
use super::segment::Segment;
use super::source::SourceFile;
use super::spool::Spooled;
use super::state::State;
use super::survey::display;
use crate::data::manifest::{self, Manifest, Skipped};
use crate::data::split::{self, Split};
use crate::modality::{Adapter, Layout};
use crate::progress::Progress;
use crate::shown::shown;
use crate::{Error, Result};

/// A long document is stored in items of at most this many bytes.
const ITEM_BYTES: u64 = 8 << 20;
/// Skipped files that are told one by one.
const NOTES: u64 = 10;

pub(super) struct Store<'a> {
    /// The files that are read, and how many records of each are done already.
    pub files: &'a [(SourceFile, u64)],
    pub layout: &'a Layout,
    pub adapter: &'a dyn Adapter,
    pub cut_over: u64,
    pub segment: Segment<'a>,
    pub state: State,
    /// The file whose parts come, and how many of them have come.
    pub at: Option<(usize, u64)>,
    /// Skipped files that were told.
    pub told: u64,
    /// Whether a document is stored in part.
    pub half: bool,
    pub progress: &'a dyn Progress,
}

impl Store<'_> {
    /// Stores what became of a job.
    pub(super) fn take(&mut self, Done { file, part, outcome }: Done) -> Result<()> {
        let files = self.files;
        let (source, already) = &files[file];
        let refused = |reason: String| Skipped::new(display(&source.path, part.as_deref()), reason);
        let mut whole = false;
        match outcome {
            Outcome::Document(document, warnings) => {
                for warning in warnings {
                    self.warn(refused(warning));
                }
                whole = part.is_none();
                let split = source.split().or_else(|| part.as_deref().and_then(Split::of_name));
                let name = display(Path::new(&*source.name()), part.as_deref());
                self.document(&name, split, document)?;
            }
            Outcome::Skip(reason) | Outcome::Broken(reason) => self.skip(refused(reason)),
            Outcome::Warning(reason) => self.warn(refused(reason)),
            Outcome::Retry(reason) => {
                self.skip(refused(reason));
                return Ok(());
            }
            Outcome::End => {}
        }
        match part {
            Some(_) => {
                let records = self.at.filter(|&(at, _)| at == file).map_or(*already, |(_, records)| records) + 1;
                self.at = Some((file, records));
                self.state.advance(source, records);
            }
            None if whole => self.state.finish(source),
            None => self.state.finish_chosen(source),
        }
        if self.segment.is_full() { self.commit() } else { Ok(()) }
    }

    fn document(&mut self, name: &str, split: Option<Split>, mut document: Spooled) -> Result<()> {
        let hash = document.hash();
        if !self.state.is_new(&hash) {
            self.state.manifest.duplicates += 1;
            return Ok(());
        }
        self.state.manifest.documents += 1;
        let len = document.len();
        let parts = match split {
            Some(split) => vec![(split, 0..len)],
            None => split::cut(len, self.layout, self.cut_over, self.state.manifest.by_place)
                .unwrap_or_else(|| vec![(self.state.split_of(&hash), 0..len)]),
        };
        // Pieces end between the units of the layout.
        let most = self.layout.cut_unit().map_or(len, |unit| ITEM_BYTES / unit as u64 * unit as u64).max(1);
        let mut pieces = 0;
        self.half = true;
        for (split, range) in parts {
            let mut start = range.start;
            while start < range.end {
                let end = (start + most).min(range.end);
                let piece = document.next((end - start) as usize)?;
                let hash = if end - start == len { hash } else { *blake3::hash(piece).as_bytes() };
                self.segment.push(split, name, piece, hash, self.adapter.ends_with_symbol() && end == len)?;
                pieces += 1;
                start = end;
            }
        }
        self.half = false;
        if pieces > 1 {
            self.state.remember(&hash);
        }
        Ok(())
    }

    /// Counts a file that can't be used; the first of them are told as they come.
    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.told += 1;
        if self.told <= NOTES {
            self.progress.note(&format!("skipped {skipped}"));
        }
        self.state.manifest.skip(skipped);
    }

    /// Counts a file of which there is something to know; the first of them are told as they come.
    fn warn(&mut self, warning: Skipped) {
        if self.state.manifest.file_warnings_count < NOTES {
            self.progress.note(&format!("warning: {warning}"));
        }
        self.state.manifest.warn(warning);
    }

    fn commit(&mut self) -> Result<()> {
        let shards = self.segment.name()?;
        self.state.commit(shards)
    }

    /// Ends work that was cancelled or failed: what is done is kept for the next call, and what was begun for nothing
    /// goes.
    pub(super) fn stop(mut self) -> Result<()> {
        if self.segment.is_empty() && self.state.manifest.shards.is_empty() {
            return self.state.abandon();
        }
        // What was stored since the last segment holds half a document, and is done again.
        if self.half { Ok(()) } else { self.commit() }
    }

    /// Whether some split has nothing, though documents that went whole into others could be cut or shared out: they are too
    /// few.
    pub(super) fn holds_too_few(&self) -> bool {
        let empty = |split: Split| self.state.manifest.count(split).bytes == 0 && !self.segment.holds(split);
        self.state.may_hold_some_out(self.cut_over) && Split::ALL.into_iter().any(empty)
    }

    /// Ends work that is done.
    pub(super) fn complete(mut self, out: &Path) -> Result<Manifest> {
        if let Some(more) = self.told.checked_sub(NOTES).filter(|&more| more > 0) {
            let list = out.join(manifest::FILE);
            self.progress.note(&format!("skipped {more} more, listed in {}", shown(&list)));
        }
        if self.state.manifest.documents == 0 {
            let error = nothing_usable(&self.state.manifest);
            self.state.abandon()?;
            return Err(error);
        }
        self.commit()?;
        self.state.manifest.warnings = warnings(&self.state.manifest);
        self.state.complete()
    }
}

fn nothing_usable(manifest: &Manifest) -> Error {
    let mut message = format!("no file can be used as {}", manifest.layout().modality());
    for Skipped { path, reason } in manifest.skipped.iter().take(5) {
        message.push_str(&format!("\n  {path}: {reason}"));
    }
    if manifest.skipped_count > 5 {
        message.push_str(&format!("\n  and {} more", manifest.skipped_count - 5));
    }
    Error::Content(message)
}

fn warnings(manifest: &Manifest) -> Vec<String> {
    let mut warnings = Vec::new();
    let few = match manifest.documents {
        1 => "1 document is too little to hold some out: it".to_owned(),
        many => format!("{many} documents are too few to hold some of them out: each"),
    };
    let cut = manifest.layout().cut_unit().is_some();
    if cut && manifest.by_place && manifest.by_hash < manifest.documents {
        warnings.push(format!(
            "{few} is cut by place, into 90 % train, 5 % valid and 5 % test, and so is what is added later; prepared anew with \
             enough more, each goes whole into one split",
        ));
    } else if !manifest.held_out.is_empty() {
        warnings.push(format!(
            "{} documents are too few to leave it to chance which of them are held out: {} in valid and {} in test",
            manifest.by_hash,
            manifest.count(Split::Valid).items,
            manifest.count(Split::Test).items
        ));
    }
    let empty: Vec<_> = Split::ALL.into_iter().filter(|&split| manifest.count(split).items == 0).collect();
    if !empty.is_empty() {
        let names: Vec<_> = empty.iter().map(|split| split.name()).collect();
        let items = manifest.total().items;
        let never_cut = manifest.settings.cut_over == 0 && manifest.layout().cut_unit().is_some();
        let remedy = if never_cut { ", or set data.cut_over above 0, so that documents are cut" } else { "" };
        warnings.push(format!(
            "no item of {items} fell into {}: add files, or sort them into folders named train, valid and test{remedy}",
            names.join(" or ")
        ));
    }
    warnings
}
