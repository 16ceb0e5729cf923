//! How results leave: standard output, and files that replace nothing unasked.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use megabyte::Error;
pub use megabyte::replace::{check_free, check_regular, write};
use megabyte::shown::{is_hidden, shown, shown_lines};
use serde::Serialize;

/// Prints a line of results, on which names can't command a terminal. A reader that has gone away is an error that `main`
/// takes for success.
pub fn print(line: &str) -> anyhow::Result<()> {
    write_line(&shown_lines(line))
}

/// Prints one JSON object, on a line. What a terminal would obey stands in it as JSON's own escapes.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        // Only strings have such characters.
        if is_hidden(character) {
            let units =
                character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            line.push_str(&units);
        } else {
            line.push(character);
        }
    }
    write_line(&line)
}

fn write_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output")
}

/// Refuses to write two results to one file, or one to a file that is read; each path has the name of its flag.
pub fn check_distinct(results: &[(&str, Option<&Path>)], inputs: &[(&str, &[PathBuf])]) -> anyhow::Result<()> {
    let results = results.iter().filter_map(|&(flag, path)| Some((flag, path?)));
    let inputs = inputs.iter().flat_map(|&(flag, paths)| paths.iter().map(move |path| (flag, path.as_path())));
    let mut known: Vec<_> = inputs.map(|(flag, path)| (flag, whole(path))).collect();
    for (flag, path) in results {
        let place = whole(path);
        if let Some((other, _)) = known.iter().find(|(_, known)| *known == place) {
            bail!(Error::Usage(format!("{flag} {}: is the path of {other} too", shown(path))));
        }
        known.push((flag, place));
    }
    Ok(())
}

/// A path without links and dots, also where no file is there yet.
pub fn whole(path: &Path) -> PathBuf {
    let folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(folder).or_else(|| std::path::absolute(path).ok()).unwrap_or(path.to_owned())
}

/// A figure in bits per byte, with its standard error where it has one: a single sequence has none.
pub fn bits(value: f64, std_error: f64) -> String {
    if std_error > 0.0 { format!("{value:.4} ± {std_error:.4}") } else { format!("{value:.4}") }
}

/// So many of something: 1 document, 2 documents.
pub fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// A rate for people: 12.3 kB/s.
pub fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        rate if rate >= 1e6 => format!("{:.2} MB/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} kB/s", rate / 1e3),
        rate => format!("{rate:.0} B/s"),
    }
}
