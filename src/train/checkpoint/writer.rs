//! Checkpoints written beside training, one at a time; which are due, and when one that failed is tried again.

use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};

use crate::{Error, Result};

/// The most lines of metrics between two tries.
const MAX_WAIT: u32 = 64;

/// Writes checkpoints on a thread of its own, so that training waits for none but those that it asks for. One that is being
/// written when this ends is finished first.
#[derive(Debug, Default)]
pub struct Writer {
    job: Option<Job>,
    /// A checkpoint is due that was not begun yet.
    due: bool,
    /// After one that failed.
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Job {
    step: u64,
    best: Option<Best>,
    thread: Result<JoinHandle<Result<PathBuf>>>,
}

/// Lines of metrics until the next try, of as many as were waited for.
#[derive(Debug, Clone, Copy)]
struct Retry {
    left: u32,
    wait: u32,
}

/// What is true of a checkpoint that is the best so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// The run's best result without it.
    pub before: Option<f64>,
}

/// A checkpoint that was written, or could not be.
#[derive(Debug)]
pub struct Written {
    /// The step that it is of.
    pub step: u64,
    /// Where it is the best.
    pub best: Option<Best>,
    /// Where it is.
    pub place: Result<PathBuf>,
}

impl Writer {
    /// A checkpoint is due. Where another one is being written, it is begun when that is done.
    pub fn want(&mut self) {
        self.due = true;
    }

    /// A line of metrics was written: a checkpoint that failed is tried again after one line, then after two, four and so
    /// on.
    pub fn line(&mut self) {
        if let Some(retry) = &mut self.retry
            && retry.left > 0
        {
            retry.left -= 1;
            self.due |= retry.left == 0;
        }
    }

    /// Whether one is due and can be begun without waiting.
    pub fn is_due(&self) -> bool {
        self.due && self.job.is_none()
    }

    /// Whether one is being written that is the best.
    pub fn writes_best(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.best.is_some())
    }

    /// Begins a checkpoint, which is what was due. `work` writes it, and gives its place; where that could not even be
    /// prepared, it is one that failed. The one before has to be finished.
    pub fn start<W>(&mut self, step: u64, best: Option<Best>, work: Result<W>)
    where
        W: FnOnce() -> Result<PathBuf> + Send + 'static,
    {
        assert!(self.job.is_none(), "one checkpoint is written at a time");
        self.due = false;
        let no_thread = |error| Error::Content(format!("there is no thread to write it: {error}"));
        let thread = work.and_then(|work| Builder::new().name("checkpoint".to_owned()).spawn(work).map_err(no_thread));
        self.job = Some(Job { step, best, thread });
    }

    /// What became of the one that was begun, if that is known by now.
    pub fn poll(&mut self) -> Option<Written> {
        let done = |job: &Job| job.thread.as_ref().map_or(true, JoinHandle::is_finished);
        if self.job.as_ref().is_some_and(done) { self.finish() } else { None }
    }

    /// Waits for the one that was begun.
    pub fn finish(&mut self) -> Option<Written> {
        let job = self.job.take()?;
        let place = job.thread.and_then(|thread| {
            thread.join().unwrap_or_else(|_| {
                Err(Error::Content("a checkpoint could not be written: this is a bug of megabyte".to_owned()))
            })
        });
        self.retry = place.is_err().then(|| {
            let wait = self.retry.map_or(1, |retry| (2 * retry.wait).min(MAX_WAIT));
            Retry { left: wait, wait }
        });
        Some(Written { step: job.step, best: job.best, place })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::{Duration, Instant};

    use super::*;

    /// Begins to write what takes until something is sent, or its sender is gone.
    fn begin(writer: &mut Writer, step: u64, best: Option<Best>) -> Sender<()> {
        let (sender, receiver) = channel();
        let work = move || {
            let _ = receiver.recv();
            Ok(PathBuf::from(format!("step_{step}")))
        };
        writer.start(step, best, Ok(work));
        sender
    }

    fn fail(writer: &mut Writer, step: u64) {
        writer.start(step, None, Ok(|| Err(Error::Content("no room".to_owned()))));
        assert!(writer.finish().unwrap().place.is_err());
    }

    #[test]
    fn steps_go_on_while_one_is_written_and_what_falls_due_waits() {
        let mut writer = Writer::default();
        writer.want();
        assert!(writer.is_due());
        let slow = begin(&mut writer, 1, None);
        for _ in 0..5 {
            writer.want();
            writer.line();
            assert!(writer.poll().is_none() && !writer.is_due(), "it is not waited for");
        }
        drop(slow);
        let began = Instant::now();
        let written = loop {
            assert!(began.elapsed() < Duration::from_secs(60));
            if let Some(written) = writer.poll() {
                break written;
            }
        };
        assert_eq!((written.step, written.place.unwrap()), (1, PathBuf::from("step_1")));
        assert!(writer.is_due(), "what fell due meanwhile");
    }

    #[test]
    fn one_that_failed_is_tried_again_ever_more_rarely_until_it_is_there() {
        let mut writer = Writer::default();
        let mut lines = Vec::new();
        for try_ in 0..9 {
            fail(&mut writer, try_);
            lines.push((1..).find(|_| {
                writer.line();
                writer.is_due()
            }));
        }
        assert_eq!(lines.into_iter().map(Option::unwrap).collect::<Vec<u32>>(), [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        // While the next one is written, no other becomes due; and when it is there, none is.
        let slow = begin(&mut writer, 9, None);
        for _ in 0..200 {
            writer.line();
        }
        drop(slow);
        assert!(writer.finish().unwrap().place.is_ok());
        writer.line();
        assert!(!writer.is_due());
        fail(&mut writer, 10);
        writer.line();
        assert!(writer.is_due(), "and the next failure begins anew");
    }

    #[test]
    fn what_could_not_be_prepared_is_one_that_failed() {
        let mut writer = Writer::default();
        let best = Some(Best { before: Some(2.0) });
        writer.start(3, best, Err::<fn() -> Result<PathBuf>, _>(Error::Content("no memory".to_owned())));
        assert!(writer.writes_best());
        let written = writer.poll().unwrap();
        assert!(written.place.is_err() && written.best == best && !writer.writes_best());
        writer.line();
        assert!(writer.is_due());
    }
}
