//! Inputs that no file could give: of any length, or in parts of any size.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A start, then one byte after another of a pattern, up to a length. Counts what has been read.
pub struct Endless {
    pub start: Vec<u8>,
    pub len: u64,
    pub at: u64,
    pub read: Arc<AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = bytes.len().min((self.len - self.at.min(self.len)) as usize);
        for (i, byte) in bytes[..len].iter_mut().enumerate() {
            let at = self.at + i as u64;
            *byte = self.start.get(at as usize).copied().unwrap_or(pattern(at));
        }
        self.at += len as u64;
        self.read.fetch_max(self.at, Ordering::SeqCst);
        Ok(len)
    }
}

pub fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(back) => self.len.saturating_add_signed(back),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

/// Counts bytes, keeps the last ones, and notices how far the input has been read ahead of them. `ratio` is the bytes of
/// input to a byte of output.
pub struct Behind {
    pub read: Arc<AtomicU64>,
    pub ratio: f64,
    pub written: u64,
    pub most: u64,
    pub last: Vec<u8>,
}

impl Behind {
    pub fn new(read: &Arc<AtomicU64>, ratio: f64) -> Self {
        Behind { read: read.clone(), ratio, written: 0, most: 0, last: Vec::new() }
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = (self.written as f64 * self.ratio) as u64;
        self.most = self.most.max(self.read.load(Ordering::SeqCst).saturating_sub(done));
        self.written += bytes.len() as u64;
        self.last = bytes[bytes.len().saturating_sub(8)..].to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that come in parts of the given sizes, over and over.
pub struct Chunks<'a> {
    pub bytes: io::Cursor<&'a [u8]>,
    pub sizes: &'a [usize],
    pub turn: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        let size = self.sizes[self.turn % self.sizes.len()].min(bytes.len());
        self.bytes.read(&mut bytes[..size])
    }
}

impl Seek for Chunks<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
