//! The second stage of preparation: a job to the bytes of a document.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::read::{Job, Work};
use super::source::{CHANGED, SourceFile, is_shard};
use super::spool::{Spool, Spooled};
use crate::Result;
use crate::data::container::Content;
use crate::modality::{Adapter, Input};
use crate::progress::Progress;

/// What became of a job.
#[derive(Debug)]
pub(super) struct Done {
    /// The file's index.
    pub file: usize,
    /// The name of a part of the file; none for the file itself.
    pub part: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// Its bytes, and what there is to know of them.
    Document(Spooled, Vec<String>),
    /// Something to know, of what is used all the same.
    Warning(String),
    /// Why it can't be used.
    Skip(String),
    /// Why the rest of an archive can't be used.
    Broken(String),
    /// Why it can't be used now; another call may find it otherwise.
    Retry(String),
    /// There is no more in the file.
    End,
}

/// Encodes documents.
pub(super) struct Encoder<'a> {
    pub adapter: &'a dyn Adapter,
    /// For what is UTF-8 whatever the layout says.
    pub utf8: &'a dyn Adapter,
    pub files: &'a [(SourceFile, u64)],
    /// Where long documents wait.
    pub spool: &'a Path,
    /// The most bytes of a document.
    pub max_document: u64,
    pub progress: &'a dyn Progress,
}

impl Encoder<'_> {
    /// Does a job. Fails only where no other would do better: no room on the disk.
    pub(super) fn run(&self, Job { file, work }: Job) -> Result<Done> {
        let (part, outcome) = match work {
            Work::Whole => (None, self.whole(&self.files[file].0)?),
            Work::Part { name, content, utf8 } => {
                let adapter = if utf8 { self.utf8 } else { self.adapter };
                let outcome = match content {
                    Content::Memory(bytes) => self.document(adapter, &mut Cursor::new(bytes))?,
                    Content::File(mut content) => self.document(adapter, &mut content)?,
                };
                (Some(name), outcome)
            }
            Work::SkipPart { name, reason } => (Some(name), Outcome::Skip(reason)),
            Work::WarnPart { name, reason } => (Some(name), Outcome::Warning(reason)),
            Work::Broken(reason) => (None, Outcome::Broken(reason)),
            Work::Retry(reason) => (None, Outcome::Retry(reason)),
            Work::End => (None, Outcome::End),
        };
        Ok(Done { file, part, outcome })
    }

    /// A file that is a document. One that changes meanwhile is skipped: half of it would be old and half new.
    fn whole(&self, file: &SourceFile) -> Result<Outcome> {
        let open = match File::open(&file.path) {
            Ok(open) => open,
            Err(error) => {
                self.progress.advance(file.size);
                return Ok(Outcome::Retry(error.to_string()));
            }
        };
        let mut counted = Counted { open, read: 0, told: 0, size: file.size, progress: self.progress };
        let before = file.is_still(&counted.open);
        let outcome = self.document(self.adapter, &mut counted)?;
        let after = file.is_still(&counted.open);
        self.progress.advance(file.size - counted.told);
        if before && after { Ok(outcome) } else { Ok(Outcome::Retry(CHANGED.to_owned())) }
    }

    fn document(&self, adapter: &dyn Adapter, input: &mut dyn Input) -> Result<Outcome> {
        let mut spool = Spool::new(self.spool, self.max_document);
        let encoded = encode(adapter, input, &mut spool);
        spool.check()?;
        Ok(match encoded {
            Ok(warnings) => {
                let document = spool.finish()?;
                if document.len() == 0 {
                    Outcome::Skip("has no content".to_owned())
                } else {
                    Outcome::Document(document, warnings)
                }
            }
            Err(reason) => Outcome::Skip(reason),
        })
    }
}

/// Encodes content and gives what there is to know of it; the error is the reason why it can't be used.
pub(in crate::data) fn encode(
    adapter: &dyn Adapter,
    mut input: &mut dyn Input,
    out: &mut dyn io::Write,
) -> Result<Vec<String>, String> {
    let mut head = Vec::new();
    let read = (&mut input).take(16).read_to_end(&mut head).and_then(|_| input.seek(SeekFrom::Start(0)));
    read.map_err(|error| error.to_string())?;
    if head.is_empty() {
        return Err("is empty".to_owned());
    }
    if is_shard(&head) {
        return Err("is a shard of prepared data".to_owned());
    }
    adapter.encode_to(input, out).map_err(|error| error.to_string())
}

/// A file that says how far it has been read, and ends when the work is cancelled.
struct Counted<'a> {
    open: File,
    read: u64,
    /// Bytes that progress knows of.
    told: u64,
    size: u64,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const OFTEN: u64 = 4 << 20;
        let read = self.open.read(buffer)?;
        self.read += read as u64;
        let now = self.read.min(self.size);
        if now >= self.told + OFTEN {
            self.progress.advance(now - self.told);
            self.told = now;
            if self.progress.cancelled() {
                return Err(io::Error::other("stopped"));
            }
        }
        Ok(read)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.open.seek(to)
    }
}
