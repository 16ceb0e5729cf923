//! Finds the files below sources, in an order that is the same everywhere.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::pattern::Patterns;
use crate::data::manifest::{Manifest, Skipped};
use crate::data::{Split, shard};
use crate::error::IoContext;
use crate::replace::check_regular;
use crate::{Error, Result};

/// Why a file is skipped of which half would be old and half new.
pub(super) const CHANGED: &str = "changed while it was read";

/// A file below a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Components of the path that are the source's; the others are the name.
    depth: usize,
    /// Bytes of the file.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970; 0 where the file system does not say.
    pub modified: u128,
}

impl SourceFile {
    /// Its path below its source, or its name where it is a source itself.
    pub fn name(&self) -> Cow<'_, str> {
        let mut components = self.path.components();
        components.by_ref().take(self.depth).for_each(drop);
        components.as_path().to_string_lossy()
    }

    /// Whether the file, which is open, is what it was when it was found.
    pub(super) fn is_still(&self, open: &std::fs::File) -> bool {
        open.metadata().is_ok_and(|now| now.len() == self.size && modified(&now) == self.modified)
    }

    /// The split that the folder `train`, `valid` or `test` directly below the source gives it.
    pub fn split(&self) -> Option<Split> {
        Split::of_name(&self.name())
    }
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
/// [`prepare`](super::prepare()) wrote are left out, and what lies below several sources counts below the first. Fails
/// where a source does not exist, is a prepared folder, or is a pipe, a socket or a device.
pub fn walk(sources: &[PathBuf]) -> Result<Walk> {
    walk_without(sources, &Patterns::default())
}

/// As [`walk`], without the files that a pattern leaves out.
pub(super) fn walk_without(sources: &[PathBuf], patterns: &Patterns) -> Result<Walk> {
    let mut found = Walk::default();
    // Of one source nothing comes twice.
    let mut seen = (sources.len() > 1).then(HashSet::new);
    for source in sources {
        let metadata = std::fs::metadata(source).at(source)?;
        check_regular(source)?;
        let root = source.canonicalize().at(source)?;
        let mut is_new = |place: &Path| seen.as_mut().is_none_or(|seen| seen.insert(root.join(place)));
        if metadata.is_dir() {
            if Manifest::is_at(source) {
                let reason = "is a prepared folder already: use it as the only source of `train`, `eval` or `inspect`";
                return Err(Error::file(source, reason));
            }
            walk_folder(source, patterns, &mut is_new, &mut found);
        } else if is_new(Path::new("")) {
            let depth = source.components().count().saturating_sub(1);
            add(source.clone(), depth, Ok(metadata), &mut found);
        }
    }
    Ok(found)
}

/// Whether the content is a shard: bytes that are someone's already, never a document.
pub(super) fn is_shard(content: &[u8]) -> bool {
    content.starts_with(&shard::MAGIC)
}

/// `is_new` says of what is below the source whether it did not come before.
fn walk_folder(source: &Path, patterns: &Patterns, is_new: &mut dyn FnMut(&Path) -> bool, found: &mut Walk) {
    let depth = source.components().count();
    let root = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let links = RefCell::new(Vec::new());
    let wanted = |entry: &DirEntry| {
        if entry.depth() == 0 {
            return true;
        }
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let prepared = entry.file_type().is_dir() && Manifest::is_begun(entry.path());
        let below = entry.path().strip_prefix(source).unwrap_or(entry.path());
        if hidden || prepared || patterns.leaves_out(&below.to_string_lossy()) {
            return false;
        }
        let link = second_way(entry, &root);
        links.borrow_mut().extend(link.map(|reason| (entry.path().to_owned(), reason.to_owned())));
        link.is_none()
    };
    let mut is_new = |path: &Path| is_new(path.strip_prefix(source).unwrap_or(path));
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
                links.borrow_mut().push((path, reason));
                continue;
            }
        };
        if entry.file_type().is_dir() || !is_new(entry.path()) {
            continue;
        }
        let metadata = entry.metadata().map_err(|error| error.to_string());
        add(entry.into_path(), depth, metadata, found);
    }
    let skipped = links.into_inner().into_iter().filter(|(path, _)| is_new(path));
    found.skipped.extend(skipped.map(|(path, reason)| Skipped::new(path.display(), reason)));
}

/// Why a link to a folder is not followed: what is behind it would be read twice, under two names and perhaps for two
/// splits.
fn second_way(entry: &DirEntry, root: &Path) -> Option<&'static str> {
    if !entry.path_is_symlink() || !entry.file_type().is_dir() {
        return None;
    }
    let target = entry.path().canonicalize().ok()?;
    if root.starts_with(&target) {
        Some("is a link to a folder above it")
    } else if target.starts_with(root) {
        Some("is a link to a folder that is read anyway")
    } else {
        None
    }
}

fn add(path: PathBuf, depth: usize, metadata: Result<std::fs::Metadata, String>, found: &mut Walk) {
    let metadata = match metadata {
        Ok(metadata) if metadata.is_file() => metadata,
        other => {
            let reason = other.map_or_else(|error| error, |metadata| not_a_file(metadata.file_type()));
            found.skipped.push(Skipped::new(path.display(), reason));
            return;
        }
    };
    let modified = modified(&metadata);
    found.files.push(SourceFile { path, depth, size: metadata.len(), modified });
}

/// When a file was last changed, in nanoseconds since 1970; 0 where the file system does not say.
pub(super) fn modified(metadata: &std::fs::Metadata) -> u128 {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    modified.map_or(0, |since| since.as_nanos())
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
