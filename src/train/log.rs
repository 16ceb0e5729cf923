//! Everything a run writes for people to look at: metrics, TensorBoard events and samples.

use std::fs;
use std::path::{Path, PathBuf};

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
    /// Opens a run's files to continue after `step`.
    pub fn open(folder: &Path, step: u64) -> Result<Self> {
        let mut events = EventWriter::create(folder)?;
        if step > 0 {
            events.restart(step + 1)?;
        }
        Ok(Log {
            folder: folder.to_owned(),
            metrics: JsonLines::open(&folder.join("metrics.jsonl"), step)?,
            speed: JsonLines::open(&folder.join("speed.jsonl"), step)?,
            events,
        })
    }

    /// Writes a line of training.
    pub fn train(&mut self, metric: &Metric, speed: &Speed) -> Result<()> {
        // Each for itself: a line that can't be written is kept for later, whatever becomes of the others.
        let written = (self.metrics.write(metric), self.speed.write(speed));
        written.0.and(written.1)?;
        if let Metric::Train { step, bits_per_byte, lr, grad_norm, .. } = *metric {
            for (tag, value) in [
                ("train/bits_per_byte", bits_per_byte),
                ("train/lr", lr),
                ("train/grad_norm", grad_norm),
                ("speed/bytes_per_second", speed.bytes_per_second),
                ("speed/mfu", speed.mfu),
                ("speed/data_wait", speed.data_wait),
                ("speed/memory", speed.memory as f64),
            ] {
                self.events.scalar(tag, step, value)?;
            }
        }
        self.events.flush()
    }

    /// Writes a line of evaluation.
    pub fn valid(&mut self, metric: &Metric) -> Result<()> {
        self.metrics.write(metric)?;
        if let Metric::Valid { step, bits_per_byte, .. } = *metric {
            self.events.scalar("valid/bits_per_byte", step, bits_per_byte)?;
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
            fs::write(&path, &content).at(&path)?;
            self.events.sample(&format!("sample/{i}"), step, adapter.extension(), &content)?;
        }
        self.events.flush()
    }

    /// Makes sure that everything is in the files.
    pub fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.speed.flush()?;
        self.events.flush()
    }
}
