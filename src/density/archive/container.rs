//! From a file to the bytes that a model codes and what else the file is, and back.
//!
//! What an adapter leaves out (the header of a sound, the chunks and the compressor of a picture, ends of lines) is
//! found by comparing: the file with what the adapter decodes its own bytes to. Whatever is found is tried before it is
//! believed, so that a file of any kind comes back exactly, at worst because it is stored.

use std::io::{Read, Write};

use super::header::{Container, STORED_BLOCK};
use super::png;
use super::wire::damaged;
use crate::modality::{Layout, contained};
use crate::{Error, Result};

/// A file taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub container: Container,
    /// What the blocks are of.
    pub content: Vec<u8>,
    /// What the container needs beside it.
    pub side: Option<Vec<u8>>,
    /// The file that will come back, where that is not the file that was given.
    pub decoded: Option<Vec<u8>>,
}

impl Parts {
    /// The file as it is.
    pub fn whole(container: Container, file: &[u8]) -> Self {
        Parts { container, content: file.to_vec(), side: None, decoded: None }
    }
}

/// Takes a file apart.
pub(super) fn split(file: &[u8], layout: &Layout) -> Parts {
    let stored = || Parts::whole(Container::Stored, file);
    let adapter = layout.adapter();
    let Ok(content) = adapter.encode(file) else { return stored() };
    if content == file {
        return Parts::whole(Container::Plain, file);
    }
    let Ok(decoded) = adapter.decode(&content) else { return stored() };
    let parts = |container, side| Parts { container, content: content.clone(), side, decoded: None };
    if decoded == file {
        return parts(Container::Decoded, None);
    }
    if let Some(side) = png::split(file, &decoded) {
        return parts(Container::Png, Some(side));
    }
    // Worth it where little of the file has to be told beside the content.
    match patch(file, &decoded) {
        Ok(side) if side.len() < file.len() / 4 && file.len() as u64 <= patched_limit(&decoded) => {
            parts(Container::Patch, Some(side))
        }
        _ => stored(),
    }
}

/// The content of a file, without what only the file has: what comes back is the content decoded.
pub(super) fn split_payload(file: &[u8], layout: &Layout) -> Result<Parts> {
    let adapter = layout.adapter();
    let content = adapter.encode(file)?;
    let decoded = adapter.decode(&content)?;
    Ok(Parts { container: Container::Decoded, content, side: None, decoded: Some(decoded) })
}

/// Puts a file of `len` bytes together again.
pub(super) fn join(container: Container, layout: &Layout, content: Vec<u8>, side: &[u8], len: u64) -> Result<Vec<u8>> {
    match container {
        Container::Stored | Container::Plain => Ok(content),
        Container::Decoded => layout.adapter().decode(&content),
        Container::Patch => unpatch(side, &layout.adapter().decode(&content)?, len),
        Container::Png => {
            let decoded = layout.adapter().decode(&content)?;
            contained(&decoded, || png::join(side, &decoded, len))
        }
    }
}

/// The distance that Zstandard has to look back over all of these bytes, as a power of two.
fn window_log(len: usize) -> u32 {
    (usize::BITS - len.leading_zeros()).clamp(10, 31)
}

/// What is longer is no variation of `known`, and not read as one.
fn patched_limit(known: &[u8]) -> u64 {
    (known.len() as u64).saturating_mul(4) + (1 << 20)
}

/// `file` as a frame that refers to `known`.
fn patch(file: &[u8], known: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), 19, known)?;
    encoder.window_log(window_log(file.len() + known.len()))?;
    encoder.long_distance_matching(true)?;
    encoder.write_all(file)?;
    encoder.finish()
}

fn unpatch(side: &[u8], known: &[u8], len: u64) -> Result<Vec<u8>> {
    if len > patched_limit(known) {
        return Err(damaged("its file is longer than its content allows"));
    }
    let mut decoder = zstd::stream::read::Decoder::with_ref_prefix(side, known).map_err(damaged)?;
    decoder.window_log_max(window_log(len as usize + known.len())).map_err(damaged)?;
    up_to(decoder, len)
}

/// What a decoder gives, if that is no more than `limit` bytes.
fn up_to(decoder: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(damaged)?;
    if out.len() as u64 > limit { Err(damaged("a part of it is longer than it says")) } else { Ok(out) }
}

/// Bytes in Zstandard.
pub(super) fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 19).map_err(|error| Error::Content(format!("zstd: {error}")))
}

/// What [`pack`] packed, if it is no more than `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>> {
    up_to(zstd::stream::read::Decoder::new(packed).map_err(damaged)?, limit)
}

/// The blocks of a file that is stored.
pub(super) fn store(file: &[u8]) -> Result<Vec<Vec<u8>>> {
    file.chunks(STORED_BLOCK).map(pack).collect()
}

/// A block of a stored file, of `len` bytes.
pub(super) fn unstore(block: &[u8], len: u64) -> Result<Vec<u8>> {
    let content = unpack(block, len)?;
    if content.len() as u64 == len { Ok(content) } else { Err(damaged("a block is shorter than it says")) }
}

/// How a file would be taken apart for a layout, without a model.
pub fn container_of(file: &[u8], layout: &Layout) -> Container {
    split(file, layout).container
}

/// What an archive of a file would hold beside the content, if anything.
pub fn side_of(file: &[u8], layout: &Layout) -> Option<Vec<u8>> {
    split(file, layout).side
}

/// What decompressing does once the content is there, with an archive's `side` from anywhere: a patch or, where `kind`
/// is odd, a PNG file, of `len` bytes.
pub fn rebuild(kind: u8, layout: &Layout, content: Vec<u8>, side: &[u8], len: u64) -> Result<Vec<u8>> {
    let container = if kind.is_multiple_of(2) { Container::Patch } else { Container::Png };
    join(container, layout, content, side, len)
}
