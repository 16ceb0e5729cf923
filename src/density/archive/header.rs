//! What stands at the front of an archive: docs/archives.md, byte by byte.

use super::identity::Identity;
use super::wire::{Reader, damaged, put_varint};
use crate::modality::Modality;
use crate::{Error, Result};

/// How an archive begins. The last of these bytes is the version.
pub const MAGIC: [u8; 5] = [0x89, b'M', b'B', b'Z', 2];

/// How a file follows from what is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// No model: the file's bytes in Zstandard.
    Stored,
    /// The coded bytes are the file.
    Plain,
    /// The file is what the adapter decodes the coded bytes to.
    Decoded,
    /// The file is a Zstandard frame that refers to what the adapter decodes them to.
    Patch,
    /// A PNG file, from its pixels and how its compressor packed them.
    Png,
}

impl Container {
    const ALL: [Container; 5] =
        [Container::Stored, Container::Plain, Container::Decoded, Container::Patch, Container::Png];

    /// Whether the archive holds more of the file than the coded bytes.
    pub(super) fn has_side(self) -> bool {
        matches!(self, Container::Patch | Container::Png)
    }
}

/// The modalities in the order of their numbers.
const MODALITIES: [Modality; 4] = [Modality::Text, Modality::Image, Modality::Audio, Modality::Bytes];

/// How the blocks were coded: what has to be the same for them to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// The model, and where and in what it computed.
    pub identity: Identity,
    /// Rows of a batch.
    pub lanes: usize,
    /// Bytes of a window: the model's context.
    pub window: usize,
    /// Windows of a block.
    pub windows: usize,
}

/// A stretch of the content that is coded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Bytes of its code.
    pub len: usize,
    /// The row of its first window.
    pub row: usize,
    /// CRC32C of its code.
    pub code_crc: u32,
    /// CRC32C of its content.
    pub content_crc: u32,
}

/// The front of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How the file follows from the content.
    pub container: Container,
    /// Whether the archive is of the decoded content alone: the file is what the adapter decodes it to.
    pub payload_only: bool,
    /// The modality of the content.
    pub modality: Modality,
    /// Length of the file.
    pub file_len: u64,
    /// XXH3-64 of the file.
    pub file_hash: u64,
    /// Length of the content: what the blocks decode to.
    pub content_len: u64,
    /// How the blocks were coded; `None` where the file is stored.
    pub coding: Option<Coding>,
    /// Length and CRC32C of what the container needs beside the content.
    pub side: Option<(usize, u32)>,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
}

/// Bytes of a block where the file is stored.
pub(super) const STORED_BLOCK: usize = 1 << 20;
/// Blocks are no larger than this, or a window: memory is taken for them before they are decoded.
pub(super) const MAX_BLOCK: usize = 1 << 20;
/// More rows are no batch.
pub(super) const MAX_LANES: usize = 1 << 12;

impl Header {
    /// Bytes of content in each block but the last.
    pub fn block_len(&self) -> u64 {
        self.coding.map_or(STORED_BLOCK as u64, |coding| coding.window as u64 * coding.windows as u64)
    }

    /// The place of a block's content.
    pub fn range(&self, block: usize) -> std::ops::Range<u64> {
        let start = block as u64 * self.block_len();
        start..self.content_len.min(start + self.block_len())
    }

