//! `megabyte bench`: what this machine reaches in training, generation, compression and loading.

mod profile;

use std::time::Instant;

use anyhow::bail;
use megabyte::data::{Dataset, Loader, LoaderConfig, Mixture, Sampler, ShardWriter, Split};
use megabyte::density::archive::{Codec, CompressOptions, DecompressOptions};
use megabyte::generate::{Request, SampleConfig, generate};
use megabyte::model::Megabyte;
use megabyte::progress::Quiet;
use megabyte::train::speed::{Work, synchronize, utilization};
use megabyte::train::{Choice, Dtype, Lap, Profile, Trainer, memory};
use megabyte::{Error, RunConfig};
use serde::Serialize;
use tch::{Device, Kind};

use super::{device, output, pairs};
use crate::cli::{BenchArgs, BenchWhat};

/// The size that the peers are measured at: see `benches/peers`.
const SMALL: &str = include_str!("../../benches/peers/small.toml");

#[derive(Debug, Default, Serialize)]
struct Measured {
    what: &'static str,
    bytes_per_second: f64,
    bytes: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    decompress_bytes_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mfu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matrix_gflops: Option<f64>,
    /// The most bytes of memory while it was measured: see `train::memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    /// Of the model, and the type of its matrix work; batches have neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    device: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dtype: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
    /// The same in another type of matrix work.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<Box<Measured>>,
}

/// Runs the verb.
pub fn run(args: BenchArgs) -> anyhow::Result<()> {
    if !(args.seconds > 0.0 && args.seconds.is_finite()) {
        bail!(Error::Usage(format!("--seconds {}: expected above 0", args.seconds)));
    }
    if args.profile && args.what != BenchWhat::Train {
        bail!(Error::Usage("--profile: is of training steps; use `bench train --profile`".to_owned()));
    }
    let named: Option<Dtype> = match &args.dtype {
        Some(_) if !matches!(args.what, BenchWhat::Generate | BenchWhat::Compress) => {
            bail!(Error::Usage(
                "--dtype: is of generating and compressing; --set train.dtype=… is of training".to_owned()
            ))
        }
        name => name.as_deref().map(str::parse).transpose()?,
    };
    let device = device::choose(args.device.as_deref())?;
    let dtypes = match named {
        Some(Dtype::Auto) => bail!(Error::Usage(
            "--dtype auto: bench measures the type that is named, or where none is, all that the device has".to_owned()
        )),
        Some(dtype) => {
            dtype.check(device)?;
            vec![dtype]
        }
        None => [Dtype::Float32, Dtype::Bfloat16].into_iter().filter(|dtype| dtype.check(device).is_ok()).collect(),
    };
    let config = match &args.config {
        Some(path) => RunConfig::load(path, &args.overrides)?,
        None => small(&args.overrides)?,
    };
    let measured = match args.what {
        BenchWhat::Train if args.profile => {
            let profile = Some(profile::measure(config.clone(), args.seconds, device)?);
            Measured { profile, ..train(config, args.seconds, device)? }
        }
        BenchWhat::Train => train(config, args.seconds, device)?,
        BenchWhat::Generate => in_types(&dtypes, |dtype| generation(&config, args.seconds, device, dtype))?,
        BenchWhat::Compress => in_types(&dtypes, |dtype| compression(&config, args.seconds, device, dtype))?,
        BenchWhat::Data => data(&config, args.seconds)?,
    };
    if args.json {
        return output::print_json(&measured);
    }
    print(&measured)?;
    measured.other.as_deref().map_or(Ok(()), print)
}

/// The first type, and the others beside it.
fn in_types(dtypes: &[Dtype], measure: impl Fn(Dtype) -> anyhow::Result<Measured>) -> anyhow::Result<Measured> {
    let (&first, others) = dtypes.split_first().expect("a type is measured");
    let found = measure(first)?;
    let other = if others.is_empty() { None } else { Some(Box::new(in_types(others, measure)?)) };
    Ok(Measured { other, ..found })
}

fn print(measured: &Measured) -> anyhow::Result<()> {
    // Batches have no model.
    let model = measured.parameters.map_or(String::new(), |parameters| {
        format!(" ({}, {:.2} M parameters)", measured.dtype, parameters as f64 / 1e6)
    });
    output::print(&format!(
        "{}: {} over {} bytes in {:.1} s on {}{model}",
        measured.what,
        output::rate(measured.bytes_per_second),
        measured.bytes,
        measured.seconds,
        measured.device,
    ))?;
    if let Some(ms) = measured.ms_per_step {
        let share = measured.mfu.zip(measured.matrix_gflops).map_or(String::new(), |(mfu, peak)| {
            format!(", {:.1} % of the {peak:.0} GFLOP/s of matrix products", mfu * 100.0)
        });
        output::print(&format!("{ms:.2} ms a step{share}"))?;
    }
    if let Some(memory) = measured.memory {
        output::print(&format!("{} of memory at most", memory::human(memory)))?;
    }
    if let (Some(back), Some(threads), Some(lanes)) =
        (measured.decompress_bytes_per_second, measured.threads, measured.lanes)
    {
        output::print(&format!("back at {}; {threads} threads, {lanes} lanes", output::rate(back)))?;
    }
    if let Some(profile) = &measured.profile {
        profile::print(profile)?;
    }
    Ok(())
}

