//! `megabyte eval`: bits per byte on data the model has not seen.

use std::path::Path;

use megabyte::config::DataConfig;
use megabyte::data::{self, Dataset, Split};
use megabyte::density::{self, Baseline, Curve, EvalOptions, Evaluation, Protocol};
use megabyte::modality::Layout;
use megabyte::model::folder;
use megabyte::progress::Progress;
use megabyte::train::Dtype;
use serde::Serialize;

use super::{device, model_run, output};
use crate::cli::EvalArgs;

#[derive(Serialize)]
struct Found {
    model: String,
    split: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    curves: Vec<Curve>,
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines: Option<Vec<Baseline>>,
}

/// Runs the verb.
pub fn run(args: EvalArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let device = device::choose(args.device.as_deref())?;
    let kind = args.dtype.parse::<Dtype>()?.kind();
    let inference = args.inference.parse()?;
    let place = folder::resolve(&args.model)?;
    let (file, model) = folder::load(&place, kind, device)?;
    let (split, dataset) = open(&args, &file.layout, progress)?;

    let options = EvalOptions { batch: args.batch, limit_bytes: args.limit_bytes, inference };
    let density::Examined { evaluation, curves, .. } = density::examine(&model, &dataset, options, None, progress)?;
    let baselines = args.baselines.then(|| {
        let items = density::scored_items(&dataset, file.model.context, args.limit_bytes);
        density::classical(&file.layout, items.iter().map(|item| item.bytes))
    });
    let found = Found {
        model: place.display().to_string(),
        split,
        evaluation,
        curves,
        device: device::name(device),
        baselines: baselines.transpose()?,
    };
    if args.json { output::print_json(&found) } else { print(&found) }
}

/// The data: files are scored whole, folders by split.
fn open(args: &EvalArgs, layout: &Layout, progress: &dyn Progress) -> megabyte::Result<(String, Dataset)> {
    let files = args.data.iter().all(|path| path.is_file());
    if files && args.split.is_none() {
        return Ok(("all".to_owned(), Dataset::from_files(&args.data, layout)?));
    }
    let name = args.split.as_deref().unwrap_or("test");
    let split = if name == "all" { None } else { Some(name.parse::<Split>()?) };
    // Cut as the run cut, so that what it held out is what is scored.
    let data = model_run::config(&args.model).map_or_else(|| DataConfig::of(layout), |run| run.data);
    let prepared = data::prepared(&args.data, &data, progress)?;
    let dataset = Dataset::open(Path::new(&prepared), split)?;
    Ok((name.to_owned(), dataset))
}

fn print(found: &Found) -> anyhow::Result<()> {
    let Evaluation { sequences, bytes, bits_per_byte, std_error, word_perplexity, protocol, windows, seconds, .. } =
        &found.evaluation;
    let Protocol { inference, context, stride, offset, .. } = protocol;
    let offset = offset.map_or(String::new(), |offset| format!(", second pass from byte {offset}"));
    output::print(&format!("model          {}", found.model))?;
    output::print(&format!("split          {}, {bytes} bytes in {sequences} sequences", found.split))?;
    output::print(&format!("inference      {}, context {context}, stride {stride}{offset}", inference.name()))?;
    output::print(&format!("windows        {windows} in {seconds:.1} s on {}", found.device))?;
    output::print(&format!("bits per byte  {bits_per_byte:.4} ± {std_error:.4}"))?;
    if let Some(perplexity) = word_perplexity {
        output::print(&format!("per word       perplexity {perplexity:.2}"))?;
    }
    for baseline in found.baselines.iter().flatten() {
        output::print(&format!("{:14} {:.4}", baseline.name, baseline.bits_per_byte))?;
    }
    Ok(())
}
