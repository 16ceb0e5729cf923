//! Parquet tables (Apache's format, version 2): a document a row, from one column.
//!
//! For pictures and sound that is a column of bytes, alone or as `bytes` of a group, which is how data sets on the
//! Hugging Face hub have them; for text a column of strings. Row groups are read one after another, a page at a time,
//! and of their columns only that one.

mod chunk;
mod pages;
mod thrift;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use ::parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::content::Content;
use super::fence::{Step, broken, fenced};
use super::walk::{Place, Walk};
use crate::modality::Modality;
use chunk::Data;
use pages::Pages;

/// The longest description of a table; they are usually of some KiB.
const METADATA: u64 = 32 << 20;
/// Columns and groups of columns. The parser goes into groups by calling itself.
const GROUPS: usize = 512;
const CHILDREN: i64 = 100_000;
/// What a row counts, whatever is in it: a billion missing values take no room in a file.
const ROW: u64 = 16;

pub(super) fn expand(walk: &mut Walk<'_>, content: Content, place: &Place) -> Step {
    let data = Arc::new(Data::new(content));
    let metadata = metadata(&data)?;
    let column = choose(metadata.file_metadata().schema_descr(), walk)?;
    let text = walk.options.modality == Modality::Text;
    let strings = text && is_string(metadata.file_metadata().schema_descr().column(column).as_ref());
    let mut rows = Rows { number: 0, missing: 0, text, strings, produced: Arc::default() };
    let ended = metadata.row_groups().iter().try_for_each(|group| rows.group(walk, &data, group, column, place));
    if rows.missing > 0 {
        let path = metadata.file_metadata().schema_descr().column(column).path().string();
        walk.skip(place.name.clone(), format!("{} rows have no `{path}`", rows.missing))?;
    }
    ended
}

/// The description at the end of the file, followed by its length and a signature.
fn metadata(data: &Data) -> Step<ParquetMetaData> {
    let len = data.len()?;
    let end = data.read(len.saturating_sub(8), 8)?;
    let stated = match *end {
        [a, b, c, d, b'P', b'A', b'R', b'1'] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [.., b'P', b'A', b'R', b'E'] => return broken("is an encrypted Parquet file"),
        _ => return broken("is a Parquet file without its end: cut off, or still being written"),
    };
    if stated > METADATA || stated + 12 > len {
        return broken("is a Parquet file whose description is absurdly long");
    }
    let bytes = data.read(len - 8 - stated, stated as usize)?;
    let mut groups = 0;
    let mut absurd = false;
    let looked = thrift::walk(&bytes, thrift::DESCRIPTION, &mut |path, value| {
        if let [2, 5] = path {
            groups += usize::from(value > 0);
            absurd |= !(0..=CHILDREN).contains(&value);
        }
    });
    if looked.is_err() || absurd || groups > GROUPS {
        return broken("is a Parquet file whose description is damaged, or of absurdly many columns");
    }
    Ok(fenced(|| ParquetMetaDataReader::decode_metadata(&bytes).map_err(io::Error::other))?)
}

/// The number of the column to read.
fn choose(schema: &SchemaDescriptor, walk: &Walk<'_>) -> Step<usize> {
    // Not those in lists, which have several values a row.
    let usable: Vec<(usize, String, &ColumnDescriptor)> = (schema.columns().iter().enumerate())
        .filter(|(_, column)| column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0)
        .map(|(index, column)| (index, column.path().string(), column.as_ref()))
        .collect();
    let names = |columns: &[&(usize, String, &ColumnDescriptor)]| {
        columns.iter().map(|(_, name, _)| name.strip_suffix(".bytes").unwrap_or(name)).collect::<Vec<_>>().join(", ")
    };
    if let Some(wanted) = &walk.options.column {
        let group = format!("{wanted}.bytes");
        let found = usable.iter().find(|(_, name, _)| *name == *wanted || *name == group);
        return match found {
            Some((index, ..)) => Ok(*index),
            None => {
                let names = names(&usable.iter().collect::<Vec<_>>());
                broken(format!("is a table without a column `{wanted}` of strings or bytes; it has {names}"))
            }
        };
    }
    let text = walk.options.modality == Modality::Text;
    let group = |column: &ColumnDescriptor| column.path().parts().len() > 1 && column.name() == "bytes";
    let fits: [&dyn Fn(&ColumnDescriptor) -> bool; 2] = match text {
        // Old writers do not say that bytes are text.
        true => [&is_string, &|_| true],
        false => [&group, &|column| !is_string(column)],
    };
    for fits in fits {
        let found: Vec<_> = usable.iter().filter(|(.., column)| fits(column)).collect();
        match found[..] {
            [] => {}
            [(index, ..)] => return Ok(*index),
            _ => return broken(format!("is a table; which column? data.column chooses from {}", names(&found))),
        }
    }
    broken(format!("is a table without a column of {}", if text { "strings" } else { "bytes" }))
}

fn is_string(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Json | LogicalType::Enum))
        || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM)
}

/// How far the rows are.
struct Rows {
    number: u64,
    missing: u64,
    /// Whether they are texts.
    text: bool,
    /// Whether they are said to be strings, which are UTF-8.
    strings: bool,
    /// Bytes that pages became and that are not counted yet.
    produced: Arc<AtomicU64>,
}

impl Rows {
    fn group(
        &mut self,
        walk: &mut Walk<'_>,
        data: &Arc<Data>,
        group: &RowGroupMetaData,
        column: usize,
        place: &Place,
    ) -> Step {
        let count = u64::try_from(group.num_rows()).unwrap_or(0);
        let mut reader: ColumnReaderImpl<ByteArrayType> = fenced(|| {
            let metadata = group.column(column);
            let pages = Pages::new(data, metadata, count as usize, &self.produced).map_err(io::Error::other)?;
            Ok(get_typed_column_reader(get_column_reader(metadata.column_descr_ptr(), Box::new(pages))))
        })?;
        let mut levels = Vec::new();
        let mut values: Vec<ByteArray> = Vec::new();
        for row in 0..count {
            levels.clear();
            values.clear();
            // One at a time: what is encoded as a difference to the one before may be long.
            let (records, ..) =
                fenced(|| reader.read_records(1, Some(&mut levels), None, &mut values).map_err(io::Error::other))?;
            walk.budget.take(ROW + self.produced.swap(0, Ordering::Relaxed))?;
            if records == 0 {
                return broken(format!("ends after {row} of the {count} rows of a group"));
            }
            match values.first() {
                Some(value) => {
                    // Old writers do not say so.
                    let utf8 = self.strings || self.text && std::str::from_utf8(value.data()).is_ok();
                    walk.record_row(place.join(&format!("row {}", self.number)), value.data().to_vec(), utf8)?;
                }
                None => self.missing += 1,
            }
            self.number += 1;
        }
        Ok(())
    }
}
