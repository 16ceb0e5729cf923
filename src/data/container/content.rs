//! What is read and what is handed on: bytes in memory, a file, or a stream that is read once.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use super::fence::{Step, Stop};
use crate::error::IoContext;

/// How much of a content tells what it is: one block of a tar archive.
pub(super) const HEAD: usize = 512;

/// The bytes of a record.
#[derive(Debug)]
pub enum Content {
    /// At most 16 MiB.
    Memory(Vec<u8>),
    /// An unnamed temporary file, positioned at its start.
    File(File),
}

/// What can be read from any place.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

impl Content {
    /// What is longer goes to a temporary file.
    pub(super) const IN_MEMORY: usize = 16 << 20;

    /// Reads `stream` to its end, into memory or else a temporary file in `folder`.
    pub(super) fn spool(stream: &mut dyn Read, folder: &Path) -> Step<Content> {
        let mut memory = Vec::new();
        stream.take(Self::IN_MEMORY as u64 + 1).read_to_end(&mut memory)?;
        if memory.len() <= Self::IN_MEMORY {
            return Ok(Content::Memory(memory));
        }
        let mut file = tempfile::tempfile_in(folder).at(folder).map_err(Stop::Failed)?;
        let mut filled = memory.len();
        loop {
            file.write_all(&memory[..filled]).at(folder).map_err(Stop::Failed)?;
            filled = read_some(stream, &mut memory)?;
            if filled == 0 {
                break;
            }
        }
        file.rewind().at(folder).map_err(Stop::Failed)?;
        Ok(Content::File(file))
    }

    /// Bytes of the content.
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Content::Memory(bytes) => Ok(bytes.len() as u64),
            Content::File(file) => Ok(file.metadata()?.len()),
        }
    }

    /// A reader at the start.
    pub(super) fn reader(&mut self) -> io::Result<Box<dyn ReadSeek + '_>> {
        match self {
            Content::Memory(bytes) => Ok(Box::new(Cursor::new(bytes.as_slice()))),
            Content::File(file) => {
                file.rewind()?;
                Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
            }
        }
    }
}

/// What a stage reads.
pub(super) enum Source<'a> {
    /// What can be read from any place.
    Content(Content),
    /// What can be read once.
    Stream {
        /// What was read of it to see what it is.
        head: Vec<u8>,
        rest: &'a mut dyn Read,
        /// All its bytes, where its container says.
        len: Option<u64>,
    },
}

impl<'a> Source<'a> {
    pub(super) fn stream(rest: &'a mut dyn Read, len: Option<u64>) -> Self {
        Source::Stream { head: Vec::new(), rest, len }
    }

    /// The first [`HEAD`] bytes, or all there are.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        let mut start = Vec::with_capacity(HEAD);
        match self {
            // Without a buffer: most files are looked at here and no further.
            Source::Content(Content::File(file)) => {
                file.rewind()?;
                file.take(HEAD as u64).read_to_end(&mut start)?;
            }
            Source::Content(content) => {
                content.reader()?.take(HEAD as u64).read_to_end(&mut start)?;
            }
            Source::Stream { head, rest, .. } => {
                rest.take((HEAD - head.len()) as u64).read_to_end(head)?;
                start.clone_from(head);
            }
        }
        Ok(start)
    }

    /// Bytes of the content, where they are known before it is read.
    pub(super) fn len(&self) -> io::Result<Option<u64>> {
        match self {
            Source::Content(content) => content.len().map(Some),
            Source::Stream { len, .. } => Ok(*len),
        }
    }

    /// A reader at the start. A stream gives what it has once.
    pub(super) fn reader(&mut self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Source::Content(content) => Ok(Box::new(content.reader()?)),
            Source::Stream { head, rest, .. } => Ok(Box::new(Cursor::new(std::mem::take(head)).chain(rest))),
        }
    }

    /// The whole content; a stream is read to its end, into memory or a temporary file in `folder`.
    pub(super) fn content(mut self, folder: &Path) -> Step<Content> {
        match self {
            Source::Content(content) => Ok(content),
            Source::Stream { .. } => Content::spool(&mut self.reader()?, folder),
        }
    }
}

/// Fills as much of `buffer` as there is, and says how much that was.
pub(super) fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
