//! Run folders: the latest numbers, and the model they are about.

use std::path::{Path, PathBuf};

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
    let metrics = latest_metrics(&folder.join("metrics.jsonl"))?;
    for (key, value) in &metrics {
        report.line(key, value);
    }
    report.set("metrics", metrics);
    let checkpoint = checkpoint(folder);
    report.set("checkpoint", &checkpoint);
    match checkpoint {
        Some(checkpoint) => {
            let of_model = model::inspect(&checkpoint)?;
            report.text.push_str(&of_model.text);
            if let (Some(ours), Value::Object(model)) = (report.json.as_object_mut(), of_model.json) {
                // The run's own kind and path stay.
                ours.extend(model.into_iter().filter(|(key, _)| key != "kind" && key != "path"));
            }
        }
        None => {
            report.line("checkpoint", "none yet");
            let config = RunConfig::load(&folder.join("config.toml"), &[])?;
            report.layout(&config.data.layout()?);
            model::describe(&mut report, &config.model, None);
        }
    }
    Ok(report)
}

/// The best checkpoint, else the latest, by the links that training keeps.
fn checkpoint(run: &Path) -> Option<PathBuf> {
    ["best", "latest"].into_iter().map(|name| run.join("checkpoints").join(name)).find(|path| model::is_at(path))
}

/// The last value of each metric; losses and evaluations stand on different lines. A last line that is cut short, as
/// in a run that was killed, is left out.
fn latest_metrics(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io(path, error).into()),
    };
    let mut latest = Map::new();
    for line in text.lines() {
        if let Ok(Value::Object(line)) = serde_json::from_str(line) {
            latest.extend(line);
        }
    }
    Ok(latest)
}
