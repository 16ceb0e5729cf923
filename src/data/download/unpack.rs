//! Taking the wanted files out of an archive. Nothing is written but plain files whose names match, below one folder,
//! and never more bytes than the card states.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use zip::ZipArchive;

use super::{Attempt, Failure};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;

/// One step of opening an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Unpack {
    /// A gzip-compressed tar archive.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// A zip archive.
    #[serde(rename = "zip")]
    Zip,
    /// A Debian package, through `dpkg-deb`.
    #[serde(rename = "deb")]
    Deb,
    /// Gzip over each file; its name loses `.gz`.
    #[serde(rename = "gz")]
    Gz,
}

/// Checks that the steps make sense: at most one archive, then at most one gzip, and members for an archive only.
pub(super) fn check(key: &str, steps: &[Unpack], members: &[String]) -> Result<(), String> {
    let (container, gz) = plan(steps).ok_or_else(|| {
        format!("`{key}` must be one of tar.gz, zip and deb, which gz may follow, or gz alone, or be left out")
    })?;
    match (container, members.is_empty()) {
        (Some(_), true) => Err(format!("`{key}` opens an archive, so `member` must say which files are wanted")),
        (None, false) => Err(format!("`{key}` opens no archive, so `member` makes no sense (gz: {gz})")),
        _ => Ok(()),
    }
}

/// The archive format, where there is one, and whether its files are gzip-compressed.
fn plan(steps: &[Unpack]) -> Option<(Option<Unpack>, bool)> {
    match *steps {
        [] => Some((None, false)),
        [Unpack::Gz] => Some((None, true)),
        [container] => Some((Some(container), false)),
        [Unpack::Gz, _] => None,
        [container, Unpack::Gz] => Some((Some(container), true)),
        _ => None,
    }
}

/// Where files are written: a folder, with a limit on their total size.
pub(super) struct Sink<'a> {
    folder: &'a Path,
    limit: u64,
    left: u64,
    written: Vec<PathBuf>,
    progress: &'a dyn Progress,
}

impl<'a> Sink<'a> {
    /// Writes at most `limit` bytes below `folder`.
    pub(super) fn new(folder: &'a Path, limit: u64, progress: &'a dyn Progress) -> Self {
        Sink { folder, limit, left: limit, written: Vec::new(), progress }
    }

    /// The files written so far.
    pub(super) fn written(&self) -> &[PathBuf] {
        &self.written
    }

    /// Writes one file, whose relative name [`safe`] has passed.
    fn write(&mut self, name: &Path, gz: bool, content: &mut dyn Read) -> Attempt<()> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).at(parent)?;
        }
        if path.exists() {
            return Err(Failure::Source(format!("holds {} twice", shown(name))));
        }
        let mut file = File::create_new(&path).at(&path)?;
        let mut decoder;
        let content: &mut dyn Read = if gz {
            decoder = MultiGzDecoder::new(content);
            &mut decoder
        } else {
            content
        };
        let mut buffer = vec![0; 1 << 16];
        loop {
            if self.progress.cancelled() {
                return Err(Failure::Stopped);
            }
            let read = content.read(&mut buffer).map_err(|error| damaged(&error))?;
            if read == 0 {
                break;
            }
            self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
                Failure::Source(format!("unpacks to more than the {} bytes that the card states", self.limit))
            })?;
            file.write_all(&buffer[..read]).at(&path)?;
            self.progress.advance(read as u64);
        }
        self.written.push(path);
        Ok(())
    }
}

