//! Training: a resumed run against one that never stopped, and what a run makes of its weights.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::device::{device, host};
use common::models::hierarchy;
use megabyte::RunConfig;
use megabyte::config::DataConfig;
use megabyte::data::{self, Dataset, Existing, Split};
use megabyte::generate::SampleConfig;
use megabyte::modality::Modality;
use megabyte::model::{Ffn, Megabyte, ModelConfig, Position, Projection};
use megabyte::progress::Quiet;
use megabyte::train::memory::Footprint;
use megabyte::train::{
    Dtype, Event, Metric, Observer, Optimizer, OptimizerKind, Schedule, TrainConfig, Trainer, batches, fit,
};
use serde_json::Value;
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
            dtype: Dtype::Float32,
            // Elsewhere a run repeats itself to the bit only where it is told to.
            deterministic: device().is_cuda(),
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

/// A file that is there already stays.
fn dataset(folder: &Path, name: &str, seed: u64, bytes: usize) -> Dataset {
    let path = folder.join(name);
    if !path.exists() {
        fs::write(&path, text(seed, bytes)).unwrap();
    }
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

fn trainer(config: &RunConfig, folder: &Path, data: &Path, resume: bool) -> megabyte::Result<Trainer> {
    let (train, valid) = (dataset(data, "train.txt", 1, 20_000), dataset(data, "valid.txt", 2, 1_000));
    fs::create_dir_all(folder).unwrap();
    Trainer::new(config.clone(), folder, vec![train], vec![valid], device(), resume)
}

fn train_as(config: &RunConfig, folder: &Path, data: &Path, stop_at: Option<u64>, resume: bool) -> Watch {
    let mut watch = Watch { stop_at, ..Watch::default() };
    let outcome = trainer(config, folder, data, resume).unwrap().train(&mut watch).unwrap();
    assert_eq!(outcome.interrupted, stop_at.is_some());
    watch
}

fn train(folder: &Path, data: &Path, stop_at: Option<u64>, resume: bool) -> Watch {
    train_as(&run_config(), folder, data, stop_at, resume)
}

/// The tensors of a file in a checkpoint, by name.
fn tensors(run: &Path, file: &str) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(run.join(file)).unwrap().into_iter().collect()
}

/// Stops after each of these numbers of steps, and goes on. Gives the lines of metrics.
fn resumed_equals_whole(config: &RunConfig, train: &[u8], stops: &[u64], files: &[&str]) -> String {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("train.txt"), train).unwrap();
    let (whole, pieces) = (root.path().join("whole"), root.path().join("pieces"));
    train_as(config, &whole, root.path(), None, false);
    for (i, &stop) in stops.iter().enumerate() {
        train_as(config, &pieces, root.path(), Some(stop), i > 0);
    }
    train_as(config, &pieces, root.path(), None, true);
    for file in [&["metrics.jsonl", "checkpoints/latest/model.safetensors"][..], files].concat() {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&whole) == read(&pieces), "{file} differs");
    }
    let latest = fs::read_link(whole.join("checkpoints/latest")).unwrap();
    assert_eq!(latest.to_str().unwrap(), format!("step_{:08}", config.train.max_steps));
    fs::read_to_string(whole.join("metrics.jsonl")).unwrap()
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped() {
    let _alone = alone();
    // Inside a log interval, at an evaluation, on a checkpoint, and after the last evaluation.
    resumed_equals_whole(
        &run_config(),
        &text(1, 20_000),
        &[7, 1, 2, 12],
        &["checkpoints/latest/optimizer.safetensors"],
    );
}

/// Few steps: most CPUs emulate this type.
#[test]
fn so_does_one_in_bfloat16() {
    let _alone = alone();
    let mut config = run_config();
    let train = TrainConfig { max_steps: 6, log_every: 2, eval_every: 4, checkpoint_every: 3, ..config.train };
    config.train = TrainConfig { dtype: Dtype::Bfloat16, bytes_per_step: 256, micro_batch: 2, ..train };
    resumed_equals_whole(&config, &text(1, 20_000), &[1, 2], &["checkpoints/latest/optimizer.safetensors"]);
}

