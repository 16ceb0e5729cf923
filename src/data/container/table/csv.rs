//! Lines of values below a line of names.

use std::cell::Cell;
use std::io::{self, Read};

use ::csv::{ByteRecord, ReaderBuilder};

use super::super::fence::{Step, broken};
use super::super::gate::{Allowance, Gate};
use super::super::walk::Walk;
use super::{LONGEST, NOT_UTF8, Table, Told};

/// What may stand between values.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// Names that are told where the wanted one is not among them.
const NAMES: usize = 12;

/// `front` is the beginning of what `reader` gives.
pub(super) fn expand(walk: &mut Walk<'_>, front: &[u8], reader: impl Read, table: &Table<'_>) -> Step {
    let headers = DELIMITERS.map(|delimiter| (delimiter, names(front, delimiter)));
    let place = |names: &[String]| names.iter().position(|name| name == table.key);
    let found = headers.iter().filter(|(_, names)| place(names).is_some()).max_by_key(|(_, names)| names.len());
    let Some((delimiter, names)) = found else { return no_column(table.key, &headers) };
    let (column, columns) = (place(names).unwrap_or(0), names.len());
    if names.iter().filter(|name| *name == table.key).count() > 1 {
        return broken(format!("has several columns `{}`", table.key));
    }
    let allowance = Allowance::new("a row is longer than 64 MiB: a quote is not closed");
    let quotes = Cell::new(0_u64);
    let counted = Counted { inner: Gate::new(reader, &allowance), quotes: &quotes };
    let mut rows = ReaderBuilder::new().delimiter(*delimiter).flexible(true).from_reader(counted);
    let (missing, ragged) =
        (format!("have no text `{}`", table.key), format!("have not the {columns} values of the first"));
    let mut told = Told::default();
    let (mut row, mut next) = (ByteRecord::new(), ByteRecord::new());
    let mut read = |row: &mut ByteRecord| {
        allowance.set(LONGEST);
        rows.read_byte_record(row).map_err(io::Error::other)
    };
    let mut more = read(&mut row)?;
    while more {
        more = read(&mut next)?;
        let line = table.lines + row.position().map_or(0, |position| position.line());
        let unclosed = !more && quotes.get() % 2 == 1 && row.iter().any(|value| value.contains(&b'\n'));
        let value = row.get(column).unwrap_or_default();
        match std::str::from_utf8(value) {
            _ if unclosed => told.add("end inside of a quoted value", line),
            _ if row.len() != columns => told.add(&ragged, line),
            Ok("") => told.add(&missing, line),
            Ok(text) => walk.record_text(table.place.join(&format!("line {line}")), text.to_owned())?,
            Err(_) => told.add(NOT_UTF8, line),
        }
        std::mem::swap(&mut row, &mut next);
    }
    told.tell(walk, table.place, "line")
}

/// Whether the first line names a column.
pub(super) fn names_column(front: &[u8], key: &str) -> bool {
    DELIMITERS.iter().any(|&delimiter| names(front, delimiter).iter().any(|name| name == key))
}

/// The names of the first line, if it is divided by this.
fn names(front: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(front);
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn no_column<T>(key: &str, headers: &[(u8, Vec<String>)]) -> Step<T> {
    let most = headers.iter().map(|(_, names)| names).max_by_key(|names| names.len()).filter(|names| names.len() > 1);
    let short = |name: &&String| !name.is_empty() && name.len() <= 40 && !name.contains(char::is_control);
    let names = most.map(|names| names.iter().filter(short).take(NAMES).cloned().collect::<Vec<_>>().join(", "));
    let names = names.filter(|names| !names.is_empty()).map(|names| format!("; its first line has {names}"));
    broken(format!(
        "has no column `{key}`: it is neither JSON lines, nor a JSON array, nor a table whose first line names it{}",
        names.unwrap_or_default()
    ))
}

/// Counts quotes.
struct Counted<'a, R> {
    inner: R,
    quotes: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.quotes.set(self.quotes.get() + buffer[..read].iter().filter(|&&byte| byte == b'"').count() as u64);
        Ok(read)
    }
}
