//! Files to archives.

use std::collections::BTreeMap;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::super::coder::ByteEncoder;
use super::container::{Parts, split, split_payload, store};
use super::decompress::open;
use super::header::{Block, Coding, Container, Header, MAX_BLOCK};
use super::lockstep::{Task, Way, batches, run};
use super::{Codec, DecompressOptions, Identity};
use crate::modality::Modality;
use crate::progress::Progress;
use crate::{Error, Result};

/// How files are compressed.
#[derive(Debug, Clone, Copy)]
pub struct CompressOptions {
    /// Threads, each with a batch of its own. They change nothing in the archives.
    pub threads: usize,
    /// Rows of a batch; `None` chooses by model and content.
    pub lanes: Option<usize>,
    /// Bytes of a block, about, at least a context and else at most 1 MiB: what damage in one place loses.
    pub block_bytes: usize,
    /// Codes the bytes of the files as they are, whatever the model's layout.
    pub raw: bool,
    /// Leaves out what the adapter doesn't carry: what comes back is the content decoded.
    pub payload_only: bool,
    /// Stores a file that the model makes larger than it is.
    pub store_larger: bool,
    /// Decodes every archive and compares.
    pub verify: bool,
}

impl Default for CompressOptions {
    /// One thread, blocks of 64 KiB, and archives of whole files that are verified.
    fn default() -> Self {
        CompressOptions {
            threads: 1,
            lanes: None,
            block_bytes: 64 << 10,
            raw: false,
            payload_only: false,
            store_larger: true,
            verify: true,
        }
    }
}

/// An archive, and what is in it.
#[derive(Debug, Clone)]
pub struct Compressed {
    /// The archive.
    pub archive: Vec<u8>,
    /// Its header.
    pub header: Header,
    /// What was coded, or, where the file is stored, the file.
    pub content: Vec<u8>,
}

/// The blocks of a file, and their codes one after another.
type Coded = (Vec<Block>, Vec<u8>);

