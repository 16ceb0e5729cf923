//! The first stage of preparation: files to jobs, one a document, in an order that is the same everywhere.

use std::fs::File;
use std::io::Seek;
use std::sync::mpsc::SyncSender;

use super::pattern::Patterns;
use super::source::{CHANGED, SourceFile};
use crate::data::container::{self, Content, Expanded, Found};
use crate::progress::Progress;
use crate::{Error, Result};

/// Jobs that go on together: at most this many, of about this many bytes.
const JOBS: usize = 256;
const BYTES: u64 = 16 << 20;

/// Something to do for a source file.
#[derive(Debug)]
pub(super) struct Job {
    /// The file's index.
    pub file: usize,
    pub work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// The file is a document.
    Whole,
    /// A document in the file; `utf8` as in [`Record`](container::Record).
    Part { name: String, content: Content, utf8: bool },
    /// A part of the file that can't be used.
    SkipPart { name: String, reason: String },
    /// Something to know of a part of the file.
    WarnPart { name: String, reason: String },
    /// The file is an archive, of which the rest can't be used.
    Broken(String),
    /// The file can't be used now; another call may find it otherwise.
    Retry(String),
    /// There is no more in the file.
    End,
}

/// Where the jobs of a call come from.
pub(super) struct Reader<'a> {
    /// The files to read, and how many records of each are done already.
    pub files: &'a [(SourceFile, u64)],
    pub options: &'a container::Options,
    /// For archives that are wanted whole.
    pub all: &'a container::Options,
    pub patterns: &'a Patterns,
    pub progress: &'a dyn Progress,
}

impl Reader<'_> {
    /// Sends all jobs, in batches, until nobody listens or the work is cancelled.
    pub(super) fn run(&self, sender: &SyncSender<Result<Vec<Job>>>) {
        let mut batch = Batch { jobs: Vec::new(), bytes: 0, sender };
        for (index, (file, done)) in self.files.iter().enumerate() {
            if let Err(error) = self.read(index, file, *done, &mut batch) {
                // Nobody may listen any more, and then nobody has to know.
                let _ = sender.send(Err(error));
                return;
            }
        }
        let _ = batch.send();
    }

    fn read(&self, index: usize, file: &SourceFile, done: u64, batch: &mut Batch) -> Result<()> {
        if self.progress.cancelled() {
            return Err(Error::Interrupted);
        }
        let mut open = match File::open(&file.path) {
            Ok(open) => open,
            Err(error) => {
                self.progress.advance(file.size);
                return batch.push(index, Work::Retry(error.to_string()), 0);
            }
        };
        // Archives advance as their file is read, other files when they are encoded.
        let place = open.try_clone();
        let mut told = 0;
        let mut seen = 0;
        let name = file.name();
        // An archive that is wanted by its own name is wanted whole.
        let options = if self.patterns.takes(&name) { self.all } else { self.options };
        let expanded = container::expand(&mut open, &name, options, &mut |found| {
            if self.progress.cancelled() {
                return Err(Error::Interrupted);
            }
            let at = place.as_ref().ok().and_then(|mut place| place.stream_position().ok()).unwrap_or(0);
            if at > told && at <= file.size {
                self.progress.advance(at - told);
                told = at;
            }
            seen += 1;
            if seen <= done {
                return Ok(());
            }
            match found {
                Found::Record(record) => {
                    let bytes = match &record.content {
                        Content::Memory(bytes) => bytes.len() as u64,
                        Content::File(_) => BYTES / 8,
                    };
                    batch.push(
                        index,
                        Work::Part { name: record.name, content: record.content, utf8: record.utf8 },
                        bytes,
                    )
                }
                Found::Skipped { name, reason } => batch.push(index, Work::SkipPart { name, reason }, 0),
                Found::Warning { name, reason } => batch.push(index, Work::WarnPart { name, reason }, 0),
            }
        })?;
        match expanded {
            Expanded::NotAContainer if self.patterns.takes(&name) => return batch.push(index, Work::Whole, file.size),
            Expanded::NotAContainer => {}
            Expanded::Done if !place.is_ok_and(|place| file.is_still(&place)) => {
                batch.push(index, Work::Retry(CHANGED.to_owned()), 0)?;
            }
            Expanded::Done => batch.push(index, Work::End, 0)?,
            Expanded::Broken(reason) => batch.push(index, Work::Broken(reason), 0)?,
        }
        self.progress.advance(file.size.saturating_sub(told));
        Ok(())
    }
}

/// Jobs on their way.
struct Batch<'a> {
    jobs: Vec<Job>,
    bytes: u64,
    sender: &'a SyncSender<Result<Vec<Job>>>,
}

impl Batch<'_> {
    fn push(&mut self, file: usize, work: Work, bytes: u64) -> Result<()> {
        self.jobs.push(Job { file, work });
        self.bytes += bytes;
        if self.jobs.len() >= JOBS || self.bytes >= BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        self.bytes = 0;
        // Whoever listened has stopped, and knows why.
        self.sender.send(Ok(std::mem::take(&mut self.jobs))).map_err(|_| Error::Interrupted)
    }
}
