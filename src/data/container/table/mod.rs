//! Tables of text: JSON lines, an array of JSON objects, or lines of values below a line of names (CSV, RFC 4180, and its
//! relatives with tabs, semicolons or bars). A document a row, from one column.
//!
//! What can't be read in this way is told; nothing is taken for a text as a whole once a column was asked for.

mod csv;
mod decode;
mod json;
mod object;

use std::io::{BufReader, Cursor, Read};

use super::content::{Source, read_some};
use super::fence::{Step, broken};
use super::walk::{Place, Walk};
use crate::modality::{Modality, detect};

/// A longer row is a mistake.
const LONGEST: u64 = 64 << 20;
/// How much of a table is looked at to see what it is.
const FRONT: usize = 64 << 10;

pub(super) fn expand(walk: &mut Walk<'_>, mut source: Source<'_>, place: &Place) -> Step {
    let Some(key) = walk.options.column.clone() else { return broken("no column was asked for") };
    let head = source.head()?;
    let found = detect(&head);
    if found.modality.is_some_and(|modality| modality != Modality::Text) {
        return broken(format!("looks like {}, which has no column `{key}`", found.name));
    }
    let mut content = source.content(&walk.options.spool)?;
    let encoding = decode::encoding(&head, &mut content, &walk.options.encoding)?;
    let mut decoded = decode::decoded(content.reader()?, encoding);
    let mut front = vec![0; FRONT];
    let len = read_some(&mut decoded, &mut front)?;
    front.truncate(len);
    let (mut start, mut lines) = skip_comments(&front);
    let first = front.get(start).copied();
    if !matches!(first, Some(b'{' | b'[')) && !csv::names_column(&front[start..], &key) {
        // The first name may begin with `#`, or follow it.
        let comments = front[..start].split_inclusive(|&byte| byte == b'\n').enumerate();
        let last = comments.filter(|(_, line)| line.trim_ascii().starts_with(b"#")).last();
        let header = last.and_then(|(number, line)| {
            let hash = line.as_ptr().addr() - front.as_ptr().addr() + line.len() - line.trim_ascii_start().len();
            let names = [hash, hash + 1].into_iter().find(|&names| csv::names_column(&front[names..], &key));
            names.map(|names| (names, number as u64))
        });
        (start, lines) = header.unwrap_or((start, lines));
    }
    let mut reader = BufReader::with_capacity(1 << 16, Cursor::new(&front[start..]).chain(decoded));
    let table = Table { key: &key, place, lines };
    match first {
        Some(b'{') => json::lines(walk, &mut reader, &table),
        Some(b'[') => json::array(walk, &mut reader, &table),
        _ => csv::expand(walk, &front[start..], reader, &table),
    }
}

/// What is read, and from where.
struct Table<'a> {
    key: &'a str,
    place: &'a Place,
    /// Lines before the first row.
    lines: u64,
}

/// Goes over empty lines and comments before a table: where they end, and how many lines they are.
fn skip_comments(front: &[u8]) -> (usize, u64) {
    let (mut start, mut lines) = (0, 0);
    for line in front.split_inclusive(|&byte| byte == b'\n') {
        if !is_empty(line) {
            return (start + line.len() - line.trim_ascii_start().len(), lines);
        }
        start += line.len();
        lines += 1;
    }
    (start, lines)
}

/// Whether a line is empty or a comment.
fn is_empty(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"#") || line.starts_with(b"//")
}

/// Rows that can't be used, by reason.
#[derive(Default)]
struct Told {
    /// The reasons in the order in which they are told, how many rows there are of each, and the first of them.
    rows: Vec<(String, u64, u64)>,
}

impl Told {
    /// Counts a row.
    fn add(&mut self, reason: &str, number: u64) {
        match self.rows.iter_mut().find(|(other, ..)| other == reason) {
            Some((_, count, _)) => *count += 1,
            None => self.rows.push((reason.to_owned(), 1, number)),
        }
    }

    /// Tells them; `unit` is what rows are called.
    fn tell(self, walk: &mut Walk<'_>, place: &Place, unit: &str) -> Step {
        for (reason, count, first) in self.rows {
            walk.skip(place.name.clone(), format!("{count} {unit}s {reason}, the first is {unit} {first}"))?;
        }
        Ok(())
    }
}

/// The reason of rows of another encoding.
const NOT_UTF8: &str = "are not valid UTF-8 (`data.encoding` can name another encoding)";