impl Codec {
    /// Compresses files together: their windows share batches. Each gets an archive that is never much larger than the
    /// file: what the model makes larger is stored. Fails where the work is interrupted, and with [`Error::Input`] where
    /// only the content is wanted of a file that has none, and where what was decoded to verify is not what was encoded.
    pub fn compress(
        &self,
        files: &[Vec<u8>],
        options: CompressOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Compressed>> {
        let layout = &self.layout;
        let take_apart = |(index, file): (usize, &Vec<u8>)| match options {
            CompressOptions { raw: true, .. } => Ok(Parts::whole(Container::Plain, file)),
            CompressOptions { payload_only: true, .. } => {
                split_payload(file, layout).map_err(|error| error.of_input(index))
            }
            _ => Ok(split(file, layout)),
        };
        let parts = files.par_iter().enumerate().map(take_apart).collect::<Result<Vec<_>>>()?;
        let archives = self.encode(files, parts, options, progress)?;
        if options.verify {
            self.verify(files, &archives, options, progress)?;
        }
        Ok(archives)
    }

    /// Whether each archive is whole, of the file beside it, and one that `compress` with these options makes here, but
    /// for how blocks and rows are chosen: so that there is no need to make it again. The model decodes nothing for it.
    pub fn hold(&self, archives: &[(&[u8], &[u8])], options: CompressOptions) -> Vec<bool> {
        let mut identities = BTreeMap::new();
        let holds = |&(archive, file): &(&[u8], &[u8])| self.holds(archive, file, options, &mut identities);
        // What can't be read holds nothing.
        archives.iter().map(holds).map(|holds| holds.unwrap_or(false)).collect()
    }

    fn holds(
        &self,
        archive: &[u8],
        file: &[u8],
        options: CompressOptions,
        identities: &mut BTreeMap<usize, Identity>,
    ) -> Result<bool> {
        let modality = if options.raw { Modality::Bytes } else { self.layout.modality() };
        let opened = open(0, archive, |coding| self.check(coding, identities))?;
        let (header, whole) = (&opened.header, opened.damage.is_empty());
        if !whole || header.modality != modality || header.payload_only != options.payload_only {
            return Ok(false);
        }
        let decoded = if options.payload_only { split_payload(file, &self.layout)?.decoded } else { None };
        let file = decoded.as_deref().unwrap_or(file);
        Ok(header.file_len == file.len() as u64 && header.file_hash == xxh3_64(file))
    }

    fn encode(
        &self,
        files: &[Vec<u8>],
        parts: Vec<Parts>,
        options: CompressOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Compressed>> {
        let config = self.model.config();
        let coded = |parts: &Parts| if parts.container == Container::Stored { 0 } else { parts.content.len() };
        let windows = (options.block_bytes.min(MAX_BLOCK) / config.context).max(1);
        let all = parts.iter().map(|parts| coded(parts).div_ceil(config.context)).sum();
        let lanes = options.lanes.map_or_else(|| self.lanes_for(all, windows), Ok)?;
        self.check_lanes(lanes)?;
        let coding = Coding { identity: self.identity(lanes)?, lanes, window: config.context, windows };

        let mut tasks = Vec::new();
        for (file, parts) in parts.iter().enumerate().filter(|(_, parts)| parts.container != Container::Stored) {
            for (block, content) in parts.content.chunks(config.context * windows).enumerate() {
                let (content, way) = (content.to_vec(), Way::Encode(ByteEncoder::default()));
                tasks.push(Task { owner: (file, block), row: 0, lanes, content, window: config.context, way });
            }
        }
        // Blocks that take as long beside each other.
        tasks.sort_by_key(|task| std::cmp::Reverse(task.steps()));
        let mut row = 0;
        for task in &mut tasks {
            if row + task.rows() > lanes {
                row = 0;
            }
            task.row = row;
            row += task.rows();
        }
        progress.start("compress", parts.iter().map(|parts| coded(parts) as u64).sum());
        let mut tasks = run(&self.model, batches(tasks), self.threads_for(lanes, options.threads)?, progress)?;
        tasks.sort_by_key(|task| task.owner);

        let mut blocks: Vec<Coded> = vec![Default::default(); files.len()];
        for Task { owner, row, content, way, .. } in tasks {
            let Way::Encode(encoder) = way else { unreachable!("nothing was decoded") };
            let (entries, body) = &mut blocks[owner.0];
            push_block(entries, body, &encoder.finish(), row, &content);
        }
        let modality = if options.raw { Modality::Bytes } else { self.layout.modality() };
        let finish = |(index, ((file, parts), blocks)): (usize, ((&Vec<u8>, Parts), Coded))| {
            assemble(file, parts, modality, coding, blocks, options).map_err(|error| error.of_input(index))
        };
        files.par_iter().zip(parts).zip(blocks).enumerate().map(finish).collect()
    }

    fn verify(
        &self,
        files: &[Vec<u8>],
        archives: &[Compressed],
        options: CompressOptions,
        progress: &dyn Progress,
    ) -> Result<()> {
        let bytes: Vec<&[u8]> = archives.iter().map(|made| &made.archive[..]).collect();
        let options = DecompressOptions { threads: options.threads, stage: "verify" };
        for (i, restored) in self.decompress(&bytes, options, progress)?.into_iter().enumerate() {
            // Of content alone, the checksum of what is decoded is all there is.
            let same = restored.is_ok_and(|restored| {
                restored.damage.is_empty() && (archives[i].header.payload_only || restored.file == files[i])
            });
            if !same {
                let reason = "doesn't come back from its archive, which was not kept".to_owned();
                return Err(Error::Input { index: i, reason });
            }
        }
        Ok(())
    }
}

/// The archive of one file, or that of the file stored, where it is smaller than the model made it and than the file.
fn assemble(
    file: &[u8],
    parts: Parts,
    modality: Modality,
    coding: Coding,
    (blocks, body): Coded,
    CompressOptions { payload_only, store_larger, .. }: CompressOptions,
) -> Result<Compressed> {
    let Parts { container, content, side, decoded } = parts;
    let whole = decoded.as_deref().unwrap_or(file);
    let side = side.unwrap_or_default();
    let header = Header {
        container,
        payload_only,
        modality,
        file_len: whole.len() as u64,
        file_hash: xxh3_64(whole),
        content_len: content.len() as u64,
        coding: (container != Container::Stored).then_some(coding),
        side: container.has_side().then(|| (side.len(), crc32c::crc32c(&side))),
        blocks,
    };
    if container != Container::Stored {
        let archive = [header.write(), side, body].concat();
        // Of content alone, there is nothing else to store.
        if archive.len() <= whole.len() || payload_only || !store_larger {
            return Ok(Compressed { archive, header, content });
        }
        let stored = stored(file, header.clone())?;
        return Ok(if stored.archive.len() < archive.len() { stored } else { Compressed { archive, header, content } });
    }
    stored(file, header)
}

/// The archive of a file as it is; `like` says the rest.
fn stored(file: &[u8], like: Header) -> Result<Compressed> {
    let (mut blocks, mut body) = (Vec::new(), Vec::new());
    for (code, content) in store(file)?.iter().zip(file.chunks(super::header::STORED_BLOCK)) {
        push_block(&mut blocks, &mut body, code, 0, content);
    }
    let (file_len, file_hash) = (file.len() as u64, xxh3_64(file));
    let (container, content_len) = (Container::Stored, file_len);
    let header = Header { container, file_len, file_hash, content_len, coding: None, side: None, blocks, ..like };
    Ok(Compressed { archive: [header.write(), body].concat(), header, content: file.to_vec() })
}

fn push_block(entries: &mut Vec<Block>, body: &mut Vec<u8>, code: &[u8], row: usize, content: &[u8]) {
    let [code_crc, content_crc] = [code, content].map(crc32c::crc32c);
    entries.push(Block { len: code.len(), row, code_crc, content_crc });
    body.extend(code);
}
