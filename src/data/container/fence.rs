//! A fence around parsers that are someone else's, and why the work on a container stops.

use std::io;

use crate::Error;
use crate::modality::contained;

/// Why the work stops before the end.
pub(super) enum Stop {
    /// The content is at fault, for this reason.
    Broken(String),
    /// The caller asked to stop, or this machine refuses.
    Failed(Error),
}

impl Stop {
    /// What to tell a person.
    pub(super) fn reason(self) -> String {
        match self {
            Stop::Broken(reason) => reason,
            Stop::Failed(error) => error.to_string(),
        }
    }
}

/// A step of the work.
pub(super) type Step<T = ()> = Result<T, Stop>;

/// Only readers of content give plain I/O errors; what fails to be written is a [`Stop::Failed`].
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Broken(error.to_string())
    }
}

/// The content is at fault.
pub(super) fn broken<T>(reason: impl Into<String>) -> Step<T> {
    Err(Stop::Broken(reason.into()))
}

/// Runs someone else's parser on content that may be hostile: a panic becomes an error like any other.
pub(super) fn fenced<T>(parse: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    contained(&[], || Ok(parse()))
        .unwrap_or_else(|_| Err(io::Error::other("damaged in a way that its decoder can't handle")))
}
