//! `megabyte eval`: bits per byte on data the model has not seen.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::bail;
use megabyte::config::DataConfig;
use megabyte::data::{self, Dataset, Split, shard};
use megabyte::density::{
    self, Baseline, Curve, EvalOptions, Evaluation, Examined, FileCost, Journal, Key, Protocol, SourceCost,
};
use megabyte::modality::Layout;
use megabyte::model::folder;
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::Dtype;
use megabyte::train::speed::Work;
use megabyte::{Error, report};
use serde::Serialize;

use super::model::{self, Opened};
use super::{device, model_run, output};
use crate::cli::EvalArgs;

/// Curves of at most so many groups, and so many sources, are printed; all are in what `--json` prints.
const GROUPS: usize = 16;
const SOURCES: usize = 20;

#[derive(Serialize)]
struct Found {
    model: String,
    split: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    curves: Vec<Curve>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SourceCost>,
    device: String,
    dtype: Dtype,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<Vec<Baseline>>,
}

/// Runs the verb.
pub fn run(args: EvalArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    output::check_distinct(
        &[
            ("--per-file", args.per_file.as_deref()),
            ("--page", args.page.as_deref()),
            ("--resume-file", args.resume_file.as_deref()),
        ],
        &[("--data", &args.data)],
    )?;
    for path in args.per_file.iter().chain(&args.page) {
        output::check_free(path, args.force)?;
    }
    let inference = args.scoring.inference.parse()?;
    // What a journal has is of one type.
    let before = args.resume_file.as_deref().and_then(Journal::dtype).and_then(|name| name.parse().ok());
    let batch = args.scoring.batch.get();
    let Opened { place, file, model, device, dtype } =
        model::open(&args.model, "--batch", before, |model| Work::scoring(model, batch))?;
    let (split, dataset) = open(&args, &file.layout, progress)?;
    for warning in dataset.file_warnings() {
        progress.note(&format!("warning: {warning}"));
    }
    if dataset.is_empty() {
        let names: Vec<String> = args.data.iter().map(|path| path.display().to_string()).collect();
        let names = names.join(", ");
        bail!(match Split::ALL.iter().any(|known| known.name() == split) {
            true => Error::Usage(format!(
                "--data {names}: nothing of it is in {split}: take another split (--split train, valid, test or all), or name \
                 files, which are scored whole"
            )),
            false => Error::Usage(format!("--data {names}: there is nothing to score in it")),
        });
    }
    if split == "all"
        && let Some(trained_on) = trained_on(&args)
    {
        progress.note(&format!(
            "warning: {trained_on} is what this model was trained on, and is scored whole; --split test scores what was held \
             out of it"
        ));
    }

    let options = EvalOptions { batch, limit_bytes: args.limit_bytes, inference };
    let mut journal = match &args.resume_file {
        None => None,
        Some(path) => {
            let (model, data) = (format!("{:016x}", folder::fingerprint(&place, &model)?), dataset.fingerprint());
            let way = [dtype.to_string(), device::name(device)];
            Some(Journal::open(path, &Key::new(model, data, args.limit_bytes, inference, way), false)?)
        }
    };
    let examined = density::examine(&model, &dataset, options, journal.as_mut(), progress);
    if let (Err(Error::Interrupted), Some(path)) = (&examined, &args.resume_file) {
        progress.note(&format!("the same command goes on from {}", shown(path)));
    }
    let mut examined = examined?;
    if examined.sources.len() < 2 {
        examined.sources.clear();
    }
    let baselines = args.baselines.then(|| {
        let items = density::scored_items(&dataset, file.model.context, args.limit_bytes);
        density::classical(&file.layout, items.iter().map(|item| item.bytes))
    });
    let baselines = baselines.transpose()?;
    dataset.check()?;
    let model = place.display().to_string();
    if let Some(path) = &args.page {
        let page = report::evaluation_page(&model, &split, &examined, baselines.as_deref().unwrap_or_default());
        output::write(path, page.as_bytes())?;
    }
    let Examined { evaluation, curves, sources, files } = examined;
    if let Some(path) = &args.per_file {
        output::write(path, lines(&files)?.as_bytes())?;
    }
    let found = Found { model, split, evaluation, curves, sources, device: device::name(device), dtype, baselines };
    if args.json { output::print_json(&found) } else { print(&found) }
}

