//! The run that a model is from.

use std::path::Path;

use megabyte::RunConfig;

/// The configuration of the run that `--model` names or that its checkpoint lies in, if there is one.
pub fn config(model: &Path) -> Option<RunConfig> {
    // A run, or one of its checkpoints; a model folder on its own has none.
    let checkpoints = model.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "checkpoints"));
    let run = if model.join("config.toml").is_file() { model } else { checkpoints?.parent()? };
    RunConfig::load(&run.join("config.toml"), &[]).ok()
}
