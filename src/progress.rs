//! How long work in the library tells how far it is, and learns that it should stop. The library never prints.

/// Told by long work; shown by whoever called.
pub trait Progress: Sync {
    /// A new stage of `total` units (bytes, files, steps) begins; a total of 0 is unknown.
    fn start(&self, stage: &str, total: u64);

    /// `done` more units of the stage are done.
    fn advance(&self, done: u64);

    /// A line the person should see: a skipped file, a retry.
    fn note(&self, message: &str);

    /// Whether the work should stop at the next point where nothing is lost.
    fn cancelled(&self) -> bool;
}

/// Tells nobody and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}
