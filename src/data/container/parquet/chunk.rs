//! Access to the bytes of a column that refuses what would take too much memory: the parser believes what headers say,
//! and decompresses to the end whatever comes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::basic::Compression;
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::thrift::{PAGE_HEADER, Refused, walk};
use crate::data::container::content::Content;

/// The largest page, compressed or not; they are meant to be of one MiB.
const PAGE: i64 = 256 << 20;
/// The longest header of a page: it may hold the least and the greatest value.
const HEADER: usize = 16 << 20;
/// Values of a page.
const VALUES: i64 = 1 << 24;

/// The bytes of a file, from any place.
pub(super) enum Data {
    Memory(Bytes),
    File(File),
}

impl Data {
    pub(super) fn new(content: Content) -> Self {
        match content {
            Content::Memory(bytes) => Data::Memory(bytes.into()),
            Content::File(file) => Data::File(file),
        }
    }

    /// As many bytes as there are, at most `len`.
    pub(super) fn read(&self, start: u64, len: usize) -> io::Result<Bytes> {
        match self {
            Data::Memory(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..start.saturating_add(len).min(bytes.len())))
            }
            Data::File(file) => {
                let left = file.metadata()?.len().saturating_sub(start);
                let mut bytes = vec![0; left.min(len as u64) as usize];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
        }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Data::Memory(bytes) => Ok(bytes.len() as u64),
            Data::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

/// The bytes of one column in one row group, as its pages.
#[derive(Clone)]
pub(super) struct Chunk {
    data: Arc<Data>,
    compression: Compression,
    /// Of the page that is read next.
    header: Arc<Mutex<Header>>,
    /// Bytes that pages become.
    produced: Arc<AtomicU64>,
}

/// What the header of a page says.
#[derive(Debug, Clone, Copy, Default)]
struct Header {
    uncompressed: i64,
    /// Levels of a page of version 2, which come first and are never compressed.
    levels: i64,
    /// A page of version 2 may say that it is not compressed.
    plain: bool,
}

impl Chunk {
    /// Fails where the compression is one that can't be read within limits.
    pub(super) fn new(data: &Arc<Data>, compression: Compression, produced: &Arc<AtomicU64>) -> Result<Self> {
        if compression == Compression::LZ4 {
            return Err(ParquetError::NYI("compressed by LZ4 as Hadoop has it, which is not read".to_owned()));
        }
        Ok(Chunk { data: data.clone(), compression, header: Arc::default(), produced: produced.clone() })
    }

    /// Reads and checks the header at `start`; more bytes than its own may come with it.
    fn header(&self, start: u64) -> io::Result<Bytes> {
        let mut len = 1 << 12;
        loop {
            let bytes = self.data.read(start, len)?;
            let mut header = Header::default();
            let mut absurd = false;
            let looked = walk(&bytes, PAGE_HEADER, &mut |path, value| match path {
                [2] => {
                    header.uncompressed = value;
                    absurd |= !(0..=PAGE).contains(&value);
                }
                [3] => absurd |= !(0..=PAGE).contains(&value),
                [5, 1] | [8, 1] => absurd |= !(0..=VALUES).contains(&value),
                // Each value of a dictionary has a length before it.
                [7, 1] => absurd |= !(0..=header.uncompressed / 4).contains(&value),
                [8, 5] | [8, 6] => {
                    absurd |= !(0..=PAGE).contains(&value);
                    header.levels += value.clamp(0, PAGE);
                }
                [8, 7] => header.plain = value == 0,
                _ => {}
            });
            match looked {
                _ if absurd => {
                    let remedy = "if it is meant to be, write the table again with fewer rows a page";
                    return Err(io::Error::other(format!("has a page of over {} MiB: {remedy}", PAGE >> 20)));
                }
                Ok(_) => {
                    *self.header.lock().unwrap_or_else(PoisonError::into_inner) = header;
                    self.produced.fetch_add(header.uncompressed as u64, Ordering::Relaxed);
                    return Ok(bytes);
                }
                Err(Refused::CutOff) if bytes.len() == len && len < HEADER => len *= 8,
                Err(_) => return Err(io::Error::other("the header of a page is damaged")),
            }
        }
    }

