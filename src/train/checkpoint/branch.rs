//! A run that begins where another one was.

use std::fs;
use std::path::{Path, PathBuf};

use super::snapshot::{State, sync_all};
use super::{Checkpoints, folder_of};
use crate::error::IoContext;
use crate::train::metrics;
use crate::{Error, Result};

/// Makes a run folder `out`, where nothing may be but an empty folder, that is as the run of `checkpoint` was at that step:
/// with its configuration, the checkpoint, the best one where that is not of a later step, and the metrics so far. The
/// other run stays as it is. Gives the step.
///
/// `out` is there as a whole or not at all. Fails where the checkpoint is damaged.
pub fn branch(checkpoint: &Path, out: &Path) -> Result<u64> {
    let (run, checkpoint) = run_of(checkpoint)?;
    let checkpoints = Checkpoints::new(&run);
    checkpoints.verify(&checkpoint)?;
    let state = State::read(&checkpoint)?;

    let out = std::path::absolute(out).at(out)?;
    let parent = out.parent().ok_or_else(|| Error::file(&out, "is no place for a run"))?;
    fs::create_dir_all(parent).at(parent)?;
    let beside = tempfile::Builder::new().prefix(".branch-").tempdir_in(parent).at(parent)?;
    // As any other folder, not as a private one.
    fs::set_permissions(beside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).at(beside.path())?;
    let new = Checkpoints::new(beside.path());
    fs::create_dir(&new.folder).at(&new.folder)?;
    let place = folder_of(state.step);
    copy(&checkpoint, &new.folder.join(&place))?;
    // The other run may still be going on, and remove what it no longer keeps.
    new.verify(&new.folder.join(&place))?;
    new.link("latest", &place)?;
    if let Some(best) = checkpoints.best_step().filter(|&best| best <= state.step) {
        if best != state.step {
            copy(&checkpoints.folder.join(folder_of(best)), &new.folder.join(folder_of(best)))?;
            new.verify(&new.folder.join(folder_of(best)))?;
        }
        new.link("best", &folder_of(best))?;
    }
    for name in ["metrics.jsonl", "speed.jsonl"] {
        if let Some(lines) = metrics::until(&run.join(name), state.step, state.owed.evaluation)? {
            let path = beside.path().join(name);
            fs::write(&path, lines).at(&path)?;
        }
    }
    let config = checkpoints.config_file(&checkpoint)?;
    fs::copy(&config, beside.path().join("config.toml")).at(&config)?;
    sync_all(&new.folder)?;
    sync_all(beside.path())?;
    fs::rename(beside.path(), &out).at(&out)?;
    // Nothing is there any more that it could remove.
    let _ = beside.keep();
    Ok(state.step)
}

/// The run that a checkpoint is of, and its own folder; of a run, its latest.
pub fn run_of(checkpoint: &Path) -> Result<(PathBuf, PathBuf)> {
    let place = fs::canonicalize(checkpoint).at(checkpoint)?;
    if let Some(latest) = Checkpoints::new(&place).latest() {
        return Ok((place, fs::canonicalize(&latest).at(&latest)?));
    }
    match place.parent().filter(|folder| folder.ends_with("checkpoints")).and_then(Path::parent) {
        Some(run) => Ok((run.to_owned(), place)),
        None => Err(Error::file(checkpoint, "is no checkpoint of a run: expected RUN/checkpoints/step_N")),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).at(to)?;
    for entry in fs::read_dir(from).at(from)? {
        let path = entry.at(from)?.path();
        fs::copy(&path, to.join(path.file_name().unwrap_or_default())).at(&path)?;
    }
    sync_all(to)
}
