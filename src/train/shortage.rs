//! Work for which there is too little memory: an error that says what to change, in place of a panic of tch's.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tch::Device;

use super::config::{OptimizerKind, TrainConfig};
use super::memory::{self, Footprint};
use crate::config::RunConfig;
use crate::{Error, Result};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic with this message is one that [`catch`] turns into an error: a panic hook has nothing to say about it.
pub fn catches(message: &str) -> bool {
    CATCHING.get() && is_shortage(message)
}

/// Does work of libtorch's. Where memory is not to be had for it, that is [`Error::Memory`] with libtorch's words,
/// whether they come as an error or, as from tch's operators, as a panic.
pub fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = CATCHING.replace(true);
    // A panic inside `no_grad` leaves gradients off: the guard puts back what is set now.
    let before = tch::no_grad_guard();
    // What the work leaves half-done is dropped with the run, or made anew by the next step.
    let done = catch_unwind(AssertUnwindSafe(|| tch::with_grad(work)));
    drop(before);
    CATCHING.set(outer);
    let message = match done {
        Ok(Err(Error::Torch(error))) if is_shortage(&error.to_string()) => error.to_string(),
        Ok(done) => return done,
        Err(panic) => match panic.downcast_ref::<String>().filter(|message| is_shortage(message)) {
            Some(message) => message.clone(),
            None => resume_unwind(panic),
        },
    };
    Err(Error::Memory(said(&message)))
}

/// A part of a run that takes memory: what makes it need less.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Weights, and what each of them has beside it.
    Model,
    /// A way there and back.
    Step,
    /// What the optimizer does after these.
    Update,
    /// Scoring held-out data.
    Evaluation,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Model => "the model",
            Part::Step => "a training step",
            Part::Update => "the optimizer's step",
            Part::Evaluation => "an evaluation",
        }
    }

    /// Which keys are what, and what to try.
    fn advice(self, config: &RunConfig) -> String {
        let mut ways = match self {
            Part::Model => of_model(config),
            Part::Step => of_step(config),
            Part::Update => of_update(config),
            Part::Evaluation => fewer_sequences(config).into_iter().collect(),
        };
        if ways.is_empty() {
            ways.push("a smaller model or a smaller model.context".to_owned());
        }
        format!("try {}", ways.join(", or "))
    }
}

/// The same for a part of a run: the error names the keys that would make it need less.
pub(super) fn guard<T>(part: Part, config: &RunConfig, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch(work).map_err(|error| match error {
        Error::Memory(reason) => {
            Error::Memory(format!("{} is out of memory: {}; {reason}", part.name(), part.advice(config)))
        }
        error => error,
    })
}

/// Fails where a run needs more by its model alone than `available` bytes: before it is built, since the system might
/// end a program that takes what is not there.
pub(super) fn check_model(config: &RunConfig, device: Device, available: u64) -> Result<()> {
    let footprint = Footprint::of(config, device);
    let least = footprint.least(device);
    if least <= available {
        return Ok(());
    }
    let copy = if footprint.snapshot(device) > 0 { ", with the copy of a checkpoint," } else { "" };
    let [least, available] = [least, available].map(memory::human);
    Err(Error::Memory(format!(
        "weights, gradients and optimizer state of this model need {least}{copy} of memory, and {available} are there for \
         them: {}",
        Part::Model.advice(config)
    )))
}

/// Fails where a run needs more by the formula than is available, before anything of it is built. The error says what is
/// short, and what would fit.
pub fn check(config: &RunConfig, device: Device) -> Result<()> {
    memory::release_cached(device)?;
    check_within(config, device, memory::available(device)?)?;
    let copy = Footprint::of(config, device).checkpoint();
    if device == Device::Cpu { Ok(()) } else { check_host(copy) }
}

