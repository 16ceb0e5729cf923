//! `megabyte decompress`: archives to files.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use megabyte::density::archive::{Codec, Container, Damage, DecompressOptions, Header, Restored};
use megabyte::model::folder;
use megabyte::progress::Progress;
use megabyte::train::Dtype;
use megabyte::{Error, Result};
use serde::Serialize;
use tch::{Cuda, Device};

use super::pairs::{self, Pair};
use super::{device, output};
use crate::cli::DecompressArgs;

/// What became of an archive.
#[derive(Debug, Serialize)]
struct Back {
    archive: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    damage: Vec<Damage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The whole call.
#[derive(Debug, Serialize)]
struct Done {
    model: String,
    device: String,
    dtype: String,
    threads: usize,
    bytes: u64,
    seconds: f64,
    bytes_per_second: f64,
    files: Vec<Back>,
}

/// Runs the verb.
pub fn run(args: DecompressArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let rename =
        |name: PathBuf| if name.extension().is_some_and(|end| end == "mbz") { name.with_extension("") } else { name };
    let pairs = pairs::find(&args.inputs, &args.out, rename, args.force)?;
    let threads = pairs::threads(args.threads)?;
    let place = folder::resolve(&args.model)?;
    let mut codec: Option<(Codec, Device, String)> = None;

    let started = Instant::now();
    let mut files = Vec::new();
    for group in pairs::groups(&pairs) {
        let archives = pairs::read(group)?;
        if codec.is_none() {
            let (device, dtype) = way(&args, &archives)?;
            codec = Some((Codec::load(&place, dtype.parse::<Dtype>()?.kind(), device)?, device, dtype));
        }
        let Some((codec, ..)) = &codec else { continue };
        let archives: Vec<&[u8]> = archives.iter().map(Vec::as_slice).collect();
        let options = DecompressOptions { threads, ..DecompressOptions::default() };
        for (pair, restored) in group.iter().zip(codec.decompress(&archives, options, progress)?) {
            let back = keep(pair, restored, args.recover)?;
            if let (Some(error), true) = (&back.error, pairs.len() > 1) {
                progress.note(&format!("{}: {error}", back.archive));
            }
            files.push(back);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = files.iter().filter_map(|back| back.bytes).sum();
    let (device, dtype) = codec.map_or((Device::Cpu, String::new()), |(_, device, dtype)| (device, dtype));
    let failed = files.iter().filter(|back| back.error.is_some()).count();
    let done = Done {
        model: place.display().to_string(),
        device: device::name(device),
        dtype,
        threads,
        bytes,
        seconds,
        bytes_per_second: bytes as f64 / seconds,
        files,
    };
    if args.json {
        output::print_json(&done)?;
    } else {
        for back in done.files.iter().filter(|back| back.file.is_some()) {
            let (file, bytes) = (back.file.as_deref().unwrap_or_default(), back.bytes.unwrap_or_default());
            output::print(&format!("{file}: {bytes} bytes"))?;
        }
        if done.files.iter().any(|back| back.file.is_some()) {
            let rate = output::rate(done.bytes_per_second);
            output::print(&format!("{} bytes in {:.1} s on {}, {rate}", done.bytes, done.seconds, done.device))?;
        }
    }
    match (failed, &done.files[..]) {
        (0, _) => Ok(()),
        (_, [Back { archive, error: Some(error), .. }]) => bail!("{archive}: {error}"),
        (failed, files) => bail!("{failed} of {} archives didn't come back whole", files.len()),
    }
}

/// The device and the type of numbers: as asked for, or those of the first archive that says.
fn way(args: &DecompressArgs, archives: &[Vec<u8>]) -> Result<(Device, String)> {
    let said = archives.iter().find_map(|archive| Header::read(archive).ok()?.0.coding).map(|coding| coding.identity);
    let device = match (&args.device, said) {
        (Some(_), _) | (None, None) => device::choose(args.device.as_deref())?,
        // Where there is none, the archive is refused by name.
        (None, Some(identity)) if identity.device() == "cuda" && Cuda::is_available() => Device::Cuda(0),
        (None, Some(_)) => Device::Cpu,
    };
    let dtype = args.dtype.clone().or(said.map(|identity| identity.dtype().to_owned()));
    Ok((device, dtype.unwrap_or_else(|| "float32".to_owned())))
}

/// Writes a file that came back, if it is whole or what is left is wanted.
fn keep(pair: &Pair, restored: Result<Restored>, recover: bool) -> anyhow::Result<Back> {
    let archive = pair.from.display().to_string();
    let mut back = Back { archive, file: None, bytes: None, container: None, damage: Vec::new(), error: None };
    match restored {
        Err(Error::Interrupted) => bail!(Error::Interrupted),
        Err(error) => back.error = Some(error.to_string()),
        Ok(Restored { file, damage, header }) => {
            if damage.is_empty() || recover {
                output::write(&pair.to, &file)?;
                back.file = Some(pair.to.display().to_string());
                back.bytes = Some(file.len() as u64);
            }
            back.error = (!damage.is_empty()).then(|| lost(&damage, &header, recover));
            (back.container, back.damage) = (Some(header.container), damage);
        }
    }
    Ok(back)
}

/// What is lost, in a line.
fn lost(damage: &[Damage], header: &Header, recover: bool) -> String {
    const SHOWN: usize = 8;
    let what = |Damage { archive, content, reason }: &Damage| {
        let place = format!("its part at bytes {} to {} {reason}", archive.start, archive.end);
        match content.is_empty() {
            true => format!("{place}: what the file has beside its content"),
            false => format!("{place}: bytes {} to {} of the content", content.start, content.end),
        }
    };
    let mut list: Vec<String> = damage.iter().take(SHOWN).map(what).collect();
    if damage.len() > SHOWN {
        list.push(format!("and {} more", damage.len() - SHOWN));
    }
    let bytes: u64 = damage.iter().map(|damage| damage.content.end - damage.content.start).sum();
    let remedy = if recover { "zeros stand for them" } else { "--recover writes the rest" };
    format!("is damaged: {}; {bytes} of {} bytes are lost, {remedy}", list.join("; "), header.content_len)
}