    /// Fails where a page is longer than its header says: gzip would be decoded to its end.
    fn measure(&self, page: &[u8]) -> io::Result<()> {
        let header = *self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(self.compression, Compression::GZIP(_)) || header.plain {
            return Ok(());
        }
        let compressed = page.get(header.levels as usize..).unwrap_or_default();
        let stated = (header.uncompressed - header.levels).max(0) as u64;
        let found = io::copy(&mut MultiGzDecoder::new(compressed).take(stated + 1), &mut io::sink())?;
        if found > stated { Err(io::Error::other("a page is longer than it says")) } else { Ok(()) }
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.data.len().unwrap_or(0)
    }
}

impl ChunkReader for Chunk {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> Result<HeaderReader> {
        Ok(HeaderReader { chunk: self.clone(), start, bytes: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let page = self.data.read(start, length)?;
        if page.len() < length {
            return Err(ParquetError::EOF("a page is cut off".to_owned()));
        }
        self.measure(&page)?;
        Ok(page)
    }
}

/// The header of a page, looked at when it is read: readers are asked for in other places too.
pub(super) struct HeaderReader {
    chunk: Chunk,
    start: u64,
    bytes: Option<Cursor<Bytes>>,
}

impl Read for HeaderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_none() {
            self.bytes = Some(Cursor::new(self.chunk.header(self.start)?));
        }
        self.bytes.as_mut().map_or(Ok(0), |bytes| bytes.read(buffer))
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::basic::GzipLevel;
    use flate2::read::GzEncoder;

    use super::*;

    /// A number as thrift writes it.
    fn number(value: i64) -> Vec<u8> {
        let mut rest = (value << 1 ^ value >> 63) as u64;
        let mut bytes = Vec::new();
        while rest >= 128 {
            bytes.push(rest as u8 | 128);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }

    /// The header of a page of a kind (0: data, 2: dictionary) and its content.
    fn page(kind: i64, uncompressed: i64, values: i64, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15];
        bytes.extend(number(kind));
        bytes.push(0x15);
        bytes.extend(number(uncompressed));
        bytes.push(0x15);
        bytes.extend(number(content.len() as i64));
        bytes.extend([if kind == 0 { 0x2c } else { 0x4c }, 0x15]);
        bytes.extend(number(values));
        bytes.extend([0, 0]);
        bytes.extend(content);
        bytes
    }

    fn chunk(bytes: Vec<u8>, compression: Compression) -> Chunk {
        Chunk::new(&Arc::new(Data::Memory(bytes.into())), compression, &Arc::default()).unwrap()
    }

    #[test]
    fn headers_are_refused_that_claim_too_much() {
        let look = |bytes| chunk(bytes, Compression::UNCOMPRESSED).header(0).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(look(page(0, 100, 9, b"")), Ok(()));
        assert_eq!(look(page(2, 100, 25, b"")), Ok(()));
        let long = "has a page of over 256 MiB";
        for (kind, uncompressed, values) in [(0, PAGE + 1, 9), (0, -1, 9), (0, 9, VALUES + 1), (0, 9, -1), (2, 100, 26)]
        {
            let reason = look(page(kind, uncompressed, values, b"")).unwrap_err();
            assert!(reason.starts_with(long), "{kind} {uncompressed} {values}: {reason}");
        }
        // A length of 4 GiB where a statistic stands.
        let mut damaged = page(0, 100, 9, b"");
        let end = damaged.len() - 2;
        damaged.splice(end.., [0x48, 0xff, 0xff, 0xff, 0xff, 15]);
        assert_eq!(look(damaged), Err("the header of a page is damaged".to_owned()));
    }

    #[test]
    fn a_page_is_no_longer_than_it_says() {
        let mut packed = Vec::new();
        GzEncoder::new(&[0; 100_000][..], flate2::Compression::best()).read_to_end(&mut packed).unwrap();
        for (stated, fits) in [(100_000, true), (99_999, false)] {
            let bytes = page(0, stated, 9, &packed);
            let start = (bytes.len() - packed.len()) as u64;
            let chunk = chunk(bytes, Compression::GZIP(GzipLevel::default()));
            chunk.header(0).unwrap();
            assert_eq!(chunk.get_bytes(start, packed.len()).is_ok(), fits);
            assert_eq!(chunk.produced.load(Ordering::Relaxed), stated as u64);
        }
    }
}
