//! What a long evaluation has found so far: the nats of every symbol in the order of the windows, appended as it goes,
//! so that the same evaluation goes on where it was interrupted and finds what it would have found.
//!
//! A line of JSON, the [`Key`], then records of one batch of windows each: the number of nats (u32), the nats (float32,
//! or float64 of a model in float64), and the XXH3-64 of these; little-endian. What stands behind the last whole record
//! is dropped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::IoContext;
use crate::{Error, Result};

/// The version of the format.
const FORMAT: u32 = 2;
/// A longer first line is none of ours.
const LINE: usize = 1 << 12;
/// A record of more nats is none of ours.
const MOST: usize = 1 << 28;

/// What the nats depend on: a journal goes on with the same only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The version of the format.
    #[serde(rename = "megabyte_journal")]
    format: u32,
    /// Which model: a name for its weights and configuration.
    pub model: String,
    /// Which data: a name for its bytes.
    pub data: String,
    /// How much of it at most; 0: all.
    pub limit_bytes: u64,
    /// The way of inference.
    pub inference: String,
    /// The type of matrix work.
    pub dtype: String,
    /// What it is computed on. Format 1 doesn't say.
    #[serde(default)]
    pub device: String,
}

impl Key {
    /// The key of an evaluation. The last are the type of matrix work and the device.
    pub fn new(
        model: String,
        data: String,
        limit_bytes: u64,
        inference: super::Inference,
        [dtype, device]: [String; 2],
    ) -> Self {
        Key { format: FORMAT, model, data, limit_bytes, inference: inference.name().to_owned(), dtype, device }
    }

    /// What is another in a journal's key, for a person.
    fn difference(&self, theirs: &Key) -> Option<String> {
        let of = |what: &str, ours: &str, theirs: &str| (ours != theirs).then(|| format!("{what} ({theirs})"));
        of("format", &self.format.to_string(), &theirs.format.to_string())
            .or_else(|| of("model", &self.model, &theirs.model))
            .or_else(|| of("data", &self.data, &theirs.data))
            .or_else(|| of("--inference", &self.inference, &theirs.inference))
            .or_else(|| of("--limit-bytes", &self.limit_bytes.to_string(), &theirs.limit_bytes.to_string()))
            .or_else(|| of("--dtype", &self.dtype, &theirs.dtype))
            .or_else(|| of("--device", &self.device, &theirs.device))
    }
}

/// An open journal. Its records are read from the first to the last; then new ones are appended.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of a number.
    width: usize,
    /// Where the records begin, and where the next one is read or written.
    start: u64,
    place: u64,
}

impl Journal {
    /// Opens a journal, or begins one where there is no file or an empty one. `wide` is for models in float64.
    ///
    /// Fails where the file is no journal, is one of something else (the error names it), or is used by another
    /// program right now.
    pub fn open(path: &Path, key: &Key, wide: bool) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).at(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::file(path, "is in use by another evaluation")),
            Err(TryLockError::Error(error)) => return Err(Error::io(path, error)),
        }
        let mut head = vec![0; LINE];
        let read = read_up_to(&mut file, &mut head).at(path)?;
        let line = serde_json::to_string(key).expect("a key has string keys only") + "\n";
        let start = match head[..read].iter().position(|&byte| byte == b'\n') {
            // Nothing, or a first line that was cut short.
            None if line.as_bytes().starts_with(&head[..read]) => {
                file.set_len(0).and_then(|()| file.write_all(line.as_bytes())).at(path)?;
                line.len()
            }
            end => {
                let theirs = end.and_then(|end| serde_json::from_slice::<Key>(&head[..end]).ok());
                let theirs = theirs.ok_or_else(|| Error::file(path, "is no journal of `eval`: choose another path"))?;
                if let Some(what) = key.difference(&theirs) {
                    let reason = format!("is the journal of another {what}: choose another path, or remove it");
                    return Err(Error::file(path, reason));
                }
                end.map_or(0, |end| end + 1)
            }
        };
        let (width, start) = (if wide { 8 } else { 4 }, start as u64);
        Ok(Journal { path: path.to_owned(), file, width, start, place: start })
    }

    /// The type of matrix work of the journal at `path`, where there is one: an evaluation that goes on keeps it.
    pub fn dtype(path: &Path) -> Option<String> {
        let mut head = vec![0; LINE];
        let read = read_up_to(&mut File::open(path).ok()?, &mut head).ok()?;
        let end = head[..read].iter().position(|&byte| byte == b'\n')?;
        Some(serde_json::from_slice::<Key>(&head[..end]).ok()?.dtype)
    }

    /// Goes back to the first record.
    pub(super) fn rewind(&mut self) {
        self.place = self.start;
    }

    /// The nats of the next record; after the last one nothing, and what stands behind it is cut off.
    pub(super) fn read(&mut self) -> Result<Option<Vec<f64>>> {
        self.file.seek(SeekFrom::Start(self.place)).at(&self.path)?;
        let mut count = [0; 4];
        let whole = read_up_to(&mut self.file, &mut count).at(&self.path)? == count.len();
        let count = u32::from_le_bytes(count) as usize;
        if whole && (1..=MOST).contains(&count) {
            let left = self.file.metadata().at(&self.path)?.len().saturating_sub(self.place + 4);
            let size = count * self.width;
            if left >= size as u64 + 8 {
                let mut record = vec![0; size + 8];
                self.file.read_exact(&mut record).at(&self.path)?;
                let (nats, checksum) = record.split_at(size);
                if xxh3_64(nats).to_le_bytes() == checksum {
                    self.place += 4 + record.len() as u64;
                    return Ok(Some(nats.chunks_exact(self.width).map(number).collect()));
                }
            }
        }
        self.file.set_len(self.place).at(&self.path)?;
        Ok(None)
    }

    /// Appends the nats of a batch of windows.
    pub(super) fn append(&mut self, nats: &[f64]) -> Result<()> {
        let mut record = Vec::with_capacity(12 + nats.len() * self.width);
        record.extend_from_slice(&(nats.len() as u32).to_le_bytes());
        for &nats in nats {
            match self.width {
                4 => record.extend_from_slice(&(nats as f32).to_le_bytes()),
                _ => record.extend_from_slice(&nats.to_le_bytes()),
            }
        }
        let checksum = xxh3_64(&record[4..]);
        record.extend_from_slice(&checksum.to_le_bytes());
        self.file.write_all(&record).at(&self.path)?;
        self.place += record.len() as u64;
        Ok(())
    }

    /// The error of a journal that has other windows than its key says.
    pub(super) fn inconsistent(&self) -> Error {
        Error::file(&self.path, "has other windows than its first line says: remove it")
    }
}

/// A float32 or a float64.
fn number(bytes: &[u8]) -> f64 {
    match *bytes {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
        _ => f64::from_le_bytes(std::array::from_fn(|i| bytes[i])),
    }
}

/// Fills a buffer as far as the file goes.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}