/// The configuration that is measured with where none is named.
pub(super) fn small(overrides: &[String]) -> anyhow::Result<RunConfig> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, SMALL.as_bytes())?;
    Ok(RunConfig::load(file.path(), overrides)?)
}

/// What optimizer steps took.
pub(super) struct Steps {
    pub steps: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// Share of `peak_flops`.
    pub mfu: Option<f64>,
    /// Floating-point operations a second that matrix products reach, where that can be measured.
    pub peak_flops: Option<f64>,
    /// The type of matrix work.
    pub choice: Choice,
    /// The most bytes of memory.
    memory: u64,
    parameters: u64,
}

impl Steps {
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    pub fn seconds_per_step(&self) -> f64 {
        self.seconds / self.steps as f64
    }
}

fn train(config: RunConfig, seconds: f64, device: Device) -> anyhow::Result<Measured> {
    let found = steps(config, seconds, device)?;
    Ok(Measured {
        what: "train",
        bytes_per_second: found.bytes_per_second(),
        bytes: found.bytes,
        seconds: found.seconds,
        steps: Some(found.steps),
        ms_per_step: Some(found.seconds_per_step() * 1e3),
        mfu: found.mfu,
        matrix_gflops: found.peak_flops.map(|peak| peak / 1e9),
        memory: Some(found.memory),
        parameters: Some(found.parameters),
        device: device::name(device),
        dtype: found.choice.dtype.to_string(),
        ..Measured::default()
    })
}

/// Optimizer steps on random bytes, after a second of warm-up. They change nothing: at a learning rate that is reached
/// by a warm-up, weights might be lost at once, and time does not depend on it.
pub(super) fn steps(mut config: RunConfig, seconds: f64, device: Device) -> anyhow::Result<Steps> {
    config.train.max_skipped = 0;
    // Nothing ends it but the time here, and no step is waited for.
    config.train.max_minutes = 0.0;
    let folder = tempfile::tempdir()?;
    let dataset = random_dataset(&config)?;
    let mut trainer = Trainer::new(config.clone(), folder.path(), vec![dataset], Vec::new(), device, false)?;
    let mut loader = trainer.loader()?;
    let mut lap = Lap::begin(trainer.state());
    let mut step = |trainer: &mut Trainer| trainer.train_step(&mut loader, 0.0, &mut lap);

    let warm = Instant::now();
    while warm.elapsed().as_secs_f64() < 1.0_f64.min(seconds) {
        step(&mut trainer)?;
    }
    synchronize(device);
    memory::reset_peak(device)?;
    let (first, started) = (trainer.state().clone(), Instant::now());
    while started.elapsed().as_secs_f64() < seconds {
        step(&mut trainer)?;
    }
    // A device's queue holds no more than a few steps, and the clock runs until the last of them is done.
    synchronize(device);
    let elapsed = started.elapsed().as_secs_f64();
    let steps = trainer.state().step - first.step;
    let bytes = trainer.state().bytes_seen - first.bytes_seen;
    let rate = bytes as f64 / elapsed;
    Ok(Steps {
        steps,
        bytes,
        seconds: elapsed,
        mfu: utilization(rate * config.model.training_flops_per_byte(), trainer.peak_flops()),
        peak_flops: trainer.peak_flops(),
        choice: trainer.choice().clone(),
        memory: memory::peak(device)?,
        parameters: trainer.model().parameters().count(),
    })
}

/// A model as inference has it, with random weights.
fn frozen_model(config: &RunConfig, device: Device, dtype: Dtype) -> anyhow::Result<Megabyte> {
    let kind = dtype.kind().unwrap_or(Kind::Float);
    memory::check_inference(&config.model, kind, device, &Work::generation(&config.model, 1), "model.context")?;
    let mut model = Megabyte::new(&config.model, kind, device, 0)?;
    model.freeze();
    Ok(model)
}

