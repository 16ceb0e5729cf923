//! The library's errors. Each names the file, flag or key it is about, and where there is one, the remedy.

use std::path::{Path, PathBuf};

use crate::shown::shown;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something on a path.
    // Not a `source`: the message has it already, and whoever prints the chain would print it twice.
    #[error("{}: {error}", shown(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file is damaged, of another format, or of a kind that is not supported.
    #[error("{}: {reason}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where there is one, the remedy.
        reason: String,
    },
    /// Content that an adapter can't read, or bytes that can't be decoded; the caller knows the file's name.
    #[error("{0}")]
    Content(String),
    /// The same of one of several inputs, whose names the caller knows.
    #[error("input {}: {reason}", index + 1)]
    Input {
        /// Which of the inputs, from 0 on.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A configuration key has a value that can't work.
    #[error("`{key}` {reason}")]
    Config {
        /// The dotted key.
        key: String,
        /// Why the value can't work, and what would.
        reason: String,
    },
    /// A configuration file that can't be read as one.
    #[error("{}: {reason}", shown(path))]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The line, what is wrong with it, and what is accepted there.
        reason: String,
    },
    /// The work was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A request that can't be met: a length that leaves nothing to generate, an empty data set.
    #[error("{0}")]
    Usage(String),
    /// Memory is not to be had: what libtorch says, and where it is known, what would need less.
    #[error("{0}")]
    Memory(String),
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(tch::TchError),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Error::Torch(error)
    }
}

impl Error {
    /// An error of the operating system on `path`.
    pub fn io(path: impl AsRef<Path>, error: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_owned(), error }
    }

    /// The same error, where it is about content, said of input `index`.
    pub fn of_input(self, index: usize) -> Self {
        match self {
            Error::Content(reason) => Error::Input { index, reason },
            error => error,
        }
    }

    /// A damaged or unsupported file.
    pub fn file(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Error::File { path: path.as_ref().to_owned(), reason: reason.to_string() }
    }

    /// A configuration file that can't be read as one.
    pub fn config_file(path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Error::ConfigFile { path: path.as_ref().to_owned(), reason: reason.to_string() }
    }

    /// A configuration key with a value that can't work.
    pub fn config(key: impl ToString, reason: impl ToString) -> Self {
        Error::Config { key: key.to_string(), reason: reason.to_string() }
    }
}

/// Names the path in an error of the operating system.
pub trait IoContext<T> {
    /// Turns an I/O error into one that names `path`.
    fn at(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| Error::io(path, error))
    }
}
