//! Training: the optimizer against plain arithmetic, and a resumed run against one that never stopped.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::models::hierarchy;
use megabyte::RunConfig;
use megabyte::config::DataConfig;
use megabyte::data::Dataset;
use megabyte::generate::SampleConfig;
use megabyte::modality::Modality;
use megabyte::model::Megabyte;
use megabyte::train::memory::Footprint;
use megabyte::train::{AdamW, Dtype, Event, Metric, Observer, Schedule, TrainConfig, Trainer, fit};
use tch::{Device, Kind, Tensor};

fn run_config() -> RunConfig {
    let mut model = hierarchy(&[(4, 32, 2, 2), (1, 16, 1, 2)], 64);
    model.dropout = 0.1;
    model.vocab = 257;
    model.init_std = 0.02;
    RunConfig {
        data: DataConfig::new(Modality::Text),
        model,
        train: TrainConfig {
            max_steps: 24,
            bytes_per_step: 512,
            micro_batch: 4,
            lr: 3e-3,
            schedule: Schedule::Cosine,
            warmup_steps: 5,
            log_every: 3,
            eval_every: 8,
            checkpoint_every: 5,
            dtype: Dtype::Bfloat16,
            ..TrainConfig::default()
        },
        sample: SampleConfig::default(),
    }
}

/// Words of a small language, so that there is something to learn.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let words = ["patch ", "byte ", "level ", "local ", "global ", "model\n"];
    let mut state = seed;
    let mut text = Vec::new();
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
    }
    text
}

fn dataset(folder: &Path, name: &str, seed: u64, bytes: usize) -> Dataset {
    let path = folder.join(name);
    fs::write(&path, text(seed, bytes)).unwrap();
    Dataset::from_files(&[path], &run_config().data.layout().unwrap()).unwrap()
}

/// libtorch's generator is one for the whole process, and dropout draws from it: one test at a time.
static GENERATOR: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops a run after some steps, and keeps what it was told.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    step: u64,
    train: Vec<f64>,
    valid: Vec<f64>,
}

impl Observer for Watch {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Logged(Metric::Train { bits_per_byte, .. }, _) => self.train.push(*bits_per_byte),
            Event::Evaluated(Metric::Valid { bits_per_byte, .. }) => self.valid.push(*bits_per_byte),
            _ => {}
        }
    }

    fn stop(&mut self) -> bool {
        self.step += 1;
        self.stop_at == Some(self.step)
    }
}

fn train(folder: &Path, data: &Path, stop_at: Option<u64>, resume: bool) -> Watch {
    let mut watch = Watch { stop_at, ..Watch::default() };
    let (train, valid) = (dataset(data, "train.txt", 1, 20_000), dataset(data, "valid.txt", 2, 1_000));
    fs::create_dir_all(folder).unwrap();
    let mut trainer = Trainer::new(run_config(), folder, vec![train], vec![valid], Device::Cpu, resume).unwrap();
    let outcome = trainer.train(&mut watch).unwrap();
    assert_eq!(outcome.interrupted, stop_at.is_some());
    watch
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let (whole, pieces) = (root.path().join("whole"), root.path().join("pieces"));
    train(&whole, root.path(), None, false);
    // Stopped inside a log interval, at an evaluation, on a checkpoint, and after the last evaluation.
    train(&pieces, root.path(), Some(7), false);
    train(&pieces, root.path(), Some(1), true);
    train(&pieces, root.path(), Some(2), true);
    train(&pieces, root.path(), Some(12), true);
    train(&pieces, root.path(), None, true);
    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors", "checkpoints/latest/optimizer.safetensors"] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&whole) == read(&pieces), "{file} differs");
    }
    assert_eq!(fs::read_link(whole.join("checkpoints/latest")).unwrap().to_str().unwrap(), "step_00000024");
}

#[test]
fn training_learns_and_keeps_the_best_checkpoint() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let watch = train(&run, root.path(), None, false);
    assert!(watch.train[0] > 6.0, "a fresh model knows nothing: {:?}", watch.train);
    let (first, last) = (watch.valid[0], watch.valid[watch.valid.len() - 1]);
    assert!(last < first - 0.4, "half a bit in so few steps: {:?}", watch.valid);
    let checkpoints: Vec<String> = fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("step_"))
        .collect();
    // The newest two and the best, which is one of them.
    assert_eq!(checkpoints.len(), 2, "{checkpoints:?}");
    assert!(run.join("checkpoints/best/config.json").is_file());
}

