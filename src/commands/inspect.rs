//! `megabyte inspect`: what a path is, what a configuration asks for, or which keys it can have.

mod batch;
mod configuration;
mod describe;
mod file;
mod folder;
mod keys;
mod model;
mod run;
mod samples;

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use megabyte::Error;
use megabyte::data::shard::MAGIC;
use megabyte::data::{Manifest, guess, is_archive};
use megabyte::modality::Layout;
use megabyte::progress::Progress;
use megabyte::shown::shown;
use serde_json::{Value, json};

use super::output::{print, print_json};
use super::prepare::data_config;
use crate::cli::InspectArgs;

/// Files of more bytes are counted and not shown.
const LARGE: u64 = 256 << 20;

/// What there is to say about a path: for programs and for people.
struct Report {
    json: Value,
    text: String,
}

impl Report {
    fn new(kind: &str, path: &Path) -> Self {
        let mut report = Report { json: json!({ "kind": kind, "path": path }), text: String::new() };
        report.line(kind, shown(path));
        report
    }

    /// A line for people only.
    fn line(&mut self, label: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{label:<12} {value}");
    }

    /// A value for programs only.
    fn set(&mut self, key: &str, value: impl serde::Serialize) {
        self.json[key] = json!(value);
    }

    fn layout(&mut self, layout: &Layout) {
        let object = json!(layout);
        let keys = object["layout"].as_object();
        let keys = keys.into_iter().flatten().map(|(key, value)| format!("{key} {value}").replace('"', ""));
        let keys = keys.collect::<Vec<_>>().join(", ");
        self.line("modality", layout.modality());
        self.line("layout", if keys.is_empty() { "bytes as they are" } else { &keys });
        self.set("modality", layout.modality());
        self.set("layout", object["layout"].clone());
    }
}

/// Runs the verb.
pub fn run(args: InspectArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    if let Some(prefix) = &args.keys {
        return keys::list(prefix, args.json);
    }
    let report = match (&args.path, &args.config) {
        (Some(path), _) => of_path(path, &args, progress)?,
        (None, Some(config)) => configuration::inspect(config, &args.overrides)?,
        (None, None) => {
            return Err(Error::Usage(
                "inspect needs a PATH, --config FILE to describe a configuration, or --keys".to_owned(),
            )
            .into());
        }
    };
    if args.json { print_json(&report.json) } else { print(report.text.trim_end()) }
}

fn of_path(path: &Path, args: &InspectArgs, progress: &dyn Progress) -> anyhow::Result<Report> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(Error::file(path, "is a pipe, a socket or a device; inspect reads files more than once").into());
    }
    let prepared = metadata.is_dir() && Manifest::is_at(path);
    if let Some(number) = args.batch {
        if !run::is_at(path) {
            return Err(Error::Usage(format!("--batch needs a run, which {} is not", shown(path))).into());
        }
        return batch::inspect(path, number, args, progress);
    }
    if args.samples.is_some() && !prepared {
        return Err(Error::Usage("--samples needs a folder that `megabyte prepare` wrote".to_owned()).into());
    }
    if metadata.is_dir() && !args.overrides.is_empty() && args.modality.is_none() && args.config.is_none() {
        return Err(
            Error::Usage("--set needs --modality or --config: nobody said what the files are".to_owned()).into()
        );
    }
    // Where nobody says what files are, each is judged by its content.
    let data = match (&args.modality, &args.config) {
        (None, None) => None,
        (modality, config) => Some(data_config(modality.as_deref(), config.as_deref(), &args.overrides)?),
    };
    if !metadata.is_dir() {
        let head = head(path)?;
        let data = match data {
            Some(data) => data,
            None => data_config(Some(guess(path)?.name()), None, &args.overrides)?,
        };
        if head.starts_with(&MAGIC) {
            folder::shard(path, args.verify)
        } else if metadata.len() > LARGE || is_archive(path, &data)? {
            folder::raw(path, Some(&data), progress)
        } else {
            let content = std::fs::read(path).map_err(|error| Error::io(path, error))?;
            file::inspect(path, &content, &data)
        }
    } else if prepared {
        folder::prepared(path, args, progress)
    } else if run::is_at(path) {
        run::inspect(path)
    } else if model::is_at(path) {
        model::inspect(path)
    } else {
        folder::raw(path, data.as_ref(), progress)
    }
}

/// The first bytes of a file, enough to see what it is.
fn head(path: &Path) -> megabyte::Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(512).read_to_end(&mut head)).map_err(|error| Error::io(path, error))?;
    Ok(head)
}
