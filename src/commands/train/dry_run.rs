//! `megabyte train --dry-run`: what a run would be by its configuration, and where its memory is there, how fast it would
//! be by a few steps on random bytes. No data is read and nothing is written.

use megabyte::shown::thousands;
use megabyte::train::memory::{self, Footprint};
use megabyte::train::{Choice, Dtype, TrainConfig, few_steps, gflops, resolved, shortage};
use megabyte::{Error, RunConfig};
use serde::Serialize;
use tch::Device;

use crate::cli::TrainArgs;
use crate::commands::bench::{self, Steps};
use crate::commands::terminal::say;
use crate::commands::{device, output};

/// Seconds of measured steps, after one of warm-up; at least a step each.
const SECONDS: f64 = 3.0;

#[derive(Serialize)]
struct DryRun {
    parameters: u64,
    output_parameters: u64,
    levels: Vec<Level>,
    forward_flops_per_byte: f64,
    training_flops_per_byte: f64,
    bytes_per_step: u64,
    micro_batch: usize,
    micro_batches: usize,
    max_steps: u64,
    /// Fewer than these where `train.max_minutes` ends the run before.
    steps: u64,
    /// Read, padding included; and of these, predicted.
    bytes: u64,
    predicted_bytes: u64,
    /// Units of the first level.
    patches: u64,
    training_flops: f64,
    evaluations: u64,
    checkpoints: u64,
    /// Of one, on the disk.
    checkpoint_bytes: u64,
    memory: Memory,
    /// Why no step was measured: what is short, and what would fit. The run itself would be refused.
    shortage: Option<String>,
    /// These are null where none was.
    bytes_per_second: Option<f64>,
    seconds_per_step: Option<f64>,
    /// None also where the highest rate of matrix products can't be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    mfu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matrix_flops: Option<f64>,
    /// Of training; evaluations, samples and checkpoints come on top.
    seconds: Option<f64>,
    device: String,
    #[serde(flatten)]
    choice: Choice,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Level {
    unit: usize,
    units: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    parameters: u64,
    forward_flops_per_byte: f64,
}

/// In bytes.
#[derive(Clone, Copy, Serialize)]
struct Memory {
    weights: u64,
    gradients: u64,
    optimizer: u64,
    averages: u64,
    /// The copy of a checkpoint that is written while steps go on; 0 where it is in another memory.
    snapshot: u64,
    /// What a step takes at most beside these, and what libraries and batches do.
    activations: u64,
    overhead: u64,
    /// All of it, by the formula.
    needed: u64,
    /// What steps took at most beyond what the program had before: on a CPU all memory, on CUDA that of tensors. Without the
    /// copy of a checkpoint. Null where none was measured.
    peak: Option<u64>,
    available: u64,
}

/// Runs the verb without doing what it is for.
pub(super) fn run(mut config: RunConfig, args: &TrainArgs, device: Device) -> anyhow::Result<()> {
    config.validate()?;
    // What is taken now is not part of what is available, and so not of what the run needs.
    let (before, available) = (memory::used(device)?, memory::available(device)?);
    if args.fit {
        config.train.micro_batch = super::fitted(&config, device)?;
    }
    let choice = Choice::for_run(&config, device)?;
    let resolved = resolved(&config, device)?;
    // Not even tried where the formula says no: the system might end a program that takes what is not there.
    let measured = match shortage::check(&resolved, device) {
        Ok(()) => {
            memory::reset_peak(device)?;
            bench::steps(resolved.clone(), SECONDS, device)
        }
        Err(error) => Err(error.into()),
    };
    // What is short, also where another program took it meanwhile.
    let measured = match measured.map_err(anyhow::Error::downcast::<Error>) {
        Ok(measured) => Ok(measured),
        Err(Ok(Error::Memory(reason))) => Err(reason),
        Err(Ok(error)) => return Err(error.into()),
        Err(Err(error)) => return Err(error),
    };
    let asked = if config.train.dtype == Dtype::Auto { None } else { super::type_warning(&choice) };
    let measured = match measured {
        Ok(steps) => Ok((steps, memory::peak(device)?.saturating_sub(before))),
        Err(reason) => Err(reason),
    };
    let found = describe(&resolved, device, measured, available, choice, asked)?;
    if let Some(reason) = &found.shortage {
        say(&format!("warning: this run does not fit, and would be refused: {reason}"));
    }
    if args.json { output::print_json(&found) } else { output::print(&lines(&found, &config.train).join("\n")) }
}

fn describe(
    config: &RunConfig,
    device: Device,
    measured: Result<(Steps, u64), String>,
    available: u64,
    choice: Choice,
    asked: Option<String>,
) -> anyhow::Result<DryRun> {
    let RunConfig { model, train, .. } = config;
    let level = |l: usize| Level {
        unit: model.levels[l].unit,
        units: model.units(l),
        n_embd: model.levels[l].n_embd,
        n_layer: model.levels[l].n_layer,
        n_head: model.levels[l].n_head,
        parameters: model.parameters(l),
        forward_flops_per_byte: model.forward_flops_per_byte(l),
    };
    let levels: Vec<Level> = (0..model.levels.len()).map(level).collect();
    let footprint = Footprint::of(config, device);
    let (measured, peak, shortage) = match measured {
        Ok((measured, peak)) => (Some(measured), Some(peak), None),
        Err(reason) => (None, None, Some(reason)),
    };
    let per_step = measured.as_ref().map(Steps::seconds_per_step);
    let steps = match (train.max_minutes, per_step) {
        (0.0, _) | (_, None) => train.max_steps,
        (minutes, Some(per_step)) => train.max_steps.min((minutes * 60.0 / per_step).ceil() as u64),
    };
    // Each such step, and the last one in any case.
    let times = |every: u64| if every == 0 { 1 } else { steps.div_ceil(every) };
    // Saturating: any number of steps is valid.
    let bytes = steps.saturating_mul(train.bytes_per_step as u64);
    let predicted = bytes as f64 * (model.trained_bytes() / model.context as f64);
    Ok(DryRun {
        parameters: model.total_parameters(),
        output_parameters: model.output_parameters(),
        forward_flops_per_byte: levels.iter().map(|level| level.forward_flops_per_byte).sum(),
        levels,
        training_flops_per_byte: model.training_flops_per_byte(),
        bytes_per_step: train.bytes_per_step as u64,
        micro_batch: train.rows(model),
        micro_batches: train.micro_batches(model),
        max_steps: train.max_steps,
        steps,
        bytes,
        predicted_bytes: predicted as u64,
        patches: bytes / model.patch_size() as u64,
        training_flops: predicted * model.training_flops_per_byte(),
        evaluations: times(train.eval_every),
        checkpoints: times(train.checkpoint_every),
        checkpoint_bytes: footprint.checkpoint(),
        memory: Memory {
            weights: footprint.weights,
            gradients: footprint.gradients,
            optimizer: footprint.optimizer,
            averages: footprint.averages,
            snapshot: footprint.snapshot(device),
            activations: footprint.moment(),
            overhead: footprint.overhead(device),
            needed: footprint.needed(device),
            peak,
            available,
        },
        shortage,
        bytes_per_second: measured.as_ref().map(Steps::bytes_per_second),
        seconds_per_step: per_step,
        mfu: measured.as_ref().and_then(|measured| measured.mfu),
        matrix_flops: measured.as_ref().and_then(|measured| measured.peak_flops),
        seconds: per_step.map(|per_step| steps as f64 * per_step),
        device: device::name(device),
        choice,
        warnings: asked.into_iter().chain(per_step.and_then(|seconds| few_steps(config, steps, seconds))).collect(),
    })
}

/// The same for a person.
fn lines(run: &DryRun, train: &TrainConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<11} {value}"));
    for (l, level) in run.levels.iter().enumerate() {
        let Level { unit, units, n_embd, n_layer, n_head, parameters, forward_flops_per_byte } = level;
        let mflops = forward_flops_per_byte / 1e6;
        line(
            &format!("level {l}"),
            format!(
                "{units} units of {unit} bytes, {n_embd} x {n_layer}, {n_head} heads, {} parameters, {mflops:.2} MFLOP/byte forward",
                thousands(*parameters)
            ),
        );
    }
    line("parameters", thousands(run.parameters));
    let (forward, training) = (run.forward_flops_per_byte / 1e6, run.training_flops_per_byte / 1e6);
    line(
        "FLOPs",
        format!("{forward:.2} MFLOP/byte forward, {training:.2} in training, {:.3e} in all", run.training_flops),
    );
    line(
        "step",
        format!(
            "{} bytes: {} passes of {} sequences",
            thousands(run.bytes_per_step),
            run.micro_batches,
            run.micro_batch
        ),
    );
    let ended = if run.steps < run.max_steps {
        format!(" of {}, which train.max_minutes = {} ends", thousands(run.max_steps), train.max_minutes)
    } else {
        String::new()
    };
    line(
        "run",
        format!(
            "{} steps{ended}: {} bytes in {} patches, {} of them predicted",
            thousands(run.steps),
            thousands(run.bytes),
            thousands(run.patches),
            thousands(run.predicted_bytes)
        ),
    );
    let each = memory::human(run.checkpoint_bytes);
    let kept = (train.keep_checkpoints as u64 + 1).min(run.checkpoints + 1);
    let disk = memory::human(run.checkpoint_bytes.saturating_mul(kept));
    line("evaluations", thousands(run.evaluations));
    line("checkpoints", format!("{} of {each}, {kept} kept at most: {disk}", thousands(run.checkpoints)));
    let human = memory::human;
    let Memory { weights, gradients, optimizer, averages, snapshot, activations, overhead, needed, .. } = run.memory;
    let mut parts =
        format!("{} weights, {} gradients, {} optimizer", human(weights), human(gradients), human(optimizer));
    if averages > 0 {
        parts.push_str(&format!(", {} averages", human(averages)));
    }
    parts.push_str(&format!(", {} activations, {} libraries and batches", human(activations), human(overhead)));
    line("memory", parts);
    let beside = match snapshot {
        0 => String::new(),
        bytes => format!(", {} of it while a checkpoint is written", human(bytes)),
    };
    line("", format!("{} in all by formula{beside}; {} available", human(needed), human(run.memory.available)));
    if let Some(peak) = run.memory.peak {
        line("", format!("{} measured, without a checkpoint that is written", human(peak)));
    }
    line("type", run.choice.line("this model"));
    let (Some(bytes_per_second), Some(seconds_per_step), Some(seconds)) =
        (run.bytes_per_second, run.seconds_per_step, run.seconds)
    else {
        line("speed", "not measured: this run does not fit into the memory that is available".to_owned());
        return lines;
    };
    let share = match (run.mfu, run.matrix_flops) {
        (Some(mfu), Some(peak)) => {
            format!(", {:.1} % of the {} of {} matrix products", mfu * 100.0, gflops(peak), run.choice.dtype)
        }
        _ => format!(" in {}", run.choice.dtype),
    };
    line(
        "speed",
        format!("{}, {:.2} ms a step{share} on {}", output::rate(bytes_per_second), seconds_per_step * 1e3, run.device),
    );
    line("time", format!("{} of training; evaluations, samples and checkpoints come on top", super::duration(seconds)));
    lines.extend(run.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines
}
