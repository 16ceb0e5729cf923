//! zip archives (PKWARE APPNOTE 6.3): the files of the central directory, in its order.
//!
//! Folders, links and hidden files are left out; a file that is encrypted, compressed in another way than by deflate,
//! or damaged is skipped. Entries may share their bytes, which the budget is for. An archive of nothing but `.npy`
//! files is numpy's `.npz`.

use std::io::{self, Read};

use super::content::{Content, ReadSeek};
use super::fence::{Step, fenced};
use super::gate::{Allowance, Gate};
use super::walk::{Member, Place, Walk};
use super::{name, numpy};
use crate::modality::Modality;

/// The longest central directory, which is read into memory as a whole: that of a million files and more.
const DIRECTORY: u64 = 192 << 20;

/// An open archive.
pub(super) type Archive<'a> = ::zip::ZipArchive<Gate<'a, Box<dyn ReadSeek + 'a>>>;

pub(super) fn expand(walk: &mut Walk<'_>, mut content: Content, place: &Place) -> Step {
    let allowance = Allowance::new("its directory is over 192 MiB");
    allowance.set(DIRECTORY);
    let reader = Gate::new(content.reader()?, &allowance);
    let mut archive = fenced(|| Ok(Archive::new(reader)?))?;
    allowance.lift();
    if walk.options.modality == Modality::Image && numpy::is_npz(&archive) {
        return numpy::expand_npz(walk, &mut archive, place);
    }
    for index in 0..archive.len() {
        let entry = match fenced(|| describe(&archive, index)) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(error) => {
                walk.skip(place.join(&format!("entry {index}")), error.to_string())?;
                continue;
            }
        };
        if entry.encrypted {
            walk.skip(place.join(&entry.name), "is encrypted, which is not read")?;
            continue;
        }
        let budget = walk.budget;
        let decoder = match fenced(|| Ok(archive.by_index(index)?)) {
            Ok(decoder) => decoder,
            Err(error) => {
                walk.skip(place.join(&entry.name), error.to_string())?;
                continue;
            }
        };
        let member = Member { name: &entry.name, len: Some(entry.len), sample: false };
        walk.member(&mut budget.meter(decoder), member, place)?;
    }
    Ok(())
}

/// What the directory says of a file.
pub(super) struct Entry {
    pub name: String,
    pub len: u64,
    encrypted: bool,
}

/// An entry that is a file, and not a hidden one.
pub(super) fn describe(archive: &Archive<'_>, index: usize) -> io::Result<Option<Entry>> {
    let entry = archive.by_index_data(index)?;
    let name = name::clean(&entry.name()?);
    let file = entry.is_file() && !name::hidden(&name);
    Ok(file.then(|| Entry { name, len: entry.size(), encrypted: entry.encrypted() }))
}

/// Reads a whole entry's first bytes.
pub(super) fn start(archive: &mut Archive<'_>, index: usize, len: u64) -> io::Result<Vec<u8>> {
    fenced(|| {
        let mut start = Vec::new();
        archive.by_index(index)?.take(len).read_to_end(&mut start)?;
        Ok(start)
    })
}
