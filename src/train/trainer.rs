//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::checkpoint::{Checkpoints, State, restore};
use super::log::Log;
use super::metrics::{Metric, Speed};
use super::optimizer::AdamW;
use super::schedule::learning_rate;
use super::{memory, shortage};
use crate::config::RunConfig;
use crate::data::{Dataset, Loader, LoaderConfig, Mixture, PAD, Sampler};
use crate::density::{EvalOptions, Evaluation, Inference, evaluate};
use crate::generate::{Request, generate};
use crate::model::{Megabyte, ModelConfig, gradients, loss};
use crate::progress::Quiet;
use crate::{Error, Result};

/// What a run tells while it goes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A line of metrics was written.
    Logged(&'a Metric, &'a Speed),
    /// Held-out data was scored.
    Evaluated(&'a Metric),
    /// A checkpoint was written.
    Saved(&'a Path),
    /// Something the person should see.
    Note(&'a str),
}

/// Who is told, and who may stop the run.
pub trait Observer {
    /// Called for each event.
    fn event(&mut self, event: Event<'_>);
    /// Whether to save and stop after this step.
    fn stop(&mut self) -> bool;
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it was stopped before its end; `--resume` continues.
    pub interrupted: bool,
    /// Steps done.
    pub step: u64,
    /// The lowest held-out bits per byte.
    pub best: Option<f64>,
}

/// A run: a model, what trains it, and where it stands.
#[derive(Debug)]
pub struct Trainer {
    config: RunConfig,
    folder: PathBuf,
    model: Megabyte,
    optimizer: AdamW,
    state: State,
    checkpoints: Checkpoints,
    /// What `[data]` and each `[[data.mix]]` name.
    train: Vec<Arc<Dataset>>,
    valid: Vec<Dataset>,
    /// Floating-point operations a second that this machine's matrix products reach.
    peak_flops: f64,
}

impl Trainer {
    /// A fresh run in `folder`, or with `resume` one that continues from its latest checkpoint.
    ///
    /// `train` holds what `[data]` names and then what each `[[data.mix]]` does, `valid` what is held out of these.
    /// Fails where the configuration does not suit them, and where a run that goes on would do so with other data.
    pub fn new(
        config: RunConfig,
        folder: &Path,
        train: Vec<Dataset>,
        valid: Vec<Dataset>,
        device: Device,
        resume: bool,
    ) -> Result<Self> {
        config.validate()?;
        super::numerics::apply(&config.train, device)?;
        let kind = config.train.dtype.kind();
        let model = Megabyte::new(&config.model, kind, device, config.train.seed)?;
        let optimizer = AdamW::new(model.parameters(), &config.train);
        let checkpoints = Checkpoints::new(folder);
        let data: Vec<String> = train.iter().map(Dataset::fingerprint).collect();
        let mut state = State { seed: config.train.seed, data: data.clone(), ..State::default() };
        if resume {
            let latest = checkpoints.latest();
            let latest = latest.ok_or_else(|| {
                Error::file(folder, "has no checkpoint to resume from: begin it again without --resume")
            })?;
            checkpoints.verify(&latest)?;
            state = restore(&latest, &model, &optimizer)?;
            if state.data != data {
                let reason = "was trained on other data than its sources hold now: \
                              bring these back to what they were, or begin a new run";
                return Err(Error::file(folder, reason));
            }
        }
        Ok(Trainer {
            peak_flops: super::speed::matrix_flops(kind, device),
            config,
            folder: folder.to_owned(),
            model,
            optimizer,
            state,
            checkpoints,
            train: train.into_iter().map(Arc::new).collect(),
            valid: valid.into_iter().filter(|valid| !valid.is_empty()).collect(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Megabyte {
        &self.model
    }

    /// Where the run stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Floating-point operations a second that this machine's matrix products reach.
    pub fn peak_flops(&self) -> f64 {
        self.peak_flops
    }

    /// Trains to the end, or until the observer says stop. The last checkpoint is saved either way.
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let settings = self.config.train.clone();
        let mut log = Log::open(&self.folder, self.state.step)?;
        let mut loader = self.loader()?;
        let mut lap = Lap::begin(&self.state);
        let mut saved = self.state.step;
        // Loss of the steps since the last line of metrics, summed on the device.
        let mut interval = Tensor::full([], self.state.interval_nats, (Kind::Double, self.model.device()));
        let mut interrupted = false;
        // A checkpoint that could not be written is tried again at each line of metrics.
        let mut unsaved = false;

        while self.state.step < settings.max_steps && !self.out_of_time() {
            let lr = learning_rate(&settings, self.state.step, self.state.minutes);
            self.train_step(&mut loader, lr, &mut interval, &mut lap)?;
            let step = self.state.step;
            let last = step == settings.max_steps || self.out_of_time();
            let due = |every: u64| last || (every > 0 && step.is_multiple_of(every));
            interrupted = !last && observer.stop();

            if step.is_multiple_of(settings.log_every) || last {
                let metric = self.log(lr, &mut interval)?;
                let speed = lap.end(&self.state, &self.config.model, self.peak_flops, self.model.device())?;
                if let Err(error) = log.train(&metric, &speed) {
                    observer.event(Event::Note(&format!("{error}; it is tried again")));
                }
                observer.event(Event::Logged(&metric, &speed));
            }
            // What is due at this step is done even where the run stops here: a resumed one begins with the next.
            let best_before = self.state.best;
            let mut best = false;
            if due(settings.eval_every) {
                best = self.evaluate(&mut log, observer)?;
            }
            if settings.sample_every > 0
                && due(settings.sample_every)
                && let Err(error) = shortage::catch(|| self.sample(&mut log))
            {
                observer.event(Event::Note(&format!("no samples at step {step}: {error}")));
            }
            let again = unsaved && step.is_multiple_of(settings.log_every);
            if due(settings.checkpoint_every) || best || interrupted || again {
                self.state.interval_nats = f64::try_from(&interval)?;
                self.check_finite(self.state.interval_nats)?;
                // What a checkpoint says is done is in the metrics: else a run that goes on from it would miss lines.
                match log.flush().and_then(|()| self.save(best)) {
                    Ok(place) => {
                        unsaved = false;
                        saved = step;
                        observer.event(Event::Saved(&place));
                    }
                    // The run is worth more than this checkpoint; what was saved before is untouched.
                    Err(error) if !last && !interrupted => {
                        self.state.best = best_before;
                        unsaved = true;
                        observer.event(Event::Note(&format!("no checkpoint at step {step}: {error}")));
                    }
                    Err(error) => return Err(self.not_saved(&error)),
                }
            }
            if interrupted {
                break;
            }
        }
        log.flush()?;
        debug_assert!(saved == self.state.step || self.state.step == 0, "the last step is saved");
        Ok(Outcome { interrupted, step: self.state.step, best: self.state.best })
    }

    /// One optimizer step: forward and backward over the micro-batches, clip, update.
    pub fn train_step(&mut self, loader: &mut Loader, lr: f64, interval: &mut Tensor, lap: &mut Lap) -> Result<()> {
        let started = Instant::now();
        let model = &self.config.model;
        let mut batches = Vec::new();
        let mut symbols = 0; // that are predicted, in all
        for i in 0..self.config.train.micro_batches(model) as u64 {
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
        let (kept, scale) = (self.config.train.memory(), 1.0 / symbols.max(1) as f64);
        for batch in &batches {
            let nats = shortage::guard("a training step", &self.config, || {
                let on_device = loss::to_device(batch, self.model.device())?;
                gradients::accumulate(&self.model, &on_device, self.config.model.dropout, scale, &kept)
            })?;
            let _ = interval.g_add_(&nats);
        }
        self.optimizer.step(lr)?;

        self.state.step += 1;
        self.state.next_batch += batches.len() as u64;
        self.state.bytes_seen += symbols as u64;
        self.state.interval_bytes += symbols as u64;
        self.state.minutes += started.elapsed().as_secs_f64() / 60.0;
        Ok(())
    }

    /// The loader at the run's position.
    pub fn loader(&self) -> Result<Loader> {
        let model = &self.config.model;
        let rows = self.config.train.rows(model);
        let loading = LoaderConfig::new(model.context, rows, model.vocab, self.state.seed);
        let mut parts = Vec::new();
        for (dataset, data) in self.train.iter().zip(self.config.data.parts()) {
            let sampler = Sampler::new(Arc::clone(dataset), loading)?;
            parts.push((if data.flip { sampler.mirrored()? } else { sampler }, data.weight));
        }
        let mixture = Mixture::new(parts, self.state.seed)?;
        Loader::new(mixture, self.state.next_batch, self.config.train.loader_threads)
    }

    fn out_of_time(&self) -> bool {
        self.config.train.max_minutes > 0.0 && self.state.minutes >= self.config.train.max_minutes
    }

    fn log(&mut self, lr: f64, interval: &mut Tensor) -> Result<Metric> {
        let loss = f64::try_from(&*interval)? / self.state.interval_bytes.max(1) as f64;
        self.check_finite(loss)?;
        let _ = interval.zero_();
        self.state.interval_bytes = 0;
        Ok(Metric::Train {
            step: self.state.step,
            bytes: self.state.bytes_seen,
            loss,
            bits_per_byte: loss / std::f64::consts::LN_2,
            lr,
            grad_norm: self.optimizer.grad_norm()?,
        })
    }

    /// The last checkpoint of a run could not be written: what is lost, and how to go on.
    fn not_saved(&self, error: &Error) -> Error {
        let before = match self.checkpoints.latest().and_then(|latest| std::fs::canonicalize(latest).ok()) {
            Some(latest) => format!("with room, --resume goes on from {}", latest.display()),
            None => "no checkpoint was written before it".to_owned(),
        };
        Error::Content(format!("{error}: step {} is not saved; {before}", self.state.step))
    }

    /// A model whose loss is NaN or infinite is never saved over one that was better.
    fn check_finite(&self, loss: f64) -> Result<()> {
        if loss.is_finite() {
            return Ok(());
        }
        let latest = self.checkpoints.latest().map_or("the start".to_owned(), |path| path.display().to_string());
        Err(Error::Content(format!(
            "the loss is {loss} at step {}: lower train.lr or raise train.warmup_steps, and continue from {latest}",
            self.state.step
        )))
    }

    /// Scores held-out data; whether the model is the best so far.
    fn evaluate(&mut self, log: &mut Log, observer: &mut dyn Observer) -> Result<bool> {
        let batch = self.config.train.rows(&self.config.model);
        let options = EvalOptions { batch, limit_bytes: self.config.train.eval_bytes, inference: Inference::Plain };
        let parts = self.valid.iter().map(|valid| evaluate(&self.model, valid, options, &Quiet));
        let parts = shortage::guard("an evaluation", &self.config, || parts.collect::<Result<Vec<_>>>())?;
        let Some(found) = Evaluation::sum(&parts) else {
            return Ok(false);
        };
        self.check_finite(found.nats)?;
        let metric = Metric::Valid {
            step: self.state.step,
            bytes: self.state.bytes_seen,
            nats: found.nats,
            bits_per_byte: found.bits_per_byte,
            std_error: found.std_error,
            scored_bytes: found.bytes,
            parts: if parts.len() > 1 { parts.iter().map(|part| part.bits_per_byte).collect() } else { Vec::new() },
        };
        if let Err(error) = log.valid(&metric) {
            observer.event(Event::Note(&format!("{error}; it is tried again")));
        }
        observer.event(Event::Evaluated(&metric));
        let best = self.state.best.is_none_or(|best| found.bits_per_byte < best);
        if best {
            self.state.best = Some(found.bits_per_byte);
        }
        Ok(best)
    }

    /// Draws a few sequences from nothing and writes them as files of the modality.
    fn sample(&self, log: &mut Log) -> Result<()> {
        let adapter = self.config.data.layout()?.adapter();
        let length = match (adapter.sequence_len(), adapter.bytes_per_second()) {
            (Some(length), _) => length,
            // A few seconds tell what a minute would.
            (None, Some(rate)) => self.config.model.context.min((4.0 * rate) as usize),
            (None, None) => self.config.model.context.min(1024),
        };
        let request = Request { prompt: Vec::new(), length, count: 2, sample: self.config.sample };
        let sequences = generate(&self.model, &request, &Quiet)?;
        log.samples(self.state.step, &sequences, adapter.as_ref())
    }

    fn save(&self, best: bool) -> Result<PathBuf> {
        let layout = self.config.data.layout()?;
        let keep = self.config.train.keep_checkpoints;
        self.checkpoints.save(&layout, &self.model, &self.optimizer, &self.state, best, keep)
    }
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

    fn end(&mut self, state: &State, model: &ModelConfig, peak_flops: f64, device: Device) -> Result<Speed> {
        let seconds = (state.minutes - self.minutes) * 60.0;
        let bytes_per_second = (state.bytes_seen - self.bytes) as f64 / seconds;
        let speed = Speed {
            step: state.step,
            seconds: state.minutes * 60.0,
            bytes_per_second,
            mfu: bytes_per_second * model.training_flops_per_byte() / peak_flops,
            data_wait: self.waited / seconds,
            memory: memory::take_peak(device)?,
        };
        *self = Lap::begin(state);
        Ok(speed)
    }
}