/// Fails where the host has no memory for the copy of a checkpoint of this size.
pub(super) fn check_host(copy: u64) -> Result<()> {
    let mut left = memory::available(Device::Cpu)?;
    if copy > left {
        // What was freed and kept may be enough.
        memory::release_cached(Device::Cpu)?;
        left = memory::available(Device::Cpu)?;
    }
    if copy <= left {
        return Ok(());
    }
    let [copy, left] = [copy, left].map(memory::human);
    Err(Error::Memory(format!(
        "a checkpoint is copied before it is written: that takes {copy} of the host's memory, and {left} are available"
    )))
}

/// The same where so many bytes are available.
pub(super) fn check_within(config: &RunConfig, device: Device, available: u64) -> Result<()> {
    let footprint = Footprint::of(config, device);
    if footprint.needed(device) <= available {
        return Ok(());
    }
    check_model(config, device, available)?;
    let Footprint { activations, update, evaluation, .. } = footprint;
    let part = if footprint.moment() == activations {
        Part::Step
    } else if footprint.moment() == update {
        Part::Update
    } else {
        Part::Evaluation
    };
    let mut parts = vec![
        (footprint.weights, "weights"),
        (footprint.gradients, "gradients"),
        (footprint.optimizer, "optimizer state"),
        (footprint.averages, "averages"),
        (footprint.snapshot(device), "the copy of a checkpoint"),
    ];
    parts.push(match part {
        Part::Update => (update, "the optimizer's step"),
        Part::Evaluation => (evaluation, "an evaluation"),
        _ => (activations, "activations of a step"),
    });
    parts.push((footprint.overhead(device), "libraries and batches"));
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, name)| format!("{} {name}", memory::human(bytes)))
        .collect();
    let [needed, left] = [footprint.needed(device), available].map(memory::human);
    let rows = config.train.rows(&config.model);
    let fitting = what_fits(config, device, available);
    let advice = match fitting.is_empty() {
        true => format!("nothing of it is enough alone: {}", part.advice(config)),
        false => format!("what fits: {}", fitting.join(", or ")),
    };
    Err(Error::Memory(format!(
        "there is too little memory for {}: with a micro-batch of {rows} this run needs {needed} by formula ({}), and {left} \
         are available; {advice}",
        part.name(),
        parts.join(", ")
    )))
}

/// What of a run would have to be another to fit into so many bytes by the formula: each alone, or where none does, all of
/// them together. None where these don't either.
fn what_fits(config: &RunConfig, device: Device, available: u64) -> Vec<String> {
    // With a quarter to spare: threads and data that come first take some of it, and so may other programs.
    let fits = |config: &RunConfig| Footprint::of(config, device).needed(device) <= available / 4 * 3;
    let with = |change: &dyn Fn(&mut TrainConfig)| {
        let mut other = config.clone();
        change(&mut other.train);
        other
    };
    let (train, model) = (&config.train, &config.model);
    let rows = train.rows(model);
    let mut ways = Vec::new();
    let smaller = train.micro_batch_sizes(model).into_iter().rev().filter(|&size| size < rows);
    if let Some(size) = smaller.clone().find(|&size| fits(&with(&|train| train.micro_batch = size))) {
        ways.push(micro_batch(config, size));
    }
    let levels: Vec<usize> = (model.first_level()..model.levels.len()).collect();
    if fits(&with(&|train| train.checkpoint_levels.clone_from(&levels))) {
        ways.push(format!("train.checkpoint_levels={levels:?} (it is {:?})", train.checkpoint_levels));
    }
    let whole = rows * model.context;
    let together = if train.stretch_bytes == 0 { whole } else { train.stretch_bytes.min(whole) };
    let stretches = std::iter::successors(Some(together / 2), |bytes| Some(bytes / 2));
    let stretches = stretches.take_while(|&bytes| bytes >= model.patch_size());
    if let Some(bytes) = stretches.clone().find(|&bytes| fits(&with(&|train| train.stretch_bytes = bytes))) {
        ways.push(format!("train.stretch_bytes={bytes} (it is {})", train.stretch_bytes));
    }
    if !ways.is_empty() {
        return ways;
    }
    // All together, the largest stretch and micro-batch that do.
    let together = |size: usize, bytes: usize| {
        with(&|train| {
            (train.micro_batch, train.stretch_bytes) = (size, bytes);
            train.checkpoint_levels.clone_from(&levels);
        })
    };
    let sizes = smaller.chain([rows]);
    let found = sizes.flat_map(|size| stretches.clone().map(move |bytes| (size, bytes)));
    let found = found.into_iter().find(|&(size, bytes)| fits(&together(size, bytes)));
    let words = |(size, bytes)| {
        format!("train.micro_batch={size} with train.checkpoint_levels={levels:?} and train.stretch_bytes={bytes}")
    };
    found.map(words).into_iter().collect()
}

