//! Access to the pages of a column that refuses what would take too much memory: the parser believes what headers say,
//! and decompresses to the end whatever comes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::basic::{Compression, Encoding};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::thrift::{Refused, varint, walk};
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
struct Chunk {
    data: Arc<Data>,
    compression: Compression,
    /// Of the page that is read next.
    header: Arc<Mutex<Header>>,
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
    /// Reads and checks the header at `start`; more bytes than its own may come with it.
    fn header(&self, start: u64) -> io::Result<Bytes> {
        let mut len = 1 << 12;
        loop {
            let bytes = self.data.read(start, len)?;
            let mut header = Header::default();
            let mut absurd = false;
            let looked = walk(&bytes, &mut |path, value| match path {
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
                _ if absurd => return Err(io::Error::other("a page says that it is absurdly long")),
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
struct HeaderReader {
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

/// The pages of one column in one row group.
pub(super) struct Pages {
    pages: SerializedPageReader<Chunk>,
    /// Whether values may be missing, so that a page of version 1 begins with levels.
    optional: bool,
}

impl Pages {
    /// The pages of the column that `metadata` describes. `produced` grows by what they become.
    pub(super) fn new(
        data: &Arc<Data>,
        metadata: &ColumnChunkMetaData,
        rows: usize,
        produced: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let compression = metadata.compression();
        if compression == Compression::LZ4 {
            return Err(ParquetError::NYI("compressed by LZ4 as Hadoop has it, which is not read".to_owned()));
        }
        let chunk = Chunk { data: data.clone(), compression, header: Arc::default(), produced: produced.clone() };
        let pages = SerializedPageReader::new(Arc::new(chunk), metadata, rows, None)?;
        Ok(Pages { pages, optional: metadata.column_descr().max_def_level() > 0 })
    }

    /// The delta encodings say in the page's data how many values there are.
    fn check(&self, page: &Page) -> Result<()> {
        let (levels, values) = match page {
            Page::DataPage { buf, num_values, .. } if self.optional => {
                let len = buf.first_chunk().map_or(usize::MAX, |len| u32::from_le_bytes(*len) as usize);
                (len.saturating_add(4), *num_values)
            }
            Page::DataPage { num_values, .. } => (0, *num_values),
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, num_values, .. } => {
                ((*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize), *num_values)
            }
            Page::DictionaryPage { .. } => return Ok(()),
        };
        let lists = match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            Encoding::DELTA_BYTE_ARRAY => 2,
            _ => return Ok(()),
        };
        let mut at = levels;
        for _ in 0..lists {
            pass_over(page.buffer(), &mut at, values.into())
                .ok_or_else(|| ParquetError::General("the lengths of a page's values are damaged".to_owned()))?;
        }
        Ok(())
    }
}

/// Goes behind numbers in delta encoding, where there are at most `most` of them.
fn pass_over(bytes: &[u8], at: &mut usize, most: u64) -> Option<()> {
    let block = varint(bytes, at)?;
    let minis = varint(bytes, at)?;
    let count = varint(bytes, at)?;
    let _first = varint(bytes, at)?;
    if count > most || minis == 0 || !block.is_multiple_of(128) || !block.is_multiple_of(minis) || block > 1 << 20 {
        return None;
    }
    let together = block / minis;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = varint(bytes, at)?;
        let widths = bytes.get(*at..)?.get(..minis as usize)?;
        *at += widths.len();
        for &width in widths {
            if left == 0 {
                break;
            }
            *at = at.checked_add((u64::from(width) * together / 8) as usize)?;
            left = left.saturating_sub(together);
        }
    }
    (*at <= bytes.len()).then_some(())
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
