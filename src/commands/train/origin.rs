//! What a run goes on from: its latest checkpoint, or one of another run that it branches off.

use std::path::{Path, PathBuf};

use anyhow::bail;
use megabyte::config::{Change, changes};
use megabyte::error::IoContext;
use megabyte::shown::shown;
use megabyte::train::checkpoint::{Checkpoints, run_of};
use megabyte::train::{Dtype, Trainer, learning_rate};
use megabyte::{Error, RunConfig};

use super::say;
use crate::cli::TrainArgs;

/// A checkpoint that a run goes on from.
pub struct Origin {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The run that it is of.
    pub run: PathBuf,
    /// The configuration that it was written with, and the file of it.
    pub config: RunConfig,
    file: PathBuf,
}

impl Origin {
    /// What the flags name, if they name any. `folder` is that of the run.
    pub fn of(args: &TrainArgs, folder: &Path) -> anyhow::Result<Option<Self>> {
        let (run, checkpoint) = if let Some(checkpoint) = &args.branch_from {
            run_of(checkpoint)?
        } else if args.resume {
            if !folder.join("config.toml").is_file() {
                bail!(Error::file(folder, "is no run folder: it has no config.toml to resume with"));
            }
            (folder.to_owned(), Checkpoints::new(folder).to_resume()?)
        } else {
            return Ok(None);
        };
        let file = Checkpoints::new(&run).config_file(&checkpoint)?;
        Ok(Some(Origin { config: RunConfig::load(&file, &[])?, checkpoint, run, file }))
    }

    /// The configuration that it goes on with where no file is named: the run's, which a person may have edited, or that of
    /// the checkpoint where the run may be past it.
    pub fn configuration(&self, args: &TrainArgs) -> PathBuf {
        if args.resume { self.run.join("config.toml") } else { self.file.clone() }
    }

    /// A run goes on with the configuration that it has, or where that is allowed with another one that its checkpoint
    /// suits.
    pub fn check(&self, config: &RunConfig, args: &TrainArgs) -> anyhow::Result<()> {
        let changes = changes(&self.config, config);
        if changes.is_empty() {
            return Ok(());
        }
        let lines: String = changes
            .iter()
            .map(|change| match change.refused() {
                Some(reason) => format!("\n  {change}   can't change: {reason}"),
                None => format!("\n  {change}"),
            })
            .collect();
        let refused = |change: &Change| change.refused().is_some();
        let remedy = if changes.iter().any(refused) {
            let file = if args.config.is_some() { "leave out --config, or " } else { "" };
            format!("{file}leave out what can't change, or begin a run with another --out")
        } else if args.allow_config_change {
            say(&format!("changed:{lines}"));
            return Ok(());
        } else {
            "go on with this by --allow-config-change, or without these flags as it is".to_owned()
        };
        let edited = if args.resume && args.config.is_none() {
            format!("; what no flag says stands in {}", self.configuration(args).display())
        } else {
            String::new()
        };
        let place = shown(&self.checkpoint);
        bail!(Error::Usage(format!("{place}: was written with another configuration:{lines}\n{remedy}{edited}")))
    }

    /// Copies the checkpoint and what belongs to it into a run folder of its own.
    pub fn branch(&self, folder: &Path) -> anyhow::Result<()> {
        megabyte::train::checkpoint::branch(&self.checkpoint, folder)?;
        Ok(())
    }

    /// Says where it goes on, and so where the learning rate is another one than the run would have had at its next step.
    pub fn tell(&self, config: &RunConfig, trainer: &Trainer) {
        let state = trainer.state();
        let place = trainer.resumed().unwrap_or(&self.checkpoint);
        say(&format!("goes on   from step {}, {}", state.step, shown(place)));
        let rate = |config: &RunConfig| learning_rate(&config.train, state.step, state.minutes);
        let (before, now) = (rate(&self.config), rate(config));
        if (now - before).abs() > 0.01 * now.max(before) {
            say(&format!("warning: the learning rate jumps from {before:.3e} to {now:.3e} at step {}", state.step));
        }
    }
}

/// The file's configuration with what the flags change; for a run that goes on, the one it was started with.
pub fn configuration(args: &TrainArgs, origin: Option<&Origin>) -> anyhow::Result<RunConfig> {
    let file = match (&args.config, origin) {
        (Some(file), _) => file.clone(),
        (None, Some(origin)) => origin.configuration(args),
        (None, None) => bail!(Error::Usage("--config is missing".to_owned())),
    };
    let mut config = RunConfig::load(&file, &args.overrides)?;
    if !args.data.is_empty() {
        config.data.sources.clone_from(&args.data);
    }
    if let Some(other) = &args.init_from {
        config.train.init_from = Some(other.clone());
    }
    if let Some(other) = &mut config.train.init_from {
        *other = std::path::absolute(&*other).at(&*other)?;
    } else if let Some(origin) = origin {
        // What a run began with, maybe by a flag, is no matter of a file that it goes on with.
        config.train.init_from.clone_from(&origin.config.train.init_from);
    }
    if let (Some(origin), Dtype::Auto) = (origin, config.train.dtype) {
        // A run keeps the type that was chosen at its start.
        config.train.dtype = origin.config.train.dtype;
    }
    let mixed = config.data.mix.iter_mut().flat_map(|data| &mut data.sources);
    for source in config.data.sources.iter_mut().chain(mixed) {
        *source = std::path::absolute(&*source).at(&*source)?;
    }
    Ok(config)
}
