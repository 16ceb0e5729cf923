//! `megabyte rank`: files in the order of their bits per byte.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};
use megabyte::Error;
use megabyte::data::{self, Files, Skipped};
use megabyte::density::{self, Protocol, Ranked, area_under_curve};
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::Dtype;
use megabyte::train::speed::Work;
use serde::Serialize;

use super::model::{self, Opened};
use super::{device, output};
use crate::cli::RankArgs;

#[derive(Serialize)]
struct Found {
    model: String,
    #[serde(flatten)]
    protocol: Protocol,
    device: String,
    dtype: Dtype,
    /// How many were ranked.
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    auc: Option<f64>,
    /// How many of the ranked ones are labelled, and how many of these as anomalies.
    #[serde(skip_serializing_if = "Option::is_none")]
    labelled: Option<[usize; 2]>,
    files: Vec<Line>,
    skipped_count: usize,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    file: Ranked,
    #[serde(skip_serializing_if = "Option::is_none")]
    anomaly: Option<bool>,
}

/// Runs the verb.
pub fn run(args: RankArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let label = labels(&args)?;
    let inference = args.scoring.inference.parse()?;
    let batch = args.scoring.batch.get();
    let Opened { place, file, model, device, dtype } =
        model::open(&args.model, "--batch", None, |model| Work::scoring(model, batch))?;
    let mut files = Files::find(&args.data, &file.layout)?;
    let mut ranked = density::rank(&model, &mut files, inference, batch, args.relative, progress)?;
    if ranked.is_empty() {
        bail!("none of {} files can be used; the first: {}", files.len(), first(&files));
    }
    if args.reverse {
        ranked.reverse();
    }
    let mut lines: Vec<Line> = ranked
        .into_iter()
        .map(|file| Line { anomaly: label.as_ref().and_then(|label| label(&file.name)), file })
        .collect();
    let scores: Vec<_> = lines.iter().filter_map(|line| Some((line.file.key(), line.anomaly?))).collect();
    let anomalies = scores.iter().filter(|(_, anomaly)| *anomaly).count();
    let auc = match &label {
        None => None,
        Some(_) => Some(area_under_curve(&scores).ok_or_else(|| {
            let usual = scores.len() - anomalies;
            Error::Usage(format!("there are {anomalies} anomalies and {usual} others by the labels: both are needed"))
        })?),
    };
    let count = lines.len();
    if args.top > 0 {
        lines.truncate(args.top);
    }
    let found = Found {
        model: place.display().to_string(),
        protocol: Protocol::new(inference, model.config())?,
        device: device::name(device),
        dtype,
        count,
        auc,
        labelled: label.map(|_| [scores.len(), anomalies]),
        files: lines,
        skipped_count: files.skipped.len(),
        skipped: files.skipped,
    };
    if args.json { output::print_json(&found) } else { print(&found) }
}

fn first(files: &Files) -> String {
    files.skipped.first().map_or(String::new(), Skipped::to_string)
}

/// Whether a file is an anomaly, by its name, where labels are given and know it.
type Label = Box<dyn Fn(&str) -> Option<bool>>;

fn labels(args: &RankArgs) -> anyhow::Result<Option<Label>> {
    if !args.anomalies.is_empty() {
        let matches = data::matches("--anomalies", &args.anomalies)?;
        return Ok(Some(Box::new(move |name| Some(matches(name)))));
    }
    let Some(path) = &args.labels else { return Ok(None) };
    let labels = read_labels(path)?;
    Ok(Some(Box::new(move |name| labels.get(name).copied())))
}

/// Lines of a name, a tab, and 0 or 1.
fn read_labels(path: &Path) -> anyhow::Result<HashMap<String, bool>> {
    let text = std::fs::read_to_string(path).with_context(|| shown(path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            let (name, label) = line.rsplit_once('\t').unwrap_or((line, ""));
            let label = match label.trim() {
                "0" => false,
                "1" => true,
                _ => bail!("{}: line {}: expected a name, a tab, and 0 or 1", shown(path), i + 1),
            };
            Ok((name.to_owned(), label))
        })
        .collect()
}

fn print(found: &Found) -> anyhow::Result<()> {
    let relative = found.files.iter().any(|line| line.file.coder.is_some());
    output::print(&format!("bits per byte{}     bytes  file", if relative { "  less a coder's" } else { "" }))?;
    for Line { file, anomaly } in &found.files {
        let mark = if *anomaly == Some(true) { "  (anomaly)" } else { "" };
        let coder = if relative { format!(" {:15.4}", file.key()) } else { String::new() };
        output::print(&format!("{:13.4}{coder} {:9}  {}{mark}", file.bits_per_byte, file.bytes, shown(&file.name)))?;
    }
    if found.files.len() < found.count {
        output::print(&format!("and {} more", found.count - found.files.len()))?;
    }
    if let (Some(auc), Some([labelled, anomalies])) = (found.auc, found.labelled) {
        let usual = labelled - anomalies;
        output::print(&format!(
            "area under the ROC curve {auc:.4}: how often one of {anomalies} anomalies stands above one of {usual} others, most bits first"
        ))?;
    }
    if found.skipped_count > 0 {
        output::print(&format!("{} files skipped, each with its reason above or with --json", found.skipped_count))?;
    }
    Ok(())
}