#[test]
fn so_does_one_with_muon_averages_frozen_levels_and_sudden_rises() {
    let _alone = alone();
    let mut config = run_config();
    config.train.optimizer = OptimizerKind::Muon;
    config.train.ema = 0.9;
    config.train.freeze_levels = vec![0];
    config.train.log_every = 11;
    config.train.max_steps = 150;
    config.train.eval_every = 40;
    // An epoch is 39 steps, in one or two of which there is what nobody can predict.
    let mut train = text(1, 20_000);
    for (i, byte) in train[7000..7400].iter_mut().enumerate() {
        *byte = ((i * i * 7919) >> 3) as u8;
    }
    config.train.spike_sigma = 2.0;
    let files = ["checkpoints/latest/optimizer.safetensors", "checkpoints/latest/raw.safetensors"];
    let metrics = resumed_equals_whole(&config, &train, &[57, 1, 30, 4, 40], &files);
    let spikes: Vec<Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["kind"] == "spike")
        .collect();
    assert!(spikes.len() >= 2, "{metrics}");
    // The batches of the highest rise are of there.
    let rise = |spike: &Value| spike["bits_per_byte"].as_f64().unwrap() - spike["mean"].as_f64().unwrap();
    let highest = spikes.iter().max_by(|a, b| rise(a).total_cmp(&rise(b))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.txt"), &train).unwrap();
    let batches = batches(&config, &[Arc::new(dataset(folder.path(), "train.txt", 1, 0))]).unwrap();
    let number = |i: usize| highest["batches"][i].as_u64().unwrap();
    assert_eq!(number(1) - number(0) + 1, config.train.micro_batches(&config.model) as u64);
    assert_eq!(number(0) / 2 + 1, highest["step"].as_u64().unwrap());
    let mut rows = (number(0)..=number(1)).flat_map(|number| {
        let (which, index) = batches.place(number);
        batches.sampler(which).origins(index).unwrap()
    });
    assert!(rows.any(|origin| origin.byte < 7400 && origin.byte + 64 > 7000), "{highest}");
}

/// Cuts a shard off while a run reads it, and keeps what it says.
struct Cut<'a> {
    shard: &'a Path,
    after: u64,
    steps: u64,
    notes: Vec<String>,
}

impl Observer for Cut<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.notes.push(note.to_owned());
        }
    }

    fn stop(&mut self) -> bool {
        self.steps += 1;
        if self.steps == self.after {
            fs::File::options().write(true).open(self.shard).unwrap().set_len(60_000).unwrap();
        }
        false
    }
}

#[test]
fn a_shard_that_is_cut_short_while_it_is_read_ends_a_run_that_is_saved() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let (file, out) = (root.path().join("book.txt"), root.path().join("prepared"));
    fs::write(&file, text(1, 1_300_000)).unwrap();
    let mut config = run_config();
    // Few steps are read ahead.
    config.train.bytes_per_step = 1 << 16;
    config.train.micro_batch = 1024;
    config.train.dtype = Dtype::Float32;
    config.train.max_steps = 60;
    config.train.eval_every = 3;
    config.train.eval_bytes = 0;
    config.train.checkpoint_every = 0;
    data::prepare(&[file], &config.data, &out, Existing::Add, &Quiet).unwrap();
    for split in [Split::Train, Split::Valid] {
        let open = |split| vec![Dataset::open(&out, Some(split)).unwrap()];
        let shard = out.join(format!("{split}-00000.shard"));
        let whole = fs::read(&shard).unwrap();
        let run = root.path().join(split.name());
        fs::create_dir(&run).unwrap();
        let begin = |resume| {
            let config = config.clone();
            Trainer::new(config, &run, open(Split::Train), open(Split::Valid), Device::Cpu, resume).unwrap()
        };
        let mut cut = Cut { shard: &shard, after: 2, steps: 0, notes: Vec::new() };
        let error = begin(false).train(&mut cut).unwrap_err().to_string();
        assert!(error.contains(shard.to_str().unwrap()) && error.contains("was cut short"), "{error}");
        assert!(cut.notes.iter().any(|note| note.contains("saved at step")), "{:?}", cut.notes);
        // With the shard as it was, the run goes on.
        fs::write(&shard, whole).unwrap();
        let resumed = begin(true);
        assert!(resumed.state().step >= 2 && resumed.resumed().is_some());
    }
}

#[test]
fn micro_batches_add_up_to_the_step() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let after_three_steps = |micro_batch: usize| {
        let mut config = run_config();
        config.model.dropout = 0.0;
        config.train = TrainConfig { micro_batch, max_steps: 3, ..config.train };
        let run = root.path().join(micro_batch.to_string());
        train_as(&config, &run, root.path(), None, false);
        tensors(&run, "checkpoints/latest/model.safetensors")
    };
    let whole = after_three_steps(8);
    for micro_batch in [1, 2, 4] {
        for (name, tensor) in after_three_steps(micro_batch) {
            // Adam divides by the size of a gradient, so that roundings of tiny ones show.
            let difference = f64::try_from((&tensor - &whole[&name]).abs().max()).unwrap();
            assert!(difference < 1e-4, "{micro_batch} a pass: {name} differs by {difference:e}");
        }
    }
    let begun = Megabyte::new(&run_config().model, Kind::Float, device(), 0).unwrap();
    let (_, table) = begun.parameters().iter().find(|(name, _)| *name == "level.1.byte_embedding").unwrap();
    assert!(
        f64::try_from((host(table) - &whole["level.1.byte_embedding"]).abs().max()).unwrap() > 1e-3,
        "nothing was learned"
    );
}

