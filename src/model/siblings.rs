//! Checkpoints beside each other: folders whose names are `step_` and a number.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// The folders of such names in `folder`, with their numbers, the lowest first.
pub fn steps(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let step = entry.file_name().to_str()?.strip_prefix("step_")?.parse().ok()?;
        Some((step, entry.path())).filter(|(_, path)| path.is_dir())
    });
    let mut steps: Vec<_> = numbered.collect();
    steps.sort();
    steps
}

/// The newest checkpoint beside a damaged one that is whole.
pub fn newest_whole(damaged: &Path, is_whole: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    // Links name a checkpoint by another path.
    let damaged = fs::canonicalize(damaged).ok()?;
    let others = steps(damaged.parent()?).into_iter().map(|(_, path)| path);
    others.rev().find(|other| *other != damaged && is_whole(other))
}

/// An error about a folder, with what is to be done.
pub fn with_remedy(error: Error, folder: &Path, remedy: &str) -> Error {
    match error {
        Error::File { reason, path } => Error::File { path, reason: format!("{reason}; {remedy}") },
        error => Error::file(folder, format!("is damaged: {error}; {remedy}")),
    }
}
