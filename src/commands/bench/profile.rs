//! `megabyte bench train --profile`.

use megabyte::RunConfig;
use megabyte::train::{Profile, Trainer, profile};
use tch::Device;

use crate::commands::output;

/// Operations that are printed.
const SHOWN: usize = 10;

/// The loop of `train` on random bytes, recorded.
pub fn measure(mut config: RunConfig, seconds: f64, device: Device) -> anyhow::Result<Profile> {
    let folder = tempfile::tempdir()?;
    // Nothing but steps and their lines of metrics.
    config.train.max_steps = 1 << 40;
    config.train.max_minutes = 0.0;
    config.train.eval_every = 0;
    config.train.sample_every = 0;
    config.train.checkpoint_every = 0;
    // Stretches with a line each, however rare lines are.
    config.train.log_every = config.train.log_every.min(50);
    let stretch = config.train.log_every;
    let dataset = super::random_dataset(&config)?;
    let mut trainer = Trainer::new(config, folder.path(), vec![dataset], Vec::new(), device, false)?;
    let mut profile = profile::measure(&mut trainer, stretch, seconds)?;
    profile.operations.truncate(SHOWN);
    Ok(profile)
}

/// Prints two tables: parts, and the most expensive operations.
pub fn print(profile: &Profile) -> anyhow::Result<()> {
    let recording = profile.ms_per_step / profile.ms_per_step_unrecorded - 1.0;
    output::print(&format!(
        "\n{:.2} ms a step over {} steps that were recorded, {:.2} ms over as many between them: recording costs {:+.1} %",
        profile.ms_per_step,
        profile.steps,
        profile.ms_per_step_unrecorded,
        recording * 100.0
    ))?;
    output::print(&format!("\n{:<40} {:>9} {:>7}", "part of a step", "ms", "%"))?;
    for part in &profile.parts {
        output::print(&format!("{:<40} {:>9.3} {:>7.1}", part.part.label(), part.ms, part.share * 100.0))?;
    }
    output::print(&format!(
        "beyond forward, backward and the optimizer (data, rest of the loop): {:.2} %",
        profile.loop_share * 100.0
    ))?;
    output::print(&format!(
        "\n{:<40} {:>9} {:>7} {:>7}  {}",
        "operation, by itself", "ms", "%", "calls", "counted as"
    ))?;
    for operation in &profile.operations {
        output::print(&format!(
            "{:<40} {:>9.3} {:>7.1} {:>7.0}  {}",
            operation.name,
            operation.ms,
            operation.share * 100.0,
            operation.calls,
            operation.part.label()
        ))?;
    }
    Ok(())
}
