//! Writes shards.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::Xxh3;

use super::shard::{ENDS, Entry, Header, MAGIC, PREFIX, VERSION, checksum_around};
use super::{ShardInfo, Split};
use crate::Result;
use crate::error::IoContext;
use crate::modality::Layout;

/// A new hidden file in `folder`, with the permissions of any other new file, that disappears unless it is renamed.
pub(super) fn temporary(folder: &Path) -> Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".megabyte-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .at(folder)
}

/// Writes items as they come into a hidden file beside the shard's place, and what describes them at the end.
pub struct ShardWriter {
    path: PathBuf,
    split: Split,
    layout: Layout,
    file: BufWriter<NamedTempFile>,
    checksum: Xxh3,
    index: Vec<u8>,
    names: String,
    items: u64,
    ends: u64,
    payload: u64,
}

impl ShardWriter {
    /// Begins a shard that will be `path`, in a folder that exists.
    pub fn new(path: &Path, split: Split, layout: &Layout) -> Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, temporary(folder_of(path))?);
        file.write_all(&prefix()).at(path)?;
        Ok(ShardWriter {
            path: path.to_owned(),
            split,
            layout: layout.clone(),
            file,
            checksum: Xxh3::new(),
            index: Vec::new(),
            names: String::new(),
            items: 0,
            ends: 0,
            payload: 0,
        })
    }

    /// Bytes of all items so far.
    pub fn bytes(&self) -> u64 {
        self.payload
    }

    /// Adds an item; `ends`: a document ends with it.
    pub fn push(&mut self, name: &str, bytes: &[u8], ends: bool) -> Result<()> {
        self.push_hashed(name, bytes, *blake3::hash(bytes).as_bytes(), ends)
    }

    /// Adds an item whose BLAKE3 hash is known.
    pub(super) fn push_hashed(&mut self, name: &str, bytes: &[u8], hash: [u8; 32], ends: bool) -> Result<()> {
        // A name is at most a path, far below the four GiB that its length field could say.
        let name_len = u32::try_from(name.len()).expect("a name is shorter than 4 GiB");
        let entry = Entry {
            offset: self.payload,
            symbol: self.payload + self.ends,
            name_offset: self.names.len() as u64,
            name_len,
            flags: if ends { ENDS } else { 0 },
            hash,
        };
        self.file.write_all(bytes).at(&self.path)?;
        self.checksum.update(bytes);
        self.index.extend_from_slice(&entry.to_bytes());
        self.names.push_str(name);
        self.items += 1;
        self.ends += u64::from(ends);
        self.payload += bytes.len() as u64;
        Ok(())
    }

    /// Writes the shard and gives it its name.
    pub fn finish(self) -> Result<ShardInfo> {
        let path = self.path.clone();
        let (file, info) = self.finish_unnamed()?;
        file.persist(&path).map_err(|error| error.error).at(&path)?;
        Ok(info)
    }

    /// Completes the shard beside its place: it appears when the caller renames the file.
    pub(super) fn finish_unnamed(self) -> Result<(NamedTempFile, ShardInfo)> {
        let path = self.path;
        let header = Header {
            split: self.split,
            items: self.items,
            ends: self.ends,
            names: self.names.len() as u64,
            payload: self.payload,
            layout: self.layout,
        };
        let header = serde_json::to_vec(&header).expect("a header has string keys only");
        let payload_sum = self.checksum.digest();
        let mut after = self.index;
        after.extend_from_slice(self.names.as_bytes());
        after.extend_from_slice(&header);
        after.extend_from_slice(&payload_sum.to_le_bytes());
        after.extend_from_slice(&(header.len() as u64).to_le_bytes());
        let head_sum = checksum_around(&prefix(), &after);
        after.extend_from_slice(&head_sum.to_le_bytes());

        let mut file = self.file;
        file.write_all(&after).at(&path)?;
        let file = file.into_inner().map_err(|error| error.into_error()).at(&path)?;
        file.as_file().sync_all().at(&path)?;

        let info = ShardInfo {
            file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            split: self.split,
            items: self.items,
            bytes: self.payload,
            head_xxh3: format!("{head_sum:016x}"),
            payload_xxh3: format!("{payload_sum:016x}"),
        };
        Ok((file, info))
    }
}

/// What stands before the payload.
fn prefix() -> [u8; PREFIX] {
    let mut prefix = [0; PREFIX];
    prefix[..8].copy_from_slice(&MAGIC);
    prefix[8..12].copy_from_slice(&VERSION.to_le_bytes());
    prefix
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
