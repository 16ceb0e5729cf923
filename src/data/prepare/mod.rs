//! Files to shards, in three stages that work side by side: [`read`] finds documents, [`encode`] makes bytes of them, in
//! parallel, and [`store`] puts these into shards, in order.
//!
//! ```text
//! source ──▶ read ──Job──▶ encode ──Done──▶ store ──▶ segment ──▶ shards
//!   (walk, pattern)          (spool)          └──▶ state: what need not be done again
//! ```

mod cache;
mod encode;
mod pattern;
mod read;
mod segment;
mod source;
mod spool;
mod state;
mod store;
mod survey;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rayon::prelude::*;

pub use cache::{prepared, prepared_in};
pub(in crate::data) use encode::encode;
pub use pattern::matches;
pub use source::{SourceFile, Walk, walk};
pub use state::Existing;
pub use survey::{Survey, guess, is_archive, survey};

use encode::{Done, Encoder};
use pattern::Patterns;
use read::{Job, Reader};
use segment::Segment;
use source::walk_without;
use state::State;
use store::Store;

use crate::config::DataConfig;
use crate::data::container;
use crate::data::manifest::{self, Manifest};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;
use crate::{Error, Result};

/// Turns files and folders into shards of byte sequences in the folder `out`, split into train, valid and test.
///
/// The split is that of the folder `train`, `valid` or `test` directly below a source or in an archive, or else follows
/// from the content alone (`Split::of_hash`); documents longer than `data.cut_over` bytes that can be cut are cut into
/// all three, and so are shorter ones where they are so few that some split would have nothing; of so few that can't be cut,
/// one in twenty goes into each of valid and test, and one at least. Content that was seen before is left out and counted,
/// and so is a file that can't be used, with its reason. Long documents are stored in pieces that follow each other.
///
/// Where `out` is prepared already, `existing` says whether files that it does not have yet are added or all of it is
/// replaced. Readers see the new state at the end, at once; other files in `out` are left alone. Work that is
/// cancelled, or killed, is taken up where it was by the next call with the same settings: at most a GiB is done again.
///
/// Memory stays below a GiB: documents wait on the disk where there is no room for them. What grows is the list of
/// files (about 150 bytes each) and of documents (about 30).
///
/// Fails where a source is missing, where no file can be used, where `out` holds data of other settings, and where it
/// can't be written; with [`Error::Interrupted`] when the work was cancelled.
pub fn prepare(
    sources: &[PathBuf],
    data: &DataConfig,
    out: &Path,
    existing: Existing,
    progress: &dyn Progress,
) -> Result<Manifest> {
    // What can't work is told before anything is looked at or made.
    state::settings(data)?;
    let patterns = Patterns::new(&data.include, &data.exclude)?;
    let found = walk_without(sources, &patterns)?;
    if found.files.is_empty() && found.skipped.is_empty() {
        let names: Vec<_> = sources.iter().map(|source| source.display().to_string()).collect();
        return Err(Error::Usage(format!("there are no files in {}", names.join(", "))));
    }
    let ours = out.join(manifest::FILE);
    if ours.exists() && manifest::shards_in(out).is_empty() {
        return Err(Error::file(ours, "is not a manifest of prepared data: choose another folder to write"));
    }
    let new = !out.exists();
    if out.exists() && !out.is_dir() {
        return Err(Error::file(out, "is not a folder: name one to write"));
    }
    std::fs::create_dir_all(out).at(out)?;
    let _lock = lock(out, progress)?;
    remove_temporary(out);
    if existing == Existing::Add && !Manifest::is_begun(out) && !is_ours(out) {
        return Err(Error::file(out, "is there already; choose another path or add --force"));
    }
    let state = State::begin(sources, out, data, existing);
    let prepared = state.and_then(|state| match run(found, state, data, out, progress)? {
        Ended::Complete(manifest) => Ok(*manifest),
        Ended::TooFew(mut state) => {
            state.hold_some_out()?;
            match run(walk_without(sources, &patterns)?, *state, data, out, progress)? {
                Ended::Complete(manifest) => Ok(*manifest),
                Ended::TooFew(_) => unreachable!("what is shared out already is not begun anew"),
            }
        }
    });
    if prepared.is_err() && new {
        // Only where nothing is in it; the failure is told by `prepared`.
        let _ = std::fs::remove_dir(out);
    }
    prepared
}

