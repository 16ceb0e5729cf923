//! The pages of a column, of which the parser gets none that would take too much memory.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::serialized_reader::SerializedPageReader;

use super::chunk::{Chunk, Data};
use super::thrift::varint;

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
        let chunk = Chunk::new(data, metadata.compression(), produced)?;
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

#[cfg(test)]
mod tests {
    use super::pass_over;

    /// Seven numbers: one in the header, and six in the first of four miniblocks, of three bits each.
    const NUMBERS: [u8; 21] = [128, 1, 4, 7, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    #[test]
    fn lengths_end_where_their_miniblocks_do() {
        let mut at = 0;
        assert_eq!(pass_over(&[&NUMBERS[..], &[12, 13]].concat(), &mut at, 7), Some(()));
        // 32 numbers of 3 bits are 12 bytes.
        assert_eq!(at, 10 + 12);
        for len in 0..22 {
            assert_eq!(pass_over(&[&NUMBERS[..], &[12]].concat()[..len], &mut 0, 7), None, "{len}");
        }
    }

    #[test]
    fn more_lengths_than_values_are_refused() {
        assert_eq!(pass_over(&[&NUMBERS[..], &[12]].concat(), &mut 0, 6), None);
        let absurd = [128, 1, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 15, 0, 0, 0, 0, 0, 0];
        assert_eq!(pass_over(&absurd, &mut 0, 1 << 24), None);
    }
}
