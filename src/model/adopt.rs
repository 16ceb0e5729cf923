//! Weights of another model, as far as they fit: for training that goes on from it, with other data or other patches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::folder::{self, ModelFile, WEIGHTS};
use super::tensors::TensorFile;
use super::{Megabyte, ModelConfig};
use crate::{Error, Result};

/// What became of a model's parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adopted {
    /// The model folder that was read.
    pub folder: PathBuf,
    /// Names of those taken whole.
    pub whole: Vec<String>,
    /// Names of those whose first rows were taken, and how many of how many: tables of positions or symbols that are
    /// longer on one side.
    pub rows: Vec<(String, i64, i64)>,
    /// Names of those that stay as they were drawn, because the other model has none of that name or of that shape.
    pub fresh: Vec<String>,
    /// Names of the other model's that have no place here.
    pub unused: Vec<String>,
    /// Keys that have another value there, with both: what no name and no shape tells, though the same weights mean
    /// something else with it.
    pub differences: Vec<String>,
}

/// Copies the weights of the model, checkpoint or run at `path` into those of the same name. Where shapes differ in the
/// first dimension of a table alone, the rows that both have are copied; where they differ otherwise, nothing. Fails
/// where nothing at all fits.
pub fn adopt(path: &Path, model: &Megabyte) -> Result<Adopted> {
    let folder = folder::resolve(path)?;
    let other = ModelFile::read(&folder)?;
    folder::verify(&folder)?;
    let file = folder.join(WEIGHTS);
    let there = TensorFile::open(&file)?;
    let mut unused: BTreeSet<String> = there.tensors().keys().cloned().collect();
    let differences = differences(&other.model, model.config());
    let mut adopted = Adopted { folder, differences, ..Adopted::default() };
    for (name, target) in model.parameters().iter() {
        let Some(info) = there.tensors().get(name) else {
            adopted.fresh.push(name.to_owned());
            continue;
        };
        unused.remove(name);
        let (size, shape) = (target.size(), &info.shape);
        let fits =
            size.len() == shape.len() && size.iter().zip(shape).skip(1).all(|(&own, &other)| own == other as i64);
        let is_table = name.ends_with(".position") || name.ends_with(".byte_embedding") || name == "output.weight";
        let rows = size[0].min(shape.first().map_or(0, |&n| n as i64));
        if !fits || !(is_table || shape[0] as i64 == size[0]) {
            adopted.fresh.push(name.to_owned());
            continue;
        }
        let whole = target.detach();
        if !there.read_into(name, Some(rows as usize), &whole.narrow(0, 0, rows), &mut |_| ())? {
            return Err(there.not_finite(name));
        }
        if shape[0] as i64 == size[0] {
            adopted.whole.push(name.to_owned());
        } else {
            adopted.rows.push((name.to_owned(), rows, size[0]));
        }
    }
    adopted.unused = unused.into_iter().collect();
    if adopted.whole.is_empty() && adopted.rows.is_empty() {
        let reason = "has no weights that fit this model: names and shapes all differ (compare [[model.level]])";
        return Err(Error::file(&file, reason));
    }
    Ok(adopted)
}

/// What is computed otherwise with weights of the same names and shapes, level by level as these are taken.
fn differences(there: &ModelConfig, here: &ModelConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: String, there: Value, here: Value| {
        if there != here {
            found.push(format!("{key} is {here} here and {there} there"));
        }
    };
    compare("model.norm".to_owned(), json!(there.norm), json!(here.norm));
    compare("model.norm_eps".to_owned(), json!(there.norm_eps), json!(here.norm_eps));
    compare("model.ffn".to_owned(), json!(there.ffn), json!(here.ffn));
    compare("model.position".to_owned(), json!(there.position), json!(here.position));
    compare("model.cross_patch".to_owned(), json!(there.cross_patch), json!(here.cross_patch));
    let rotary = |model: &ModelConfig| (0..model.levels.len()).any(|l| model.is_rotary(l));
    if rotary(there) && rotary(here) {
        compare("model.rotary_base".to_owned(), json!(there.rotary_base), json!(here.rotary_base));
    }
    for (l, (there, here)) in there.levels.iter().zip(&here.levels).enumerate() {
        compare(format!("model.level.{l}.n_head"), json!(there.n_head), json!(here.n_head));
        compare(format!("model.level.{l}.window"), json!(there.window), json!(here.window));
    }
    found
}
