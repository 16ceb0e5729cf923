//! `checksums.json` beside the files of a checkpoint: the CRC-32C of each, so that one that the disk or a copy has
//! damaged is told from one that is whole. Folders without it are taken as they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::IoContext;
use crate::{Error, Result};

/// The file's name.
pub const CHECKSUMS: &str = "checksums.json";

/// Writes the sums of all files that a folder holds.
pub fn write(folder: &Path) -> Result<()> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != CHECKSUMS && path.is_file() {
            sums.insert(name, format!("{:08x}", sum(&path)?));
        }
    }
    let path = folder.join(CHECKSUMS);
    let text = serde_json::to_string_pretty(&sums).expect("sums have no value that JSON lacks");
    fs::write(&path, text).at(&path)
}

/// Checks those of the named files of a folder, or where none is named all, that it has sums of. The error names the
/// file that is damaged or lost.
pub fn verify(folder: &Path, names: &[&str]) -> Result<()> {
    let sums = of(folder)?;
    for (name, expected) in sums.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str())) {
        let path = folder.join(name);
        let found = sum(&path)?;
        if format!("{found:08x}") != *expected {
            return Err(differs(&path, found, expected));
        }
    }
    Ok(())
}

/// The sums of a folder's files, in hexadecimal digits; none where it has no sums.
pub(super) fn of(folder: &Path) -> Result<BTreeMap<String, String>> {
    let path = folder.join(CHECKSUMS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        // Text that is none any more.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(Error::file(&path, "is damaged")),
        Err(error) => return Err(Error::io(&path, error)),
    };
    serde_json::from_str(&text).map_err(|error| Error::file(&path, format!("is damaged: {error}")))
}

/// The error of a file whose sum is another.
pub(super) fn differs(path: &Path, found: u32, expected: &str) -> Error {
    let reason = format!("is damaged: its CRC-32C is {found:08x}, and {CHECKSUMS} beside it says {expected}");
    Error::file(path, reason)
}

/// The CRC-32C of a file.
fn sum(path: &Path) -> Result<u32> {
    let mut file = File::open(path).at(path)?;
    let mut chunk = vec![0; 1 << 20];
    let mut crc = 0;
    loop {
        match file.read(&mut chunk).at(path)? {
            0 => return Ok(crc),
            n => crc = crc32c::crc32c_append(crc, &chunk[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_and_every_lost_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "123456789").unwrap();
        fs::write(&b, "other").unwrap();
        verify(folder.path(), &[]).unwrap();
        write(folder.path()).unwrap();
        // The check value of CRC-32C.
        assert!(fs::read_to_string(folder.path().join(CHECKSUMS)).unwrap().contains("\"e3069283\""));
        verify(folder.path(), &[]).unwrap();
        for i in 0..9 {
            let mut bytes = *b"123456789";
            bytes[i] ^= 1;
            fs::write(&a, bytes).unwrap();
            let error = verify(folder.path(), &[]).unwrap_err().to_string();
            assert!(error.contains(a.to_str().unwrap()) && error.contains("damaged"), "{error}");
            verify(folder.path(), &["b"]).unwrap();
        }
        fs::remove_file(&b).unwrap();
        assert!(verify(folder.path(), &["b"]).unwrap_err().to_string().contains(b.to_str().unwrap()));
        fs::write(folder.path().join(CHECKSUMS), b"\xff\xff").unwrap();
        assert!(verify(folder.path(), &[]).unwrap_err().to_string().contains(CHECKSUMS));
    }
}