/// More steps than are looked at together, between two lines of metrics.
#[test]
fn so_does_one_that_logs_rarely() {
    let _alone = alone();
    let mut config = run_config();
    config.train = TrainConfig { max_steps: 230, log_every: 200, eval_every: 0, checkpoint_every: 0, ..config.train };
    config.train.spike_sigma = 2.0;
    let mut train = text(1, 20_000);
    for (i, byte) in train[7000..7400].iter_mut().enumerate() {
        *byte = ((i * i * 7919) >> 3) as u8;
    }
    let metrics = resumed_equals_whole(&config, &train, &[70, 20, 67], &[]);
    assert!(metrics.lines().filter(|line| line.contains("\"spike\"")).count() >= 2, "{metrics}");
}

/// Replaces a value in the state of the latest checkpoint, and the file's sum.
fn set_state(run: &Path, key: &str, value: serde_json::Value) {
    let latest = run.join("checkpoints/latest");
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&fs::read(latest.join(name)).unwrap()).unwrap() };
    let (mut state, mut sums) = (read("state.json"), read("checksums.json"));
    state[key] = value;
    let text = state.to_string();
    sums["state.json"] = format!("{:08x}", crc32c::crc32c(text.as_bytes())).into();
    fs::write(latest.join("state.json"), text).unwrap();
    fs::write(latest.join("checksums.json"), sums.to_string()).unwrap();
}

/// The run as it goes on, with weights that are not finite, and so gradients that are not.
fn ruined(config: &RunConfig, run: &Path, data: &Path) -> Trainer {
    let trainer = trainer(config, run, data, true).unwrap();
    let (_, table) = trainer.model().parameters().iter().find(|(name, _)| *name == "level.1.byte_embedding").unwrap();
    let _ = tch::no_grad(|| table.shallow_clone().fill_(f64::INFINITY));
    trainer
}

#[test]
fn skipped_steps_are_counted_across_a_resume() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let mut config = run_config();
    config.train.max_skipped = 4;
    train_as(&config, &run, root.path(), Some(10), false);
    for (key, value) in [("skipped", 5), ("skipped_in_a_row", 3), ("last_taken", 7)] {
        set_state(&run, key, value.into());
    }
    let mut broken = ruined(&config, &run, root.path());
    let error = broken.train(&mut Watch::default()).unwrap_err().to_string();
    // One more is the fourth. The checkpoint between them is none to go on from.
    assert!(error.contains("4 steps in a row") && error.contains("move"), "{error}");
    assert_eq!((broken.state().skipped, broken.state().skipped_in_a_row), (6, 4));
    // Whole again, it goes on from there all the same, and the lines count on.
    train_as(&config, &run, root.path(), None, true);
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(text.lines().rev().find(|line| line.contains("\"train\"")).unwrap().contains("\"skipped\":5"), "{text}");
}

/// A rise, and then skipped steps that end the run, all before the next line of metrics.
#[test]
fn a_rise_before_the_steps_that_end_a_run_is_logged() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let mut config = run_config();
    config.train = TrainConfig { max_steps: 1000, log_every: 1000, eval_every: 0, checkpoint_every: 0, ..config.train };
    train_as(&config, &run, root.path(), Some(10), false);
    // Whatever comes is a rise.
    set_state(&run, "course", serde_json::json!({"steps": 100, "mean": 0.001, "variance": 0.0}));
    // A step after which all are skipped.
    config.train = TrainConfig { lr: 1e16, clip: 0.0, max_skipped: 4, ..config.train };
    let error = trainer(&config, &run, root.path(), true).unwrap().train(&mut Watch::default()).unwrap_err();
    assert!(error.to_string().contains("4 steps in a row"), "{error}");
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(text.contains("\"spike\",\"step\":11,"), "{text}");
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.0.push(note.to_owned());
        }
    }

    fn stop(&mut self) -> bool {
        false
    }
}

