//! Files that hold many documents, pictures or recordings.

use std::fs::File;
use std::path::PathBuf;

use globset::GlobSet;

use crate::Result;
use crate::modality::Modality;

/// One document, picture or recording found in a file.
#[derive(Debug)]
pub struct Record {
    pub name: String,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Memory(Vec<u8>),
    File(File),
}

#[derive(Debug)]
pub enum Found {
    Record(Record),
    Skipped { name: String, reason: String },
}

#[derive(Debug, Clone)]
pub struct Options {
    pub modality: Modality,
    pub column: Option<String>,
    pub include: Option<GlobSet>,
    pub exclude: Option<GlobSet>,
    pub sheet: Option<(u32, u32)>,
    pub max_expansion: u64,
    pub spool: PathBuf,
}

impl Options {
    pub fn new(modality: Modality, spool: PathBuf) -> Self {
        Options { modality, column: None, include: None, exclude: None, sheet: None, max_expansion: 1000, spool }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Expanded {
    NotAContainer,
    Done,
    Broken(String),
}

pub fn expand(
    _file: &mut File,
    _name: &str,
    _options: &Options,
    _visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<Expanded> {
    Ok(Expanded::NotAContainer)
}
