//! The training loop.

mod budget;
mod owed;
mod saving;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::averages::Averages;
use super::built::Built;
use super::checkpoint::{Checkpoints, Owed, State, Tensors, Writer};
use super::dtype::{Choice, Dtype};
use super::levels;
use super::log::Log;
use super::losses::Losses;
use super::metrics::{Metric, Speed};
use super::numerics::CudnnAttention;
use super::observer::{Event, Observer, Outcome};
use super::optimizer::Optimizer;
use super::schedule::learning_rate;
use super::shortage::Part;
use super::speed::{self, synchronize};
use super::{memory, shortage};
use crate::config::RunConfig;
use crate::data::{Dataset, Loader, LoaderConfig, Mixture, PAD, Sampler};
use crate::error::IoContext;
use crate::model::folder::{ModelFile, resolve};
use crate::model::{Adopted, Megabyte, ModelConfig, adopt, gradients, loss};
use crate::{Error, Result};
pub use budget::few_steps;

/// A run: a model, what trains it, and where it stands.
#[derive(Debug)]
pub struct Trainer {
    config: RunConfig,
    folder: PathBuf,
    model: Megabyte,
    /// What the weights began with, where that was another model.
    adopted: Option<Adopted>,
    /// The checkpoint that it goes on from.
    resumed: Option<PathBuf>,
    /// What the observer is to be told at the start.
    notes: Vec<String>,
    optimizer: Optimizer,
    averages: Option<Averages>,
    state: State,
    losses: Losses,
    /// Whether weights and optimizer are those of one step, which they are not while one changes them.
    whole: bool,
    /// The run's files, once they are open.
    log: Option<Log>,
    checkpoints: Checkpoints,
    /// What `[data]` and each `[[data.mix]]` name.
    train: Vec<Arc<Dataset>>,
    valid: Vec<Dataset>,
    /// The type of matrix work, and why it is that.
    choice: Choice,
    /// Floating-point operations a second that this machine's matrix products reach, where that can be measured.
    peak_flops: Option<f64>,
}

/// Steps that a device may still have before it, at most.
const QUEUED: u64 = 64;

/// What a run writes to, and whom it tells, while it trains.
struct Outside<'a> {
    log: Log,
    writer: Writer,
    observer: &'a mut dyn Observer,
}

impl Trainer {
    /// What can be known of a run before its data is prepared, which may take hours: whether the configuration can work, the
    /// device does what it asks for, and a model to begin with is there.
    pub fn check(config: &RunConfig, device: Device) -> Result<()> {
        config.validate()?;
        super::numerics::check(&config.train, device)?;
        config.train.dtype.check(device)?;
        if let Some(other) = &config.train.init_from {
            ModelFile::read(&resolve(other)?)?;
        }
        Ok(())
    }

