//! Reads a run folder for the report. Everything in it is optional: what is missing is left out, and what is damaged
//! becomes a problem that the page names.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::completion::{self, Completion};
use super::environment::{self, Start};
use super::parameters;
use super::points::{Metric, SpeedPoint, Spike, TrainPoint, ValidPoint};
use crate::config::RunConfig;
use crate::density::Baseline;
use crate::modality::Modality;
use crate::{Error, Result};

/// A run folder, read.
#[derive(Debug, Default)]
pub struct Run {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
    /// `config.toml`, where it can be read.
    pub config: Option<RunConfig>,
    /// `config.toml` as it stands there.
    pub config_text: String,
    /// Training, in order.
    pub train: Vec<TrainPoint>,
    /// Evaluations on the valid split, in order.
    pub valid: Vec<ValidPoint>,
    /// Losses far above those before them, in order.
    pub spikes: Vec<Spike>,
    /// Time and throughput, in order.
    pub speed: Vec<SpeedPoint>,
    /// Samples drawn while training, by step.
    pub samples: Vec<StepSamples>,
    /// Bits per byte on held-out data.
    pub eval: Option<Eval>,
    /// Prompts and what the model made of them.
    pub completions: Vec<Completion>,
    /// Parameters of each level, from a checkpoint.
    pub parameters: Option<Vec<u64>>,
    /// What each start of the program ran on, in order.
    pub starts: Vec<Start>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// Files of `samples/step_…`.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSamples {
    /// Optimizer steps when they were drawn.
    pub step: u64,
    /// The files, in the order of their names.
    pub files: Vec<PathBuf>,
}

/// `eval.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Eval {
    /// What the bytes are.
    pub modality: Modality,
    /// Which part of the data.
    pub split: String,
    /// How many sequences.
    pub sequences: u64,
    /// Bytes scored.
    pub bytes: u64,
    /// Bits per byte.
    pub bits_per_byte: f64,
    /// Standard error of it.
    #[serde(default)]
    pub std_error: Option<f64>,
    /// How every byte got its context.
    #[serde(default)]
    pub inference: Option<String>,
    /// How long it took.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Bytes of the longest context.
    #[serde(default)]
    pub context: Option<u64>,
    /// Perplexity a word, for text.
    #[serde(default)]
    pub word_perplexity: Option<f64>,
    /// What classical coders make of the same bytes.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
}

impl Run {
    /// Reads a run folder. Fails only where `dir` is no folder with a `config.toml`.
    pub fn read(dir: &Path) -> Result<Run> {
        let config_path = dir.join("config.toml");
        let config_text = match fs::read(&config_path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) if !dir.is_dir() => return Err(Error::file(dir, "there is no such folder")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::file(dir, "is not a run folder: it has no config.toml"));
            }
            Err(error) => return Err(Error::io(config_path, error)),
        };
        let name = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let name = name.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
        let mut run = Run { name, dir: dir.to_owned(), config_text, ..Run::default() };
        match RunConfig::load(&config_path, &[]) {
            Ok(config) => run.config = Some(config),
            Err(error) => run.problems.push(error.to_string()),
        }
        for metric in read_lines(&dir.join("metrics.jsonl"), &mut run.problems) {
            match metric {
                Metric::Train(point) => push_in_order(&mut run.train, point, |point| point.step),
                Metric::Valid(point) => push_in_order(&mut run.valid, point, |point| point.step),
                Metric::Spike(spike) => push_in_order(&mut run.spikes, spike, |spike| spike.step),
                Metric::Other => {}
            }
        }
        for point in read_lines(&dir.join("speed.jsonl"), &mut run.problems) {
            push_in_order(&mut run.speed, point, |point: &SpeedPoint| point.step);
        }
        run.samples = read_samples(&dir.join("samples"), &mut run.problems);
        run.eval = read_json(&dir.join("eval.json"), &mut run.problems);
        run.completions = completion::read_all(&dir.join("completions"), &mut run.problems);
        run.parameters = parameters::of_run(dir, &mut run.problems);
        run.starts = environment::read(dir, &mut run.problems);
        Ok(run)
    }

    /// What the bytes are, where a file says so.
    pub fn modality(&self) -> Option<Modality> {
        let eval = || self.eval.as_ref().map(|eval| eval.modality);
        self.config.as_ref().map(|config| config.data.modality).or_else(eval)
    }

    /// Minutes of training when `step` was reached, between the lines of `speed.jsonl` linearly. None after the last.
    pub fn minutes_at(&self, step: u64) -> Option<f64> {
        let after = self.speed.partition_point(|point| point.step < step);
        let SpeedPoint { step: step1, seconds: seconds1, .. } = self.speed.get(after)?;
        let (step0, seconds0) = match after.checked_sub(1) {
            Some(before) => (self.speed[before].step, self.speed[before].seconds),
            None => (0, 0.0),
        };
        let part = if *step1 == step0 { 1.0 } else { (step - step0) as f64 / (step1 - step0) as f64 };
        Some((seconds0 + part * (seconds1 - seconds0)) / 60.0)
    }
}

/// Adds a point. A run that continued from a checkpoint repeats steps that an interrupted one had logged; the
/// repeated ones are those that count.
fn push_in_order<T>(points: &mut Vec<T>, point: T, step: impl Fn(&T) -> u64) {
    while points.last().is_some_and(|last| step(last) >= step(&point)) {
        points.pop();
    }
    points.push(point);
}

/// The content of a file, none where it is missing; what else goes wrong is a problem.
pub(super) fn read_file(path: &Path, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            problems.push(Error::io(path, error).to_string());
            None
        }
    }
}

/// A JSON file, none where it is missing or damaged.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, problems: &mut Vec<String>) -> Option<T> {
    let bytes = read_file(path, problems)?;
    serde_json::from_slice(&bytes).map_err(|error| problems.push(Error::file(path, error).to_string())).ok()
}

/// The lines of a JSON-lines file that can be read; the others are one problem together.
fn read_lines<T: DeserializeOwned>(path: &Path, problems: &mut Vec<String>) -> Vec<T> {
    let bytes = read_file(path, problems).unwrap_or_default();
    let mut values = Vec::new();
    let mut bad = Vec::new();
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(error) => bad.push(format!("line {}: {error}", index + 1)),
        }
    }
    if let Some(first) = bad.first() {
        let reason = format!("{} of {} lines can't be read; {first}", bad.len(), bad.len() + values.len());
        problems.push(Error::file(path, reason).to_string());
    }
    values
}

fn read_samples(dir: &Path, problems: &mut Vec<String>) -> Vec<StepSamples> {
    let mut steps = Vec::new();
    for path in entries(dir, problems) {
        let step = path.file_name().and_then(|name| name.to_str()?.strip_prefix("step_")?.parse().ok());
        if let Some(step) = step {
            steps.push(StepSamples { step, files: entries(&path, problems) });
        }
    }
    steps.sort_by_key(|samples| samples.step);
    steps
}

/// What is in a folder, by name; nothing where it is missing.
pub(super) fn entries(dir: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let list = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = match list() {
        Ok(paths) => paths,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            problems.push(Error::io(dir, error).to_string());
            Vec::new()
        }
    };
    paths.sort();
    paths
}
