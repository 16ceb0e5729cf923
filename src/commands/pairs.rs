//! Which file is written for which: a file for a file, or a folder for many.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use megabyte::Error;
use megabyte::density::archive::MAGIC;
use megabyte::shown::shown;
use walkdir::WalkDir;

use super::output;

/// What is read, and what is written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The file that is there.
    pub from: PathBuf,
    /// The file to write.
    pub to: PathBuf,
}

/// Pairs for files and all files below folders. A single file has `out` as its pair, or a file in it where it is a
/// folder; several have files in it, where `rename` makes their names from those of the inputs. No input is among the
/// outputs. What `leaves_out` says of files in folders is left out.
pub fn find(
    inputs: &[PathBuf],
    out: &Path,
    leaves_out: &mut dyn FnMut(&Path) -> bool,
    rename: impl Fn(PathBuf) -> PathBuf,
) -> anyhow::Result<Vec<Pair>> {
    let mut found = Vec::new();
    for input in inputs {
        if !input.is_dir() {
            let name = input.file_name().with_context(|| format!("{}: is no file", shown(input)))?;
            found.push((input.clone(), PathBuf::from(name)));
            continue;
        }
        for entry in WalkDir::new(input).follow_links(true).sort_by_file_name() {
            let entry = entry?;
            if entry.file_type().is_file() && !leaves_out(entry.path()) {
                let name = entry.path().strip_prefix(input).unwrap_or(entry.path()).to_owned();
                found.push((entry.into_path(), name));
            }
        }
    }
    if found.is_empty() {
        bail!(Error::Usage(format!("{}: there are no files in it", shown(&inputs[0]))));
    }
    let into_folder = out.is_dir() || found.len() > 1 || inputs.iter().any(|input| input.is_dir());
    if into_folder && out.is_file() {
        bail!(Error::Usage(format!("--out {}: is a file, and several need a folder", shown(out))));
    }
    let inputs: HashSet<PathBuf> = found.iter().map(|(from, _)| output::whole(from)).collect();
    let mut seen = HashSet::new();
    let mut pairs = Vec::new();
    for (from, name) in found {
        let to = if into_folder { out.join(rename(name)) } else { out.to_owned() };
        output::check_regular(&to)?;
        if inputs.contains(&output::whole(&to)) {
            bail!(Error::Usage(format!("--out {}: is one of the files to read", shown(&to))));
        }
        if !seen.insert(to.clone()) {
            bail!(Error::Usage(format!("{}: two of the files would be written there", shown(&to))));
        }
        pairs.push(Pair { from, to });
    }
    Ok(pairs)
}

/// Whether a file has the name of an archive.
pub fn is_named_archive(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "mbz")
}

/// Whether a file begins as an archive of this program does, of any version.
pub fn begins_archive(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start[..MAGIC.len() - 1] == MAGIC[..MAGIC.len() - 1]
}

/// Bytes of files that are in memory at once.
pub const IN_MEMORY: u64 = 256 << 20;

/// Pairs in groups that end where their files have `most` bytes.
pub fn groups(pairs: &[Pair], most: u64) -> Vec<&[Pair]> {
    let (mut groups, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (i, pair) in pairs.iter().enumerate() {
        bytes += pair.from.metadata().map_or(0, |metadata| metadata.len());
        if bytes >= most || i + 1 == pairs.len() {
            groups.push(&pairs[start..=i]);
            (start, bytes) = (i + 1, 0);
        }
    }
    groups
}

/// The contents of the files of a group.
pub fn read(group: &[Pair]) -> anyhow::Result<Vec<Vec<u8>>> {
    group.iter().map(|pair| std::fs::read(&pair.from).with_context(|| shown(&pair.from))).collect()
}

/// `--threads`, by default as many as there are cores.
pub fn threads(wanted: Option<usize>) -> anyhow::Result<usize> {
    match wanted {
        Some(threads @ 1..=1024) => Ok(threads),
        Some(threads) => bail!(Error::Usage(format!("--threads {threads}: expected 1 to 1024"))),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}
