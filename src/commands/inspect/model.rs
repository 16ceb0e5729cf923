//! Model folders: what each level costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use megabyte::model::folder::ModelFile;
use megabyte::model::{LevelConfig, ModelConfig, named_level};
use megabyte::shown::{shown, thousands};
use megabyte::{Error, Result};
use safetensors::tensor::Metadata;
use serde_json::{Value, json};

use super::Report;

/// The longest header that the safetensors format allows.
const MAX_HEADER: u64 = 100_000_000;

/// Whether a folder has a model's `config.json`, right or damaged.
pub(super) fn is_at(folder: &Path) -> bool {
    let Ok(text) = std::fs::read(folder.join("config.json")) else {
        return false;
    };
    let object: Value = serde_json::from_slice(&text).unwrap_or_default();
    folder.join("model.safetensors").is_file() || object.get("format").is_some() && object.get("model").is_some()
}

pub(super) fn inspect(folder: &Path) -> anyhow::Result<Report> {
    let file = ModelFile::read(folder)?;
    let mut report = Report::new("model", folder);
    report.layout(&file.layout);

    let weights = folder.join("model.safetensors");
    let parameters = if weights.is_file() { Some(parameters(&weights)?) } else { None };
    describe(&mut report, &file.model, parameters.as_ref());
    match &parameters {
        Some(found) => {
            let total = found.values().sum();
            report.line("parameters", format!("{} in {}", thousands(total), shown(&weights)));
            report.set("parameters", total);
        }
        None => report.line("parameters", format!("not known: there is no {}", shown(&weights))),
    }
    Ok(report)
}

/// The levels of a model and what they cost; parameters of a file where there is one, else by formula.
pub(super) fn describe(report: &mut Report, model: &ModelConfig, parameters: Option<&BTreeMap<String, u64>>) {
    report.line("context", format!("{} bytes, vocabulary {}", thousands(model.context as u64), model.vocab));
    let mut table =
        String::from("level   unit  width  layers  heads      in blocks     parameters  forward FLOPs a byte\n");
    let mut levels = Vec::new();
    for (l, level) in model.levels.iter().enumerate() {
        let LevelConfig { unit, n_embd, n_layer, n_head, .. } = *level;
        let blocks = model.block_parameters(l);
        let flops = model.forward_flops_per_byte(l);
        let all = match parameters {
            Some(found) => found.get(&format!("level.{l}")).copied().unwrap_or(0),
            None => model.parameters(l),
        };
        let _ = writeln!(
            table,
            "{l:>5} {unit:>6} {n_embd:>6} {n_layer:>7} {n_head:>6} {:>14} {:>14} {:>21}",
            thousands(blocks),
            thousands(all),
            thousands(flops.round() as u64)
        );
        levels.push(json!({
            "unit": unit, "n_embd": n_embd, "n_layer": n_layer, "n_head": n_head,
            "block_parameters": blocks, "parameters": all, "forward_flops_per_byte": flops,
        }));
    }
    report.text.push_str(&table);
    let forward: f64 = (0..model.levels.len()).map(|l| model.forward_flops_per_byte(l)).sum();
    let training = model.training_flops_per_byte();
    let both = (thousands(forward.round() as u64), thousands(training.round() as u64));
    let of = if model.latents > 0 { "; these are of a predicted byte, in a full context" } else { "" };
    report.line("FLOPs", format!("{} a byte forward, {} in training{of}", both.0, both.1));
    report.set("levels", levels);
    report.set("forward_flops_per_byte", forward);
    report.set("training_flops_per_byte", training);
    report.set("model", model);
}

/// Parameters in a safetensors file by level (`level.0`, …) and, under the tensor's own name, of what belongs to none.
/// Only the header is read.
fn parameters(path: &Path) -> Result<BTreeMap<String, u64>> {
    let damaged = |reason: String| Error::file(path, format!("is damaged or no safetensors file ({reason})"));
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    let size = file.metadata().map_err(|error| Error::io(path, error))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| damaged(error.to_string()))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size.saturating_sub(8) {
        return Err(damaged(format!("a header of {length} bytes in a file of {size}")));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(|error| Error::io(path, error))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
    if 8 + length + header.data_len() as u64 != size {
        return Err(damaged("its length is not what its header says".to_owned()));
    }
    let mut found = BTreeMap::new();
    for (name, tensor) in header.tensors() {
        let key = named_level(&name).map_or(name.clone(), |l| format!("level.{l}"));
        *found.entry(key).or_insert(0) += tensor.shape.iter().product::<usize>() as u64;
    }
    Ok(found)
}
