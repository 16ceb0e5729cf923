//! Files that grow by whole records: one that can't be written is kept and tried again with the next ones, so that a disk
//! that is full for a while costs nothing and leaves no half of a record.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::{Error, Result};

/// A file that grows.
#[derive(Debug)]
pub(crate) struct Append {
    /// Open for appending.
    file: File,
    path: PathBuf,
    /// Bytes of whole records in the file.
    length: u64,
    /// Records that are not in the file yet.
    pending: Vec<u8>,
}

impl Append {
    /// To a file that is open for appending.
    pub fn new(path: &Path, file: File) -> Result<Self> {
        let length = file.metadata().at(path)?.len();
        Ok(Append { file, path: path.to_owned(), length, pending: Vec::new() })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle to the file.
    pub fn handle(&self) -> Result<File> {
        self.file.try_clone().at(&self.path)
    }

    /// Adds a record, which [`flush`](Self::flush) writes.
    pub fn push(&mut self, record: &[u8]) {
        self.pending.extend_from_slice(record);
    }

    /// Writes what is not in the file yet, or nothing of it.
    pub fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            // A part may be there, and would be there twice.
            let _ = self.file.set_len(self.length);
            return Err(Error::io(&self.path, error));
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes to another file from here on, and gives the one before.
    #[cfg(test)]
    pub fn swap_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}
