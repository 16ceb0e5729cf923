//! An archive on its way: obtained once, checked before it is opened, and set aside where it is not what it should be.

use std::fs;
use std::path::{Path, PathBuf};

use super::card::{Card, Download, Package};
use super::{Attempt, Failure, Unpack, digest, unpack};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;
use crate::{Error, Result};

/// One file that has to be obtained, and how it is opened.
pub(super) struct Archive<'a> {
    pub(super) file: &'a str,
    sha256: Option<&'a str>,
    unpack: &'a [Unpack],
    member: &'a [String],
}

impl<'a> Archive<'a> {
    pub(super) fn of_package(package: &'a Package) -> Self {
        let Package { file, sha256, unpack, member, .. } = package;
        Archive { file, sha256: sha256.as_deref(), unpack, member }
    }

    pub(super) fn of_download(download: &'a Download) -> Self {
        let Download { file, sha256, unpack, member, .. } = download;
        Archive { file, sha256: sha256.as_deref(), unpack, member }
    }
}

/// Makes sure that the archive lies in `partial` and has the card's checksum, calling `fetch` where it doesn't.
pub(super) fn obtain(
    archive: &Archive<'_>,
    partial: &Path,
    progress: &dyn Progress,
    fetch: impl FnOnce() -> Attempt<()>,
) -> Attempt<()> {
    let path = partial.join(archive.file);
    if path.exists() {
        match verify(archive, &path) {
            Err(Failure::Source(reason)) => progress.note(&reason),
            verified => return verified,
        }
    }
    fetch()?;
    verify(archive, &path)
}

fn verify(archive: &Archive<'_>, path: &Path) -> Attempt<()> {
    let Some(expected) = archive.sha256 else { return Ok(()) };
    let found = digest::file(path)?;
    if found == expected {
        return Ok(());
    }
    let bad = set_aside(path)?;
    Err(Failure::Source(format!(
        "{} has sha256 {found} and should have {expected}; it is kept as {}",
        archive.file,
        shown(&bad)
    )))
}

/// Unpacks into `partial/unpacked` and checks the result, whose path is returned.
pub(super) fn open(card: &Card, archives: &[Archive<'_>], partial: &Path, progress: &dyn Progress) -> Attempt<PathBuf> {
    let unpacked = partial.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).at(&unpacked)?;
    }
    fs::create_dir(&unpacked).at(&unpacked)?;
    progress.start(&format!("unpack {}", card.name), card.bytes);
    let opened = open_all(card, archives, partial, &unpacked, progress);
    if let Err(Failure::Source(_)) = opened {
        // An archive without a checksum of its own may be what is wrong: the next call must fetch it anew.
        for archive in archives.iter().filter(|archive| archive.sha256.is_none()) {
            set_aside(&partial.join(archive.file))?;
        }
    }
    opened
}

fn open_all(
    card: &Card,
    archives: &[Archive<'_>],
    partial: &Path,
    unpacked: &Path,
    progress: &dyn Progress,
) -> Attempt<PathBuf> {
    let mut sink = unpack::Sink::new(unpacked, card.bytes, progress);
    for archive in archives {
        unpack::unpack(&partial.join(archive.file), archive.unpack, archive.member, &mut sink)?;
    }
    let result = if card.folder {
        unpacked.to_owned()
    } else {
        match sink.written() {
            [file] => file.clone(),
            files => return Err(Failure::Source(format!("holds {} files and should hold one", files.len()))),
        }
    };
    let found = digest_of(&result, card)?;
    if found != card.sha256 {
        let reason = format!("the unpacked data has sha256 {found} and should have {}", card.sha256);
        return Err(Failure::Source(reason));
    }
    Ok(result)
}

/// The checksum that the card states, of what lies at `path`.
pub(super) fn digest_of(path: &Path, card: &Card) -> Result<String> {
    match (card.folder, path.is_dir()) {
        (true, true) => digest::folder(path),
        (false, false) => digest::file(path),
        (true, false) => Err(Error::file(path, "is a file where the data set is a folder; move it away")),
        (false, true) => Err(Error::file(path, "is a folder where the data set is a file; move it away")),
    }
}

/// Renames a bad file so that nothing takes it for good.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".bad");
    let bad = PathBuf::from(name);
    fs::rename(path, &bad).at(path)?;
    Ok(bad)
}
