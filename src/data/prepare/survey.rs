//! What preparing sources would find, without writing any of it.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::encode::{Done, Outcome};
use super::pattern::Patterns;
use super::source::{SourceFile, walk_without};
use super::stages;
use crate::config::DataConfig;
use crate::data::container::{self, Content, Expanded, Found, Record};
use crate::data::manifest::Skipped;
use crate::error::IoContext;
use crate::modality::{Modality, detect};
use crate::progress::Progress;
use crate::{Error, Result};

/// Skipped files that are listed.
const LISTED: usize = 10_000;

/// What is in sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub size: u64,
    /// Documents, pictures and recordings that can be read, equal ones too.
    pub documents: u64,
    /// Their bytes, encoded.
    pub bytes: u64,
    /// The fewest bytes of one.
    pub shortest: u64,
    /// The most.
    pub longest: u64,
    /// How many can't be used.
    pub skipped_count: u64,
    /// The first of these.
    pub skipped: Vec<Skipped>,
    /// How many are used in part, or are read otherwise than their headers say.
    pub file_warnings_count: u64,
    /// The first of these.
    pub file_warnings: Vec<Skipped>,
}

impl Survey {
    /// Takes another one's counts in.
    pub fn add(&mut self, other: Survey) {
        self.shortest = if self.documents == 0 { other.shortest } else { self.shortest.min(other.shortest) };
        self.longest = self.longest.max(other.longest);
        self.files += other.files;
        self.size += other.size;
        self.documents += other.documents;
        self.bytes += other.bytes;
        self.skipped_count += other.skipped_count;
        self.skipped.extend(other.skipped);
        self.skipped.truncate(LISTED);
        self.file_warnings_count += other.file_warnings_count;
        self.file_warnings.extend(other.file_warnings);
        self.file_warnings.truncate(LISTED);
    }

    fn warn(&mut self, warning: Skipped) {
        self.file_warnings_count += 1;
        if self.file_warnings.len() < LISTED {
            self.file_warnings.push(warning);
        }
    }

    fn skip(&mut self, skipped: Skipped) {
        self.skipped_count += 1;
        if self.skipped.len() < LISTED {
            self.skipped.push(skipped);
        }
    }
}

/// Reads and encodes everything below sources as [`prepare`](super::prepare()) does, and counts. Fails where a source is
/// missing, and with [`Error::Interrupted`](crate::Error::Interrupted) when the work was cancelled.
pub fn survey(sources: &[PathBuf], data: &DataConfig, progress: &dyn Progress) -> Result<Survey> {
    data.check_sheet()?;
    let found = walk_without(sources, &Patterns::new(&data.include, &data.exclude)?)?;
    let (files, size) = (found.files.len() as u64, found.files.iter().map(|file| file.size).sum());
    let mut survey = Survey { files, size, ..Survey::default() };
    found.skipped.into_iter().for_each(|skipped| survey.skip(skipped));
    let files: Vec<(SourceFile, u64)> = found.files.into_iter().map(|file| (file, 0)).collect();
    let spool = std::env::temp_dir();
    stages(&files, data, &spool, progress, &mut |done| {
        survey.count(&files, done);
        Ok(())
    })?;
    Ok(survey)
}

/// Whether a file is taken apart when it is read as `data` says, rather than being one document.
pub fn is_archive(path: &Path, data: &DataConfig) -> Result<bool> {
    let mut file = File::open(path).at(path)?;
    let options = container::Options::of(data, std::env::temp_dir());
    // The first thing found is answer enough.
    let found = container::expand(&mut file, &path.display().to_string(), &options, &mut |_| Err(Error::Interrupted));
    match found {
        Ok(Expanded::NotAContainer) => Ok(false),
        Ok(_) | Err(Error::Interrupted) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The modality that the first bytes tell.
fn looks_like(content: &mut impl Read) -> std::io::Result<Option<Modality>> {
    let mut head = Vec::new();
    content.take(512).read_to_end(&mut head)?;
    Ok(detect(&head).modality)
}

/// The modality that a file looks to be of: by its first bytes, or for an archive by what comes first in it; text,
/// which is any bytes, where nothing says otherwise.
pub fn guess(path: &Path) -> Result<Modality> {
    /// Members of an archive that are looked at.
    const LOOKED_AT: usize = 16;
    let mut file = File::open(path).at(path)?;
    if let Some(modality) = looks_like(&mut file).at(path)? {
        return Ok(modality);
    }
    file.rewind().at(path)?;
    for modality in [Modality::Image, Modality::Audio] {
        let options = container::Options::new(modality, std::env::temp_dir());
        let (mut looked_at, mut is) = (0, false);
        let looked = container::expand(&mut file, &path.display().to_string(), &options, &mut |found| {
            looked_at += 1;
            let looks = match found {
                Found::Record(Record { content: Content::Memory(bytes), .. }) => looks_like(&mut &bytes[..]),
                Found::Record(Record { content: Content::File(mut file), .. }) => looks_like(&mut file),
                Found::Skipped { .. } | Found::Warning { .. } => Ok(None),
            };
            is = looks.is_ok_and(|looks| looks == Some(modality));
            if is || looked_at == LOOKED_AT { Err(Error::Interrupted) } else { Ok(()) }
        });
        match looked {
            Ok(_) | Err(Error::Interrupted) if is => return Ok(modality),
            Ok(_) | Err(Error::Interrupted) => {}
            Err(error) => return Err(error),
        }
        file.rewind().at(path)?;
    }
    Ok(Modality::Text)
}

impl Survey {
    fn count(&mut self, files: &[(SourceFile, u64)], Done { file, part, outcome }: Done) {
        let named = |reason: String| Skipped::new(display(&files[file].0.path, part.as_deref()), reason);
        match outcome {
            Outcome::Document(document, warnings) => {
                warnings.into_iter().for_each(|warning| self.warn(named(warning)));
                let len = document.len();
                self.shortest = if self.documents == 0 { len } else { self.shortest.min(len) };
                self.longest = self.longest.max(len);
                self.documents += 1;
                self.bytes += len;
            }
            Outcome::Skip(reason) | Outcome::Broken(reason) | Outcome::Retry(reason) => {
                self.skip(named(reason));
            }
            Outcome::Warning(reason) => self.warn(named(reason)),
            Outcome::End => {}
        }
    }
}

/// How a part of a file is shown.
pub(super) fn display(path: &Path, part: Option<&str>) -> String {
    match part {
        Some(part) if !part.is_empty() => format!("{}/{part}", path.display()),
        _ => path.display().to_string(),
    }
}
