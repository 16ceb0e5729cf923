//! `megabyte train`: a run folder from a configuration and data.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use megabyte::data::{self, Dataset, Manifest, Split};
use megabyte::error::IoContext;
use megabyte::model::Adopted;
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::{
    Choice, Dtype, Event, Larger, Metric, Observer, TrainConfig, Trainer, fit, gflops, memory, resolved, shortage,
};
use megabyte::{Error, RunConfig};
use tch::Device;

use self::origin::Origin;
use super::terminal::{LINE_EVERY, Stoppable, Terminal, say, stopped};
use super::{device, environment, output};
use crate::cli::TrainArgs;

mod dry_run;
mod folder;
mod origin;

/// Runs the verb.
pub fn run(args: TrainArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let device = device::choose(args.device.as_deref())?;
    let folder = run_folder(&args)?;
    // Before the checkpoint is looked for: another program may be writing it.
    let mut lock =
        if args.resume && folder.join("config.toml").is_file() { Some(folder::lock(&folder)?) } else { None };
    let origin = Origin::of(&args, &folder)?;
    let mut config = origin::configuration(&args, origin.as_ref())?;
    if args.dry_run {
        return dry_run::run(config, &args, device);
    }
    if let Some(origin) = &origin {
        origin.check(&config, &args)?;
    }
    folder::check(&folder, &config, &args)?;
    check_sources(&config, &args)?;
    if origin.is_none() {
        Trainer::check(&config, device)?;
    }
    if args.fit {
        config.train.micro_batch = fitted(&config, device)?;
    }
    // Before data is prepared, which may take hours.
    shortage::check(&resolved(&config, device)?, device)?;
    let (train, valid) = datasets(&config, terminal)?;

    let mut trainer = match &origin {
        Some(origin) if args.branch_from.is_some() => {
            origin.branch(&folder)?;
            lock = Some(folder::lock(&folder)?);
            let trainer = Trainer::new(config.clone(), &folder, train, valid, device, true);
            // What can't begin leaves nothing.
            trainer.inspect_err(|_| drop(fs::remove_dir_all(&folder)))?
        }
        _ => Trainer::new(config.clone(), &folder, train, valid, device, args.resume)?,
    };
    // From here on nothing of the user's asking can be wrong, so that what stands in the folder is not lost for nothing.
    if origin.is_none() {
        lock = Some(folder::lock(&folder)?);
        // Another program may have begun a run there meanwhile.
        folder::check(&folder, &config, &args)?;
        folder::clear(&folder)?;
    }
    trainer.open()?;
    // With the type of matrix work that was chosen.
    let began_in = origin.as_ref().map(|origin| origin.config.train.dtype);
    let asked = config.train.dtype != Dtype::Auto && began_in != Some(config.train.dtype);
    config = trainer.config().clone();
    output::write(&folder.join("config.toml"), config.to_toml().as_bytes())?;
    environment::append(&folder, device, trainer.state().step)?;
    let mut choice = trainer.choice().clone();
    if began_in == Some(config.train.dtype) {
        choice = choice.of_a_run_that_began();
    }
    describe(&trainer, &config, &choice, &device::name(device));
    let warning = if asked { type_warning(&choice) } else { choice.kept().filter(|_| origin.is_some()) };
    if let Some(warning) = warning {
        say(&format!("warning: {warning}"));
    }
    if let Some(origin) = &origin {
        origin.tell(&config, &trainer);
    }

    let mut watch = Watch::new(terminal.is_live(), &config, trainer.state().step);
    let outcome = trainer.train(&mut watch)?;
    watch.finish();
    drop(lock);
    let best = outcome.best.map_or(String::new(), |best| format!(", best held-out {best:.4} bits per byte"));
    if outcome.interrupted {
        say(&format!(
            "stopped and saved at step {}{best}; continue with --out {} --resume",
            outcome.step,
            shown(&folder)
        ));
    } else {
        say(&format!("done after {} steps{best}: {}", outcome.step, shown(&folder)));
    }
    Ok(())
}

/// Whether all that is to be prepared is there: preparing some of it may take hours.
fn check_sources(config: &RunConfig, args: &TrainArgs) -> anyhow::Result<()> {
    if config.data.sources.is_empty() {
        bail!(Error::config("data.sources", "is empty: name files or folders there, or with --data"));
    }
    for source in config.data.parts().flat_map(|part| &part.sources) {
        let found = fs::metadata(source);
        // What a file names, not the command.
        let named = config.data.sources.contains(source) && args.data.is_empty();
        if named && found.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let flags = if args.resume || args.branch_from.is_some() { " --allow-config-change" } else { "" };
            bail!(Error::file(source, format!("is not there: where the data has moved, add --data NEW{flags}")));
        }
        found.at(source)?;
        output::check_regular(source)?;
    }
    Ok(())
}