/// What makes the model and its optimizer's state smaller, in a new run.
fn of_model(config: &RunConfig) -> Vec<String> {
    let train = &config.train;
    let mut ways = vec!["fewer or narrower levels ([[model.level]])".to_owned()];
    if train.optimizer == OptimizerKind::AdamW {
        ways.push("train.optimizer=\"muon\", which keeps half as much for the matrices of blocks".to_owned());
    }
    if train.ema > 0.0 {
        ways.push(format!("train.ema=0 (it is {})", train.ema));
    }
    let levels: Vec<usize> = (config.model.first_level()..config.model.levels.len()).collect();
    if levels.iter().filter(|l| !train.freeze_levels.contains(l)).count() > 1 {
        let held = &train.freeze_levels;
        ways.push(format!(
            "levels that are held by train.freeze_levels (it is {held:?}), without gradients and optimizer state"
        ));
    }
    ways
}

/// What makes the optimizer's step need less.
fn of_update(config: &RunConfig) -> Vec<String> {
    let mut ways = of_model(config);
    if config.train.optimizer == OptimizerKind::Muon {
        ways.push("train.optimizer=\"adamw\", which takes nothing beside its state".to_owned());
    }
    ways
}

/// A smaller micro-batch, where there is one.
fn fewer_sequences(config: &RunConfig) -> Option<String> {
    let (train, model) = (&config.train, &config.model);
    let rows = train.rows(model);
    let fewer = *train.micro_batch_sizes(model).iter().rfind(|&&size| size <= rows / 2)?;
    Some(micro_batch(config, fewer))
}

/// How a run goes on with a micro-batch of so many.
fn micro_batch(config: &RunConfig, fewer: usize) -> String {
    let goes_on = if config.data.mix.is_empty() {
        "with which a run that has begun goes on by --resume and --allow-config-change, or in a new run --fit, which \
         finds the largest that fits"
    } else {
        "or --fit, which finds the largest that fits, in a new run"
    };
    let (now, rows, context) = (config.train.micro_batch, config.train.rows(&config.model), config.model.context);
    format!("train.micro_batch={fewer} (it is {now}: {rows} sequences of {context} bytes), {goes_on}")
}

/// What makes a way there and back need less.
fn of_step(config: &RunConfig) -> Vec<String> {
    let (train, model) = (&config.train, &config.model);
    let mut ways: Vec<String> = fewer_sequences(config).into_iter().collect();
    let all = train.rows(model) * model.context;
    let together = if train.stretch_bytes == 0 { all } else { train.stretch_bytes.min(all) };
    if together / 2 >= model.patch_size() {
        ways.push(format!("train.stretch_bytes={} (it is {})", together / 2, train.stretch_bytes));
    }
    let all: Vec<usize> = (model.first_level()..model.levels.len()).collect();
    if all.iter().any(|l| !train.checkpoint_levels.contains(l)) {
        ways.push(format!("train.checkpoint_levels={all:?} (it is {:?})", train.checkpoint_levels));
    }
    ways
}

/// A training step that needs more than there is.
pub(super) fn too_large(needed: u64, available: u64, config: &RunConfig) -> Error {
    let [needed, available] = [needed, available].map(memory::human);
    let rows = config.train.rows(&config.model);
    let advice = Part::Step.advice(config);
    Error::Memory(format!(
        "a training step with a micro-batch of {rows} needs {needed} of memory, and {available} are there for it: {advice}"
    ))
}

