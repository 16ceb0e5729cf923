//! Folders of files, prepared folders, and shards.

use std::collections::BTreeMap;
use std::path::Path;

use megabyte::Error;
use megabyte::config::DataConfig;
use megabyte::data::shard::Shard;
use megabyte::data::{Count, Dataset, Manifest, Skipped, SourceFile, Split, walk};
use megabyte::modality::Modality;
use megabyte::progress::Progress;
use rayon::prelude::*;
use serde_json::json;

use super::{Report, layout_of};
use crate::commands::prepare::{skipped, table, thousands};

/// Names of items listed of each split.
const NAMES: usize = 1000;

/// A folder of files: how many can be read as what, and why the others can't.
pub(super) fn raw(path: &Path, data: Option<&DataConfig>, progress: &dyn Progress) -> anyhow::Result<Report> {
    let found = walk(&[path.to_owned()])?;
    let size: u64 = found.files.iter().map(|file| file.size).sum();
    progress.start("inspect", size);
    let read: Vec<_> = found.files.par_iter().map(|file| encoded_len(file, data, progress)).collect();
    if progress.cancelled() {
        return Err(Error::Interrupted.into());
    }

    let mut unread = found.skipped;
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    for (file, read) in found.files.iter().zip(read) {
        match read {
            Ok((modality, bytes)) => {
                let count = counts.entry(modality.name()).or_default();
                count.items += 1;
                count.bytes += bytes;
            }
            Err(reason) => unread.push(Skipped { path: file.path.clone(), reason }),
        }
    }
    let mut report = Report::new("folder", path);
    report.line("files", format!("{}, {} bytes", thousands(found.files.len() as u64), thousands(size)));
    for (modality, count) in &counts {
        let (items, bytes) = (thousands(count.items), thousands(count.bytes));
        report.line(modality, format!("{items} can be read, {bytes} bytes when encoded"));
    }
    report.line("skipped", thousands(unread.len() as u64));
    report.text.push_str(&skipped(&unread));
    if let Some((modality, _)) = counts.iter().max_by_key(|(_, count)| count.items) {
        report.line("next", format!("megabyte prepare {} --modality {modality} --out DIR", path.display()));
    }
    report.set("files", found.files.len());
    report.set("size", size);
    report.set("readable", counts);
    report.set("skipped", unread);
    Ok(report)
}

/// What a file is and how many bytes it becomes.
fn encoded_len(
    file: &SourceFile,
    data: Option<&DataConfig>,
    progress: &dyn Progress,
) -> Result<(Modality, u64), String> {
    if progress.cancelled() {
        return Err("stopped".to_owned());
    }
    let content = std::fs::read(&file.path).map_err(|error| error.to_string())?;
    progress.advance(file.size);
    if content.is_empty() {
        return Err("is empty".to_owned());
    }
    let layout = layout_of(&content, data).map_err(|error| error.to_string())?;
    let bytes = layout.adapter().encode(&content).map_err(|error| error.to_string())?;
    Ok((layout.modality(), bytes.len() as u64))
}

/// A folder that `prepare` wrote. The shards' indexes are always checked, payloads where `verify` is set.
pub(super) fn prepared(path: &Path, verify: bool, progress: &dyn Progress) -> anyhow::Result<Report> {
    let manifest = Manifest::load(path)?;
    let data = Dataset::open(path, None)?;
    let total = manifest.total();
    if (data.len() as u64, data.bytes()) != (total.items, total.bytes) {
        let reason = "counts other items than the shards hold: run `megabyte prepare` again";
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
    if let (Some(report), serde_json::Value::Object(manifest)) = (report.json.as_object_mut(), json!(manifest)) {
        report.extend(manifest);
    }
    for split in Split::ALL {
        let part = Dataset::open(path, Some(split))?;
        let names: Vec<&str> = (0..part.len().min(NAMES)).map(|i| part.name(i)).collect();
        report.json["splits"][split.name()]["names"] = json!(names);
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

fn checked(verify: bool) -> &'static str {
    if verify { "all right" } else { "indexes right; contents not checked (--verify)" }
}
