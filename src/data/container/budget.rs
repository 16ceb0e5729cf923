//! How much a file may become. A small file can be made to unpack to petabytes (one zip entry that a thousand others
//! point into, an xz of zeros, a sparse tar), so one budget counts what every stage of opening it produces.

use std::cell::Cell;
use std::io::{self, Read};

use super::fence::fenced;

/// What every file may become, however small it is.
const FLOOR: u64 = 64 << 20;

/// The bytes that are left to produce.
pub(super) struct Budget {
    limit: u64,
    left: Cell<u64>,
    over: Cell<bool>,
}

impl Budget {
    /// At most `expansion` times the `size` of a file, and [`FLOOR`].
    pub(super) fn new(size: u64, expansion: u64) -> Self {
        let limit = size.saturating_mul(expansion).saturating_add(FLOOR);
        Budget { limit, left: Cell::new(limit), over: Cell::new(false) }
    }

    /// Counts `bytes` that a stage has produced or is about to; fails where that is too much, and ever after.
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
        match self.left.get().checked_sub(bytes) {
            Some(left) if !self.over.get() => {
                self.left.set(left);
                Ok(())
            }
            _ => {
                self.over.set(true);
                Err(io::Error::other(self.message()))
            }
        }
    }

    /// Whether too much was asked for.
    pub(super) fn over(&self) -> bool {
        self.over.get()
    }

    /// What to say then.
    pub(super) fn message(&self) -> String {
        let limit = self.limit >> 20;
        format!("expands to more than {limit} MiB; raise data.limits.max_expansion if you trust it")
    }

    /// Counts what `decoder`, which is someone else's and fed hostile content, gives.
    pub(super) fn meter<R: Read>(&self, decoder: R) -> Metered<'_, R> {
        Metered { decoder, budget: self, failed: None }
    }
}

/// A decoder whose output is counted. After a failure it fails in the same way for ever: a decoder in an undefined
/// state is not asked again.
pub(super) struct Metered<'a, R> {
    decoder: R,
    budget: &'a Budget,
    failed: Option<String>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(reason) = &self.failed {
            return Err(io::Error::other(reason.clone()));
        }
        let read = fenced(|| self.decoder.read(buffer)).and_then(|read| {
            self.budget.take(read as u64)?;
            Ok(read)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failed = Some(error.to_string());
                Err(error)
            }
            read => read,
        }
    }
}