/// What libtorch says where memory is short: CUDA's allocator, the CPU's, C++'s own, cuBLAS.
fn is_shortage(message: &str) -> bool {
    let words =
        ["out of memory", "can't allocate memory", "std::bad_alloc", "ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"];
    words.iter().any(|word| message.contains(word))
}

/// Of a message that came with a trace, or as Rust shows an error inside a panic, what libtorch says first.
fn said(message: &str) -> String {
    let message = message.split_once("Torch(\"").map_or(message, |(_, cause)| cause);
    let line = message.lines().next().unwrap_or_default();
    line.split("\\n").next().unwrap_or(line).trim_end_matches("\")").to_owned()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn too_little_memory_is_an_error_and_gradients_are_on_again() {
        let huge = || tch::no_grad(|| Tensor::zeros([1 << 56], (Kind::Uint8, Device::Cpu)));
        let error = catch(|| Ok(huge())).unwrap_err();
        assert!(matches!(&error, Error::Memory(reason) if !reason.contains('\\')), "{error}");
        let one = Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        assert!((one * 2.0).requires_grad());
        let other = catch_unwind(|| catch(|| -> Result<()> { panic!("of another cause") }));
        assert!(other.is_err());
    }

    #[test]
    fn advice_is_of_what_changes_something() {
        let config = |train: &str| -> RunConfig {
            let levels = "[[model.level]]\nunit = 4\nn_embd = 16\nn_layer = 1\nn_head = 2\n\
                          [[model.level]]\nunit = 1\nn_embd = 8\nn_layer = 1\nn_head = 2\n";
            let text = format!("[data]\nmodality = \"text\"\n[model]\ncontext = 64\n{levels}[train]\n{train}");
            toml::from_str(&text).unwrap()
        };
        let has = |part: Part, train: &str, words: &str| part.advice(&config(train)).contains(words);
        // As many as there are at most: half of what is asked for beyond that would change nothing.
        let much = "bytes_per_step = 256\nstretch_bytes = 100000\n";
        assert!(has(Part::Step, much, "train.stretch_bytes=128 (it is 100000)"));
        assert!(has(Part::Step, "bytes_per_step = 256\nstretch_bytes = 64\n", "train.stretch_bytes=32"));
        // Scoring has no way back.
        for words in ["stretch_bytes", "checkpoint_levels"] {
            assert!(has(Part::Step, much, words) && !has(Part::Evaluation, much, words), "{words}");
        }
        assert!(has(Part::Evaluation, much, "train.micro_batch=2 (it is 0: 4 sequences of 64 bytes)"));
        assert!(has(Part::Evaluation, "bytes_per_step = 64\n", "a smaller model.context"));
        // A batch has nothing to do with the size of a model.
        for part in [Part::Model, Part::Update] {
            assert!(!has(part, much, "micro_batch") && !has(part, much, "stretch"));
            assert!(has(part, much, "model.level") && has(part, much, "muon") && !has(part, much, "train.ema"));
            assert!(has(part, "ema = 0.9\n", "train.ema=0 (it is 0.9)"));
            let muon = "optimizer = \"muon\"\nfreeze_levels = [0]\n";
            assert!(!has(part, muon, "\"muon\"") && !has(part, muon, "freeze_levels"));
        }
        assert!(has(Part::Update, "optimizer = \"muon\"\n", "train.optimizer=\"adamw\""));
    }

    #[test]
    fn cuda_s_words_are_understood() {
        // Its handle takes memory as it is made.
        for status in ["CUBLAS_STATUS_NOT_INITIALIZED", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"] {
            let failed = || Err::<(), _>(tch::TchError::Torch(format!("CUDA error: {status} when calling")).into());
            assert!(matches!(catch(failed), Err(Error::Memory(_))), "{status}");
        }
        let words = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB";
        let failed = || Err::<(), _>(tch::TchError::Torch(format!("{words}\nException raised from malloc")).into());
        assert!(matches!(catch(failed), Err(Error::Memory(reason)) if reason.ends_with("79.1 GiB")));
    }
}
