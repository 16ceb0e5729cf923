//! Run folders: the latest numbers, and the model they are about.

use std::path::Path;

use megabyte::model::folder::resolve;
use megabyte::{Error, RunConfig};
use serde_json::{Map, Value};

use super::{Report, model};

/// Whether training wrote this folder.
pub(super) fn is_at(folder: &Path) -> bool {
    folder.join("config.toml").is_file()
        && (folder.join("metrics.jsonl").is_file() || folder.join("checkpoints").is_dir())
}

pub(super) fn inspect(folder: &Path) -> anyhow::Result<Report> {
    let mut report = Report::new("run", folder);
    let mut metrics = latest(&folder.join("metrics.jsonl"))?;
    metrics.extend(latest(&folder.join("speed.jsonl"))?);
    for (kind, line) in &metrics {
        let said = |key: &str, value: &Value| value.is_number() || key == "batches";
        let numbers = line.as_object().into_iter().flatten().filter(|(key, value)| said(key, value));
        let numbers: Vec<_> = numbers.map(|(key, value)| format!("{key} {value}")).collect();
        report.line(kind, numbers.join(", "));
    }
    report.set("metrics", metrics);
    match resolve(folder) {
        Ok(checkpoint) => {
            let of_model = model::inspect(&checkpoint)?;
            report.text.push_str(&of_model.text);
            if let (Some(ours), Value::Object(model)) = (report.json.as_object_mut(), of_model.json) {
                // The run's own kind and path stay.
                ours.extend(model.into_iter().filter(|(key, _)| key != "kind" && key != "path"));
            }
            report.set("checkpoint", checkpoint);
        }
        Err(_) => {
            report.line("checkpoint", "none yet");
            report.set("checkpoint", Value::Null);
            let config = RunConfig::load(&folder.join("config.toml"), &[])?;
            report.layout(&config.data.layout()?);
            model::describe(&mut report, &config.model, None);
        }
    }
    Ok(report)
}

/// The last line of each kind (`train`, `valid`); lines of a file that has one kind are `speed`. A last line that is
/// cut short, as in a run that was killed, is left out.
fn latest(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io(path, error).into()),
    };
    let mut latest = Map::new();
    for line in text.lines() {
        if let Ok(line @ Value::Object(_)) = serde_json::from_str::<Value>(line) {
            let kind = line.get("kind").and_then(Value::as_str).unwrap_or("speed").to_owned();
            latest.insert(kind, line);
        }
    }
    Ok(latest)
}
