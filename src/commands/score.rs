//! `megabyte score`: what every byte of files costs.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use anyhow::bail;
use megabyte::data::{Files, Skipped};
use megabyte::density::{self, Protocol, Scores};
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::Dtype;
use megabyte::train::speed::Work;
use megabyte::{Error, report};
use serde::Serialize;

use super::model::{self, Opened};
use super::{device, output};
use crate::cli::ScoreArgs;

#[derive(Serialize)]
struct Found {
    model: String,
    #[serde(flatten)]
    protocol: Protocol,
    device: String,
    dtype: Dtype,
    files: Vec<Line>,
    skipped_count: usize,
    skipped: Vec<Skipped>,
    file_warnings: Vec<Skipped>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    bytes: u64,
    nats: f64,
    /// Of these, the nats of the end-of-sequence symbol, which is no byte and not in `out`.
    end_nats: f64,
    bits_per_byte: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<String>,
}

/// Runs the verb.
pub fn run(args: ScoreArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    for path in args.out.iter().chain(&args.show) {
        output::check_free(path, args.force)?;
    }
    let inference = args.scoring.inference.parse()?;
    let batch = args.scoring.batch.get();
    let Opened { place, file, model, device, dtype } =
        model::open(&args.model, "--batch", None, |model| Work::scoring(model, batch))?;
    let mut files = Files::find(&args.files, &file.layout)?.with_short_names()?;
    let alone = matches!(&args.files[..], [file] if file.is_file());
    let mut out = Place::new(args.out.as_deref(), "--out", alone)?;
    let mut show = Place::new(args.show.as_deref(), "--show", alone)?;
    let places = [&out, &show].map(|place| (place.flag, place.path.filter(|_| !place.folder)));
    output::check_distinct(&places, &[("a file to score", &args.files)])?;
    if places.iter().any(|(_, path)| path.is_some()) {
        // It costs a model nothing to find out now.
        let documents = files.documents();
        for place in [&out, &show].into_iter().filter(|_| documents > 1) {
            place.of_several()?;
        }
    }

    let mut lines = Vec::new();
    let mut each = |name: &str, bytes: &[u8], scores: Scores| -> anyhow::Result<()> {
        let written = out.write(name, || Ok((density::npy(&scores.bytes), "npy".to_owned())))?;
        let shown = show.write(name, || {
            let shown = report::show_scores(&file.layout, name, bytes, &scores)?;
            Ok((shown.content, format!("scores.{}", shown.extension)))
        })?;
        lines.push(Line {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            nats: scores.nats(),
            end_nats: scores.end.map_or(0.0, f64::from),
            bits_per_byte: scores.bits_per_byte(),
            out: written,
            show: shown,
        });
        Ok(())
    };
    density::score_files(&model, &mut files, inference, batch, progress, &mut each)?;
    if lines.is_empty() {
        let reason = files.skipped.first().map(Skipped::to_string);
        bail!(reason.unwrap_or_else(|| "there is nothing to score".to_owned()));
    }
    let found = Found {
        model: place.display().to_string(),
        protocol: Protocol::new(inference, model.config())?,
        device: device::name(device),
        dtype,
        files: lines,
        skipped_count: files.skipped.len(),
        skipped: files.skipped,
        file_warnings: files.file_warnings,
    };
    if args.json { output::print_json(&found) } else { print(&found) }
}

/// Where files go: one file, or files in a folder by the names of what they are of.
struct Place<'a> {
    path: Option<&'a Path>,
    flag: &'static str,
    folder: bool,
    written: HashSet<PathBuf>,
}

impl<'a> Place<'a> {
    /// `alone` is whether there is one file to write for.
    fn new(path: Option<&'a Path>, flag: &'static str, alone: bool) -> anyhow::Result<Self> {
        let folder = path.is_some_and(|path| path.is_dir() || !alone);
        if let Some(path) = path.filter(|path| folder && path.exists() && !path.is_dir()) {
            bail!(Error::Usage(format!("{flag} {}: is a file, and several files need a folder", shown(path))));
        }
        Ok(Place { path, flag, folder, written: HashSet::new() })
    }

    /// Refuses to be a file for several documents.
    fn of_several(&self) -> anyhow::Result<()> {
        match self.path.filter(|_| !self.folder) {
            None => Ok(()),
            Some(path) => {
                let (flag, path) = (self.flag, shown(path));
                bail!(Error::Usage(format!("{flag} {path}: there are several documents in the file: name a folder")))
            }
        }
    }

    /// Writes the content for a name, and says where it is. It is made only if there is a place for it.
    fn write(
        &mut self,
        name: &str,
        make: impl FnOnce() -> anyhow::Result<(Vec<u8>, String)>,
    ) -> anyhow::Result<Option<String>> {
        let Some(path) = self.path else { return Ok(None) };
        let (content, extension) = make()?;
        let target = if self.folder { self.free(&path.join(below(name)), &extension) } else { path.to_owned() };
        if !self.written.insert(target.clone()) {
            self.of_several()?;
        }
        output::write(&target, &content)?;
        Ok(Some(target.display().to_string()))
    }

    /// A path of its own, also where an archive has a name twice.
    fn free(&self, path: &Path, extension: &str) -> PathBuf {
        let with = |suffix: String| PathBuf::from(format!("{}{suffix}.{extension}", path.display()));
        let first = with(String::new());
        let others = (2..).map(|number| with(format!("-{number}")));
        std::iter::once(first).chain(others).find(|path| !self.written.contains(path)).unwrap_or_default()
    }
}

/// A name as a path that stays below wherever it is put.
fn below(name: &str) -> PathBuf {
    Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn print(found: &Found) -> anyhow::Result<()> {
    output::print("bits per byte     bytes  file")?;
    for line in &found.files {
        output::print(&format!("{:13.4} {:9}  {}", line.bits_per_byte, line.bytes, shown(&line.name)))?;
    }
    if found.skipped_count > 0 {
        output::print(&format!("{} files skipped, each with its reason above or with --json", found.skipped_count))?;
    }
    Ok(())
}