/// What the configuration names, prepared: to train on, and held out.
fn datasets(config: &RunConfig, terminal: &Terminal) -> anyhow::Result<(Vec<Dataset>, Vec<Dataset>)> {
    let (mut train, mut valid) = (Vec::new(), Vec::new());
    for part in config.data.parts() {
        let prepared = data::prepared(&part.sources, part, terminal)?;
        terminal.clear();
        let (learned, held_out) =
            (Dataset::open(&prepared, Some(Split::Train))?, Dataset::open(&prepared, Some(Split::Valid))?);
        let warnings = Manifest::load(&prepared)?.warnings;
        if learned.is_empty() {
            bail!(Error::file(prepared, format!("has nothing to train on: {}", warnings.join("; "))));
        }
        warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
        say(&format!(
            "data      {} bytes of {} to train on, {} held out (valid), in {}",
            learned.bytes(),
            part.modality,
            held_out.bytes(),
            shown(&prepared)
        ));
        train.push(learned);
        valid.push(held_out);
    }
    if valid.iter().all(Dataset::is_empty) {
        say("warning: the valid split is empty, so nothing is held out and no checkpoint is the best");
    }
    Ok((train, valid))
}

/// The largest micro-batch that fits, and why it is that.
fn fitted(config: &RunConfig, device: Device) -> anyhow::Result<usize> {
    let fit = fit(config, device)?;
    let limit = format!("{:.0} % of the {} available", 100.0 * fit::SHARE, memory::human(fit.available));
    let passes = config.train.bytes_per_step / (fit.micro_batch * config.model.context);
    let why = match fit.larger {
        None => format!("the whole step at once, below {limit}"),
        Some(Larger { micro_batch, failed: true, .. }) => {
            format!("{passes} passes a step; for {micro_batch} memory was not to be had, in spite of {limit}")
        }
        Some(Larger { micro_batch, bytes, failed: false }) => {
            let bytes = memory::human(bytes);
            format!("{passes} passes a step; {micro_batch} would take {bytes}, more than {limit}")
        }
    };
    say(&format!("fit       train.micro_batch = {}: takes {}, {why}", fit.micro_batch, memory::human(fit.peak)));
    Ok(fit.micro_batch)
}

fn run_folder(args: &TrainArgs) -> anyhow::Result<PathBuf> {
    match (&args.out, &args.config) {
        (Some(out), _) => Ok(out.clone()),
        (None, Some(config)) => Ok(Path::new("runs").join(config.file_stem().unwrap_or_default())),
        (None, None) => bail!(Error::Usage("--resume needs --out with the run to resume".to_owned())),
    }
}

fn describe(trainer: &Trainer, config: &RunConfig, choice: &Choice, device: &str) {
    let model = &config.model;
    for (l, level) in model.levels.iter().enumerate() {
        let parameters = trainer.model().parameters().count_of(&format!("level.{l}."));
        say(&format!(
            "level {l}   {} units of {} bytes, {} x {}, {} heads, {:.2} M parameters, {:.2} MFLOP/byte forward",
            model.units(l),
            level.unit,
            level.n_embd,
            level.n_layer,
            level.n_head,
            parameters as f64 / 1e6,
            model.forward_flops_per_byte(l) / 1e6
        ));
    }
    if let Some(adopted) = trainer.adopted() {
        say(&format!("begins    {}", begins(adopted)));
        for difference in &adopted.differences {
            say(&format!("warning: {difference}: the same weights mean something else with it"));
        }
    }
    if !config.train.freeze_levels.is_empty() {
        say(&format!("frozen    levels {:?}", config.train.freeze_levels));
    }
    let peak = trainer
        .peak_flops()
        .map_or(String::new(), |peak| format!(", which reaches {} in matrix products", gflops(peak)));
    say(&format!(
        "training  {:.2} MFLOP/byte, {} bytes a step, {} steps, {} on {device}{peak}",
        model.training_flops_per_byte() / 1e6,
        config.train.bytes_per_step,
        config.train.max_steps,
        config.train.dtype,
    ));
    say(&format!("type      {}", choice.line("this model")));
}

