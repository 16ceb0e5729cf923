//! Results that appear whole or not at all, and replace nothing but regular files.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::error::IoContext;
use crate::{Error, Result};

/// Refuses a path at which a result can't be put: something is there and `force` is not given, or what is there is no
/// regular file or folder. An empty folder is free.
pub fn check_free(path: &Path, force: bool) -> Result<()> {
    check_regular(path)?;
    if !force && path.exists() && fs::read_dir(path).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(Error::file(path, "is there already; choose another path or add --force"));
    }
    Ok(())
}

/// Refuses a device, a pipe or a socket: reading one may never end, and a rename would put a file in its place.
pub fn check_regular(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            Err(Error::file(path, "is a device, a pipe or a socket: the path of a regular file is wanted"))
        }
        _ => Ok(()),
    }
}

/// Writes a file beside `path` and renames it into place, in a folder that is made where it is not there. Fails with `path`
/// as it was.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    check_regular(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).at(folder)?;
    let mut builder = tempfile::Builder::new();
    // A temporary file is private; what a user asked for has the usual mode.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".megabyte-").suffix(".tmp").tempfile_in(folder).at(folder)?;
    // Past tempfile's own handle, whose errors name its path and not that of the result.
    file.as_file_mut().write_all(content).and_then(|()| file.as_file().sync_all()).at(path)?;
    file.persist(path).map(drop).map_err(|error| Error::io(path, error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/result");
        check_free(&path, false).unwrap();
        write(&path, b"one").unwrap();
        assert!(check_free(&path, false).unwrap_err().to_string().contains("--force"));
        check_free(&path, true).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            for error in [check_free(path, true).unwrap_err(), write(path, b"x").unwrap_err()] {
                assert!(error.to_string().contains("is a device, a pipe or a socket"), "{error}");
            }
        }
        assert!(!fs::metadata(&path).unwrap().is_file());
    }
}
