//! Files that hold many documents, pictures or recordings: archives, data sets' own formats, compressed files.
//!
//! ```text
//! file ──Kind──▶ compressed ─┐ ┌──▶ Record: a file's content, as if it lay in a folder by itself
//!                tar, zip  ◀─┴─┤
//!                IDX, npy, CIFAR, Parquet, JSON, CSV, a sheet of pictures ──▶ Record: a row
//! ```
//!
//! What a file is follows from its content. What it holds is visited in the file's order, one at a time; what is long
//! goes to temporary files, so that no file, however long, is in memory as a whole. Rows of pixels become PNM files in
//! memory, so that there is one way for pictures.

mod budget;
mod cifar;
mod compressed;
mod content;
mod fence;
mod gate;
mod idx;
mod kind;
mod name;
mod numpy;
mod parquet;
mod pnm;
mod sheet;
mod table;
mod tar;
mod walk;
mod webdataset;
mod zip;

use std::fs::File;
use std::io::Seek;
use std::path::PathBuf;

use globset::GlobSet;

use self::budget::Budget;
pub use self::content::Content;
use self::content::Source;
use self::fence::Stop;
use self::walk::{Opened, Place, Walk};
use crate::Result;
use crate::config::DataConfig;
use crate::modality::Modality;

/// One document, picture or recording found in a file.
#[derive(Debug)]
pub struct Record {
    /// Its path inside the file, with `/` between parts: `a/b.jpg`, `images.npy/row 17`. Empty where the file is one
    /// compressed document.
    pub name: String,
    /// Its content.
    pub content: Content,
    /// Whether it is UTF-8 whatever `data.encoding` says: a string of a table.
    pub utf8: bool,
}

/// Something found in a file.
#[derive(Debug)]
pub enum Found {
    /// Something to use.
    Record(Record),
    /// Something that can't be used.
    Skipped {
        /// Its path inside the file; empty where it is the file's own rows.
        name: String,
        /// Why.
        reason: String,
    },
    /// Something to know of what is used all the same.
    Warning {
        /// Its path inside the file; empty where it is the file itself.
        name: String,
        /// What.
        reason: String,
    },
}

/// What to look for, and within which limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the records are for: it decides what counts as a container and which members of a sample are wanted.
    pub modality: Modality,
    /// The column of a table, the array of an `.npz`, the key of JSON (dotted where it is nested).
    pub column: Option<String>,
    /// The encoding of tables of text without a byte order mark, by a label of the WHATWG Encoding Standard; empty for
    /// UTF-8.
    pub encoding: String,
    /// The names of members, joined by `/` where containers are in containers, that are wanted; all where it is none.
    pub include: Option<GlobSet>,
    /// The names of members that are not.
    pub exclude: Option<GlobSet>,
    /// Width and height of the pictures that lie in the rows of a picture as wide as one of them has pixels.
    pub sheet: Option<(u32, u32)>,
    /// How many times its size a file may become, all stages of opening it together; 64 MiB are always granted.
    pub max_expansion: u64,
    /// A folder for temporary files, for records of over 16 MiB.
    pub spool: PathBuf,
}

impl Options {
    /// What `data` says, for any name.
    pub(super) fn of(data: &DataConfig, spool: PathBuf) -> Self {
        Options {
            column: data.column.clone(),
            encoding: data.layout.get("encoding").and_then(|label| label.as_str()).unwrap_or_default().to_owned(),
            sheet: data.sheet.map(|[width, height]| (width, height)),
            max_expansion: data.limits.max_expansion,
            ..Options::new(data.modality, spool)
        }
    }

    /// Everything that is found, within the default limits.
    pub fn new(modality: Modality, spool: PathBuf) -> Self {
        let (column, include, exclude, sheet) = (None, None, None, None);
        Options { modality, column, encoding: String::new(), include, exclude, sheet, max_expansion: 1000, spool }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expanded {
    /// It is one document, picture or recording by itself, or nothing that is known here.
    NotAContainer,
    /// All that is in it was visited.
    Done,
    /// What came before was visited; the rest can't be read, for this reason.
    Broken(String),
}

/// Visits what is in `file`, where it is a container. `name` is the file's, for messages.
///
/// The file's position is at its start again where it is not a container.
///
/// # Errors
///
/// Those of `visit`, which end the work at once, and of temporary files. What is wrong with the content is told by
/// [`Found::Skipped`] and [`Expanded::Broken`].
pub fn expand(
    file: &mut File,
    name: &str,
    options: &Options,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<Expanded> {
    if options.modality.name() == "bytes" {
        return Ok(Expanded::NotAContainer);
    }
    // Both share one position; everything that reads begins by setting it.
    let (size, again) = match file.metadata().and_then(|metadata| Ok((metadata.len(), file.try_clone()?))) {
        Ok(found) => found,
        Err(error) => return Ok(Expanded::Broken(format!("{name}: {error}"))),
    };
    let budget = Budget::new(size, options.max_expansion);
    let mut walk = Walk { options, budget: &budget, visit };
    let expanded = match walk.open(Source::Content(Content::File(again)), &Place::top()) {
        Ok(Opened::Plain) => Expanded::NotAContainer,
        Ok(_) => Expanded::Done,
        Err(Stop::Failed(error)) => return Err(error),
        // Decoders between here and there may have put it into other words.
        Err(Stop::Broken(_)) if budget.over() => Expanded::Broken(budget.message()),
        Err(Stop::Broken(reason)) => Expanded::Broken(reason),
    };
    Ok(match file.rewind() {
        Ok(()) => expanded,
        Err(error) => Expanded::Broken(error.to_string()),
    })
}