#[test]
fn a_best_checkpoint_that_is_lost_or_of_other_data_is_no_measure() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    train(&run, root.path(), Some(10), false);
    assert!(trainer(&run_config(), &run, root.path(), true).unwrap().state().best.is_some());
    // Other held-out data.
    let (learned, other) = (dataset(root.path(), "train.txt", 1, 20_000), dataset(root.path(), "other.txt", 3, 1_000));
    let mut trainer_ = Trainer::new(run_config(), &run, vec![learned], vec![other], device(), true).unwrap();
    assert_eq!(trainer_.state().best, None);
    let mut notes = Notes::default();
    trainer_.train(&mut notes).unwrap();
    assert!(notes.0.iter().any(|note| note.contains("held-out data is not what it was")), "{:?}", notes.0);
    // From then on it is what it was.
    let other = dataset(root.path(), "other.txt", 3, 1_000);
    let learned = dataset(root.path(), "train.txt", 1, 20_000);
    let again = Trainer::new(run_config(), &run, vec![learned], vec![other], device(), true).unwrap();
    assert!(again.state().best.is_some());
    fs::remove_file(run.join("checkpoints/best")).unwrap();
    assert_eq!(trainer(&run_config(), &run, root.path(), true).unwrap().state().best, None);
}

/// Schedule `wsd` goes down over the last 8 steps.
fn wsd(max_steps: u64) -> RunConfig {
    let mut config = run_config();
    config.train = TrainConfig { schedule: Schedule::Wsd, max_steps, decay_steps: 8, ..config.train };
    config
}

#[test]
fn a_decay_can_be_resumed_and_can_begin_at_a_checkpoint() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let [whole, stopped, longer] = ["whole", "stopped", "longer"].map(|name| root.path().join(name));
    train_as(&wsd(24), &whole, root.path(), None, false);
    // Stopped twice inside the decay, which is from step 16 on.
    train_as(&wsd(24), &stopped, root.path(), Some(18), false);
    train_as(&wsd(24), &stopped, root.path(), Some(3), true);
    train_as(&wsd(24), &stopped, root.path(), None, true);
    // A run that was to be longer, from its checkpoint at step 16 to 16 + 8.
    train_as(&wsd(1000), &longer, root.path(), Some(16), false);
    train_as(&wsd(24), &longer, root.path(), None, true);
    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors", "checkpoints/latest/optimizer.safetensors"] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&whole) == read(&stopped), "{file} differs after a stop inside the decay");
        assert!(read(&whole) == read(&longer), "{file} differs where the decay began at a checkpoint");
    }
    // It did go down: without the decay the last steps are others.
    let metrics = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    let rates: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| line["lr"].as_f64())
        .collect();
    assert!(rates.contains(&3e-3) && rates[rates.len() - 1] < 1e-3, "{rates:?}");
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

#[test]
fn norms_of_levels_are_those_before_clipping_and_of_the_saved_weights() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let data = || vec![dataset(root.path(), "train.txt", 1, 2_000)];
    let first_line = |optimizer: OptimizerKind, clip: f64| {
        let mut config = run_config();
        config.train = TrainConfig { optimizer, clip, max_steps: 1, log_every: 1, ..config.train };
        let run = root.path().join(format!("{optimizer:?} {clip}"));
        Trainer::new(config, &run, data(), vec![], device(), false).unwrap().train(&mut Watch::default()).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&fs::read(run.join("metrics.jsonl")).unwrap()).unwrap();
        (run, line)
    };
    for optimizer in [OptimizerKind::AdamW, OptimizerKind::Muon] {
        let ((_, free), (run, clipped)) = (first_line(optimizer, 0.0), first_line(optimizer, 1e-3));
        let total = clipped["grad_norm"].as_f64().unwrap();
        assert!(total > 1e-2, "there is something to clip");
        let weights = tensors(&run, "checkpoints/latest/model.safetensors");
        let mut squares = 0.0;
        for l in 0..2 {
            let of = |line: &serde_json::Value, key: &str| line["levels"][l][key].as_f64().unwrap();
            assert!(
                (of(&free, "grad_norm") / of(&clipped, "grad_norm") - 1.0).abs() < 1e-5,
                "{optimizer:?}, level {l}"
            );
            squares += of(&clipped, "grad_norm").powi(2);
            let of_level = weights.iter().filter(|(name, _)| name.starts_with(&format!("level.{l}.")));
            let square = |tensor: &Tensor| f64::try_from(tensor.square().sum(Kind::Double)).unwrap();
            let weight: f64 = of_level.map(|(_, tensor)| square(tensor)).sum();
            assert!((weight.sqrt() / of(&clipped, "weight_norm") - 1.0).abs() < 1e-5, "level {l}");
        }
        assert!((squares.sqrt() / total - 1.0).abs() < 1e-5);
    }
}

