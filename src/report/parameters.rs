//! Counts the parameters of a run's newest checkpoint, from the header of its `model.safetensors` alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::run::entries;
use crate::error::IoContext;
use crate::model::named_level;
use crate::{Error, Result};

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    shape: Vec<u64>,
}

/// Parameters of each level, coarse first, where there is a checkpoint.
pub(super) fn of_run(run: &Path, problems: &mut Vec<String>) -> Option<Vec<u64>> {
    let checkpoints = entries(&run.join("checkpoints"), problems);
    let steps = checkpoints
        .iter()
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("step_")));
    let model = steps.map(|path| path.join("model.safetensors")).rfind(|path| path.exists())?;
    count(&model).map_err(|error| problems.push(error.to_string())).ok()
}

/// Elements of the tensors `level.{l}.…`, by `l`. The file begins with the length of its header (u64, little endian)
/// and the header, JSON with a shape for every name.
fn count(path: &Path) -> Result<Vec<u64>> {
    // safetensors' own limit
    const LONGEST: u64 = 100_000_000;
    let mut file = File::open(path).at(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).at(path)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Err(Error::file(path, "is not a safetensors file: its header is too long"));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).at(path)?;
    let header: BTreeMap<String, Entry> = serde_json::from_slice(&header).map_err(|error| Error::file(path, error))?;
    let mut levels: Vec<u64> = Vec::new();
    for (name, entry) in header {
        // A hierarchy has a handful of levels; a damaged header must not ask for more.
        if let Some(level) = named_level(&name).filter(|&level| level < 64) {
            if levels.len() <= level {
                levels.resize(level + 1, 0);
            }
            let count = entry.shape.iter().fold(1u64, |product, &side| product.saturating_mul(side));
            levels[level] = levels[level].saturating_add(count);
        }
    }
    Ok(levels)
}