/// One call works on a folder at a time; another waits. The lock goes with the file, however the program ends.
fn lock(out: &Path, progress: &dyn Progress) -> Result<File> {
    let folder = File::open(out).at(out)?;
    let mut waiting = false;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(std::fs::TryLockError::WouldBlock) => {}
            // A file system without locks.
            Err(std::fs::TryLockError::Error(_)) => return Ok(folder),
        }
        if !waiting {
            progress.note(&format!("waiting for another program that prepares {}", shown(out)));
            waiting = true;
        }
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a folder has nothing in it but what a call that was killed early has left: a list of sources, and beside one the
/// shards that got their names before anything said so.
fn is_ours(out: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(out) else { return false };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let Ok(names) = names.collect::<std::io::Result<Vec<String>>>() else { return false };
    let begun = names.iter().any(|name| state::is_list(name));
    names.iter().all(|name| state::is_list(name) || begun && manifest::is_shard(name))
}

/// What a call that was killed left behind. It is only in the way, so that a failure is no matter.
fn remove_temporary(out: &Path) {
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(".megabyte-") && name.ends_with(".tmp")) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// How preparing ended.
enum Ended {
    Complete(Box<Manifest>),
    /// Documents are so few that some split has none of them: they are to be cut or shared out.
    TooFew(Box<State>),
}

/// Prepares what `found` has and `state` does not know.
fn run(found: Walk, mut state: State, data: &DataConfig, out: &Path, progress: &dyn Progress) -> Result<Ended> {
    let unknown = found.files.into_iter().filter(|file| !state.knows(file));
    let files: Vec<(SourceFile, u64)> = unknown
        .map(|file| {
            let done = state.done(&file);
            (file, done)
        })
        .collect();
    let again = files.iter().filter(|(_, done)| *done == 0).map(|(file, _)| file.path.as_path());
    state.forget(again, &found.skipped);
    let layout = state.manifest.layout().clone();
    let adapter = layout.adapter();
    let mut store = Store {
        files: &files,
        layout: &layout,
        adapter: adapter.as_ref(),
        cut_over: data.cut_over,
        segment: Segment::new(out, &layout),
        state,
        at: None,
        told: 0,
        half: false,
        progress,
    };
    for skipped in found.skipped {
        store.skip(skipped);
    }
    match stages(&files, data, out, progress, &mut |done| store.take(done)) {
        Ok(()) if store.holds_too_few() => Ok(Ended::TooFew(Box::new(store.state))),
        Ok(()) => store.complete(out).map(|manifest| Ended::Complete(Box::new(manifest))),
        Err(error) => {
            store.stop()?;
            Err(error)
        }
    }
}

/// Runs the stages to the end of the files, or until one of them fails or the work is cancelled. `spool` is a folder for
/// documents that wait; `take` gets what became of each, in order.
fn stages(
    files: &[(SourceFile, u64)],
    data: &DataConfig,
    spool: &Path,
    progress: &dyn Progress,
    take: &mut dyn FnMut(Done) -> Result<()>,
) -> Result<()> {
    let patterns = Patterns::new(&data.include, &data.exclude)?;
    let layout = data.layout()?;
    let adapter = layout.adapter_within(&data.limits.adapter());
    let utf8 = layout.of_utf8().adapter_within(&data.limits.adapter());
    let options = container::Options {
        include: patterns.include.clone(),
        exclude: patterns.exclude.clone(),
        ..container::Options::of(data, spool.to_owned())
    };
    let all = container::Options { include: None, ..options.clone() };
    let reader = Reader { files, options: &options, all: &all, patterns: &patterns, progress };
    let (adapter, utf8) = (adapter.as_ref(), utf8.as_ref());
    let encoder = Encoder { adapter, utf8, files, spool, max_document: data.limits.max_document, progress };
    progress.start("prepare", files.iter().map(|(file, _)| file.size).sum());
    std::thread::scope(|scope| {
        // One batch waits between two stages, and one is at work in each.
        let (read, jobs) = sync_channel(1);
        let (encoded, results) = sync_channel(1);
        scope.spawn(move || reader.run(&read));
        scope.spawn(move || {
            for batch in jobs {
                let batch = batch.and_then(|batch: Vec<Job>| {
                    batch.into_par_iter().map(|job| encoder.run(job)).collect::<Result<Vec<_>>>()
                });
                if encoded.send(batch).is_err() {
                    return;
                }
            }
        });
        for batch in results {
            for done in batch? {
                // What a stage gives once the work is cancelled may be half of what it would have been.
                if progress.cancelled() {
                    return Err(Error::Interrupted);
                }
                take(done)?;
            }
        }
        Ok(())
    })
}
