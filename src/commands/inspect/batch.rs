//! One batch of a run: where its sequences are from, and what they are.

use std::path::Path;
use std::sync::Arc;

use megabyte::data::{self, Dataset, Split};
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::batches;
use megabyte::{Error, RunConfig};
use serde_json::{Value, json};

use super::Report;
use crate::cli::InspectArgs;
use crate::commands::output::{check_free, write};

pub(super) fn inspect(run: &Path, number: u64, args: &InspectArgs, progress: &dyn Progress) -> anyhow::Result<Report> {
    let config = RunConfig::load(&run.join("config.toml"), &[])?;
    let mut train = Vec::new();
    for part in config.data.parts() {
        train.push(Arc::new(Dataset::open(&data::prepared(&part.sources, part, progress)?, Some(Split::Train))?));
    }
    check_data(run, &train)?;
    let batches = batches(&config, &train)?;
    let (which, index) = batches.place(number);
    let sampler = batches.sampler(which);
    let dataset = sampler.dataset();
    let adapter = dataset.layout().adapter();

    let mut report = Report::new("batch", run);
    report.set("batch", number);
    report.line("batch", number);
    let step = number / config.train.micro_batches(&config.model) as u64 + 1;
    report.set("step", step);
    report.line("step", step);
    report.layout(dataset.layout());
    let mut rows = Vec::new();
    for (row, origin) in sampler.origins(index)?.into_iter().enumerate() {
        let (source, name) = (dataset.source(origin.item as usize), dataset.name(origin.item as usize));
        report.line(
            &format!("row {row}"),
            format!("{name} in {source}, from byte {} on, epoch {}", origin.byte, origin.epoch),
        );
        rows.push(json!({
            "epoch": origin.epoch, "item": origin.item, "name": name, "source": source, "byte": origin.byte
        }));
    }
    report.set("rows", rows);

    if let Some(folder) = &args.samples {
        check_free(folder, args.force)?;
        let symbols = batches.batch(number)?;
        // A part of a picture is no picture.
        let whole = adapter.sequence_len().is_none_or(|len| len == symbols.cols);
        let mut written = Vec::new();
        for (row, symbols) in symbols.symbols.chunks(symbols.cols).enumerate() {
            // Without the ends of documents, and without padding.
            let bytes: Vec<u8> = symbols.iter().filter_map(|&symbol| u8::try_from(symbol).ok()).collect();
            let content = if whole { adapter.decode(&bytes)? } else { bytes };
            let extension = if whole { adapter.extension() } else { "bin" };
            let path = folder.join(format!("{row:03}.{extension}"));
            write(&path, &content)?;
            written.push(path);
        }
        report.set("samples", written);
        report.line("samples", shown(folder));
    }
    Ok(report)
}

/// Refuses data that is another than what the run's latest checkpoint was trained on: its batches are others.
fn check_data(run: &Path, train: &[Arc<Dataset>]) -> anyhow::Result<()> {
    // A run without a checkpoint has written down nothing of its data.
    let Ok(state) = std::fs::read(run.join("checkpoints/latest/state.json")) else { return Ok(()) };
    let state: Value = serde_json::from_slice(&state).unwrap_or_default();
    let now: Vec<String> = train.iter().map(|dataset| dataset.fingerprint()).collect();
    if state["data"].is_array() && state["data"] != json!(now) {
        let reason = "was trained on other data than its sources hold now: bring these back to what they were";
        return Err(Error::file(run, reason).into());
    }
    Ok(())
}
