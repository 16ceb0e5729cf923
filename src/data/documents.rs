//! The documents of a file, encoded in memory.

use std::io::{Cursor, Seek};
use std::path::Path;

use super::container::{self, Content, Expanded, Found, Record};
use super::manifest::Skipped;
use super::prepare::encode;
use crate::error::IoContext;
use crate::modality::{Adapter, Input, Layout};
use crate::{Error, Result};

/// The bytes of a document in memory.
#[derive(Debug)]
pub(super) struct Document {
    pub name: String,
    /// The folder that its file is in.
    pub source: String,
    pub bytes: Vec<u8>,
    pub ends: bool,
}

/// The documents of one file, which goes by a name, and what there is to know of them.
pub(super) fn documents(
    path: &Path,
    name: &str,
    layout: &Layout,
    adapter: &dyn Adapter,
) -> Result<(Vec<Document>, Vec<Skipped>)> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder where a file is expected"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let source = folder.display().to_string();
    let of_utf8 = layout.of_utf8().adapter();
    let encoded = |adapter: &dyn Adapter, name: String, input: &mut dyn Input| {
        let mut bytes = Vec::new();
        let warnings = encode(adapter, input, &mut bytes)?;
        let warnings: Vec<_> = warnings.into_iter().map(|reason| Skipped::new(&name, reason)).collect();
        match bytes.is_empty() {
            true => Err("has no content".to_owned()),
            false => Ok((Document { name, source: source.clone(), bytes, ends: adapter.ends_with_symbol() }, warnings)),
        }
    };
    let mut file = std::fs::File::open(path).at(path)?;
    let (mut parts, mut warnings, mut refused) = (Vec::new(), Vec::new(), None);
    let whole = |part: &str| if part.is_empty() { name.to_owned() } else { format!("{name}/{part}") };
    let options = container::Options::new(layout.modality(), std::env::temp_dir());
    let expanded = container::expand(&mut file, &path.display().to_string(), &options, &mut |found| {
        let (part, encoded) = match found {
            Found::Skipped { name, reason } => (name, Err(reason)),
            Found::Warning { name: part, reason } => {
                warnings.push(Skipped::new(whole(&part), reason));
                return Ok(());
            }
            Found::Record(Record { name: part, content, utf8 }) => {
                let adapter = if utf8 { of_utf8.as_ref() } else { adapter };
                let whole = whole(&part);
                let encoded = match content {
                    Content::Memory(bytes) => encoded(adapter, whole, &mut Cursor::new(bytes)),
                    Content::File(mut file) => encoded(adapter, whole, &mut file),
                };
                (part, encoded)
            }
        };
        match encoded {
            Ok((part, more)) => {
                parts.push(part);
                warnings.extend(more);
            }
            Err(reason) if part.is_empty() => refused = refused.take().or(Some(reason)),
            Err(reason) => refused = refused.take().or(Some(format!("{part} {reason}"))),
        }
        Ok(())
    })?;
    match expanded {
        Expanded::NotAContainer => {
            file.rewind().at(path)?;
            let (part, warnings) =
                encoded(adapter, name.to_owned(), &mut file).map_err(|reason| Error::file(path, reason))?;
            Ok((vec![part], warnings))
        }
        Expanded::Broken(reason) => Err(Error::file(path, reason)),
        Expanded::Done if parts.is_empty() => {
            let reason = refused.unwrap_or_else(|| "has nothing in it".to_owned());
            Err(Error::file(path, format!("has nothing that can be used: {reason}")))
        }
        Expanded::Done => Ok((parts, warnings)),
    }
}
