//! Finds the files below sources, in an order that is the same everywhere.

use std::fs::FileType;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::manifest::{Manifest, Skipped};
use super::{Split, shard};
use crate::error::IoContext;
use crate::{Error, Result};

/// A file below a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below its source, or its name where it is a source itself.
    pub name: String,
    /// The split that the folder `train`, `valid` or `test` directly below the source gives it.
    pub split: Option<Split>,
    /// Bytes of the file.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970; 0 where the file system does not say.
    pub modified: u128,
}

/// What lies below sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// The files, source by source, sorted by name in each folder.
    pub files: Vec<SourceFile>,
    /// What can't be looked at, with the reason.
    pub skipped: Vec<Skipped>,
}

/// Lists the files below sources, each a file or a folder. Links are followed, once; hidden files and folders that
/// [`prepare`](super::prepare()) wrote are left out. Fails where a source does not exist or is a prepared folder.
pub fn walk(sources: &[PathBuf]) -> Result<Walk> {
    let mut found = Walk::default();
    for source in sources {
        let metadata = std::fs::metadata(source).at(source)?;
        if metadata.is_dir() {
            if Manifest::is_at(source) {
                let reason = "is a prepared folder already: use it as the only source of `train`, `eval` or `inspect`";
                return Err(Error::file(source, reason));
            }
            walk_folder(source, &mut found);
        } else {
            let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
            add(source.clone(), name, None, Ok(metadata), &mut found);
        }
    }
    Ok(found)
}

/// Whether the content is a shard: bytes that are someone's already, never a document.
pub(super) fn is_shard(content: &[u8]) -> bool {
    content.starts_with(&shard::MAGIC)
}

fn walk_folder(source: &Path, found: &mut Walk) {
    let wanted = |entry: &DirEntry| {
        if entry.depth() == 0 {
            return true;
        }
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let prepared = entry.file_type().is_dir() && Manifest::is_at(entry.path());
        !hidden && !prepared
    };
    for entry in WalkDir::new(source).follow_links(true).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(source).to_owned();
                let reason = if error.loop_ancestor().is_some() {
                    "is a link to a folder above it".to_owned()
                } else {
                    error.io_error().map_or_else(|| error.to_string(), |error| error.to_string())
                };
                found.skipped.push(Skipped { path, reason });
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let below = entry.path().strip_prefix(source).unwrap_or(entry.path());
        let mut parts = below.components();
        let first = parts.next().and_then(|part| part.as_os_str().to_str());
        let split = first.filter(|_| parts.next().is_some()).and_then(|name| name.parse().ok());
        let name = below.to_string_lossy().into_owned();
        let metadata = entry.metadata().map_err(|error| error.to_string());
        add(entry.into_path(), name, split, metadata, found);
    }
}

fn add(
    path: PathBuf,
    name: String,
    split: Option<Split>,
    metadata: Result<std::fs::Metadata, String>,
    found: &mut Walk,
) {
    let metadata = match metadata {
        Ok(metadata) if metadata.is_file() => metadata,
        other => {
            let reason = other.map_or_else(|error| error, |metadata| not_a_file(metadata.file_type()));
            found.skipped.push(Skipped { path, reason });
            return;
        }
    };
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| since.as_nanos());
    found.files.push(SourceFile { path, name, split, size: metadata.len(), modified });
}

fn not_a_file(kind: FileType) -> String {
    use std::os::unix::fs::FileTypeExt;
    let what = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    format!("is {what}, not a file")
}
