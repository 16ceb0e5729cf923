//! Batches ahead of time: while the trainer works on one, a thread reads the next.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::{Batch, Dataset, LoaderConfig, Sampler};
use crate::{Error, Result};

/// Batches that wait to be used.
const AHEAD: usize = 4;

/// Gives the batches of a run in order, from any of them on. Dropping it stops its thread.
#[derive(Debug)]
pub struct Loader {
    /// `None` once the loader is being dropped: the thread learns from it that nobody listens.
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts at batch `first_batch`, counted from 0. Fails as [`Sampler::new`] does.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig, first_batch: u64) -> Result<Self> {
        let sampler = Sampler::new(dataset, config)?;
        let (sender, batches) = sync_channel(AHEAD);
        let work = move || {
            for index in first_batch.. {
                let batch = sampler.batch(index);
                let last = batch.is_err();
                if sender.send(batch).is_err() || last {
                    return;
                }
            }
        };
        let thread = Builder::new().name("loader".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Error::Content(format!("the loader's thread can't start: {error}")))?;
        Ok(Loader { batches: Some(batches), thread: Some(thread) })
    }

    /// The next batch.
    #[expect(clippy::should_implement_trait, reason = "a run has no end and a batch can fail: this is no iterator")]
    pub fn next(&mut self) -> Result<Batch> {
        let batch = self.batches.as_ref().and_then(|batches| batches.recv().ok());
        batch.unwrap_or_else(|| Err(Error::Content("the loader's thread has stopped".to_owned())))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: a panic of its own has been printed by the hook.
            let _ = thread.join();
        }
    }
}
