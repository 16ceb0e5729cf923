//! What the tests share; each of them uses a part.
#![allow(dead_code)]

pub mod models;

use std::path::{Path, PathBuf};

/// A file or folder of the shared development data: `$MEGABYTE_SHARED`, else `shared` beside the repository. Prints
/// what is skipped and gives `None` where it is absent.
pub fn shared(path: impl AsRef<Path>) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("MEGABYTE_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent (MEGABYTE_SHARED names the folder)", path.display());
    None
}
