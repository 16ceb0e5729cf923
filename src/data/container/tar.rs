//! tar archives (POSIX ustar and pax, and GNU's long names), read as a stream.
//!
//! Files are told; folders, links, devices and hidden files are left out, and sparse files refused: a few bytes can
//! make terabytes of zeros. For pictures and sound the members are samples, as [`webdataset`](super::webdataset) says.

use std::io::{self, Read};

use super::fence::{Step, fenced};
use super::gate::{Allowance, Gate};
use super::name;
use super::walk::{Member, Place, Walk};
use super::webdataset::Samples;
use crate::modality::Modality;

/// Bytes that may be read before a member's content: its header, long names and pax records.
const HEADERS: u64 = 1 << 20;

/// Whether a content begins with the header of a member: its checksum is right.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    let stated = std::str::from_utf8(&block[148..156]).ok();
    let stated = stated.map(|digits| digits.trim_matches([' ', '\0'])).filter(|digits| !digits.is_empty());
    let Some(stated) = stated.and_then(|digits| u32::from_str_radix(digits, 8).ok()) else { return false };
    // The checksum counts itself as eight spaces.
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]) == stated
}

pub(super) fn expand(walk: &mut Walk<'_>, reader: &mut dyn Read, place: &Place) -> Step {
    let allowance = Allowance::new("a member's header is over 1 MiB");
    let mut archive = ::tar::Archive::new(Gate::new(reader, &allowance));
    let mut samples = (walk.options.modality != Modality::Text).then(Samples::default);
    let mut entries = archive.entries()?;
    // What is left of the member before, where that was not read to its end.
    let mut behind = 0;
    loop {
        // A name can be told to be gigabytes, and is read into memory.
        allowance.set(HEADERS + std::mem::take(&mut behind));
        let Some(mut entry) = fenced(|| entries.next().transpose())? else { break };
        let raw = fenced(|| Ok(String::from_utf8_lossy(&entry.path_bytes()).into_owned()))?;
        let kind = entry.header().entry_type();
        let gnu_sparse = kind.is_gnu_sparse();
        let sparse = gnu_sparse || pax_sparse(&mut entry)?;
        let name = name::clean(&raw);
        allowance.lift();
        let file = (kind.is_file() || kind.is_contiguous() || sparse) && !raw.ends_with('/');
        let wanted = file && !name::hidden(&name);
        if wanted && let Some(samples) = &mut samples {
            samples.begin(walk, &name, place)?;
        }
        if wanted && sparse {
            walk.skip(place.join(&name), "is a sparse file, which is not read: pack it without `--sparse`")?;
        }
        if gnu_sparse {
            // Reading it would make its zeros.
            behind = entry.header().entry_size().unwrap_or(0).saturating_add(512).min(1 << 62);
            continue;
        }
        if !wanted || sparse {
            skip_rest(&mut entry)?;
            continue;
        }
        let len = entry.size();
        let mut content = Exact { inner: &mut entry, left: len };
        let member = Member { name: &name, len: Some(len), sample: samples.is_some() };
        let opened = walk.member(&mut content, member, place)?;
        if let Some(samples) = &mut samples {
            samples.add(&name, opened);
        }
        skip_rest(&mut content)?;
    }
    if let Some(mut samples) = samples {
        samples.end(walk, place)?;
    }
    // What is behind the archive is padding; a compressed stream has its checksum there.
    allowance.lift();
    skip_rest(&mut archive.into_inner())
}

/// GNU tar's sparse files in pax archives look like others, but for these records.
fn pax_sparse<R: Read>(entry: &mut ::tar::Entry<'_, R>) -> Step<bool> {
    let sparse = fenced(|| {
        let records = entry.pax_extensions()?;
        Ok(records.is_some_and(|mut records| {
            records.any(|record| record.is_ok_and(|record| record.key_bytes().starts_with(b"GNU.sparse.")))
        }))
    })?;
    Ok(sparse)
}

fn skip_rest(reader: &mut dyn Read) -> Step {
    io::copy(reader, &mut io::sink())?;
    Ok(())
}

/// A member's content, which fails where it ends early.
struct Exact<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = fenced(|| self.inner.read(buffer))?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside of it"));
        }
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