#[test]
fn averages_are_those_of_the_weights_and_what_is_saved_and_scored() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let mut config = run_config();
    config.train.ema = 0.4;
    config.train.max_steps = 8;
    config.train.eval_every = 4;
    config.train.keep_checkpoints = 8;
    let (plain, averaged) = (root.path().join("plain"), root.path().join("averaged"));
    // A run that ends leaves a checkpoint at any step.
    let each_step = |config: &RunConfig, run: &Path| -> Vec<f64> {
        let stop = |step: u64| (step < 8).then_some(1);
        (1..=8).flat_map(|step| train_as(config, run, root.path(), stop(step), step > 1).valid).collect()
    };
    each_step(&config, &averaged);
    config.train.ema = 0.0;
    let without = each_step(&config, &plain);

    let mut average: HashMap<String, Tensor> = HashMap::new();
    for step in 0..=8 {
        let checkpoint = format!("checkpoints/step_{step:08}");
        if step == 0 {
            let fresh = Trainer::new(
                config.clone(),
                &root.path().join("fresh"),
                vec![dataset(root.path(), "train.txt", 1, 20_000)],
                Vec::new(),
                device(),
                false,
            );
            let fresh = fresh.unwrap();
            let double = |(name, tensor): (&str, &Tensor)| (name.to_owned(), host(tensor).to_kind(Kind::Double).copy());
            average = fresh.model().parameters().iter().map(double).collect();
            continue;
        }
        // Averaging changes nothing of the training.
        let weights = tensors(&plain, &format!("{checkpoint}/model.safetensors"));
        let raw = tensors(&averaged, &format!("{checkpoint}/raw.safetensors"));
        let saved = tensors(&averaged, &format!("{checkpoint}/model.safetensors"));
        let decay = 0.4_f64.min((1.0 + f64::from(step)) / (10.0 + f64::from(step)));
        for (name, tensor) in &weights {
            assert!(raw[name].equal(tensor), "{name} at step {step}");
            let before = &average[name];
            let expected = before * decay + tensor.to_kind(Kind::Double) * (1.0 - decay);
            let difference = f64::try_from((&saved[name].to_kind(Kind::Double) - &expected).abs().max()).unwrap();
            assert!(difference < 1e-6, "{name} at step {step}: {difference:e}");
            average.insert(name.clone(), saved[name].to_kind(Kind::Double));
        }
    }
    let text = fs::read_to_string(averaged.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let valid: Vec<_> = lines.filter(|line| line["kind"] == "valid").collect();
    let raw: Vec<f64> = valid.iter().map(|line| line["raw_bits_per_byte"].as_f64().unwrap()).collect();
    assert_eq!(raw, without);
    // So early in a run, the average is behind.
    let behind = valid.iter().zip(&raw).all(|(line, raw)| line["bits_per_byte"].as_f64().unwrap() > *raw);
    assert!(behind && valid.len() == 2, "{valid:?}");
}

#[test]
fn frozen_levels_stay_and_the_gradients_of_the_rest_are_the_same() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let first_step = |name: &str, frozen: &[usize], checkpointed: &[usize]| {
        let mut config = run_config();
        config.model = hierarchy(&[(16, 32, 1, 2), (4, 24, 2, 2), (1, 16, 1, 2)], 64);
        config.train.freeze_levels = frozen.to_vec();
        config.train.checkpoint_levels = checkpointed.to_vec();
        config.train.clip = 0.0;
        // So little that no weight moves.
        config.train.lr = 1e-15;
        config.train.weight_decay = 0.0;
        config.train.max_steps = 2;
        let run = root.path().join(name);
        train_as(&config, &run, root.path(), None, false);
        (
            tensors(&run, "checkpoints/latest/model.safetensors"),
            tensors(&run, "checkpoints/latest/optimizer.safetensors"),
        )
    };
    let (_, whole) = first_step("whole", &[], &[]);
    for (name, frozen, checkpointed) in
        [("a", vec![0], vec![]), ("b", vec![1], vec![1]), ("c", vec![0, 1], vec![0]), ("d", vec![1, 2], vec![0, 2])]
    {
        let (_, state) = first_step(name, &frozen, &checkpointed);
        let is_frozen = |key: &str| frozen.iter().any(|l| key.contains(&format!(".level.{l}.")));
        for (key, tensor) in &whole {
            assert_eq!(state.contains_key(key), !is_frozen(key), "{name}: {key}");
            if key.starts_with("exp_avg.") && !is_frozen(key) {
                let scale = f64::try_from(tensor.abs().max()).unwrap();
                let difference = f64::try_from((tensor - &state[key]).abs().max()).unwrap();
                assert!(difference <= 1e-5 * scale, "{name}: {key}: {difference:e} of {scale:e}");
            }
        }
    }
}

