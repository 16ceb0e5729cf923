//! The run that a model is from.

use std::path::Path;

use megabyte::RunConfig;

/// The configuration of the run that `--model` names or that its checkpoint lies in, if there is one.
pub fn config(model: &Path) -> Option<RunConfig> {
    // A run, or one of its checkpoints; a model folder on its own has none.
    let places = [model.join("config.toml"), model.join("../../config.toml")];
    let place = places.iter().find(|path| path.is_file())?;
    RunConfig::load(place, &[]).ok()
}
