//! Batches ahead of time: while the trainer works on one, threads read the next.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::{Batch, Mixture};
use crate::{Error, Result};

/// Batches that wait in each thread to be used.
const AHEAD: usize = 4;

/// Gives the batches of a run in order, from any of them on. Dropping it stops its threads.
#[derive(Debug)]
pub struct Loader {
    /// The threads take turns: batch `i` comes from thread `i` modulo their number.
    threads: Vec<Reader>,
    next: usize,
}

#[derive(Debug)]
struct Reader {
    /// `None` once the loader is being dropped: the thread learns from it that nobody listens.
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts at batch `first_batch`, counted from 0, with a number of threads.
    pub fn new(mixture: Mixture, first_batch: u64, threads: usize) -> Result<Self> {
        let mixture = Arc::new(mixture);
        let start = |turn: usize| {
            let mixture = Arc::clone(&mixture);
            let (sender, batches) = sync_channel(AHEAD);
            let work = move || {
                for index in (first_batch..).skip(turn).step_by(threads) {
                    let batch = mixture.batch(index);
                    let last = batch.is_err();
                    if sender.send(batch).is_err() || last {
                        return;
                    }
                }
            };
            let thread = Builder::new().name(format!("loader {turn}")).spawn(work);
            let thread = thread.map_err(|error| Error::Content(format!("a loader's thread can't start: {error}")))?;
            Ok(Reader { batches: Some(batches), thread: Some(thread) })
        };
        if threads == 0 {
            return Err(Error::config("train.loader_threads", "must be above 0"));
        }
        Ok(Loader { threads: (0..threads).map(start).collect::<Result<_>>()?, next: 0 })
    }

    /// The next batch.
    #[expect(clippy::should_implement_trait, reason = "a run has no end and a batch can fail: this is no iterator")]
    pub fn next(&mut self) -> Result<Batch> {
        let turn = self.next;
        self.next = (turn + 1) % self.threads.len();
        let batch = self.threads[turn].batches.as_ref().and_then(|batches| batches.recv().ok());
        batch.unwrap_or_else(|| Err(Error::Content("the loader's thread has stopped".to_owned())))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: a panic of its own has been printed by the hook.
            let _ = thread.join();
        }
    }
}