/// The data: files and shards are scored whole, folders by split.
fn open(args: &EvalArgs, layout: &Layout, progress: &dyn Progress) -> megabyte::Result<(String, Dataset)> {
    let files = args.data.iter().all(|path| path.is_file());
    if files && args.data.iter().any(|path| is_shard(path)) {
        if args.split.is_some() {
            return Err(Error::Usage("--split: shards are of one split already".to_owned()));
        }
        let dataset = Dataset::from_shards(&args.data)?;
        dataset.expect_layout(layout, &args.data[0])?;
        return Ok(("all".to_owned(), dataset));
    }
    if files && args.split.is_none() {
        return Ok(("all".to_owned(), Dataset::from_files(&args.data, layout)?));
    }
    let name = args.split.as_deref().unwrap_or("test");
    let split = if name == "all" { None } else { Some(name.parse::<Split>()?) };
    // Cut as the run cut, so that what it held out is what is scored.
    let data = model_run::config(&args.model.path).map_or_else(|| DataConfig::of(layout), |run| run.data);
    let prepared = data::prepared(&args.data, &data, progress)?;
    let dataset = Dataset::open(Path::new(&prepared), split)?;
    Ok((name.to_owned(), dataset))
}

/// A path of `--data` that belongs to what the model's run was trained on, if one does.
fn trained_on(args: &EvalArgs) -> Option<String> {
    let data = model_run::config(&args.model.path)?.data;
    let sources: Vec<PathBuf> = data.sources.iter().map(|source| output::whole(source)).collect();
    let within = |path: &&PathBuf| sources.iter().any(|source| output::whole(path).starts_with(source));
    args.data.iter().find(within).map(|path| path.display().to_string())
}

fn is_shard(path: &Path) -> bool {
    let mut head = [0; shard::MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == shard::MAGIC
}

/// A line of JSON a file.
fn lines(files: &[FileCost]) -> serde_json::Result<String> {
    files.iter().map(|file| Ok(serde_json::to_string(file)? + "\n")).collect()
}

fn print(found: &Found) -> anyhow::Result<()> {
    let Evaluation { layout, sequences, bytes, bits_per_byte, std_error, protocol, windows, seconds, .. } =
        &found.evaluation;
    let Protocol { inference, context, stride, offset, .. } = protocol;
    let offset = offset.map_or(String::new(), |offset| format!(", second pass from byte {offset}"));
    let keys: Vec<String> = layout.keys().iter().map(|(key, value)| format!("{key} {value}")).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
    output::print(&format!("model          {}", found.model))?;
    output::print(&format!("data           {}{keys}", layout.modality()))?;
    output::print(&format!("split          {}, {bytes} bytes in {sequences} sequences", found.split))?;
    output::print(&format!("inference      {}, context {context}, stride {stride}{offset}", inference.name()))?;
    output::print(&format!("windows        {windows} in {seconds:.1} s on {} in {}", found.device, found.dtype))?;
    output::print(&format!("bits per byte  {}", output::bits(*bits_per_byte, *std_error)))?;
    if let Some(bits) = found.evaluation.bits_per_dimension {
        output::print(&format!("per dimension  {bits:.4}"))?;
    }
    if let Some(bits) = found.evaluation.bits_per_sample {
        output::print(&format!("per sample     {bits:.4}"))?;
    }
    if let Some(perplexity) = found.evaluation.word_perplexity {
        output::print(&format!("per word       perplexity {perplexity:.2}"))?;
    }
    for curve in found.curves.iter().filter(|curve| curve.groups.len() <= GROUPS) {
        let groups = curve.groups.iter().map(|group| format!("{}: {:.3}", group.label, group.bits_per_byte));
        output::print(&format!("{:14} {}", curve.by, groups.collect::<Vec<_>>().join("  ")))?;
    }
    for SourceCost { source, files, bits_per_byte, std_error, .. } in found.sources.iter().take(SOURCES) {
        let bits = output::bits(*bits_per_byte, *std_error);
        output::print(&format!("source         {bits}  {source} ({})", output::count(*files, "file")))?;
    }
    if found.sources.len() > SOURCES {
        output::print(&format!("source         and {} more, with --json", found.sources.len() - SOURCES))?;
    }
    for baseline in found.baselines.iter().flatten() {
        let (name, how) = (&baseline.name, [&*baseline.version, &*baseline.setting].join(", "));
        output::print(&format!("{name:14} {:.4}  {how}", baseline.bits_per_byte))?;
    }
    Ok(())
}