#[test]
fn a_run_begins_with_the_weights_of_another_as_far_as_they_fit() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("first");
    train(&first, root.path(), None, false);
    let weights = tensors(&first, "checkpoints/best/model.safetensors");

    // Same patches: everything is that of the other. Frozen levels stay so.
    let mut config = run_config();
    config.train.init_from = Some(first.clone());
    config.train.freeze_levels = vec![0];
    let second = root.path().join("second");
    let begun = trainer(&config, &second, root.path(), false).unwrap();
    for (name, tensor) in begun.model().parameters().iter() {
        assert!(host(tensor).equal(&weights[name]), "{name}");
    }
    let adopted = begun.adopted().unwrap();
    assert_eq!((adopted.whole.len(), adopted.fresh.len(), adopted.unused.len()), (weights.len(), 0, 0));
    drop(begun);
    train_as(&config, &second, root.path(), None, false);
    let after = tensors(&second, "checkpoints/latest/model.safetensors");
    for (name, tensor) in &weights {
        assert_eq!(after[name].equal(tensor), name.starts_with("level.0."), "{name}");
    }

    // Twice the patch, twice the context, no end symbol: the blocks, and the rows that both have.
    let mut config = run_config();
    config.data = DataConfig::new(Modality::Bytes);
    config.model.vocab = 256;
    config.model.context = 128;
    config.model.levels[0].unit = 8;
    config.train.init_from = Some(first);
    let bytes = root.path().join("bytes.bin");
    fs::write(&bytes, text(3, 9000)).unwrap();
    let data = Dataset::from_files(&[bytes], &config.data.layout().unwrap()).unwrap();
    let begun = Trainer::new(config, &root.path().join("third"), vec![data], Vec::new(), device(), false).unwrap();
    let adopted = begun.adopted().unwrap();
    let fresh = ["level.0.byte_embedding", "level.0.position", "level.1.from_parent"];
    assert_eq!(adopted.fresh, fresh);
    let rows: Vec<_> = adopted.rows.iter().map(|(name, rows, all)| (name.as_str(), *rows, *all)).collect();
    assert_eq!(rows, [("level.1.byte_embedding", 256, 256), ("level.1.position", 4, 8)]);
    for (name, tensor) in begun.model().parameters().iter().filter(|(name, _)| !fresh.contains(name)) {
        let rows = tensor.size()[0].min(weights[name].size()[0]);
        assert!(host(tensor).narrow(0, 0, rows).equal(&weights[name].narrow(0, 0, rows)), "{name}");
    }
}

#[test]
fn a_run_whose_steps_are_skipped_ends_and_names_the_last_good_checkpoint() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let mut config = run_config();
    config.train.max_skipped = 4;
    train_as(&config, &run, root.path(), Some(10), false);
    let mut broken = ruined(&config, &run, root.path());
    let error = broken.train(&mut Watch::default()).unwrap_err().to_string();
    assert!(error.contains("4 steps in a row") && error.contains("step_00000010"), "{error}");
    assert!(error.contains("its next step is skipped too") && error.contains("step_00000008"), "{error}");
    assert_eq!((broken.state().skipped, broken.state().step), (4, 15), "found at the evaluation or the line after it");
    // The checkpoint is as good as it was.
    config.train.max_skipped = 10;
    train_as(&config, &run, root.path(), None, true);
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(text.lines().last().unwrap().contains("\"step\":24") && !text.contains("null"), "{text}");
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
    let larger = part.larger.unwrap();
    assert_eq!(sizes[sizes.iter().position(|&size| size == part.micro_batch).unwrap() + 1], larger.micro_batch);
    assert!(larger.bytes > part.budget() && !larger.failed, "{part:?}");

    // Too little for one sequence, and for the model alone. A long one: what a thread's heap keeps at its end, up to
    // 64 MB, is not seen where it is used again.
    config.model.context = 16 * 1024;
    config.train.bytes_per_step = config.model.context;
    let model = Footprint::of(&config, Device::Cpu).least(Device::Cpu);
    let least = (model as f64 * 1.05 / fit::SHARE) as u64;
    for (available, words) in [(least, "train.checkpoint_levels=[0, 1]"), (model, "try fewer or narrower levels")] {
        let error = fit::within(&config, Device::Cpu, available).unwrap_err().to_string();
        assert!(error.contains("of memory, and") && error.contains(words), "{error}");
    }
}

