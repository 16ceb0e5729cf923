//! Bytes on their way from one stage of preparation to the next: in memory while they are few, else in a nameless file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Result;
use crate::error::IoContext;

/// Bytes of one document that are kept in memory.
const EACH: usize = 4 << 20;
/// Bytes of all documents that are kept in memory at one time.
const ALL: usize = 192 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// A part of the memory that all spools share; given back when it is dropped.
#[derive(Debug, Default)]
struct Share(usize);

impl Share {
    fn grow_to(&mut self, bytes: usize) {
        HELD.fetch_add(bytes - self.0, Ordering::Relaxed);
        self.0 = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Takes the bytes of one document.
#[derive(Debug)]
pub(super) struct Spool<'a> {
    folder: &'a Path,
    /// More bytes than this are refused.
    limit: u64,
    memory: Vec<u8>,
    share: Share,
    file: Option<BufWriter<File>>,
    hash: blake3::Hasher,
    len: u64,
    /// What went wrong with the file: no fault of the document's.
    failure: Option<io::Error>,
}

impl<'a> Spool<'a> {
    /// A spool whose file, should it need one, lies in `folder`.
    pub(super) fn new(folder: &'a Path, limit: u64) -> Self {
        let (memory, share, hash) = (Vec::new(), Share::default(), blake3::Hasher::new());
        Spool { folder, limit, memory, share, file: None, hash, len: 0, failure: None }
    }

    /// Fails where the file could not be written.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.failure.take() {
            Some(error) => Err(error).at(self.folder),
            None => Ok(()),
        }
    }

    /// What was written.
    pub(super) fn finish(mut self) -> Result<Spooled> {
        let file = match self.file.take() {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(|error| error.into_error()).at(self.folder)?;
                file.rewind().at(self.folder)?;
                Some(file)
            }
        };
        let hash = *self.hash.finalize().as_bytes();
        let folder = self.folder.to_owned();
        Ok(Spooled { memory: self.memory, _share: self.share, file, at: 0, len: self.len, hash, folder })
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        let held = self.memory.len() + bytes.len();
        if self.file.is_none() && (held > EACH || HELD.load(Ordering::Relaxed) + bytes.len() > ALL) {
            let mut file = BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(self.folder)?);
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.share = Share::default();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => {
                self.memory.extend_from_slice(bytes);
                self.share.grow_to(held);
                Ok(())
            }
        }
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len() as u64;
        if self.len > self.limit {
            let limit = self.limit;
            let reason = format!("becomes more than {limit} bytes; raise data.limits.max_document if it should");
            return Err(io::Error::other(reason));
        }
        if let Err(error) = self.store(bytes) {
            self.failure = Some(error);
            return Err(io::Error::other("the disk is in the way"));
        }
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of one document, to be read once.
#[derive(Debug)]
pub(super) struct Spooled {
    memory: Vec<u8>,
    _share: Share,
    file: Option<File>,
    at: usize,
    len: u64,
    hash: [u8; 32],
    folder: PathBuf,
}

impl Spooled {
    /// How many.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// BLAKE3 of all of them.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The next `len` bytes, which are there.
    pub(super) fn next(&mut self, len: usize) -> Result<&[u8]> {
        match &mut self.file {
            None => {
                self.at += len;
                Ok(&self.memory[self.at - len..self.at])
            }
            // What was in memory has gone to the file, and this has its place.
            Some(file) => {
                self.memory.resize(len, 0);
                file.read_exact(&mut self.memory).at(&self.folder)?;
                Ok(&self.memory)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 5, EACH, EACH + 1, 3 * EACH] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 / 3) as u8).collect();
            let mut spool = Spool::new(folder.path(), 4 * EACH as u64);
            bytes.chunks(100_000).for_each(|part| spool.write_all(part).unwrap());
            spool.check().unwrap();
            assert_eq!(spool.file.is_some(), len > EACH);
            let mut spooled = spool.finish().unwrap();
            assert_eq!((spooled.len(), spooled.hash()), (len as u64, *blake3::hash(&bytes).as_bytes()));
            let mut back = Vec::new();
            while back.len() < len {
                back.extend_from_slice(spooled.next((len - back.len()).min(70_001)).unwrap());
            }
            assert!(back == bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_grows_without_bound_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path(), 10);
        let error = spool.write_all(&[0; 11]).unwrap_err().to_string();
        assert!(error.contains("max_document") && spool.check().is_ok());
        let mut spool = Spool::new(Path::new("/nowhere at all"), u64::MAX);
        assert!(spool.write_all(&vec![0; EACH + 1]).is_err());
        assert!(spool.check().unwrap_err().to_string().contains("nowhere"));
    }
}