/// A warning of a type that was asked for where the other one is far faster.
fn type_warning(choice: &Choice) -> Option<String> {
    let asked = format!("train.dtype = \"{}\"", choice.dtype);
    choice.warning(&asked, "set train.dtype = \"auto\", or leave it out")
}

/// What a run has of another model.
fn begins(adopted: &Adopted) -> String {
    let mut text = format!("with {} tensors of {}", adopted.whole.len(), shown(&adopted.folder));
    for (name, rows, all) in &adopted.rows {
        text.push_str(&format!(", {rows} of the {all} rows of {name}"));
    }
    for (names, what) in [(&adopted.fresh, "drawn anew"), (&adopted.unused, "not used")] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", names.join(", ")));
        }
    }
    text
}

/// A mean of values in which each has a fifth less weight than the next, and the first ones no more than their share.
#[derive(Default)]
struct Smooth {
    sum: f64,
    weight: f64,
}

impl Smooth {
    /// Adds a value that is a number, and gives the mean.
    fn add(&mut self, value: f64) -> f64 {
        if value.is_finite() {
            self.sum = 0.8 * self.sum + 0.2 * value;
            self.weight = 0.8 * self.weight + 0.2;
        }
        self.sum / self.weight
    }
}

/// Shows a run: a live line on a terminal, a line every now and then elsewhere.
struct Watch {
    bar: Option<ProgressBar>,
    max_steps: u64,
    max_minutes: f64,
    loss: Smooth,
    /// When a line was printed, where there is no terminal.
    printed: Option<Instant>,
}

impl Watch {
    fn new(live: bool, config: &RunConfig, step: u64) -> Self {
        let bar = live.then(|| {
            let style = ProgressStyle::with_template("{bar:10} {wide_msg}").expect("the template is well-formed");
            ProgressBar::new(config.train.max_steps).with_style(style).with_position(step)
        });
        let TrainConfig { max_steps, max_minutes, .. } = config.train;
        Watch { bar, max_steps, max_minutes, loss: Smooth::default(), printed: None }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Logged(Metric::Train { step, bits_per_byte, lr, grad_norm, bytes, .. }, speed) => {
                let smooth = self.loss.add(*bits_per_byte);
                let mut left = speed.seconds / *step as f64 * (self.max_steps - step) as f64;
                if self.max_minutes > 0.0 {
                    left = left.min(self.max_minutes * 60.0 - speed.seconds);
                }
                // The first ones are those that a narrow terminal shows.
                let mfu = speed.mfu.map_or(String::new(), |mfu| format!("  MFU {:.0} %", mfu * 100.0));
                let line = format!(
                    "step {step}/{}  {smooth:.4} bits/byte  {} left  {}  lr {lr:.2e}  grad {grad_norm:.2}  {:.1} MB{mfu}  \
                     wait {:.1} %  mem {}",
                    self.max_steps,
                    duration(left),
                    output::rate(speed.bytes_per_second),
                    *bytes as f64 / 1e6,
                    speed.data_wait * 100.0,
                    memory::human(speed.memory)
                );
                match &self.bar {
                    Some(bar) => {
                        bar.set_position(*step);
                        bar.set_message(line);
                    }
                    None if *step < self.max_steps && self.printed.is_some_and(|at| at.elapsed() < LINE_EVERY) => {}
                    None => {
                        say(&line);
                        self.printed = Some(Instant::now());
                    }
                }
            }
            Event::Evaluated(Metric::Valid { step, bits_per_byte, std_error, scored_bytes, .. }) => {
                self.say(&format!(
                    "step {step}  held out: {} bits per byte over {scored_bytes} bytes",
                    output::bits(*bits_per_byte, *std_error)
                ));
            }
            Event::Note(note) => self.say(&format!("warning: {note}")),
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        stopped()
    }

    fn progress(&self) -> &dyn Progress {
        &Stoppable
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smooth_loss_is_a_mean_from_its_first_value_on() {
        let mut smooth = Smooth::default();
        assert_eq!(smooth.add(8.0), 8.0);
        // Weights 0.8 and 1.
        assert!((smooth.add(6.2) - (0.8 * 8.0 + 6.2) / 1.8).abs() < 1e-12);
        let before = smooth.add(6.2);
        assert_eq!(smooth.add(f64::NAN), before, "a loss that is no number is left out");
        let last = (0..100).map(|_| smooth.add(2.0)).last().unwrap();
        assert!((last - 2.0).abs() < 1e-8);
    }
}