#[test]
fn sizes_far_apart_are_reached_by_what_lies_between() {
    let _alone = alone();
    let mut config = run_config();
    config.train.micro_batch = 0;
    // 37 is prime, and more than 16 times as many as the two that are measured first.
    config.train.bytes_per_step = 37 * 64;
    let whole = fit::within(&config, Device::Cpu, 1 << 40).unwrap();
    assert_eq!((whole.micro_batch, whole.larger), (37, None));
    config.train.bytes_per_step = 2 * 37 * 64;
    assert_eq!(fit::within(&config, Device::Cpu, 1 << 40).unwrap().micro_batch, 74);

    // Longer sequences, so that memory is a matter of how many there are: enough for far fewer than 37.
    config.model.context = 1024;
    config.train.bytes_per_step = 37 * 1024;
    let whole = fit::within(&config, Device::Cpu, 1 << 40).unwrap();
    let part = fit::within(&config, Device::Cpu, whole.peak / 2).unwrap();
    assert_eq!(part.micro_batch, 1);
    let larger = part.larger.unwrap();
    assert!(larger.micro_batch == 37 && larger.bytes > part.budget() && !larger.failed, "{part:?}");
}

/// Bytes of tensors.
fn size_of<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> u64 {
    tensors.map(|tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64).sum()
}

#[test]
fn the_footprint_is_that_of_the_tensors_and_of_a_checkpoint() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let plain = hierarchy(&[(8, 32, 2, 2), (4, 24, 1, 2), (1, 16, 1, 2)], 64);
    let mut untied = plain.clone();
    untied.tie = false;
    untied.bias = false;
    untied.conv_encoder = true;
    untied.projection = Projection::Linear;
    let without_global = hierarchy(&[(4, 32, 0, 2), (1, 32, 2, 2)], 64);
    let latents = ModelConfig { latents: 8, ..hierarchy(&[(1, 16, 2, 2)], 64) };
    for (m, model) in [plain, untied, without_global, latents].into_iter().enumerate() {
        for optimizer in [OptimizerKind::AdamW, OptimizerKind::Muon] {
            for (ema, frozen) in [(0.0, vec![]), (0.9, vec![]), (0.0, vec![0]), (0.9, vec![0, model.levels.len() - 1])]
            {
                let mut config = run_config();
                config.model = model.clone();
                config.train = TrainConfig { optimizer, ema, freeze_levels: frozen, max_steps: 1, ..config.train };
                if config.validate().is_err() {
                    assert!(m >= 2, "nothing is left to train");
                    continue;
                }
                let name = format!("{m} {optimizer:?} {ema} {:?}", config.train.freeze_levels);
                let run = root.path().join(&name);
                let mut trainer = trainer(&config, &run, root.path(), false).unwrap();
                let found = Footprint::of(&config, Device::Cpu);
                let parameters = trainer.model().parameters();
                assert_eq!(found.weights, size_of(parameters.iter().map(|(_, tensor)| tensor)), "{name}");
                let trained = parameters.iter().filter(|(_, tensor)| tensor.requires_grad());
                assert_eq!(found.gradients, size_of(trained.map(|(_, tensor)| tensor)), "{name}");
                let optimizer = Optimizer::new(trainer.model(), &config.train);
                assert_eq!(found.optimizer, size_of(optimizer.state().map(|(_, tensor)| tensor)), "{name}");

                trainer.train(&mut Watch::default()).unwrap();
                let latest = run.join("checkpoints/latest");
                let files = ["model.safetensors", "optimizer.safetensors", "raw.safetensors"];
                let of_file = |file: &&str| size_of(tensors(&latest, file).values());
                let [weights, state, averages] =
                    files.map(|file| if latest.join(file).exists() { of_file(&file) } else { 0 });
                assert_eq!([weights, state, averages], [found.weights, found.optimizer, found.averages], "{name}");
                assert_eq!(found.checkpoint(), weights + state + averages, "{name}");
                assert_eq!(found.total(), found.checkpoint() + found.gradients, "{name}");
                // Whoever may read a new file of this user may read the weights.
                let rights = |path: &Path| fs::metadata(path).unwrap().permissions();
                assert_eq!(rights(&latest.join(files[0])), rights(&run.join("metrics.jsonl")));
            }
        }
    }
}

#[test]
fn some_level_with_parameters_has_to_learn() {
    let mut config = run_config();
    config.train.freeze_levels = vec![1];
    config.validate().unwrap();
    // The first level now has nothing that could learn.
    config.model = hierarchy(&[(4, 32, 0, 2), (1, 32, 1, 2)], 64);
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("`train.freeze_levels` are [1]") && error.contains("leaves nothing to train"), "{error}");
    config.train.freeze_levels = vec![0];
    config.validate().unwrap();
}

