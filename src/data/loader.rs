//! Batches ahead of time: while the trainer works on one, threads read the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::{Batch, Mixture};
use crate::{Error, Result};

/// Symbols that a thread hands over at a time, about: waking another thread costs as much as reading thousands.
const GROUP: usize = 1 << 18;
/// Groups that wait in each thread to be used.
const AHEAD: usize = 2;

/// Gives the batches of a run in order, from any of them on. Dropping it stops its threads.
#[derive(Debug)]
pub struct Loader {
    /// The threads take turns, a group of batches each.
    threads: Vec<Reader>,
    turn: usize,
    /// What is left of a group.
    ready: VecDeque<Batch>,
}

#[derive(Debug)]
struct Reader {
    /// `None` once the loader is being dropped: the thread learns from it that nobody listens.
    groups: Option<Receiver<Result<Vec<Batch>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts at batch `first_batch`, counted from 0, with a number of threads.
    pub fn new(mixture: Mixture, first_batch: u64, threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::config("train.loader_threads", "must be above 0"));
        }
        let mixture = Arc::new(mixture);
        let group = (GROUP / mixture.symbols()).max(1) as u64;
        let start = |turn: usize| {
            let mixture = Arc::clone(&mixture);
            let (sender, groups) = sync_channel(AHEAD);
            let work = move || {
                for first in (first_batch..).step_by(group as usize).skip(turn).step_by(threads) {
                    let indexes = first..=first.saturating_add(group - 1);
                    let batches = indexes.map(|index| mixture.batch(index)).collect::<Result<Vec<_>>>();
                    let last = batches.is_err();
                    if sender.send(batches).is_err() || last {
                        return;
                    }
                }
            };
            let thread = Builder::new().name(format!("loader {turn}")).spawn(work);
            let thread = thread.map_err(|error| Error::Content(format!("a loader's thread can't start: {error}")))?;
            Ok(Reader { groups: Some(groups), thread: Some(thread) })
        };
        Ok(Loader { threads: (0..threads).map(start).collect::<Result<_>>()?, turn: 0, ready: VecDeque::new() })
    }

    /// The most symbols that wait to be used, where batches have so many each.
    pub fn ahead(batch: usize, threads: usize) -> u64 {
        // Of each thread those that wait, one that is being read, and one that is in use.
        (batch.max(GROUP) * (AHEAD + 2) * threads) as u64
    }

    /// The next batch.
    #[expect(clippy::should_implement_trait, reason = "a run has no end and a batch can fail: this is no iterator")]
    pub fn next(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            let groups = self.threads[self.turn].groups.as_ref();
            let group = groups.and_then(|groups| groups.recv().ok());
            self.ready =
                group.unwrap_or_else(|| Err(Error::Content("the loader's thread has stopped".to_owned())))?.into();
            self.turn = (self.turn + 1) % self.threads.len();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.groups.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: a panic of its own has been printed by the hook.
            let _ = thread.join();
        }
    }
}
