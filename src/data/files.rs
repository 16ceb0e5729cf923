//! Files that are read one after the other and kept nowhere: for scoring them as they are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::prepare::{SourceFile, walk};
use super::{Dataset, Skipped};
use crate::modality::Layout;
use crate::{Error, Result};

/// Files read together: at least one, then up to so many bytes and files.
const BYTES: u64 = 16 << 20;
const FILES: usize = 256;

/// The files below sources, in an order that is the same everywhere, read a few at a time. What can't be used is
/// skipped and listed.
#[derive(Debug)]
pub struct Files {
    layout: Layout,
    /// Names, and the files that go by them.
    files: Vec<(String, SourceFile)>,
    next: usize,
    /// What [`Self::documents`] has read already.
    ahead: Option<(Dataset, u64)>,
    /// What could not be used so far, and why.
    pub skipped: Vec<Skipped>,
    /// What there is to know of what was used so far.
    pub file_warnings: Vec<Skipped>,
}

impl Files {
    /// Finds the files. They go by their paths below the source where it is the only one and a folder, else by their
    /// paths as they are.
    ///
    /// Fails where a source does not exist or is a prepared folder, and where there is no file.
    pub fn find(sources: &[PathBuf], layout: &Layout) -> Result<Self> {
        let found = walk(sources)?;
        let below = matches!(sources, [folder] if folder.is_dir());
        let name = |file: &SourceFile| if below { file.name().into_owned() } else { file.path.display().to_string() };
        let files: Vec<_> = found.files.into_iter().map(|file| (name(&file), file)).collect();
        if files.is_empty() {
            let what = sources.first().map_or(Path::new(""), PathBuf::as_path);
            return Err(Error::file(what, "has no file in it that can be read"));
        }
        Ok(Files {
            layout: layout.clone(),
            files,
            next: 0,
            ahead: None,
            skipped: found.skipped,
            file_warnings: Vec::new(),
        })
    }

    /// Lets every file go by its path below its source, or by its name where it is a source itself. Fails where two
    /// have the same.
    pub fn with_short_names(mut self) -> Result<Self> {
        let mut seen = HashSet::new();
        for (name, file) in &mut self.files {
            *name = file.name().into_owned();
            if !seen.insert(name.clone()) {
                let reason = format!("another file here is called {name} too: take them one after the other");
                return Err(Error::file(&file.path, reason));
            }
        }
        Ok(self)
    }

    /// How they are encoded.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many files there are, read or not.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none; never.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all of them on the disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, file)| file.size).sum()
    }

    /// How many documents [`Self::read`] gives next. They are read now, and not again then.
    pub fn documents(&mut self) -> usize {
        self.ahead = self.read();
        self.ahead.as_ref().map_or(0, |(documents, _)| documents.len())
    }

    /// The next files, encoded, and their bytes on the disk; nothing after the last. Of an archive, each document in
    /// it is an item. Where none of them can be used, the data set is empty.
    pub fn read(&mut self) -> Option<(Dataset, u64)> {
        if let Some(ahead) = self.ahead.take() {
            return Some(ahead);
        }
        let rest = self.files.get(self.next..).filter(|rest| !rest.is_empty())?;
        let (mut bytes, mut count) = (0, 0);
        while count < rest.len().min(FILES) && (count == 0 || bytes + rest[count].1.size <= BYTES) {
            bytes += rest[count].1.size;
            count += 1;
        }
        let files: Vec<_> = rest[..count].iter().map(|(name, file)| (file.path.as_path(), name.as_str())).collect();
        let (dataset, skipped) = Dataset::from_usable(&files, &self.layout);
        self.skipped.extend(skipped);
        self.file_warnings.extend_from_slice(dataset.file_warnings());
        self.next += count;
        Some((dataset, bytes))
    }
}