/// A run that went on with another micro-batch, and what it would have been.
#[test]
fn another_micro_batch_goes_on_with_the_same_sequences() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let (whole, other) = (root.path().join("whole"), root.path().join("other"));
    let mut config = run_config();
    config.model.dropout = 0.0;
    // An epoch is 313 sequences, 8 a step.
    config.train.max_steps = 42;
    train_as(&config, &whole, root.path(), None, false);
    train_as(&config, &other, root.path(), Some(33), false);

    let sequences = |micro_batch: usize, rows: usize| {
        let mut config = config.clone();
        config.train.micro_batch = micro_batch;
        let resumed = trainer(&config, &other, root.path(), true).unwrap();
        assert_eq!((resumed.state().step, resumed.state().next_batch * micro_batch as u64), (33, 33 * 8));
        let mut loader = resumed.loader().unwrap();
        let batches: Vec<_> = (0..rows / micro_batch).map(|_| loader.next().unwrap().symbols).collect();
        batches.concat()
    };
    // Beyond the end of the epoch.
    let as_it_began = sequences(4, 400);
    for micro_batch in [1, 2, 8] {
        assert!(sequences(micro_batch, 400) == as_it_began, "micro-batches of {micro_batch}");
    }

    config.train.micro_batch = 2;
    train_as(&config, &other, root.path(), Some(2), true);
    config.train.micro_batch = 8;
    train_as(&config, &other, root.path(), None, true);
    let losses = |run: &Path| -> Vec<f64> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter_map(|line| line["loss"].as_f64()).collect()
    };
    let (whole, other) = (losses(&whole), losses(&other));
    assert!(whole.len() == 14 && other.len() == 14);
    for (a, b) in whole.iter().zip(&other) {
        assert!((a - b).abs() < 1e-3, "{whole:?} {other:?}");
    }
}

#[test]
fn what_the_same_weights_mean_otherwise_is_told() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("first");
    train(&first, root.path(), Some(1), false);
    let differences = |change: &dyn Fn(&mut RunConfig)| {
        let mut config = run_config();
        config.train.init_from = Some(first.clone());
        change(&mut config);
        let begun = trainer(&config, &root.path().join("second"), root.path(), false).unwrap();
        begun.adopted().unwrap().differences.clone()
    };
    assert_eq!(differences(&|_| {}), [""; 0]);
    let found = differences(&|config| {
        config.model.ffn = Ffn::Gelu;
        config.model.position = Position::Rotary;
        config.model.rotary_base = 500.0;
        config.model.levels[0].n_head = 4;
    });
    let expected = [
        "model.ffn is \"gelu\" here and \"relu\" there",
        "model.position is \"rotary\" here and \"learned\" there",
        "model.level.0.n_head is 4 here and 2 there",
    ];
    assert_eq!(found, expected);
}

#[test]
fn speed_lines_have_the_memory_that_was_used() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    train(&run, root.path(), Some(4), false);
    let text = fs::read_to_string(run.join("speed.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    // On a CPU libtorch alone is this large; on another device tensors alone count.
    let least = if device() == Device::Cpu { 50 << 20 } else { 0 };
    assert!(line["memory"].as_u64().unwrap() > least, "{line}");
    let events = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let events: Vec<_> = events.filter(|path| path.to_string_lossy().contains("events.out.tfevents.")).collect();
    let tag = b"speed/memory";
    assert!(fs::read(&events[0]).unwrap().windows(tag.len()).any(|window| window == tag));
}

#[test]
fn a_type_that_is_left_to_the_machine_is_named_and_kept() {
    let _alone = alone();
    let root = tempfile::tempdir().unwrap();
    let mut config = run_config();
    config.train = TrainConfig { max_steps: 2, dtype: Dtype::Auto, ..config.train };
    let fresh = trainer(&config, &root.path().join("fresh"), root.path(), false).unwrap();
    assert_eq!(fresh.config().train.dtype, fresh.choice().dtype);
    assert_eq!(fresh.config().train.dtype.kind(), Some(fresh.model().kind()));
    // Whatever the machine would choose.
    for dtype in [Dtype::Bfloat16, Dtype::Float32] {
        let folder = root.path().join(dtype.name());
        config.train.dtype = dtype;
        train_as(&config, &folder, root.path(), Some(1), false);
        config.train.dtype = Dtype::Auto;
        assert_eq!(trainer(&config, &folder, root.path(), true).unwrap().config().train.dtype, dtype);
    }
}
