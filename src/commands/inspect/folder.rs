//! Folders of files, prepared folders, and shards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use megabyte::Error;
use megabyte::config::DataConfig;
use megabyte::data::shard::Shard;
use megabyte::data::{Dataset, Manifest, Split, Survey, guess, survey, walk};
use megabyte::modality::Modality;
use megabyte::progress::Progress;
use megabyte::shown::{shown, thousands};
use serde_json::json;

use super::Report;
use super::{describe, samples};
use crate::cli::InspectArgs;
use crate::commands::prepare::{skipped, table};

/// Names of items listed of each split.
const NAMES: usize = 1000;

/// A folder of files or an archive: how many documents there are of what, and why the rest can't be read.
pub(super) fn raw(path: &Path, data: Option<&DataConfig>, progress: &dyn Progress) -> anyhow::Result<Report> {
    let kind = if path.is_dir() { "folder" } else { "file" };
    let mut report = Report::new(kind, path);
    let parts = match data {
        Some(data) => vec![(data.clone(), vec![path.to_owned()])],
        None => by_modality(path)?,
    };
    let (mut whole, mut readable) = (Survey::default(), serde_json::Map::new());
    let mut lines = Vec::new();
    for (data, files) in parts {
        let part = survey(&files, &data, progress)?;
        let (documents, bytes) = (thousands(part.documents), thousands(part.bytes));
        let lengths = format!("{} to {}", thousands(part.shortest), thousands(part.longest));
        let mut line = format!("{documents} can be read, {bytes} bytes when encoded, {lengths} each");
        if let Some(rate) = data.layout()?.adapter().bytes_per_second() {
            line.push_str(&format!(", {:.1} seconds in all", part.bytes as f64 / rate));
        }
        lines.push((data.modality, part.documents, line));
        readable.insert(data.modality.name().to_owned(), json!({ "items": part.documents, "bytes": part.bytes }));
        whole.add(part);
    }
    report.line("files", format!("{}, {} bytes", thousands(whole.files), thousands(whole.size)));
    for (modality, documents, line) in &lines {
        if *documents > 0 {
            report.line(modality.name(), line);
        }
    }
    let kinds = describe::kinds(path)?;
    for (kind, count) in &kinds {
        report.line("", format!("{} x {kind}", thousands(*count)));
    }
    report.set("kinds", kinds);
    report.line("skipped", thousands(whole.skipped_count));
    report.text.push_str(&skipped(&whole.skipped));
    if whole.file_warnings_count > 0 {
        report.line("warnings", thousands(whole.file_warnings_count));
        report.text.push_str(&skipped(&whole.file_warnings));
    }
    if let Some((modality, ..)) = lines.iter().max_by_key(|(_, documents, _)| documents) {
        report.line("next", format!("megabyte prepare {} --modality {modality} --out DIR", shown(path)));
    }
    report.set("files", whole.files);
    report.set("size", whole.size);
    report.set("readable", readable);
    report.set("skipped_count", whole.skipped_count);
    report.set("skipped", whole.skipped);
    report.set("file_warnings_count", whole.file_warnings_count);
    report.set("file_warnings", whole.file_warnings);
    Ok(report)
}

/// The files below a path by what their first bytes look like, each with that modality's default layout.
fn by_modality(path: &Path) -> anyhow::Result<Vec<(DataConfig, Vec<PathBuf>)>> {
    let mut files: BTreeMap<&str, (Modality, Vec<PathBuf>)> = BTreeMap::new();
    for file in walk(&[path.to_owned()])?.files {
        // What can't be opened is reported by whoever reads it.
        let modality = guess(&file.path).unwrap_or(Modality::Text);
        files.entry(modality.name()).or_insert_with(|| (modality, Vec::new())).1.push(file.path);
    }
    Ok(files.into_values().map(|(modality, files)| (DataConfig::new(modality), files)).collect())
}

/// A folder that `prepare` wrote. The shards' indexes are always checked, payloads where `verify` is set.
pub(super) fn prepared(path: &Path, args: &InspectArgs, progress: &dyn Progress) -> anyhow::Result<Report> {
    let verify = args.verify;
    let manifest = Manifest::load(path)?;
    let data = Dataset::open(path, None)?;
    let total = manifest.total();
    if (data.len() as u64, data.bytes()) != (total.items, total.bytes) {
        let reason = "counts other items than the shards hold: run `megabyte prepare --force` again";
        return Err(Error::file(path.join("manifest.json"), reason).into());
    }
    if verify {
        data.verify(progress)?;
    }
    let mut report = Report::new("prepared", path);
    report.layout(data.layout());
    report.line("shards", manifest.shards.len());
    report.line("checksums", checked(verify));
    report.text.push_str(&table(&manifest));
    report.text.push_str(&skipped(&manifest.skipped));
    if !manifest.file_warnings.is_empty() {
        report.line("warnings", thousands(manifest.file_warnings_count));
        report.text.push_str(&skipped(&manifest.file_warnings));
    }
    if let (Some(report), serde_json::Value::Object(manifest)) = (report.json.as_object_mut(), json!(manifest)) {
        report.extend(manifest);
    }
    for split in Split::ALL {
        let part = Dataset::open(path, Some(split))?;
        let names: Vec<&str> = (0..part.len().min(NAMES)).map(|i| part.name(i)).collect();
        report.json["splits"][split.name()]["names"] = json!(names);
    }
    if let Some([shortest, median, longest]) = lengths(&data) {
        let line =
            format!("{} to {} bytes an item, median {}", thousands(shortest), thousands(longest), thousands(median));
        report.line("lengths", line);
        report.set("lengths", json!({ "shortest": shortest, "median": median, "longest": longest }));
    }
    if let Some(rate) = data.layout().adapter().bytes_per_second() {
        let seconds = data.bytes() as f64 / rate;
        report.line("duration", format!("{seconds:.1} seconds"));
        report.set("seconds", seconds);
    }
    if let Some(folder) = &args.samples {
        let written = samples::write(&data, folder, args.count, args.force)?;
        report.line("samples", written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "));
        report.set("samples", written);
    }
    report.set("verified", verify);
    Ok(report)
}

/// A shard.
pub(super) fn shard(path: &Path, verify: bool) -> anyhow::Result<Report> {
    let shard = Shard::open(path)?;
    if verify {
        shard.verify()?;
    }
    let mut report = Report::new("shard", path);
    report.layout(shard.layout());
    report.line("split", shard.split());
    report.line("items", thousands(shard.len() as u64));
    report.line("bytes", thousands(shard.bytes()));
    report.line("checksums", checked(verify));
    report.set("split", shard.split());
    report.set("items", shard.len());
    report.set("bytes", shard.bytes());
    report.set("verified", verify);
    Ok(report)
}

/// The shortest, the middle and the longest item.
fn lengths(data: &Dataset) -> Option<[u64; 3]> {
    // Of very many, some spread over all of them tell the middle well enough.
    let step = data.len().div_ceil(1 << 20).max(1);
    let mut lengths: Vec<u64> = (0..data.len()).step_by(step).map(|i| data.item(i).bytes.len() as u64).collect();
    lengths.sort_unstable();
    Some([*lengths.first()?, lengths[lengths.len() / 2], *lengths.last()?])
}

fn checked(verify: bool) -> &'static str {
    if verify { "all right" } else { "indexes right; contents not checked (--verify)" }
}