    /// The bytes of the header, with its checksum.
    pub fn write(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let place = |found: Option<usize>| found.expect("the table has every value") as u8;
        let container = place(Container::ALL.iter().position(|known| *known == self.container));
        let modality = place(MODALITIES.iter().position(|known| *known == self.modality));
        fields.push(container | u8::from(self.payload_only) << 3 | modality << 4);
        put_varint(&mut fields, self.file_len);
        fields.extend(self.file_hash.to_le_bytes());
        if !matches!(self.container, Container::Stored | Container::Plain) {
            put_varint(&mut fields, self.content_len);
        }
        if let Some(coding) = &self.coding {
            coding.identity.write(&mut fields);
            for number in [coding.lanes, coding.window, coding.windows] {
                put_varint(&mut fields, number as u64);
            }
        }
        if let Some((len, crc)) = self.side {
            put_varint(&mut fields, len as u64);
            fields.extend(crc.to_le_bytes());
        }
        for block in &self.blocks {
            put_varint(&mut fields, block.len as u64);
            if self.coding.is_some() {
                put_varint(&mut fields, block.row as u64);
            }
            fields.extend(block.code_crc.to_le_bytes());
            fields.extend(block.content_crc.to_le_bytes());
        }
        let mut out = MAGIC.to_vec();
        put_varint(&mut out, fields.len() as u64);
        out.extend(fields);
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads the header of an archive, and says where it ends. What it says is possible in itself; whether it fits a
    /// model is seen later.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut reader = Reader(bytes);
        match reader.array::<5>() {
            Ok(MAGIC) => {}
            Ok([a, b, c, d, version]) if [a, b, c, d] == MAGIC[..4] => {
                let reason = format!("is an archive of version {version}; this program reads version {}", MAGIC[4]);
                return Err(Error::Content(reason));
            }
            _ => return Err(Error::Content("is no archive of `megabyte compress`".to_owned())),
        }
        let fields = reader.bytes()?;
        let end = bytes.len() - reader.0.len();
        if reader.u32()? != crc32c::crc32c(&bytes[..end]) {
            return Err(damaged("the checksum of its header is wrong"));
        }
        Ok((Self::fields(Reader(fields))?, end + 4))
    }

    fn fields(mut reader: Reader<'_>) -> Result<Self> {
        let kind = reader.byte()?;
        let container = *Container::ALL.get(usize::from(kind & 7)).ok_or_else(|| damaged("its kind is not known"))?;
        if kind >> 6 != 0 {
            return Err(damaged("its kind is not known"));
        }
        let file_len = reader.varint()?;
        let file_hash = reader.u64()?;
        let content_len =
            if matches!(container, Container::Stored | Container::Plain) { file_len } else { reader.varint()? };
        let coding = if container == Container::Stored { None } else { Some(Self::coding(&mut reader)?) };
        let side = if container.has_side() { Some((reader.size()?, reader.u32()?)) } else { None };
        let mut header = Header {
            container,
            payload_only: kind & 8 != 0,
            modality: MODALITIES[usize::from(kind >> 4)],
            file_len,
            file_hash,
            content_len,
            coding,
            side,
            blocks: Vec::new(),
        };
        // A block takes 9 bytes here at least, so what is there limits what is allocated.
        let count = content_len.div_ceil(header.block_len());
        if count > reader.0.len() as u64 / 9 {
            return Err(damaged(format!("it has no room for the {count} blocks that it is of")));
        }
        for _ in 0..count {
            let len = reader.size()?;
            let row = if coding.is_some() { reader.size()? } else { 0 };
            header.blocks.push(Block { len, row, code_crc: reader.u32()?, content_crc: reader.u32()? });
        }
        if !reader.0.is_empty() {
            return Err(damaged("its header is too long"));
        }
        header.check()?;
        Ok(header)
    }

    fn coding(reader: &mut Reader<'_>) -> Result<Coding> {
        let identity = Identity::read(reader)?;
        let [lanes, window, windows] = [reader.size()?, reader.size()?, reader.size()?];
        if !(1..=MAX_LANES).contains(&lanes) || ![windows, window].iter().all(|size| (1..1 << 31).contains(size)) {
            return Err(damaged("its batches have no possible size"));
        }
        if window.saturating_mul(windows) > window.max(MAX_BLOCK) {
            return Err(damaged("its blocks have no possible size"));
        }
        Ok(Coding { identity, lanes, window, windows })
    }

    /// Every block fits into a batch, and all lengths together into memory.
    fn check(&self) -> Result<()> {
        let mut total = self.side.map_or(0, |(len, _)| len);
        for (i, block) in self.blocks.iter().enumerate() {
            let (rows, lanes) = (self.rows(i), self.coding.map_or(1, |coding| coding.lanes));
            if block.row.checked_add(rows).is_none_or(|end| end > lanes) {
                return Err(damaged("a block lies outside of its batch"));
            }
            total = total.checked_add(block.len).ok_or_else(|| damaged("a length is beyond memory"))?;
        }
        Ok(())
    }

    /// The rows of a batch that a block takes.
    fn rows(&self, block: usize) -> usize {
        let range = self.range(block);
        let rows = |coding: Coding| (range.end - range.start).div_ceil(coding.window as u64).min(coding.lanes as u64);
        self.coding.map_or(1, rows) as usize
    }
}