/// AdamW in float64, as in algorithm 2 of arXiv 1711.05101, with the gradient scaled to the clipping norm.
#[test]
fn the_optimizer_equals_plain_adamw() {
    let _alone = alone();
    let config = TrainConfig { lr: 1e-2, weight_decay: 0.1, clip: 0.5, ..TrainConfig::default() };
    let model = Megabyte::new(&hierarchy(&[(4, 8, 1, 2), (1, 8, 1, 2)], 16), Kind::Float, Device::Cpu, 3).unwrap();
    let mut optimizer = AdamW::new(model.parameters(), &config);
    let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double).copy();
    let mut plain: Vec<(Tensor, Tensor, Tensor)> = model
        .parameters()
        .iter()
        .map(|(_, tensor)| (double(tensor), double(tensor).zeros_like(), double(tensor).zeros_like()))
        .collect();
    tch::manual_seed(11);
    for step in 1..=100 {
        let symbols = Tensor::randint(256, [2, 16], (Kind::Int64, Device::Cpu));
        optimizer.zero_grad().unwrap();
        common::models::total_nats(&model, &symbols).backward();
        let grads: Vec<Tensor> = model.parameters().iter().map(|(_, tensor)| double(&tensor.grad())).collect();
        let lr = config.lr * (1.0 - step as f64 / 200.0);
        optimizer.step(lr).unwrap();

        let norm: f64 = grads.iter().map(|grad| f64::try_from(grad.square().sum(Kind::Double)).unwrap()).sum();
        let norm = norm.sqrt();
        assert!((norm - optimizer.grad_norm().unwrap()).abs() < 1e-5 * norm);
        let scale = (config.clip / norm).min(1.0);
        for ((weight, first, second), grad) in plain.iter_mut().zip(&grads) {
            let grad = grad * scale;
            let [beta1, beta2] = config.betas;
            *first = &*first * beta1 + &grad * (1.0 - beta1);
            *second = &*second * beta2 + grad.square() * (1.0 - beta2);
            if weight.dim() >= 2 {
                *weight = &*weight * (1.0 - lr * config.weight_decay);
            }
            let corrected = (&*second / (1.0 - beta2.powi(step))).sqrt() + config.eps;
            *weight = &*weight - lr * (&*first / (1.0 - beta1.powi(step))) / corrected;
        }
        // Both go on from the same weights, so that each step is compared and not the chaos of a hundred.
        for ((_, tensor), (weight, _, _)) in model.parameters().iter().zip(&mut plain) {
            let difference = f64::try_from((double(tensor) - &*weight).abs().max()).unwrap();
            assert!(difference < 1e-6, "step {step}: {difference:e}");
            *weight = double(tensor);
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let _alone = alone();
    let config = TrainConfig::default();
    let model = Megabyte::new(&hierarchy(&[(1, 8, 1, 2)], 16), Kind::Float, Device::Cpu, 3).unwrap();
    let mut optimizer = AdamW::new(model.parameters(), &config);
    let before: Vec<Tensor> = model.parameters().iter().map(|(_, tensor)| tensor.detach().copy()).collect();
    let symbols = Tensor::zeros([1, 16], (Kind::Int64, Device::Cpu));
    (common::models::total_nats(&model, &symbols) * f64::NAN).backward();
    optimizer.step(1.0).unwrap();
    for ((name, tensor), before) in model.parameters().iter().zip(&before) {
        assert!(tensor.equal(before), "{name} changed");
    }
    assert!(optimizer.grad_norm().unwrap().is_nan());
}

#[test]
fn the_micro_batch_that_fits_is_the_largest_divisor_below_the_limit() {
    let _alone = alone();
    let mut config = run_config();
    config.model.context = 1024;
    config.train.bytes_per_step = 96 * 1024;
    config.train.micro_batch = 0;
    let sizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96];
    assert_eq!(config.train.micro_batch_sizes(&config.model), sizes);
    let whole = fit::within(&config, Device::Cpu, 1 << 40).unwrap();
    assert_eq!((whole.micro_batch, whole.larger), (96, None));

    // Memory for a third of that, and the share that is left free.
    let available = (whole.peak as f64 / 3.0 / fit::SHARE) as u64;
    let part = fit::within(&config, Device::Cpu, available).unwrap();
    assert!((12..=48).contains(&part.micro_batch) && sizes.contains(&part.micro_batch), "{part:?} of {whole:?}");
    assert!(part.peak <= part.budget(), "{part:?}");
    let (larger, bytes) = part.larger.unwrap();
    assert_eq!(sizes[sizes.iter().position(|&size| size == part.micro_batch).unwrap() + 1], larger);
    assert!(bytes > part.budget(), "{part:?}");

    // Too little for one sequence, and for the model alone.
    let model = Footprint::of(&config.model).total();
    let least = (model as f64 * 1.05 / fit::SHARE) as u64;
    for (available, words) in [(least, "train.checkpoint_levels=[0, 1]"), (model, "make model.level smaller")] {
        let error = fit::within(&config, Device::Cpu, available).unwrap_err().to_string();
        assert!(error.contains("of memory, and") && error.contains(words), "{error}");
    }
}

#[test]
fn speed_lines_have_the_memory_that_was_used() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    train(&run, root.path(), Some(4), false);
    let text = fs::read_to_string(run.join("speed.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    // libtorch alone is this large.
    assert!(line["memory"].as_u64().unwrap() > 50 << 20, "{line}");
    let events = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let events: Vec<_> = events.filter(|path| path.to_string_lossy().contains("events.out.tfevents.")).collect();
    let tag = b"speed/memory";
    assert!(fs::read(&events[0]).unwrap().windows(tag.len()).any(|window| window == tag));
}
