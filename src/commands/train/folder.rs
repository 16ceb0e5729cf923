//! The folder of a run: what may not be replaced, what is removed, and that one program at a time writes there.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::bail;
use megabyte::RunConfig;
use megabyte::error::IoContext;
use megabyte::shown::shown;
use megabyte::train::Dtype;

use super::{environment, say};
use crate::cli::TrainArgs;

/// The file that is locked while a program writes to the run.
const LOCK: &str = ".lock";

/// Keeps other programs from writing to the run in `folder`, which is made where it is not there, until what this gives is
/// dropped or the program ends, however it does.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder).at(folder)?;
    let path = folder.join(LOCK);
    let file = File::create(&path).at(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("{}: another megabyte train is writing there: wait for its end, or stop it", shown(folder))
        }
        Err(TryLockError::Error(error)) => {
            say(&format!("warning: {}: can't be locked, so let no other program write there: {error}", shown(&path)));
        }
    }
    Ok(file)
}

/// Refuses a folder that holds what a fresh run would replace, unless forced. A run that failed before its first
/// checkpoint has left nothing but its configuration and metrics, and can begin again.
pub fn check(folder: &Path, config: &RunConfig, args: &TrainArgs) -> anyhow::Result<()> {
    if args.resume || args.force {
        return Ok(());
    }
    let folder_name = shown(folder);
    if args.branch_from.is_some() {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{folder_name}: is not empty; --out names another folder for the branch");
        }
        return Ok(());
    }
    // A run that was killed before its first checkpoint has none, but maybe a part of one.
    let mut checkpoints = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    if checkpoints.any(|entry| !entry.file_name().to_string_lossy().starts_with(".step_")) {
        bail!("{folder_name}: holds a run; --resume continues it, --force starts anew, --out names another");
    }
    let same = RunConfig::load(&folder.join("config.toml"), &[]).is_ok_and(|mut began| {
        // What is measured at the start is measured anew.
        if args.fit {
            began.train.micro_batch = config.train.micro_batch;
        }
        if config.train.dtype == Dtype::Auto {
            began.train.dtype = Dtype::Auto;
        }
        began == *config
    });
    let other = ["config.toml", "metrics.jsonl", "speed.jsonl", environment::FILE, "samples"]
        .into_iter()
        .find(|part| !same && folder.join(part).exists());
    if let Some(part) = other {
        bail!("{folder_name}: holds another {part}; --force replaces it, --out names another folder");
    }
    Ok(())
}

/// Removes what a run has written.
pub fn clear(folder: &Path) -> anyhow::Result<()> {
    for part in ["checkpoints", "samples"].map(|part| folder.join(part)) {
        // Only what a run writes: anything else in a folder of that name is somebody's.
        for entry in fs::read_dir(&part).into_iter().flatten() {
            let path = entry.at(&part)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // The links are folders in a run that was copied with a tool that follows them.
            let ours = name.starts_with("step_") || name.starts_with(".step_") || ["latest", "best"].contains(&&*name);
            if ours {
                if path.is_symlink() { fs::remove_file(&path) } else { fs::remove_dir_all(&path) }.at(&path)?;
            }
        }
    }
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ["metrics.jsonl", "speed.jsonl", environment::FILE].contains(&&*name)
            || name.starts_with("events.out.tfevents.")
        {
            fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(())
}
