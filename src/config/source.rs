//! Configuration files as they are written: what they extend, `--set` on top, and where each key stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{DataConfig, RunConfig, check};
use crate::error::IoContext;
use crate::shown::shown;
use crate::{Error, Result, replace};

/// The keys of a file, of those that it extends, and of settings on top, before anything is made of them.
#[derive(Debug, Default)]
pub struct Source {
    /// The file that was asked for, if any.
    path: Option<PathBuf>,
    table: toml::Table,
    /// File and line of each dotted key. Keys that were set otherwise have none.
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    line: usize,
}

impl Source {
    /// Reads a TOML file and what it extends. Fails on what is no TOML, and on a base that is not there or that
    /// extends, itself or by others, the file; the error names both.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).at(path)?;
        let source = Source::parse(path, &text, &mut Vec::new())?;
        Ok(Source { path: Some(path.to_owned()), ..source })
    }

    /// `below` are the files that extend this one, the one that was asked for first.
    fn parse(path: &Path, text: &str, below: &mut Vec<PathBuf>) -> Result<Self> {
        let invalid = |error: toml::de::Error| Error::config_file(path, error.to_string().trim_end());
        let spans = DeTable::parse(text).map_err(invalid)?;
        let mut table: toml::Table = toml::from_str(text).map_err(invalid)?;
        let mut places = BTreeMap::new();
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        locate(spans.get_ref(), "", &mut |key, at| {
            places.insert(key, Place { path: path.to_owned(), line: line(at) });
        });
        let Some(base) = table.remove("extends") else {
            return Ok(Source { path: None, table, places });
        };
        let place = places.remove("extends");
        let fail = |reason: String| {
            let line = place.as_ref().map_or(1, |place| place.line);
            Error::config_file(path, format!("line {line}: `extends` {reason}"))
        };
        let Some(name) = base.as_str().filter(|name| !name.is_empty()) else {
            return Err(fail(format!("is {base}, expected the path of a TOML file")));
        };
        let base = path.parent().unwrap_or(Path::new("")).join(name);
        replace::check_regular(&base).map_err(|error| fail(format!("names {error}")))?;
        let text = std::fs::read_to_string(&base)
            .map_err(|error| fail(format!("names {}, which can't be read: {error}", shown(&base))))?;
        let identity = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        below.push(path.to_owned());
        if let Some(first) = below.iter().position(|other| identity(other) == identity(&base)) {
            let circle: Vec<String> = below[first..].iter().map(|path| path.display().to_string()).collect();
            return Err(fail(format!(
                "names {}, which extends this file: {} extend each other in a circle; leave one `extends` out",
                shown(&base),
                circle.join(", ")
            )));
        }
        let read = Source::parse(&base, &text, below);
        let mut merged = read.map_err(|error| match error {
            // Of a base that is no TOML; what a base of its own makes wrong names its files already.
            Error::ConfigFile { path: of, reason } if of == base && !reason.contains("`extends`") => {
                Error::config_file(of, format!("{reason}\n(a file that {} extends)", shown(path)))
            }
            error => error,
        })?;
        merged.merge(table, places);
        Ok(merged)
    }

    /// Lays the keys of a file over those of its base: tables key by key, everything else in place of what was there.
    fn merge(&mut self, table: toml::Table, places: BTreeMap<String, Place>) {
        fn lay(below: &mut toml::Table, above: toml::Table, prefix: &str, replaced: &mut Vec<String>) {
            for (name, value) in above {
                match (below.get_mut(&name), value) {
                    (Some(toml::Value::Table(below)), toml::Value::Table(above)) => {
                        lay(below, above, &format!("{prefix}{name}."), replaced);
                    }
                    (_, value) => {
                        replaced.push(format!("{prefix}{name}"));
                        below.insert(name, value);
                    }
                }
            }
        }
        let mut replaced = Vec::new();
        lay(&mut self.table, table, "", &mut replaced);
        for key in replaced {
            self.forget(&key);
        }
        self.places.extend(places);
    }

    /// Forgets where a key, and what was below it, stood.
    fn forget(&mut self, key: &str) {
        let inner = format!("{key}.");
        self.places.retain(|other, _| other != key && !other.starts_with(&inner));
    }

    /// Sets `a.b.c=value`; the value is TOML, or a plain string where it isn't. `model.level.0.n_layer` reaches into an
    /// array. Fails on a setting without `=`, and on a key that leads through a value.
    pub fn set(&mut self, setting: &str) -> Result<()> {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Error::Usage(format!("--set {setting}: expected key=value, such as train.lr=1e-3")));
        };
        let (key, value) = (key.trim(), value.trim());
        let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        if key == "extends" {
            return Err(Error::config(key, "can't be set: it stands at the top of a configuration file"));
        }

        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().filter(|last| !last.is_empty());
        let last = last.ok_or_else(|| Error::Usage(format!("--set {setting}: the key is empty")))?;
        let mut place = &mut self.table;
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let next = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            place = match next {
                toml::Value::Table(inner) => inner,
                toml::Value::Array(items) => {
                    let index = parts.next().unwrap_or(last);
                    let count = items.len();
                    let item = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                    match item {
                        Some(toml::Value::Table(inner)) => inner,
                        _ => return Err(Error::config(key, format!("has no item {index}; there are {count}"))),
                    }
                }
                _ => return Err(Error::config(key, format!("can't be set: `{part}` is a value, not a section"))),
            };
        }
        place.insert(last.to_owned(), parsed);
        self.forget(key);
        Ok(())
    }

    /// The value of a dotted key, where it is set.
    pub fn get(&self, key: &str) -> Option<&toml::Value> {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        let mut value = self.table.get(first)?;
        for part in rest.into_iter().flat_map(|rest| rest.split('.')) {
            value = match part.parse::<usize>() {
                Ok(index) => value.get(index)?,
                Err(_) => value.get(part)?,
            };
        }
        Some(value)
    }

    /// The configuration, checked as a whole. An error names the dotted key and, where a file has it, file and line.
    pub fn run_config(self) -> Result<RunConfig> {
        let read = || {
            check::whole(&self.table)?;
            // What is known to be right by now but for what only the types can tell.
            let config = RunConfig::deserialize(self.table.clone())
                .map_err(|error| Error::Content(error.to_string().trim().replace('\n', " ")))?;
            config.validate()?;
            Ok(config)
        };
        read().map_err(|error| self.placed(error))
    }

    /// The section `[data]` alone, checked with its layout. Errors are like those of [`Source::run_config`].
    pub fn data_config(&self) -> Result<DataConfig> {
        let read = || {
            let section = self.table.get("data").cloned().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
            check::data(&section, "data")?;
            let data =
                DataConfig::deserialize(section).map_err(|error| Error::config("data", error.message().trim()))?;
            data.layout()?;
            data.limits.validate()?;
            data.check_sheet()?;
            Ok(data)
        };
        read().map_err(|error| self.placed(error))
    }

    /// An error of a key as one of the file, and the line, that the key stands in.
    fn placed(&self, error: Error) -> Error {
        let (key, reason) = match error {
            Error::Config { key, reason } => (key, reason),
            Error::Content(reason) if self.path.is_some() => (String::new(), reason),
            error => return error,
        };
        // A key that was set has no place of its own, but that of its section would be a wrong one.
        if self.get(&key).is_some() && !self.places.contains_key(&key) {
            return Error::Config { key, reason };
        }
        let said = if key.is_empty() { reason } else { format!("`{key}` {reason}") };
        let mut name = key.as_str();
        while !name.is_empty() {
            if let Some(Place { path, line }) = self.places.get(name) {
                return Error::config_file(path, format!("line {line}: {said}"));
            }
            name = name.rsplit_once('.').map_or("", |(section, _)| section);
        }
        match &self.path {
            Some(path) => Error::config_file(path, said),
            None => Error::Config { key, reason: said },
        }
    }
}

/// Calls `found` with each dotted key and where in the text it begins.
fn locate(table: &DeTable<'_>, prefix: &str, found: &mut impl FnMut(String, usize)) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        found(key.clone(), name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => locate(inner, &format!("{key}."), found),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        found(format!("{key}.{index}"), item.span().start);
                        locate(inner, &format!("{key}.{index}."), found);
                    }
                }
            }
            _ => {}
        }
    }
}
