//! `megabyte prepare`: files to shards.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use megabyte::Error;
use megabyte::config::{DataConfig, Source};
use megabyte::data::{Existing, Manifest, Skipped, Split};
use megabyte::progress::Progress;
use megabyte::shown::{shown, thousands};
use serde_json::json;

use super::output::{print, print_json};
use crate::cli::PrepareArgs;

/// Reasons for which files were skipped that are shown; the manifest lists the files.
const SHOWN: usize = 10;

/// Runs the verb.
pub fn run(args: PrepareArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let mut data = data_config(args.modality.as_deref(), args.config.as_deref(), &args.overrides)?;
    data.include.extend(args.include);
    data.exclude.extend(args.exclude);
    data.column = args.column.or(data.column);
    let existing = if args.force { Existing::Replace } else { Existing::Add };
    let started = Instant::now();
    let summary = megabyte::data::prepare(&args.sources, &data, &args.out, existing, progress)?;
    if args.json {
        let mut object = json!(summary);
        object["out"] = json!(args.out);
        object["seconds"] = json!(started.elapsed().as_secs_f64());
        return print_json(&object);
    }
    // Each skipped file was told while the work went on.
    print(&format!("{}wrote {}", table(&summary), shown(&args.out)))
}

/// What a prepared folder holds, as lines.
pub(super) fn table(manifest: &Manifest) -> String {
    let mut text = format!("{:<8} {:>10} {:>16}\n", "split", "items", "bytes");
    for split in Split::ALL {
        let count = manifest.count(split);
        let _ = writeln!(text, "{:<8} {:>10} {:>16}", split.name(), thousands(count.items), thousands(count.bytes));
    }
    let _ = writeln!(
        text,
        "{} documents, {} left out as duplicates, {} skipped",
        thousands(manifest.documents),
        thousands(manifest.duplicates),
        thousands(manifest.skipped_count)
    );
    for warning in &manifest.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// Skipped files, as lines: those of each kind of reason together, the first of them by name.
pub(super) fn skipped(files: &[Skipped]) -> String {
    let mut kinds: BTreeMap<&str, Vec<&Skipped>> = BTreeMap::new();
    for file in files {
        // What follows is about the file, or the remedy.
        let kind = file.reason.split([';', ':']).next().unwrap_or_default();
        kinds.entry(kind).or_default().push(file);
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(|files| Reverse(files.len()));
    let mut text = String::new();
    for files in kinds.iter().take(SHOWN) {
        let (path, reason) = (shown(&files[0].path), &files[0].reason);
        let _ = match files.len() {
            1 => writeln!(text, "  {path}: {reason}"),
            more => writeln!(text, "  {path} and {} more: {reason}", thousands(more as u64 - 1)),
        };
    }
    if kinds.len() > SHOWN {
        let more: usize = kinds[SHOWN..].iter().map(Vec::len).sum();
        let _ = writeln!(text, "  and {} more, for other reasons (--json lists all)", thousands(more as u64));
    }
    text
}

/// The `[data]` section that `--modality`, `--config` and `--set data.key=value` describe together.
pub(super) fn data_config(
    modality: Option<&str>,
    config: Option<&Path>,
    overrides: &[String],
) -> megabyte::Result<DataConfig> {
    let mut source = match config {
        None => Source::default(),
        Some(path) => {
            let source = Source::read(path)?;
            if !source.get("data").is_some_and(toml::Value::is_table) {
                return Err(Error::config_file(path, "has no [data] section"));
            }
            source
        }
    };
    if let Some(modality) = modality {
        match source.get("data.modality") {
            Some(given) if given.as_str() == Some(modality) => {}
            Some(given) => {
                let reason = format!("is {given} in the configuration, but --modality says {modality}: leave one out");
                return Err(Error::config("data.modality", reason));
            }
            None => source.set(&format!("data.modality={modality:?}"))?,
        }
    }
    for setting in overrides {
        if !(setting.starts_with("data.") && setting.contains('=')) {
            let reason = format!("--set {setting}: expected data.key=value, such as data.width=32");
            return Err(Error::Usage(reason));
        }
        source.set(setting)?;
    }
    if source.get("data.modality").is_none() {
        return Err(Error::config("data.modality", "is missing: give --modality text, image, audio or bytes"));
    }
    source.data_config()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_a_configuration_describe_the_layout() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("c.toml");
        std::fs::write(&config, "[data]\nmodality = \"image\"\nwidth = 8\n[train]\nlr = 1.0\n").unwrap();
        let set = |setting: &str| vec![setting.to_owned()];
        let data = data_config(None, Some(&config), &set("data.channels=gray")).unwrap();
        assert_eq!((data.layout["width"].as_integer(), data.layout["channels"].as_str()), (Some(8), Some("gray")));
        assert!(data_config(Some("image"), Some(&config), &set("data.cut_over=5")).unwrap().cut_over == 5);

        let error = |modality, config, set: &str| {
            let settings: Vec<String> = set.split_whitespace().map(str::to_owned).collect();
            format!("{:#}", data_config(modality, config, &settings).unwrap_err())
        };
        assert!(error(Some("text"), Some(&*config), "").contains("data.modality"));
        assert!(error(Some("film"), None, "").contains("\"film\""));
        assert!(error(None, None, "").contains("--modality"));
        assert!(error(Some("image"), None, "data.wdth=3").contains("wdth"));
        assert!(error(Some("image"), None, "train.lr=3").contains("train.lr"));
        assert!(error(Some("audio"), None, "data.channels=2").contains("`data.channels`"));
        let limited = data_config(Some("text"), None, &set("data.limits.max_document=7")).unwrap();
        assert_eq!(limited.limits.max_document, 7);
    }
}