    /// A fresh run in `folder`, or with `resume` one that continues from its latest checkpoint.
    ///
    /// `train` holds what `[data]` names and then what each `[[data.mix]]` does, `valid` what is held out of these.
    /// Fails where the configuration does not suit them, and where a run that goes on would do so with other data.
    ///
    /// Where `train.dtype` is `"auto"`, the run's [`config`](Self::config) has the type that was chosen: of a run that goes on, the
    /// one that it began with.
    pub fn new(
        mut config: RunConfig,
        folder: &Path,
        train: Vec<Dataset>,
        valid: Vec<Dataset>,
        device: Device,
        resume: bool,
    ) -> Result<Self> {
        config.validate()?;
        super::numerics::apply(&config.train, device)?;
        let train: Vec<_> = train.into_iter().map(Arc::new).collect();
        // Whether there is anything to train on.
        batches(&config, &train)?;
        let checkpoints = Checkpoints::new(folder);
        if resume && config.train.dtype == Dtype::Auto {
            let began = checkpoints.config_file(&checkpoints.to_resume()?)?;
            config.train.dtype = RunConfig::load(&began, &[])?.train.dtype;
        }
        let choice = Choice::for_run(&config, device)?;
        config.train.dtype = choice.dtype;
        shortage::check(&config, device)?;
        let other = config.train.init_from.as_ref().filter(|_| !resume);
        let begin = |model: &Megabyte| other.map(|other| adopt(other, model)).transpose();
        let (built, adopted) = Built::new(&config, device, !resume, begin)?;
        let Built { model, optimizer, averages } = built;
        let data: Vec<String> = train.iter().map(|data| data.fingerprint()).collect();
        let held_out: Vec<String> = valid.iter().map(Dataset::fingerprint).collect();
        let (mut resumed, mut notes) = (None, Vec::new());
        let mut state =
            State { seed: config.train.seed, data: data.clone(), valid: held_out.clone(), ..State::default() };
        if resume {
            let latest = checkpoints.to_resume()?;
            checkpoints.verify(&latest)?;
            let tensors = Tensors { model: &model, optimizer: &optimizer, averages: averages.as_ref() };
            state = tensors.restore(&latest)?;
            if state.data != data {
                let reason = "was trained on other data than its sources hold now: \
                              bring these back to what they were, or begin a new run";
                return Err(Error::file(folder, reason));
            }
            if config.data.mix.is_empty() {
                // The same sequences in batches of what may be another size: those of whole steps are behind.
                state.next_batch = state.step.saturating_mul(config.train.micro_batches(&config.model) as u64);
            }
            // A best one that is lost, or of a step that is done again, is no measure for those to come.
            if checkpoints.best_step().is_none_or(|best| best > state.step) {
                state.best = None;
            }
            if !state.valid.is_empty() && state.valid != held_out {
                notes.push(
                    "the held-out data is not what it was: results before and from here on are not of the same bytes, \
                     and the best checkpoint is the best from here on"
                        .to_owned(),
                );
                state.best = None;
            }
            state.valid = held_out;
            resumed = Some(std::fs::canonicalize(&latest).at(&latest)?);
        }
        Ok(Trainer {
            peak_flops: choice.dtype.kind().and_then(|kind| speed::matrix_flops(kind, device)),
            choice,
            config,
            folder: folder.to_owned(),
            model,
            adopted,
            resumed,
            notes,
            optimizer,
            averages,
            state,
            losses: Losses::default(),
            whole: true,
            log: None,
            checkpoints,
            train,
            valid: valid.into_iter().filter(|valid| !valid.is_empty()).collect(),
        })
    }

    /// The run's configuration, with the type of matrix work that was chosen.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The type of matrix work, and why it is that.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The model.
    pub fn model(&self) -> &Megabyte {
        &self.model
    }

