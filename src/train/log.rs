//! Everything a run writes for people to look at: metrics, TensorBoard events and samples.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::checkpoint::State;
use super::levels::Histogram;
use super::metrics::{JsonLines, Metric, Speed};
use crate::Result;
use crate::error::IoContext;
use crate::modality::Adapter;
use crate::report::EventWriter;

/// The open files of a run.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    metrics: JsonLines,
    speed: JsonLines,
    events: EventWriter,
}

impl Log {
    /// Opens a run's files to continue where it stands.
    pub fn open(folder: &Path, state: &State) -> Result<Self> {
        let (step, owed) = (state.step, state.owed.evaluation);
        let mut events = EventWriter::create(folder)?;
        if step > 0 {
            events.restart(step + 1)?;
        }
        Ok(Log {
            folder: folder.to_owned(),
            metrics: JsonLines::open(&folder.join("metrics.jsonl"), step, owed)?,
            speed: JsonLines::open(&folder.join("speed.jsonl"), step, false)?,
            events,
        })
    }

    /// Writes a line of training.
    pub fn train(&mut self, metric: &Metric, speed: &Speed) -> Result<()> {
        // Each for itself: a line that can't be written is kept for later, whatever becomes of the others.
        let written = [self.metrics.write(metric), self.speed.write(speed), self.train_events(metric, speed)];
        written.into_iter().collect()
    }

    fn train_events(&mut self, metric: &Metric, speed: &Speed) -> Result<()> {
        if let Metric::Train { step, bits_per_byte, lr, grad_norm, levels, .. } = metric {
            for (tag, value) in [
                ("train/bits_per_byte", *bits_per_byte),
                ("train/lr", *lr),
                ("train/grad_norm", *grad_norm),
                ("speed/bytes_per_second", speed.bytes_per_second),
                ("speed/data_wait", speed.data_wait),
                ("speed/memory", speed.memory as f64),
            ] {
                self.events.scalar(tag, *step, value)?;
            }
            if let Some(mfu) = speed.mfu {
                self.events.scalar("speed/mfu", *step, mfu)?;
            }
            for (l, level) in levels.iter().enumerate() {
                self.events.scalar(&format!("level.{l}/grad_norm"), *step, level.grad_norm)?;
                self.events.scalar(&format!("level.{l}/weight_norm"), *step, level.weight_norm)?;
            }
        }
        self.events.flush()
    }

    /// Shows how the gradients of each level are distributed.
    pub fn gradients(&mut self, step: u64, histograms: &[Histogram]) -> Result<()> {
        for Histogram { level, buckets } in histograms {
            self.events.histogram(&format!("level.{level}/gradients"), step, buckets)?;
        }
        self.events.flush()
    }

    /// Writes a line about a sudden rise of the loss.
    pub fn spike(&mut self, metric: &Metric) -> Result<()> {
        self.metrics.write(metric)
    }

    /// Writes a line of evaluation.
    pub fn valid(&mut self, metric: &Metric) -> Result<()> {
        let written = [self.metrics.write(metric), self.valid_events(metric)];
        written.into_iter().collect()
    }

    fn valid_events(&mut self, metric: &Metric) -> Result<()> {
        if let Metric::Valid { step, bits_per_byte, raw_bits_per_byte, .. } = *metric {
            self.events.scalar("valid/bits_per_byte", step, bits_per_byte)?;
            if let Some(raw) = raw_bits_per_byte {
                self.events.scalar("valid/raw_bits_per_byte", step, raw)?;
            }
        }
        self.events.flush()
    }

    /// Writes sequences as files below `samples/step_…/`.
    pub fn samples(&mut self, step: u64, sequences: &[Vec<u8>], adapter: &dyn Adapter) -> Result<()> {
        let folder = self.folder.join(format!("samples/step_{step:08}"));
        fs::create_dir_all(&folder).at(&folder)?;
        for (i, bytes) in sequences.iter().enumerate() {
            let path = folder.join(format!("{i:03}.{}", adapter.extension()));
            let content = adapter.decode(bytes)?;
            let beside = folder.join(format!(".{i:03}.tmp"));
            fs::write(&beside, &content).and_then(|()| fs::rename(&beside, &path)).at(&path).inspect_err(|_| {
                let _ = fs::remove_file(&beside);
            })?;
            self.events.sample(&format!("sample/{i}"), step, adapter.extension(), &content)?;
        }
        self.events.flush()
    }

    /// Makes sure that all metrics are in their file, and gives it, to wait for the disk with.
    pub fn metrics_file(&mut self) -> Result<File> {
        self.metrics.flush()?;
        self.metrics.handle()
    }

    /// Makes sure that everything is in the files.
    pub fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.speed.flush()?;
        self.events.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn what_can_be_written_is_written_where_something_else_can_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), &State::default()).unwrap();
        let whole = log.metrics.swap_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
        let metric = Metric::Train {
            step: 7,
            bytes: 64,
            loss: 1.0,
            bits_per_byte: 1.5,
            lr: 0.1,
            grad_norm: 2.0,
            levels: Vec::new(),
            skipped: 0,
        };
        let speed =
            Speed { step: 7, seconds: 1.0, bytes_per_second: 64.0, mfu: Some(0.5), data_wait: 0.0, memory: 1 << 20 };
        let valid = Metric::Valid {
            step: 7,
            bytes: 64,
            nats: 1.0,
            bits_per_byte: 1.5,
            raw_bits_per_byte: None,
            std_error: 0.1,
            scored_bytes: 64,
            parts: Vec::new(),
        };
        for error in [log.train(&metric, &speed), log.valid(&valid)] {
            assert!(error.unwrap_err().to_string().contains("metrics.jsonl"));
        }
        assert_eq!(fs::read_to_string(folder.path().join("speed.jsonl")).unwrap().lines().count(), 1);
        let events = fs::read(log.events.path()).unwrap();
        for tag in ["train/bits_per_byte", "speed/mfu", "valid/bits_per_byte"] {
            assert!(events.windows(tag.len()).any(|bytes| bytes == tag.as_bytes()), "no {tag}");
        }
        log.metrics.swap_file(whole);
        log.flush().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap().lines().count(), 2);
    }
}
