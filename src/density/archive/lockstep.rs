//! Encoding and decoding are one computation: rows of a batch go forward together, a symbol at a time, through the
//! cached engine. What an encoder puts at a place and what a decoder finds there is all that differs.
//!
//! Sums of floating-point numbers depend on the shape of a batch and on how many threads share it. So a batch has
//! always as many rows as the archive says, those without data filled with zeros, a window has the row that the archive
//! says, and one thread computes it all; more threads compute other batches.

use std::collections::VecDeque;
use std::sync::Mutex;

use tch::{Device, Kind, Tensor};

use super::super::coder::{ByteDecoder, ByteEncoder, Frequencies};
use crate::generate::{Engine, OneThread};
use crate::model::Megabyte;
use crate::progress::Progress;
use crate::{Error, Result};

/// A block on its way through the model: consecutive windows in rows of one batch, as many at a time as there are rows,
/// and one range code for all of them, in which a place of these windows comes before the next place of any.
#[derive(Debug)]
pub(super) struct Task {
    /// Whose it is, for the caller.
    pub owner: (usize, usize),
    /// The row of its first window.
    pub row: usize,
    /// Rows of a batch.
    pub lanes: usize,
    /// Its content: all of it, or as much as was decoded, with zeros after it.
    pub content: Vec<u8>,
    /// Bytes of a window; the last one is what is left.
    pub window: usize,
    /// Where its code is made, or comes from.
    pub way: Way,
}

/// What is done at each place.
#[derive(Debug)]
pub(super) enum Way {
    /// The content's byte goes into a code.
    Encode(ByteEncoder),
    /// A byte comes out of a code; `None` once that has failed.
    Decode(Option<ByteDecoder>),
}

impl Task {
    fn windows(&self) -> usize {
        self.content.len().div_ceil(self.window)
    }

    /// Rows that it takes.
    pub fn rows(&self) -> usize {
        self.windows().min(self.lanes)
    }

    /// How often its rows begin anew.
    fn rounds(&self) -> usize {
        self.windows().div_ceil(self.rows().max(1))
    }

    /// Places of the longest window of a round.
    fn places(&self, round: usize) -> usize {
        self.content.len().saturating_sub(round * self.rows() * self.window).min(self.window)
    }

    /// Steps of the model that it takes.
    pub fn steps(&self) -> usize {
        (0..self.rounds()).map(|round| self.places(round)).sum()
    }

    /// The byte at place `at` of window `i`, coded, if there is one.
    fn step(&mut self, i: usize, at: usize, logits: &[f32]) -> Result<Option<u8>> {
        if at >= self.window {
            return Ok(None);
        }
        let Some(byte) = self.content.get_mut(i * self.window + at) else { return Ok(None) };
        match &mut self.way {
            Way::Encode(encoder) => encoder.push(*byte, &Frequencies::new(logits)?),
            Way::Decode(decoder) => {
                if let Some(found) = decoder {
                    match found.pull(&Frequencies::new(logits)?) {
                        Some(decoded) => *byte = decoded,
                        None => *decoder = None,
                    }
                }
            }
        }
        Ok(Some(*byte))
    }
}

/// Puts tasks into batches of as many rows as they say, alike for all, each into the first whose rows are free.
pub(super) fn batches(tasks: Vec<Task>) -> Vec<Vec<Task>> {
    let mut batches: Vec<(Vec<bool>, Vec<Task>)> = Vec::new();
    // Batches before this one are full.
    let mut open = 0;
    for task in tasks {
        let rows = task.row..task.row + task.rows();
        let free = |(taken, _): &(Vec<bool>, Vec<Task>)| !taken[rows.clone()].contains(&true);
        let place = (open..batches.len()).find(|&i| free(&batches[i])).unwrap_or(batches.len());
        if place == batches.len() {
            batches.push((vec![false; task.lanes], Vec::new()));
        }
        let (taken, tasks) = &mut batches[place];
        taken[rows].fill(true);
        tasks.push(task);
        while batches.get(open).is_some_and(|(taken, _)| !taken.contains(&false)) {
            open += 1;
        }
    }
    batches.into_iter().map(|(_, tasks)| tasks).collect()
}

/// Runs `work` on threads of their own, each with a twin of the model and libtorch's own threads off, as many as
/// `threads` says, on a GPU one. Ends with the first error.
pub(super) fn on_threads<T: Send>(
    model: &Megabyte,
    threads: usize,
    work: impl Fn(&Megabyte) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = if model.device() == Device::Cpu { threads.max(1) } else { 1 };
    std::thread::scope(|scope| {
        let start = |_| {
            let twin = model.twin()?;
            let work = &work;
            Ok(scope.spawn(move || {
                let _one = OneThread::begin()?;
                let _guard = tch::no_grad_guard();
                work(&twin)
            }))
        };
        let handles: Vec<_> = (0..threads).map(start).collect::<Result<_>>()?;
        let join = |handle: std::thread::ScopedJoinHandle<'_, Result<T>>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        handles.into_iter().map(join).collect()
    })
}

/// Codes batches of tasks, and gives the tasks back in any order.
pub(super) fn run(
    model: &Megabyte,
    batches: Vec<Vec<Task>>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Vec<Task>> {
    let threads = threads.min(batches.len());
    let waiting = Mutex::new(VecDeque::from(batches));
    let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
    let done = on_threads(model, threads, |model| {
        let mut done = Vec::new();
        while let Some(mut tasks) = next() {
            let coded = batch(model, &mut tasks, progress);
            if coded.is_err() {
                // Nobody begins another one.
                while next().is_some() {}
            }
            coded?;
            done.append(&mut tasks);
        }
        Ok(done)
    })?;
    Ok(done.into_iter().flatten().collect())
}

/// One batch: all rounds of its tasks, each from its first place to the last of its longest window.
fn batch(model: &Megabyte, tasks: &mut [Task], progress: &dyn Progress) -> Result<()> {
    let lanes = tasks.first().map_or(1, |task| task.lanes);
    let mut engine = Engine::new(model, lanes);
    for number in 0..tasks.iter().map(Task::rounds).max().unwrap_or(0) {
        round(model, &mut engine, number, lanes, tasks, progress)?;
    }
    Ok(())
}

fn round(
    model: &Megabyte,
    engine: &mut Engine<'_>,
    number: usize,
    lanes: usize,
    tasks: &mut [Task],
    progress: &dyn Progress,
) -> Result<()> {
    let vocab = model.config().vocab;
    let mut symbols = vec![0; lanes];
    for at in 0..tasks.iter().map(|task| task.places(number)).max().unwrap_or(0) {
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        let logits = if at == 0 { engine.prefill(&vec![Vec::new(); lanes])? } else { engine.push(&symbols)? };
        let logits = to_host(&logits)?;
        symbols.fill(0);
        let mut bytes = 0;
        for task in &mut *tasks {
            let rows = task.rows();
            for i in 0..rows {
                let row = task.row + i;
                let logits = &logits[row * vocab..(row + 1) * vocab];
                if let Some(byte) = task.step(number * rows + i, at, logits)? {
                    symbols[row] = i64::from(byte);
                    bytes += 1;
                }
            }
        }
        progress.advance(bytes);
    }
    Ok(())
}

/// Logits (lanes, V), row after row.
fn to_host(logits: &Tensor) -> Result<Vec<f32>> {
    Ok(Vec::<f32>::try_from(logits.to_kind(Kind::Float).view(-1))?)
}
