//! Lossless archives: a model's predictions and a range coder make a file small, and the same predictions bring it back
//! exactly. docs/archives.md has the format.
//!
//! [`Codec`] is a model that codes. The way of a file: `container` finds the bytes that the model knows how to predict,
//! `lockstep` takes them through the model in batches of one shape, window by window as `eval --inference plain` does,
//! [`coder`](super::coder) makes code of them, and `header` says what is where. Decoding goes the same way back.

mod compress;
mod container;
mod decompress;
mod header;
mod identity;
mod lockstep;
mod png;
mod wire;

use std::path::Path;

use tch::{Device, Kind};

pub use compress::{CompressOptions, Compressed};
pub use container::{container_of, rebuild, side_of};
pub use decompress::{Damage, DecompressOptions, Restored, unpack};
pub use header::{Block, Coding, Container, Header, MAGIC};
pub use identity::Identity;

use crate::modality::Layout;
use crate::model::Megabyte;
use crate::model::cache::LevelCache;
use crate::model::folder;
use crate::train::memory;
use crate::{Error, Result};

/// A model that encodes and decodes archives.
#[derive(Debug)]
pub struct Codec {
    layout: Layout,
    model: Megabyte,
    fingerprint: u64,
}

/// Rows of a batch that fill a CPU's core, and those that hide what a step costs a GPU whatever its rows.
pub const LANES: usize = 32;
const CUDA_LANES: usize = 1024;
/// Bytes of caches that are chosen for a batch on a CPU, where every core has one.
const CACHES: u64 = 512 << 20;

impl Codec {
    /// Loads a model folder: matrix work in `kind` on `device`.
    pub fn load(place: &Path, kind: Kind, device: Device) -> Result<Self> {
        let (file, model) = folder::load(place, kind, device)?;
        let fingerprint = folder::fingerprint(place, &model)?;
        Ok(Codec { layout: file.layout, model, fingerprint })
    }

    /// A model in memory, whose content is laid out like this.
    pub fn new(layout: Layout, model: Megabyte) -> Result<Self> {
        let fingerprint = folder::fingerprint_of(&layout, &model)?;
        Ok(Codec { layout, model, fingerprint })
    }

    /// How the model's content is laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The model.
    pub fn model(&self) -> &Megabyte {
        &self.model
    }

    /// Hash of the model's configuration and tensors.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// What computing in batches of `lanes` rows gives here.
    fn identity(&self, lanes: usize) -> Result<Identity> {
        let fingerprint = self.fingerprint;
        let found = lockstep::on_threads(&self.model, 1, |model| Identity::of(fingerprint, model, lanes))?;
        Ok(found[0])
    }

    /// Rows of a batch for `windows` windows in all, `block` of them in a block: as many as keep a core busy and memory
    /// holds, of whole blocks where these are few, and no more than there are windows.
    fn lanes_for(&self, windows: usize, block: usize) -> Result<usize> {
        let on_cuda = self.model.device().is_cuda();
        let full = if on_cuda { CUDA_LANES } else { LANES };
        let many = if block < full { block * (full / block) } else { full };
        let half = self.memory()?.min(memory::available(self.model.device())?) / 2;
        let fit = self.fitting(if on_cuda { half } else { half.min(CACHES) });
        Ok(many.min(windows.next_power_of_two()).min(fit).max(1))
    }

    /// Refuses batches whose caches are beyond the device's memory.
    fn check_lanes(&self, lanes: usize) -> Result<()> {
        let most = self.fitting(self.memory()? / 5 * 4).clamp(1, header::MAX_LANES);
        if (1..=most).contains(&lanes) {
            return Ok(());
        }
        Err(Error::Usage(format!("{lanes} lanes: of this model, 1 to {most} are possible")))
    }

    /// How many of `threads` have a batch of `lanes` rows at a time: as many as memory holds the caches of.
    fn threads_for(&self, lanes: usize, threads: usize) -> Result<usize> {
        let rows = self.fitting(memory::available(self.model.device())? / 2);
        Ok(threads.min(rows / lanes.max(1)).max(1))
    }

    /// Bytes that the device has; without end where the system does not say.
    fn memory(&self) -> Result<u64> {
        Ok(match memory::total(self.model.device())? {
            0 => u64::MAX,
            bytes => bytes,
        })
    }

    /// Rows whose caches take so many bytes.
    fn fitting(&self, bytes: u64) -> usize {
        usize::try_from(bytes).unwrap_or(usize::MAX) / self.cache_bytes().max(1)
    }

    /// Bytes of the keys and values of one row.
    fn cache_bytes(&self) -> usize {
        let config = self.model.config();
        (config.first_level()..config.levels.len()).map(|l| LevelCache::bytes(config, l, self.model.kind())).sum()
    }
}
