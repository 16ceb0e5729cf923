//! Opening a content: what it is decides who reads it, and what is in it comes back here.

use std::cell::Cell;
use std::io::Read;

use super::budget::Budget;
use super::content::{Content, Source};
use super::fence::{Step, Stop, broken};
use super::kind::Kind;
use super::{Found, Options, Record, cifar, idx, name, numpy, parquet, sheet, table, tar, zip};
use crate::Result;
use crate::modality::{Modality, detect};

/// Containers in containers: a `.tar.gz` in a `.zip` is three.
const DEPTH: u32 = 4;

/// What is shared by all stages of opening a file.
pub(super) struct Walk<'a> {
    pub options: &'a Options,
    pub budget: &'a Budget,
    pub visit: &'a mut dyn FnMut(Found) -> Result<()>,
}

/// Where a content lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The path inside the file; empty for the file itself.
    pub name: String,
    /// How many containers are around it.
    depth: u32,
    /// Whether the content itself is asked for; if not, what is in it may be.
    wanted: bool,
    /// Whether it is a part of a sample, of which only what is of the modality is a record.
    sample: bool,
}

impl Place {
    /// The file itself.
    pub(super) fn top() -> Self {
        Place { name: String::new(), depth: 0, wanted: true, sample: false }
    }

    /// A part of this content that is read as a part of it.
    pub(super) fn inner(&self, name: &str) -> Self {
        Place { name: self.join(name), ..self.clone() }
    }

    /// The path of what lies in here.
    pub(super) fn join(&self, inner: &str) -> String {
        name::join(&self.name, inner)
    }
}

/// What became of a content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was visited, or what is in it was.
    Used,
    /// Nobody asked for it.
    LeftOut,
    /// A part of a sample that is not of the modality, for this reason.
    Foreign(String),
    /// The file itself, which is not a container.
    Plain,
}

impl Walk<'_> {
    /// Opens a content: what is in it is visited where it is a container, else the content itself.
    pub(super) fn open(&mut self, mut source: Source<'_>, place: &Place) -> Step<Opened> {
        let head = source.head()?;
        let Some(kind) = Kind::of(&head, self.options) else { return self.plain(source, &head, place) };
        if place.depth == DEPTH {
            return broken(format!("is a container inside {DEPTH} others, which is as deep as it goes here"));
        }
        if !place.wanted && !kind.holds_files() {
            return Ok(Opened::LeftOut);
        }
        let inside = Place { depth: place.depth + 1, ..place.clone() };
        let spool = &self.options.spool;
        match kind {
            Kind::Compressed(codec) => {
                let budget = self.budget;
                let behind = Cell::new(0);
                let opened = {
                    let mut decoded = budget.meter(codec.decoder(source.reader()?, &behind)?);
                    self.open(Source::stream(&mut decoded, None), &inside)?
                };
                if behind.get() > 0 {
                    let what =
                        format!("{} bytes behind the compressed data belong to nothing and are ignored", behind.get());
                    self.warn(inside.name, what)?;
                }
                return Ok(opened);
            }
            Kind::Tar => tar::expand(self, &mut source.reader()?, &inside)?,
            Kind::Zip => zip::expand(self, source.content(spool)?, &inside)?,
            Kind::Parquet => parquet::expand(self, source.content(spool)?, &inside)?,
            Kind::Idx => idx::expand(self, &mut source.reader()?, &inside)?,
            Kind::Npy => numpy::expand(self, source, &inside)?,
            Kind::Table => table::expand(self, source, &inside)?,
        }
        Ok(Opened::Used)
    }

    /// A content that is no container by its first bytes.
    fn plain(&mut self, source: Source<'_>, head: &[u8], place: &Place) -> Step<Opened> {
        if !place.wanted {
            return Ok(Opened::LeftOut);
        }
        let found = detect(head);
        let image = self.options.modality == Modality::Image;
        let may_be_cifar = image && found.modality.is_none() && source.len()?.is_none_or(cifar::fits);
        let sheet = self.options.sheet.filter(|_| image && found.modality == Some(Modality::Image));
        let foreign = place.sample && found.modality != Some(self.options.modality);
        let looks = || Opened::Foreign(format!("looks like {}", found.name));
        if foreign && !may_be_cifar {
            return Ok(looks());
        }
        if place.depth == 0 && !may_be_cifar && sheet.is_none() {
            return Ok(Opened::Plain);
        }
        let mut content = source.content(&self.options.spool)?;
        if may_be_cifar && cifar::expand(self, &mut content, place)? {
            return Ok(Opened::Used);
        }
        if let Some(size) = sheet
            && sheet::expand(self, &mut content, size, place)?
        {
            return Ok(Opened::Used);
        }
        if place.depth == 0 {
            return Ok(Opened::Plain);
        }
        if foreign {
            return Ok(looks());
        }
        self.record(place.name.clone(), content, false)?;
        Ok(Opened::Used)
    }

    /// Opens a member of an archive. What is wrong with it is told, and the archive goes on.
    pub(super) fn member(&mut self, stream: &mut dyn Read, member: Member<'_>, place: &Place) -> Step<Opened> {
        let name = place.join(member.name);
        let matches = |set: &Option<globset::GlobSet>| set.as_ref().map(|set| set.is_match(&name));
        if matches(&self.options.exclude) == Some(true) {
            return Ok(Opened::LeftOut);
        }
        let wanted = matches(&self.options.include) != Some(false);
        let inside = Place { name, depth: place.depth, wanted, sample: member.sample };
        match self.open(Source::stream(stream, member.len), &inside) {
            Err(Stop::Broken(reason)) if !self.budget.over() => {
                self.skip(inside.name, reason)?;
                Ok(Opened::Used)
            }
            opened => opened,
        }
    }

    /// Hands on a record.
    fn record(&mut self, name: String, mut content: Content, utf8: bool) -> Step {
        self.budget.take(content.len()?)?;
        // Whoever gets a file finds it at its start.
        content.reader()?;
        self.visit(Found::Record(Record { name, content, utf8 }))
    }

    /// Hands on a record that was put together in memory.
    pub(super) fn record_bytes(&mut self, name: String, bytes: Vec<u8>) -> Step {
        self.record_row(name, bytes, false)
    }

    /// Hands on a text of a table.
    pub(super) fn record_text(&mut self, name: String, text: String) -> Step {
        self.record_row(name, text.into_bytes(), true)
    }

    /// Hands on a row of a table; `utf8` as in [`Record`].
    pub(super) fn record_row(&mut self, name: String, bytes: Vec<u8>, utf8: bool) -> Step {
        let content = match bytes.len() {
            0..=Content::IN_MEMORY => Content::Memory(bytes),
            _ => Content::spool(&mut bytes.as_slice(), &self.options.spool)?,
        };
        self.record(name, content, utf8)
    }

    /// Tells what can't be used.
    pub(super) fn skip(&mut self, name: String, reason: impl Into<String>) -> Step {
        self.visit(Found::Skipped { name, reason: reason.into() })
    }

    /// Tells what there is to know of what is used all the same.
    pub(super) fn warn(&mut self, name: String, reason: impl Into<String>) -> Step {
        self.visit(Found::Warning { name, reason: reason.into() })
    }

    fn visit(&mut self, found: Found) -> Step {
        (self.visit)(found).map_err(Stop::Failed)
    }
}

/// A file in an archive.
pub(super) struct Member<'a> {
    /// Its cleaned name.
    pub name: &'a str,
    /// Its bytes, where they are known.
    pub len: Option<u64>,
    /// Whether it is a part of a sample.
    pub sample: bool,
}