/// Takes the files that match one of `members` out of `archive`. The folders that a pattern names without a wildcard
/// are left out of the names written.
pub(super) fn unpack(archive: &Path, steps: &[Unpack], members: &[String], sink: &mut Sink<'_>) -> Attempt<()> {
    let (container, gz) = plan(steps).expect("the card was checked");
    let before = sink.written.len();
    match container {
        None => {
            let mut file = File::open(archive).at(archive)?;
            let name = Path::new(archive.file_name().expect("an archive has a file name"));
            sink.write(&target_name(name, gz), gz, &mut file)?;
        }
        Some(Unpack::Deb) => {
            let mut child = Command::new("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(archive)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| Failure::Source(format!("dpkg-deb, which opens Debian packages: {error}")))?;
            let stdout = child.stdout.take().expect("standard output is piped");
            let result = untar(stdout, members, gz, sink);
            // The pipe is closed by now, so dpkg-deb ends even where the archive was not read to its end.
            let status = child.wait().at(archive)?;
            result?;
            if !status.success() {
                return Err(Failure::Source(format!("dpkg-deb could not open it: {status}")));
            }
        }
        Some(Unpack::Zip) => {
            let file = File::open(archive).at(archive)?;
            unzip(BufReader::new(file), members, gz, sink)?;
        }
        Some(_) => {
            let file = File::open(archive).at(archive)?;
            untar(MultiGzDecoder::new(BufReader::new(file)), members, gz, sink)?;
        }
    }
    if sink.written.len() == before {
        return Err(Failure::Source(format!("holds nothing that matches {}", members.join(" or "))));
    }
    Ok(())
}

fn untar(stream: impl Read, members: &[String], gz: bool, sink: &mut Sink<'_>) -> Attempt<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(|error| damaged(&error))? {
        if sink.progress.cancelled() {
            return Err(Failure::Stopped);
        }
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let path = entry.path().map_err(|error| damaged(&error))?.into_owned();
        let Some(name) = wanted(&path, members)? else { continue };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(Failure::Source(format!("{} is a link or a device, not a file; refused", shown(&path))));
        }
        sink.write(&target_name(&name, gz), gz, &mut entry)?;
    }
    // dpkg-deb reports an error where nobody reads its padding.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(|error| damaged(&error))?;
    Ok(())
}

fn unzip(file: impl Read + Seek, members: &[String], gz: bool, sink: &mut Sink<'_>) -> Attempt<()> {
    let mut archive = ZipArchive::new(file).map_err(|error| Failure::Source(format!("not a zip archive: {error}")))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let path = entry.name().map_err(|error| damaged(&error))?.into_owned();
        if entry.is_dir() {
            continue;
        }
        let Some(name) = wanted(Path::new(&path), members)? else { continue };
        if !entry.is_file() {
            return Err(Failure::Source(format!("{path} is a link, not a file; refused")));
        }
        sink.write(&target_name(&name, gz), gz, &mut entry)?;
    }
    Ok(())
}

fn target_name(name: &Path, gz: bool) -> PathBuf {
    if gz && name.extension().is_some_and(|extension| extension == "gz") {
        name.with_extension("")
    } else {
        name.to_owned()
    }
}

/// The name to write an archive's file under, or nothing where no pattern asks for it.
fn wanted(path: &Path, members: &[String]) -> Attempt<Option<PathBuf>> {
    let parts = safe(path)?;
    for member in members {
        let pattern: Vec<&str> = member.split('/').collect();
        if matches(&pattern, &parts) {
            let folders = &pattern[..pattern.len() - 1];
            let fixed = folders.iter().take_while(|part| !part.contains('*')).count();
            return Ok(Some(parts[fixed..].iter().collect()));
        }
    }
    Ok(None)
}

/// The parts of an archive's file name. Absolute names and such with `..` would leave the folder: they are refused,
/// wanted or not, since an honest archive has none.
fn safe(path: &Path) -> Attempt<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => match part.to_str() {
                Some(part) => parts.push(part),
                None => return Err(Failure::Source(format!("{path:?} is not a UTF-8 name; refused"))),
            },
            Component::CurDir => {}
            _ => return Err(Failure::Source(format!("the name {path:?} leads out of the folder; refused"))),
        }
    }
    Ok(parts)
}

/// Whether a path's parts match a pattern's: `*` is any run of characters inside a part, `**` any number of parts.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        (Some((part, rest)), Some((name, names))) => part_matches(part, name) && matches(rest, names),
        _ => false,
    }
}

fn part_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|tail| (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| part_matches(rest, tail)))),
    }
}

fn damaged(error: &dyn std::fmt::Display) -> Failure {
    Failure::Source(format!("the archive is damaged or cut off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_would() {
        let cases = [
            ("a/*.png", "a/b.png", true),
            ("a/*.png", "a/b/c.png", false),
            ("a/**/*.wav", "a/x.wav", true),
            ("a/**/*.wav", "a/b/c/x.wav", true),
            ("**/*.wav", "x.wav", true),
            ("a/data_*_1", "a/data_batch_1", true),
            ("a/data_*_1", "a/data_1", false),
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("*é*", "caféx", true),
        ];
        for (pattern, path, expected) in cases {
            let parts = |text: &'static str| text.split('/').collect::<Vec<_>>();
            assert_eq!(matches(&parts(pattern), &parts(path)), expected, "{pattern} {path}");
        }
    }
}
