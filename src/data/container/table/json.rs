//! JSON lines, objects that follow one another, and arrays of objects.

use std::io::{BufRead, Cursor, Read};

use super::super::fence::{Step, broken};
use super::super::walk::Walk;
use super::object::text;
use super::{LONGEST, NOT_UTF8, Table, Told, is_empty};

const NO_OBJECT: &str = "are no JSON objects";

/// An object a line. Where the first goes on over the end of its line, objects follow one another anyhow.
pub(super) fn lines(walk: &mut Walk<'_>, reader: &mut dyn BufRead, table: &Table<'_>) -> Step {
    let missing = format!("have no text `{}`", table.key);
    let mut told = Told::default();
    let mut line = Vec::new();
    let mut first = true;
    for number in table.lines + 1.. {
        line.clear();
        if reader.take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
            return broken(format!("line {number} is longer than {} MiB", LONGEST >> 20));
        }
        if is_empty(&line) {
            continue;
        }
        match text(&line, table.key) {
            Ok(Some(text)) => walk.record_text(table.place.join(&format!("line {number}")), text)?,
            Ok(None) => told.add(&missing, number),
            Err(error) if first && error.is_eof() => {
                return values(walk, &mut Cursor::new(line).chain(reader), table, false);
            }
            Err(_) if std::str::from_utf8(&line).is_err() => told.add(NOT_UTF8, number),
            Err(_) => told.add(NO_OBJECT, number),
        }
        first = false;
    }
    told.tell(walk, table.place, "line")
}

/// An array of objects.
pub(super) fn array(walk: &mut Walk<'_>, reader: &mut dyn BufRead, table: &Table<'_>) -> Step {
    if peek(reader)? == Some(b'[') {
        reader.consume(1);
    }
    values(walk, reader, table, true)
}

/// Objects that follow one another, or those of an array behind its bracket.
fn values(walk: &mut Walk<'_>, reader: &mut dyn BufRead, table: &Table<'_>, array: bool) -> Step {
    let missing = format!("have no text `{}`", table.key);
    let mut told = Told::default();
    let mut value = Vec::new();
    let mut ended = Ok(());
    for number in 0.. {
        match next_value(reader, &mut value, array, number)? {
            Next::Value => {}
            Next::End => break,
            Next::Broken(reason) => {
                ended = broken(reason);
                break;
            }
        }
        match text(&value, table.key) {
            Ok(Some(text)) => walk.record_text(table.place.join(&format!("row {number}")), text)?,
            Ok(None) => told.add(&missing, number),
            Err(_) if std::str::from_utf8(&value).is_err() => told.add(NOT_UTF8, number),
            Err(_) => told.add(NO_OBJECT, number),
        }
    }
    told.tell(walk, table.place, "row")?;
    ended
}

enum Next {
    Value,
    End,
    /// What follows can't be told apart.
    Broken(String),
}

/// Reads the next value as it is written, up to the end of its brackets.
fn next_value(reader: &mut dyn BufRead, value: &mut Vec<u8>, array: bool, number: u64) -> Step<Next> {
    value.clear();
    loop {
        match (peek(reader)?, array) {
            (None, true) => return Ok(Next::Broken(format!("ends inside of its array, behind row {number}"))),
            (None, false) => return Ok(Next::End),
            (Some(b' ' | b'\t' | b'\r' | b'\n'), _) | (Some(b','), true) => reader.consume(1),
            (Some(b'#' | b'/'), _) => {
                let mut comment = Vec::new();
                reader.take(LONGEST).read_until(b'\n', &mut comment)?;
            }
            (Some(b']'), true) => {
                reader.consume(1);
                while let Some(byte) = peek(reader)? {
                    if !byte.is_ascii_whitespace() {
                        return Ok(Next::Broken("holds something behind its array".to_owned()));
                    }
                    reader.consume(1);
                }
                return Ok(Next::End);
            }
            _ => break,
        }
    }
    let (mut depth, mut quoted, mut escaped) = (0_u64, false, false);
    while let Some(byte) = peek(reader)? {
        if depth == 0 && !quoted && !value.is_empty() && matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(Next::Value);
        }
        reader.consume(1);
        value.push(byte);
        if value.len() as u64 == LONGEST {
            return Ok(Next::Broken(format!("row {number} is longer than {} MiB", LONGEST >> 20)));
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(Next::Value);
                }
            }
            _ => {}
        }
    }
    if depth == 0 && !quoted && !array {
        Ok(Next::Value)
    } else {
        Ok(Next::Broken(format!("ends inside of row {number}")))
    }
}

fn peek(reader: &mut dyn BufRead) -> Step<Option<u8>> {
    Ok(reader.fill_buf()?.first().copied())
}