    /// What the weights began with, where that was another model.
    pub fn adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref()
    }

    /// The checkpoint that it goes on from.
    pub fn resumed(&self) -> Option<&Path> {
        self.resumed.as_deref()
    }

    /// Where the run stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Floating-point operations a second that this machine's matrix products reach, where that can be measured.
    pub fn peak_flops(&self) -> Option<f64> {
        self.peak_flops
    }

    /// Opens the run's files, so that what hinders it is known before a step is taken. [`train`](Self::train) does it where
    /// it was not done.
    pub fn open(&mut self) -> Result<()> {
        if self.log.is_none() {
            self.log = Some(Log::open(&self.folder, &self.state)?);
        }
        Ok(())
    }

    /// Trains to the end, or until the observer says stop. The last checkpoint is saved either way.
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let log = match self.log.take() {
            Some(log) => log,
            None => Log::open(&self.folder, &self.state)?,
        };
        let few = self.few_steps()?;
        for note in std::mem::take(&mut self.notes).into_iter().chain(few) {
            observer.event(Event::Note(&note));
        }
        let mut to = Outside { log, writer: Writer::default(), observer };
        let ended = self.steps(&mut to);
        if let Err(error) = &ended {
            self.rescue(error, &mut to);
        }
        // Whatever ended it: what is being written is finished, and told of.
        self.finish_writing(&mut to);
        let interrupted = ended?;
        to.log.flush()?;
        Ok(Outcome { interrupted, step: self.state.step, best: self.state.best })
    }

    /// Steps, and what is due after each, to the end. Whether it was stopped before.
    fn steps(&mut self, to: &mut Outside<'_>) -> Result<bool> {
        let settings = self.config.train.clone();
        let mut loader = self.loader()?;
        let mut lap = Lap::begin(&self.state);
        while self.state.owed.any() || self.state.step < settings.max_steps && !self.out_of_time() {
            let late = self.state.owed.any();
            let lr = learning_rate(&settings, self.state.step, self.state.minutes);
            if !late {
                self.train_step(&mut loader, lr, &mut lap)?;
            }
            let step = self.state.step;
            let last = step == settings.max_steps || self.out_of_time();
            let due = |every: u64| last || (every > 0 && step.is_multiple_of(every));
            let mut interrupted = !last && to.observer.stop();
            if let Some(written) = to.writer.poll() {
                self.tell(written, to.observer);
            }

            let line = !late && (step.is_multiple_of(settings.log_every) || last);
            if !late {
                let samples = settings.sample_every > 0 && due(settings.sample_every);
                self.state.owed = Owed { evaluation: due(settings.eval_every), samples };
            }
            if line || self.state.owed.evaluation || self.losses.has_spikes() || self.skips_too_many() {
                self.settle(to)?;
            }
            if line {
                self.log(lr, &mut lap, to)?;
                to.writer.line();
            }
            let best = self.look(to)?;
            // What was stopped, a resumed run begins with.
            interrupted |= self.state.owed.any();
            if late || due(settings.checkpoint_every) {
                to.writer.want();
            }
            self.save(to, best, last || interrupted)?;
            if interrupted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One optimizer step: forward and backward over the micro-batches, clip, update.
    pub fn train_step(&mut self, loader: &mut Loader, lr: f64, lap: &mut Lap) -> Result<()> {
        let started = Instant::now();
        let model = &self.config.model;
        let mut batches = Vec::new();
        let mut symbols = 0; // that are predicted, in all
        for i in 0..self.config.train.micro_batches(model) as u64 {
            let _data = crate::native::profile::span(crate::native::profile::Span::Data);
            let batch = loader.next()?;
            let draw =
                self.state.seed.rotate_left(32) ^ (self.state.next_batch + i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut lengths = model.training_lengths();
            let drawn = (draw >> 16) % lengths.len() as u64;
            let batch = batch.beginning(lengths.nth(drawn as usize).unwrap_or(model.context));
            symbols += batch.last(model.predicted(batch.cols)).filter(|&symbol| symbol != PAD).count();
            batches.push(batch);
        }
        lap.waited += started.elapsed().as_secs_f64();

        // Dropout is a function of seed and step, so that a resumed run draws what an uninterrupted one would.
        tch::manual_seed((self.state.seed ^ (self.state.step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)) as i64);
        self.optimizer.zero_grad()?;
        let mut total = Tensor::zeros([], (Kind::Double, self.model.device()));
        let (kept, scale) = (self.config.train.memory(), 1.0 / symbols.max(1) as f64);
        let cudnn = CudnnAttention::begin(&self.config.train, self.model.device())?;
        for batch in &batches {
            let nats = shortage::guard(Part::Step, &self.config, || {
                let on_device = loss::to_device(batch, self.model.device())?;
                gradients::accumulate(&self.model, &on_device, self.config.model.dropout, scale, &kept)
            })?;
            let _ = total.g_add_(&nats);
        }
        drop(cudnn);
        self.whole = false;
        let finite = shortage::guard(Part::Update, &self.config, || {
            let finite = self.optimizer.step(lr)?;
            if let Some(averages) = &mut self.averages {
                averages.update(self.state.step + 1)?;
            }
            Ok(finite)
        })?;

        self.whole = true;
        self.state.step += 1;
        let first = self.state.next_batch;
        self.state.next_batch += batches.len() as u64;
        self.state.bytes_seen += symbols as u64;
        self.losses.add(self.state.step, total, finite, symbols as u64, [first, self.state.next_batch - 1]);
        if self.losses.is_full() {
            self.losses.settle(&self.config.train, &mut self.state)?;
        }
        if self.nearly_out_of_time() {
            // What a device still has to do is not known else, and a queue of steps would be over the limit.
            synchronize(self.model.device());
        }
        self.state.minutes += started.elapsed().as_secs_f64() / 60.0;
        Ok(())
    }

    /// The loader at the run's position.
    pub fn loader(&self) -> Result<Loader> {
        let mixture = batches(&self.config, &self.train)?;
        Loader::new(mixture, self.state.next_batch, self.config.train.loader_threads)
    }

    /// Whether no step may begin any more: the last one goes beyond `train.max_minutes` by a part of its own length.
    fn out_of_time(&self) -> bool {
        self.config.train.max_minutes > 0.0 && self.state.minutes >= self.config.train.max_minutes
    }

    /// Whether no more than a queue of steps is left of `train.max_minutes`, as long as steps were so far.
    fn nearly_out_of_time(&self) -> bool {
        let each = self.state.minutes / self.state.step as f64;
        let left = self.config.train.max_minutes - self.state.minutes;
        self.config.train.max_minutes > 0.0 && (self.state.step < QUEUED || left <= QUEUED as f64 * each)
    }

    /// Brings what the run knows of its losses up to this step, logs sudden rises, and ends a run of which step after step
    /// is skipped. Whatever is written or saved comes after it, so that lines are in the same order whenever a run is
    /// stopped.
    fn settle(&mut self, to: &mut Outside<'_>) -> Result<()> {
        let started = Instant::now();
        // What the device still does is the steps' time.
        synchronize(self.model.device());
        self.losses.settle(&self.config.train, &mut self.state)?;
        self.state.minutes += started.elapsed().as_secs_f64() / 60.0;
        for spike in self.losses.take_spikes() {
            if let Err(error) = to.log.spike(&spike) {
                to.observer.event(Event::Note(&format!("{error}; it is tried again")));
            }
            if let Metric::Spike { step, bits_per_byte, mean, batches: [first, last] } = spike {
                to.observer.event(Event::Note(&format!(
                    "the loss of step {step} is {bits_per_byte:.4} bits per byte, where {mean:.4} was the mean: \
                     batches {first} to {last}"
                )));
            }
        }
        if !self.skips_too_many() {
            return Ok(());
        }
        let reason = format!(
            "{} steps in a row had gradients that are not finite, and changed nothing: lower train.lr, raise \
             train.warmup_steps, or look for what is odd in the data",
            self.state.skipped_in_a_row
        );
        Err(self.ended(to, &reason))
    }

    /// Whether so many steps in a row were skipped that the run ends.
    fn skips_too_many(&self) -> bool {
        let most = self.config.train.max_skipped;
        most > 0 && self.state.skipped_in_a_row >= most
    }

    /// Writes a line of metrics.
    fn log(&mut self, lr: f64, lap: &mut Lap, to: &mut Outside<'_>) -> Result<()> {
        // NaN where every step was skipped.
        let loss =
            std::mem::take(&mut self.state.interval_nats) / std::mem::take(&mut self.state.interval_bytes) as f64;
        let grad_norm = self.optimizer.grad_norm()?;
        let metric = Metric::Train {
            step: self.state.step,
            bytes: self.state.bytes_seen,
            loss,
            bits_per_byte: loss / std::f64::consts::LN_2,
            lr,
            grad_norm,
            levels: levels::norms(&self.model, grad_norm)?,
            skipped: self.state.skipped,
        };
        let speed = lap.end(&self.state, &self.config.model, self.peak_flops, self.model.device())?;
        if let Err(error) = to.log.train(&metric, &speed) {
            to.observer.event(Event::Note(&format!("{error}; it is tried again")));
        }
        to.observer.event(Event::Logged(&metric, &speed));
        Ok(())
    }
}

/// All batches of a run, of what `[data]` and each `[[data.mix]]` name.
pub fn batches(config: &RunConfig, train: &[Arc<Dataset>]) -> Result<Mixture> {
    let model = &config.model;
    let loading = LoaderConfig::new(model.context, config.train.rows(model), model.vocab, config.train.seed);
    let mut parts = Vec::new();
    for (dataset, data) in train.iter().zip(config.data.parts()) {
        let sampler = Sampler::new(Arc::clone(dataset), loading)?;
        parts.push((if data.flip { sampler.mirrored()? } else { sampler }, data.weight));
    }
    Mixture::new(parts, config.train.seed)
}

/// Time between two lines of metrics, without what lies between steps (evaluation, samples, checkpoints).
#[derive(Debug)]
pub struct Lap {
    bytes: u64,
    minutes: f64,
    waited: f64,
}

impl Lap {
    /// Starts at the run's position.
    pub fn begin(state: &State) -> Self {
        Lap { bytes: state.bytes_seen, minutes: state.minutes, waited: 0.0 }
    }

    fn end(&mut self, state: &State, model: &ModelConfig, peak: Option<f64>, device: Device) -> Result<Speed> {
        let seconds = (state.minutes - self.minutes) * 60.0;
        let bytes_per_second = (state.bytes_seen - self.bytes) as f64 / seconds;
        let speed = Speed {
            step: state.step,
            seconds: state.minutes * 60.0,
            bytes_per_second,
            mfu: speed::utilization(bytes_per_second * model.training_flops_per_byte(), peak),
            data_wait: self.waited / seconds,
            memory: memory::take_peak(device)?,
        };
        *self = Lap::begin(state);
        Ok(speed)
    }
}
