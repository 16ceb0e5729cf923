//! A reader that gives no more than it is allowed to at the moment, for parsers that read headers into memory however
//! long these say they are.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that may be read until the owner says otherwise.
pub(super) struct Allowance {
    left: Cell<u64>,
    reason: &'static str,
}

impl Allowance {
    /// None yet; `reason` is told where a reader asks for more than it may have.
    pub(super) fn new(reason: &'static str) -> Self {
        Allowance { left: Cell::new(0), reason }
    }

    /// From now on this many.
    pub(super) fn set(&self, bytes: u64) {
        self.left.set(bytes);
    }

    /// From now on as many as there are.
    pub(super) fn lift(&self) {
        self.left.set(u64::MAX);
    }
}

/// The reader.
pub(super) struct Gate<'a, R> {
    inner: R,
    allowance: &'a Allowance,
}

impl<'a, R> Gate<'a, R> {
    pub(super) fn new(inner: R, allowance: &'a Allowance) -> Self {
        Gate { inner, allowance }
    }
}

impl<R: Read> Read for Gate<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.left.get();
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::other(self.allowance.reason));
        }
        let len = usize::try_from(allowed).map_or(buffer.len(), |allowed| allowed.min(buffer.len()));
        let read = self.inner.read(&mut buffer[..len])?;
        if allowed != u64::MAX {
            self.allowance.set(allowed - read as u64);
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Gate<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_allowed() {
        let allowance = Allowance::new("too long");
        let mut gate = Gate::new(&b"abcdef"[..], &allowance);
        let mut two = [0; 2];
        assert_eq!(gate.read(&mut two).unwrap_err().to_string(), "too long");
        allowance.set(3);
        assert_eq!((gate.read(&mut two).unwrap(), gate.read(&mut two).unwrap()), (2, 1));
        assert!(gate.read(&mut two).is_err());
        allowance.lift();
        assert_eq!(io::read_to_string(gate).unwrap(), "def");
    }
}
