//! `megabyte decompress`: archives to files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use megabyte::density::archive::{Codec, Container, Damage, DecompressOptions, Header, Restored, unpack};
use megabyte::model::folder::{self, ModelFile};
use megabyte::progress::Progress;
use megabyte::train::speed::Work;
use megabyte::train::{Dtype, memory};
use megabyte::{Error, Result};
use serde::Serialize;
use tch::{Cuda, Device, Kind};

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
    /// What the model computed it on, and in; none where no model had a part in it.
    #[serde(flatten)]
    way: Option<Way>,
    damage: Vec<Damage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A way to compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Way {
    #[serde(serialize_with = "by_name")]
    device: Device,
    dtype: String,
}

fn by_name<S: serde::Serializer>(device: &Device, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&device::name(*device))
}

/// The whole call.
#[derive(Debug, Serialize)]
struct Done {
    model: Option<String>,
    threads: usize,
    bytes: u64,
    seconds: f64,
    bytes_per_second: f64,
    files: Vec<Back>,
}

/// Runs the verb.
pub fn run(args: DecompressArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let rename = |name: PathBuf| if pairs::is_named_archive(&name) { name.with_extension("") } else { name };
    // A folder may hold what was compressed, too; what has the name of an archive is to be one.
    let mut others = 0;
    let mut is_other = |path: &Path| {
        let is_other = !pairs::is_named_archive(path) && !pairs::begins_archive(path);
        others += u64::from(is_other);
        is_other
    };
    let pairs = pairs::find(&args.inputs, &args.out, &mut is_other, rename)?;
    if others > 0 {
        progress.note(&format!(
            "{} that {} no archive skipped",
            output::count(others, "file"),
            if others == 1 { "is" } else { "are" }
        ));
    }
    pairs.iter().try_for_each(|pair| output::check_free(&pair.to, args.force))?;
    let threads = pairs::threads(args.threads)?;
    let place = args.model.as_deref().map(folder::resolve).transpose()?;
    let options = DecompressOptions { threads, ..DecompressOptions::default() };
    let mut codecs: Vec<(Way, Codec)> = Vec::new();

    let started = Instant::now();
    let mut files = Vec::new();
    for group in pairs::groups(&pairs, pairs::IN_MEMORY) {
        let archives = pairs::read(group)?;
        let ways = archives.iter().map(|archive| way(&args, archive)).collect::<Result<Vec<_>>>()?;
        let mut restored: Vec<Option<Result<Restored>>> = archives.iter().map(|_| None).collect();
        // Together with those that are computed alike.
        while let Some(first) = restored.iter().position(Option::is_none) {
            let (way, place) = (&ways[first], place.as_deref());
            let alike: Vec<usize> = (first..ways.len()).filter(|&i| ways[i] == *way).collect();
            let bytes: Vec<&[u8]> = alike.iter().map(|&i| &archives[i][..]).collect();
            let back = match (way, place) {
                (Some(way), Some(place)) => codec(&mut codecs, place, way)?.decompress(&bytes, options, progress)?,
                _ => bytes.into_iter().map(unpack).collect(),
            };
            alike.into_iter().zip(back).for_each(|(i, back)| restored[i] = Some(back));
        }
        for ((pair, restored), way) in group.iter().zip(restored.into_iter().flatten()).zip(ways) {
            let back = keep(pair, restored, way.filter(|_| place.is_some()), args.recover)?;
            if let (Some(error), true) = (&back.error, pairs.len() > 1) {
                progress.note(&format!("{}: {error}", back.archive));
            }
            files.push(back);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = files.iter().filter_map(|back| back.bytes).sum();
    let failed = files.iter().filter(|back| back.error.is_some()).count();
    let done = Done {
        model: place.map(|place| place.display().to_string()),
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
            let mut devices: Vec<String> = codecs.iter().map(|(way, _)| device::name(way.device)).collect();
            devices.sort();
            devices.dedup();
            let on = if devices.is_empty() { String::new() } else { format!(" on {}", devices.join(" and ")) };
            output::print(&format!("{} bytes in {:.1} s{on}, {rate}", done.bytes, done.seconds))?;
        }
    }
    match (failed, &done.files[..]) {
        (0, _) => Ok(()),
        (_, [Back { archive, error: Some(error), .. }]) => bail!("{archive}: {error}"),
        (failed, files) => bail!("{failed} of {} archives didn't come back whole", files.len()),
    }
}

/// The device and the type of numbers: as asked for, or those that the archive says. None where no model has a part in
/// it, or where it is none.
fn way(args: &DecompressArgs, archive: &[u8]) -> Result<Option<Way>> {
    let coding = Header::read(archive).ok().and_then(|(header, _)| header.coding);
    let Some(identity) = coding.map(|coding| coding.identity) else { return Ok(None) };
    let device = match &args.device {
        Some(_) => device::choose(args.device.as_deref())?,
        // Where there is none, the archive is refused by name.
        None if identity.device() == "cuda" && Cuda::is_available() => Device::Cuda(0),
        None => Device::Cpu,
    };
    let asked = args.dtype.clone().filter(|name| name != Dtype::Auto.name());
    Ok(Some(Way { device, dtype: asked.unwrap_or_else(|| identity.dtype().to_owned()) }))
}

/// The model that computes in a way, loaded where it is not yet.
fn codec<'a>(codecs: &'a mut Vec<(Way, Codec)>, place: &Path, way: &Way) -> Result<&'a Codec> {
    let known = codecs.iter().position(|(known, _)| known == way);
    let at = match known {
        Some(at) => at,
        None => {
            let dtype: Dtype = way.dtype.parse()?;
            dtype.check(way.device)?;
            let kind = dtype.kind().unwrap_or(Kind::Float);
            let model = ModelFile::read(place)?.model;
            memory::check_inference(&model, kind, way.device, &Work::generation(&model, 1), "--threads")?;
            codecs.push((way.clone(), Codec::load(place, kind, way.device)?));
            codecs.len() - 1
        }
    };
    Ok(&codecs[at].1)
}

/// Writes a file that came back, if it is whole or what is left is wanted.
fn keep(pair: &Pair, restored: Result<Restored>, way: Option<Way>, recover: bool) -> anyhow::Result<Back> {
    let archive = pair.from.display().to_string();
    let mut back = Back { archive, file: None, bytes: None, container: None, way, damage: Vec::new(), error: None };
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
