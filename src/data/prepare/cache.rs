//! Preparing without being asked to: what a run needs, once.

use std::path::{Path, PathBuf};

use super::pattern::Patterns;
use super::prepare;
use super::source::{Walk, walk_without};
use super::state::Existing;
use crate::config::DataConfig;
use crate::data::dataset::expect_layout;
use crate::data::manifest::Manifest;
use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;
use crate::{Error, Result};

/// A prepared folder for the sources. One source that is prepared already is given back as it is; its layout must be
/// that of `data`. Anything else is prepared into a cache, `$XDG_CACHE_HOME/megabyte` or `~/.cache/megabyte`, and taken
/// from there as long as no file (path, size, time of change) and no setting of `data` changes.
///
/// Fails as [`prepare`] does, where the layouts differ (the error names the key), and where there is no place for a
/// cache.
pub fn prepared(sources: &[PathBuf], data: &DataConfig, progress: &dyn Progress) -> Result<PathBuf> {
    match already(sources, data)? {
        Some(folder) => Ok(folder),
        None => cached(sources, data, &cache_folder()?, progress),
    }
}

/// As [`prepared`], with a cache of the caller's choice.
pub fn prepared_in(cache: &Path, sources: &[PathBuf], data: &DataConfig, progress: &dyn Progress) -> Result<PathBuf> {
    match already(sources, data)? {
        Some(folder) => Ok(folder),
        None => cached(sources, data, cache, progress),
    }
}

/// The only source, where it is a prepared folder of the right layout.
fn already(sources: &[PathBuf], data: &DataConfig) -> Result<Option<PathBuf>> {
    match sources {
        [] => {
            let reason = "is empty: name files, folders or a prepared folder (--data)";
            Err(Error::config("data.sources", reason))
        }
        [folder] if Manifest::is_at(folder) => {
            expect_layout(&data.layout()?, Manifest::load(folder)?.layout(), folder)?;
            Ok(Some(folder.clone()))
        }
        _ => Ok(None),
    }
}

fn cached(sources: &[PathBuf], data: &DataConfig, cache: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let found = walk_without(sources, &Patterns::new(&data.include, &data.exclude)?)?;
    let folder = cache.join(key(&found, data)?);
    if Manifest::is_at(&folder) {
        progress.note(&format!("using data prepared earlier, in {}", shown(&folder)));
        return Ok(folder);
    }
    std::fs::create_dir_all(cache).at(cache)?;
    // Of two runs that begin together, one waits and then finds nothing left to do.
    prepare(sources, data, &folder, Existing::Add, progress)?;
    progress.note(&format!("prepared data is kept in {}", shown(&folder)));
    Ok(folder)
}

fn cache_folder() -> Result<PathBuf> {
    // The XDG base directory specification has relative paths ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("megabyte")).ok_or_else(|| {
        let reason = "there is no place for prepared data: set HOME or XDG_CACHE_HOME, or run `megabyte prepare`";
        Error::Content(reason.to_owned())
    })
}

/// A name for everything that the prepared bytes depend on.
fn key(found: &Walk, data: &DataConfig) -> Result<String> {
    // Sources are told by their files, and how they are shown to a model makes no other shards.
    let settings = DataConfig {
        sources: Vec::new(),
        mix: Vec::new(),
        flip: false,
        weight: 1.0,
        layout: data.layout()?.keys(),
        ..data.clone()
    };
    let settings = serde_json::to_string(&settings).expect("settings have string keys only");
    let mut hash = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        // Lengths keep neighbouring fields apart.
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(env!("CARGO_PKG_VERSION").as_bytes());
    field(settings.as_bytes());
    for file in &found.files {
        field(absolute(&file.path)?.as_os_str().as_encoded_bytes());
        field(file.name().as_bytes());
        field(&file.size.to_le_bytes());
        field(&file.modified.to_le_bytes());
    }
    Ok(hash.finalize().to_hex()[..32].to_owned())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).at(path)
}
