//! Reading a zip archive through its central directory (PKWARE APPNOTE 6.3): stored and deflated files, without
//! encryption and zip64. Names and contents only.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

use super::{Attempt, Failure};

/// Signatures, at the start of the end record, of a directory entry and of a file.
const END: [u8; 4] = *b"PK\x05\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// Calls `visit` with the name and content of every file of the archive, folders left out.
pub(super) fn each(
    mut archive: impl Read + Seek,
    visit: &mut dyn FnMut(&str, &mut dyn Read) -> Attempt<()>,
) -> Attempt<()> {
    let entries = directory(&mut archive).map_err(|error| Failure::Source(format!("not a zip archive: {error}")))?;
    for entry in entries.iter().filter(|entry| !entry.name.ends_with('/')) {
        let damaged = |error: io::Error| Failure::Source(format!("{}: damaged or cut off: {error}", entry.name));
        archive.seek(SeekFrom::Start(entry.offset)).map_err(damaged)?;
        let mut header = [0; 30];
        archive.read_exact(&mut header).map_err(damaged)?;
        if header[..4] != LOCAL || entry.encrypted {
            return Err(Failure::Source(format!("{}: encrypted, or not where the directory says", entry.name)));
        }
        let skip = u16_at(&header, 26) + u16_at(&header, 28);
        archive.seek(SeekFrom::Current(skip as i64)).map_err(damaged)?;
        let mut content = archive.by_ref().take(entry.compressed);
        match entry.method {
            0 => visit(&entry.name, &mut content)?,
            8 => visit(&entry.name, &mut DeflateDecoder::new(content))?,
            other => return Err(Failure::Source(format!("{}: compression method {other}", entry.name))),
        }
    }
    Ok(())
}

struct Entry {
    name: String,
    encrypted: bool,
    method: usize,
    compressed: u64,
    offset: u64,
}

fn directory(archive: &mut (impl Read + Seek)) -> io::Result<Vec<Entry>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    // The end record is 22 bytes and a comment of at most 65,535.
    let length = archive.seek(SeekFrom::End(0))?;
    archive.seek(SeekFrom::Start(length.saturating_sub(22 + 65_535)))?;
    let mut tail = Vec::new();
    archive.read_to_end(&mut tail)?;
    let end = tail.windows(22).rposition(|window| window[..4] == END).ok_or_else(|| invalid("no end record"))?;
    let count = u16_at(&tail, end + 10);
    let offset = u32_at(&tail, end + 16);

    archive.seek(SeekFrom::Start(offset))?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let mut header = [0; 46];
        archive.read_exact(&mut header)?;
        if header[..4] != ENTRY {
            return Err(invalid("a directory entry is damaged"));
        }
        let mut name = vec![0; u16_at(&header, 28)];
        archive.read_exact(&mut name)?;
        archive.seek(SeekFrom::Current((u16_at(&header, 30) + u16_at(&header, 32)) as i64))?;
        entries.push(Entry {
            name: String::from_utf8(name).map_err(|_| invalid("a name is not UTF-8"))?,
            encrypted: u16_at(&header, 8) & 1 == 1,
            method: u16_at(&header, 10),
            compressed: u32_at(&header, 20),
            offset: u32_at(&header, 42),
        });
    }
    Ok(entries)
}

/// Little-endian numbers; the callers' buffers are longer than every offset they pass.
fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
}