/// Whole sequences of the context from an empty prompt, one at a time.
fn generation(config: &RunConfig, seconds: f64, device: Device, dtype: Dtype) -> anyhow::Result<Measured> {
    let model = frozen_model(config, device, dtype)?;
    let length = config.model.context;
    let sample = SampleConfig { temperature: 1.0, ..SampleConfig::default() };
    let request = |length| Request { prompt: Vec::new(), length, count: 1, sample };
    generate(&model, &request(length.min(64)), &Quiet)?;
    let started = Instant::now();
    let mut bytes = 0;
    while bytes == 0 || started.elapsed().as_secs_f64() < seconds {
        bytes += generate(&model, &request(length), &Quiet)?[0].len() as u64;
    }
    let elapsed = started.elapsed().as_secs_f64();
    Ok(Measured {
        what: "generate",
        bytes_per_second: bytes as f64 / elapsed,
        bytes,
        seconds: elapsed,
        parameters: Some(model.parameters().count()),
        device: device::name(device),
        dtype: dtype.to_string(),
        ..Measured::default()
    })
}

/// Random bytes to an archive and back, full batches on every core.
fn compression(config: &RunConfig, seconds: f64, device: Device, dtype: Dtype) -> anyhow::Result<Measured> {
    let model = frozen_model(config, device, dtype)?;
    let parameters = model.parameters().count();
    let codec = Codec::new(config.data.layout()?, model)?;
    let threads = pairs::threads(None)?;
    let options =
        CompressOptions { threads, raw: true, store_larger: false, verify: false, ..CompressOptions::default() };
    let random = random_dataset(config)?;
    let items = (0..random.len()).map(|i| random.item(i).bytes.to_vec());
    let per_call = (64 << 10).max(config.model.context) * threads;
    let mut files: Vec<Vec<u8>> = vec![items.flatten().take(per_call).collect()];
    // A part of it first, to warm up; and where that takes long already, it is what is measured.
    let part = vec![files[0][..(per_call / 16).max(1)].to_vec()];
    let started = Instant::now();
    codec.compress(&part, options, &Quiet)?;
    if started.elapsed().as_secs_f64() > seconds / 4.0 {
        files = part;
    }
    let (mut lanes, mut bytes, mut there, mut back) = (None, 0, 0.0, 0.0);
    while bytes == 0 || there + back < seconds {
        let started = Instant::now();
        let made = codec.compress(&files, options, &Quiet)?;
        there += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let options = DecompressOptions { threads, stage: "decompress" };
        let restored = codec.decompress(&[&made[0].archive], options, &Quiet)?.remove(0)?;
        anyhow::ensure!(restored.damage.is_empty(), "what was compressed did not come back");
        back += started.elapsed().as_secs_f64();
        bytes += made[0].header.content_len;
        lanes = made[0].header.coding.map(|coding| coding.lanes);
    }
    Ok(Measured {
        what: "compress",
        bytes_per_second: bytes as f64 / there,
        bytes,
        seconds: there + back,
        decompress_bytes_per_second: Some(bytes as f64 / back),
        threads: Some(threads),
        lanes,
        parameters: Some(parameters),
        device: device::name(device),
        dtype: dtype.to_string(),
        ..Measured::default()
    })
}

/// Batches from a shard, as fast as they come.
fn data(config: &RunConfig, seconds: f64) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("train-00000.shard");
    let random = random_dataset(config)?;
    let mut writer = ShardWriter::new(&path, Split::Train, &config.data.layout()?)?;
    // Large enough that it lies in no cache of the processor.
    while writer.bytes() < 256 << 20 {
        for i in 0..random.len() {
            writer.push("random", random.item(i).bytes, false)?;
        }
    }
    writer.finish()?;
    let dataset = std::sync::Arc::new(Dataset::from_shards(&[path])?);
    let loading = LoaderConfig::new(
        config.model.context,
        config.train.rows(&config.model),
        config.model.vocab,
        config.train.seed,
    );
    let mixture = Mixture::new(vec![(Sampler::new(dataset, loading)?, 1.0)], config.train.seed)?;
    let mut loader = Loader::new(mixture, 0, config.train.loader_threads)?;
    let started = Instant::now();
    let mut bytes = 0;
    while started.elapsed().as_secs_f64() < seconds {
        bytes += loader.next()?.symbols.len() as u64;
    }
    let elapsed = started.elapsed().as_secs_f64();
    Ok(Measured {
        what: "data",
        bytes_per_second: bytes as f64 / elapsed,
        bytes,
        seconds: elapsed,
        device: "cpu".to_owned(),
        ..Measured::default()
    })
}

/// A few megabytes of random bytes in sequences of the context.
fn random_dataset(config: &RunConfig) -> anyhow::Result<Dataset> {
    use rand::{Rng, SeedableRng, rngs::ChaCha8Rng};
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let layout = config.data.layout()?;
    let length = layout.adapter().sequence_len().unwrap_or(config.model.context);
    let item = || {
        let mut bytes = vec![0; length];
        random.fill_bytes(&mut bytes);
        bytes
    };
    let items = std::iter::repeat_with(item).take(((4 << 20) / length).max(16)).collect();
    Ok(Dataset::from_memory(items, &layout))
}
