//! What a run writes about itself: `metrics.jsonl`, which depends on nothing but configuration and data, and
//! `speed.jsonl`, which depends on the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::Serialize;

use super::levels::LevelNorms;
use crate::append::Append;
use crate::error::IoContext;
use crate::{Error, Result};

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metric {
    /// The steps since the last such line.
    Train {
        /// Steps done.
        step: u64,
        /// Symbols trained on.
        bytes: u64,
        /// Nats a symbol; NaN, which JSON writes as null, where every step was skipped.
        loss: f64,
        /// The same in bits.
        bits_per_byte: f64,
        /// Learning rate of the last step.
        lr: f64,
        /// Norm of the last step's gradients before clipping.
        grad_norm: f64,
        /// Of each level, coarse first.
        levels: Vec<LevelNorms>,
        /// Steps of the run so far that changed nothing, because their gradients were not finite.
        skipped: u64,
    },
    /// A step whose loss rose suddenly.
    Spike {
        /// The step's number, from 1.
        step: u64,
        /// Its loss.
        bits_per_byte: f64,
        /// The mean of those before it.
        mean: f64,
        /// The first and the last of the batches it was of, by their numbers from 0.
        batches: [u64; 2],
    },
    /// The valid split, or a part of it.
    Valid {
        /// Steps done.
        step: u64,
        /// Symbols trained on.
        bytes: u64,
        /// Nats of all that was scored.
        nats: f64,
        /// nats / (ln 2 · scored bytes); of the averaged weights, where there are.
        bits_per_byte: f64,
        /// The same of the weights that are trained, where averaged ones are scored.
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_bits_per_byte: Option<f64>,
        /// Of bits_per_byte, over sequences.
        std_error: f64,
        /// Bytes scored.
        scored_bytes: u64,
        /// The bits per byte of each data set of a mixture.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        parts: Vec<f64>,
    },
}

impl Metric {
    /// The step that it is about.
    pub fn step(&self) -> u64 {
        match self {
            Metric::Train { step, .. } | Metric::Spike { step, .. } | Metric::Valid { step, .. } => *step,
        }
    }
}

/// A line of `speed.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Steps done.
    pub step: u64,
    /// Seconds of training since the run began.
    pub seconds: f64,
    /// Symbols a second since the last line.
    pub bytes_per_second: f64,
    /// Share of the machine's measured matrix rate, where that could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfu: Option<f64>,
    /// Share of the time spent waiting for data.
    pub data_wait: f64,
    /// The most bytes of memory used since the last line: on a CPU by the whole program, on CUDA by tensors.
    pub memory: u64,
}

/// A file of JSON lines that grows. A line that can't be written is kept and tried again with the next one.
#[derive(Debug)]
pub struct JsonLines(Append);

impl JsonLines {
    /// Opens `path` to continue after `step`: lines of later steps, of a part of the run that is done again, go. So do
    /// those of an evaluation at this step where it is still `owed`.
    pub fn open(path: &Path, step: u64, owed: bool) -> Result<Self> {
        if let Some(kept) = until(path, step, owed)?
            && fs::metadata(path).at(path)?.len() != kept.len() as u64
        {
            let temporary = path.with_extension("jsonl.tmp");
            let mut file = File::create(&temporary).at(&temporary)?;
            file.write_all(&kept).and_then(|()| file.sync_all()).at(&temporary)?;
            fs::rename(&temporary, path).at(path)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).at(path)?;
        Ok(JsonLines(Append::new(path, file)?))
    }

    /// Adds a line.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        self.0.push(&serde_json::to_vec(line).expect("a metric has no value that JSON lacks"));
        self.0.push(b"\n");
        self.flush()
    }

    /// Tries once more to write what could not be written.
    pub fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }

    /// Another handle to the file, to wait for the disk with.
    pub fn handle(&self) -> Result<File> {
        self.0.handle()
    }

    /// Writes to another file from here on, and gives the one before.
    #[cfg(test)]
    pub fn swap_file(&mut self, file: File) -> File {
        self.0.swap_file(file)
    }
}

/// The whole lines of a file up to `step`, without those of an evaluation at it that is still `owed`; none where there is
/// no file.
pub fn until(path: &Path, step: u64, owed: bool) -> Result<Option<Vec<u8>>> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    let stays = |line: &&[u8]| place(line).is_some_and(|(at, valid)| at < step || at == step && !(owed && valid));
    let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').filter(stays).collect();
    Ok(Some(lines.concat()))
}

/// The step of a whole line, and whether it is of an evaluation; none of a line that was cut short.
fn place(line: &[u8]) -> Option<(u64, bool)> {
    let value: serde_json::Value = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some((value.get("step")?.as_u64()?, value.get("kind").is_some_and(|kind| kind == "valid")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_drops_later_steps_and_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        // Among them what a broken disk made of a line.
        fs::write(&path, b"{\"step\":1}\n{\"\xff\xfe\":1}\n{\"step\":2}\n{\"step\":3}\n{\"step\":2").unwrap();
        let mut lines = JsonLines::open(&path, 2, false).unwrap();
        lines.write(&serde_json::json!({"step": 9})).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n{\"step\":9}\n");
    }

    #[test]
    fn an_evaluation_that_is_owed_is_not_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let lines = ["valid\",\"step\":2", "train\",\"step\":4", "valid\",\"step\":4"];
        let lines = lines.map(|line| format!("{{\"kind\":\"{line}}}\n"));
        fs::write(&path, lines.concat()).unwrap();
        JsonLines::open(&path, 4, false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines.concat());
        JsonLines::open(&path, 4, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines[..2].concat());
    }

    #[test]
    fn a_line_that_can_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut lines = JsonLines::open(&path, 0, false).unwrap();
        lines.write(&serde_json::json!({"step": 1})).unwrap();
        let whole = lines.swap_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
        for step in [2, 3] {
            let error = lines.write(&serde_json::json!({"step": step})).unwrap_err().to_string();
            assert!(error.contains("metrics.jsonl") && error.contains("No space"), "{error}");
        }
        lines.swap_file(whole);
        lines.flush().unwrap();
        lines.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
    }
}
