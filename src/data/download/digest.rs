//! SHA-256 of a file, and of a folder through a manifest.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::IoContext;
use crate::{Error, Result};

/// SHA-256 of a file's content, 64 hexadecimal digits.
pub fn file(path: &Path) -> Result<String> {
    let mut source = File::open(path).at(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = source.read(&mut buffer).at(path)?;
        if read == 0 {
            break Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

/// SHA-256 of a folder's manifest: for every file below it a line of its own SHA-256, two spaces and its path with
/// forward slashes, sorted by the path's bytes. It is what `sha256sum` makes of the output of `sha256sum`.
pub fn folder(path: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry.map_err(|error| Error::file(path, error))?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(path).expect("what is walked lies below the root");
            let Some(name) = relative.to_str() else {
                return Err(Error::file(entry.path(), "the name is not UTF-8, so it belongs to no data set"));
            };
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    let mut manifest = Sha256::new();
    for name in names {
        manifest.update(format!("{}  {name}\n", file(&path.join(&name))?));
    }
    Ok(hex(&manifest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string can't fail");
        text
    })
}
