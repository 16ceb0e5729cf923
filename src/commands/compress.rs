//! `megabyte compress`: files to archives.

use std::time::Instant;

use anyhow::bail;
use megabyte::density::archive::{Codec, CompressOptions, Compressed, Container};
use megabyte::density::{self, Baseline};
use megabyte::modality::{BytesLayout, Layout, Modality};
use megabyte::progress::Progress;
use megabyte::{Error, Result};
use serde::Serialize;

use super::pairs::{self, Pair};
use super::{device, model, output};
use crate::cli::CompressArgs;

/// What became of a file.
#[derive(Debug, Serialize)]
struct Made {
    file: String,
    archive: String,
    /// `coded` by the model, or `stored`.
    method: &'static str,
    container: Container,
    bytes: u64,
    content_bytes: u64,
    archive_bytes: u64,
    ratio: f64,
    bits_per_byte: f64,
}

/// The whole call.
#[derive(Debug, Serialize)]
struct Done {
    model: String,
    modality: Modality,
    device: String,
    dtype: String,
    threads: usize,
    verified: bool,
    bytes: u64,
    content_bytes: u64,
    archive_bytes: u64,
    ratio: f64,
    bits_per_byte: f64,
    seconds: f64,
    bytes_per_second: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    baselines: Vec<Baseline>,
    files: Vec<Made>,
}

/// Runs the verb.
pub fn run(args: CompressArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let rename = |name: std::path::PathBuf| {
        let mut name = name.into_os_string();
        name.push(".mbz");
        name.into()
    };
    let pairs = pairs::find(&args.inputs, &args.out, rename, args.force)?;
    let threads = pairs::threads(args.threads)?;
    let (place, kind, device) = model::find(&args.model)?;
    let codec = Codec::load(&place, kind, device)?;
    let modality = codec.layout().modality();
    let raw = raw(args.modality.as_deref(), modality)?;
    let options = CompressOptions {
        threads,
        lanes: args.lanes,
        raw,
        payload_only: args.payload_only,
        verify: !args.no_verify,
        ..CompressOptions::default()
    };

    let started = Instant::now();
    let (mut files, mut contents, mut sound) = (Vec::new(), Vec::new(), true);
    for group in pairs::groups(&pairs) {
        let archives = codec.compress(&pairs::read(group)?, options, progress).map_err(|error| named(error, group))?;
        for (pair, made) in group.iter().zip(archives) {
            output::write(&pair.to, &made.archive)?;
            files.push(Made::new(pair, &made));
            sound &= made.header.container != Container::Stored;
            if args.json {
                contents.push(made.content);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    // Coders of pictures and sounds see pictures and sounds.
    let layout = if raw || !sound { Layout::Bytes(BytesLayout {}) } else { codec.layout().clone() };
    let baselines = match contents.iter().all(Vec::is_empty) {
        true => Vec::new(),
        false => density::classical(&layout, contents.iter().map(Vec::as_slice))?,
    };
    let sum = |of: fn(&Made) -> u64| files.iter().map(of).sum::<u64>();
    let [bytes, content_bytes, archive_bytes] =
        [sum(|made| made.bytes), sum(|made| made.content_bytes), sum(|made| made.archive_bytes)];
    let done = Done {
        model: place.display().to_string(),
        modality: if raw { Modality::Bytes } else { modality },
        device: device::name(device),
        dtype: args.model.dtype,
        threads,
        verified: options.verify,
        bytes,
        content_bytes,
        archive_bytes,
        ratio: ratio(bytes, archive_bytes),
        bits_per_byte: 8.0 * ratio(archive_bytes, content_bytes),
        seconds,
        bytes_per_second: content_bytes as f64 / seconds,
        baselines,
        files,
    };
    if args.json { output::print_json(&done) } else { print(&done) }
}

/// Whether files are coded as they are.
fn raw(wanted: Option<&str>, own: Modality) -> Result<bool> {
    let Some(name) = wanted else { return Ok(false) };
    match name.parse::<Modality>() {
        Ok(Modality::Bytes) => Ok(true),
        Ok(modality) if modality == own => Ok(false),
        _ => Err(Error::Usage(format!("--modality {name}: expected bytes, or {own}, which this model is of"))),
    }
}

/// An error about the only file, by its name.
fn named(error: Error, group: &[Pair]) -> Error {
    match (error, group) {
        (Error::Content(reason), [pair]) => Error::file(&pair.from, reason),
        (error, _) => error,
    }
}

fn ratio(of: u64, to: u64) -> f64 {
    if to == 0 { 0.0 } else { of as f64 / to as f64 }
}

impl Made {
    fn new(pair: &Pair, made: &Compressed) -> Self {
        let (header, archive_bytes) = (&made.header, made.archive.len() as u64);
        Made {
            file: pair.from.display().to_string(),
            archive: pair.to.display().to_string(),
            method: if header.container == Container::Stored { "stored" } else { "coded" },
            container: header.container,
            bytes: header.file_len,
            content_bytes: header.content_len,
            archive_bytes,
            ratio: ratio(header.file_len, archive_bytes),
            bits_per_byte: 8.0 * ratio(archive_bytes, header.content_len),
        }
    }
}

fn print(done: &Done) -> anyhow::Result<()> {
    if done.files.is_empty() {
        bail!("nothing was compressed");
    }
    let line = |name: &str, from: u64, to: u64, note: &str| {
        output::print(&format!("{name}: {from} bytes to {to}, {:.1} %{note}", 100.0 * ratio(to, from)))
    };
    for made in &done.files {
        let note = if made.method == "stored" { ", stored: the model has no use here" } else { "" };
        line(&made.file, made.bytes, made.archive_bytes, note)?;
    }
    if done.files.len() > 1 {
        line(&format!("{} files", done.files.len()), done.bytes, done.archive_bytes, "")?;
    }
    output::print(&format!(
        "{:.4} bits a byte of content, {:.1} s on {}, {}{}",
        done.bits_per_byte,
        done.seconds,
        done.device,
        output::rate(done.bytes_per_second),
        if done.verified { ", verified" } else { "" }
    ))
}
