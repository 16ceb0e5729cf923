//! `megabyte compress`: files to archives.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use megabyte::density::archive::{Codec, CompressOptions, Compressed, Container, Header, LANES};
use megabyte::density::{self, Baseline};
use megabyte::modality::{BytesLayout, Layout, Modality};
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::Dtype;
use megabyte::train::speed::Work;
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
    dtype: Dtype,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    baselines_of: Option<Compared>,
    /// Archives that were there, and are not among the files.
    already: usize,
    files: Vec<Made>,
}

/// What the baselines are of, and can be compared with.
#[derive(Debug, Serialize)]
struct Compared {
    files: usize,
    content_bytes: u64,
    archive_bytes: u64,
    bits_per_byte: f64,
}

/// Bytes of files whose archives are written together: an interruption loses the work on no more than these. It is no
/// matter of threads, as these change nothing in the archives.
const GROUP: u64 = 8 << 20;

/// Runs the verb.
pub fn run(args: CompressArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let rename = |name: std::path::PathBuf| {
        let mut name = name.into_os_string();
        name.push(".mbz");
        name.into()
    };
    let mut own = 0;
    let mut is_own = |path: &Path| {
        let is_own = pairs::is_named_archive(path) && pairs::begins_archive(path);
        own += u64::from(is_own);
        is_own
    };
    let all = pairs::find(&args.inputs, &args.out, &mut is_own, rename)?;
    if own > 0 {
        progress.note(&format!("{} of this program skipped: compressed already", output::count(own, "archive")));
    }
    let threads = pairs::threads(args.threads)?;
    let before = if args.force { None } else { dtype_of(&all) };
    let lanes = args.lanes.unwrap_or(LANES);
    let found = model::find(&args.model, "--lanes", before, |model| Work::generation(model, lanes).as_memory_allows())?;
    let codec = Codec::load(&found.place, found.kind(), found.device)?;
    let model::Found { place, device, dtype } = found;
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
    let pairs = if args.force { all.clone() } else { missing(&codec, &all, options)? };
    let already = all.len() - pairs.len();
    if already > 0 {
        progress.note(&format!("{already} of {} archives are there already, whole: they stay", all.len()));
    }
    let (mut files, mut contents) = (Vec::new(), Vec::new());
    for group in pairs::groups(&pairs, GROUP) {
        let archives = codec.compress(&pairs::read(group)?, options, progress);
        if matches!(archives, Err(Error::Interrupted)) && all.len() > 1 {
            let there = already + files.len();
            progress.note(&format!("{there} of {} archives are written; the same command makes the others", all.len()));
        }
        for (pair, made) in group.iter().zip(archives.map_err(|error| named(error, group))?) {
            output::write(&pair.to, &made.archive)?;
            files.push(Made::new(pair, &made));
            if args.json {
                contents.push(made.content);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let (baselines, baselines_of) = if args.json {
        let layout = if raw { Layout::Bytes(BytesLayout {}) } else { codec.layout().clone() };
        compare(layout, &files, &contents)?
    } else {
        Default::default()
    };
    let sum = |of: fn(&Made) -> u64| files.iter().map(of).sum::<u64>();
    let [bytes, content_bytes, archive_bytes] =
        [sum(|made| made.bytes), sum(|made| made.content_bytes), sum(|made| made.archive_bytes)];
    let done = Done {
        model: place.display().to_string(),
        modality: if raw { Modality::Bytes } else { modality },
        device: device::name(device),
        dtype,
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
        baselines_of,
        already,
        files,
    };
    if args.json { output::print_json(&done) } else { print(&done) }
}

/// The type of the archives that are there already: an interrupted call goes on in it.
fn dtype_of(pairs: &[Pair]) -> Option<Dtype> {
    let of = |pair: &Pair| {
        let (header, _) = Header::read(&std::fs::read(&pair.to).ok()?).ok()?;
        header.coding?.identity.dtype().parse().ok()
    };
    pairs.iter().find_map(of)
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

/// The pairs whose archive is not there yet, and whole. Fails where something else is there.
fn missing(codec: &Codec, pairs: &[Pair], options: CompressOptions) -> anyhow::Result<Vec<Pair>> {
    let (there, missing): (Vec<Pair>, Vec<Pair>) = pairs.iter().cloned().partition(|pair| pair.to.exists());
    for group in pairs::groups(&there, pairs::IN_MEMORY) {
        let files = pairs::read(group)?;
        let read = |pair: &Pair| std::fs::read(&pair.to).with_context(|| shown(&pair.to));
        let archives = group.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let beside: Vec<_> = archives.iter().map(Vec::as_slice).zip(files.iter().map(Vec::as_slice)).collect();
        for (pair, holds) in group.iter().zip(codec.hold(&beside, options)) {
            if !holds {
                bail!(
                    "{}: is there already, and is not the whole archive of {} that this command makes; choose another \
                     path or add --force",
                    shown(&pair.to),
                    shown(&pair.from)
                );
            }
        }
    }
    Ok(missing)
}

/// What coders make of the same content, and of which files. Coders of pictures and sounds see pictures and sounds, so
/// stored files are left out; where there are no others, they are bytes.
fn compare(layout: Layout, files: &[Made], contents: &[Vec<u8>]) -> Result<(Vec<Baseline>, Option<Compared>)> {
    let some = |made: &Made| made.content_bytes > 0;
    let coded = |made: &Made| some(made) && made.container != Container::Stored;
    let any = files.iter().any(coded);
    let layout = if any { layout } else { Layout::Bytes(BytesLayout {}) };
    let (chosen, items): (Vec<&Made>, Vec<&[u8]>) = files
        .iter()
        .zip(contents.iter().map(Vec::as_slice))
        .filter(|(made, _)| if any { coded(made) } else { some(made) })
        .unzip();
    if items.is_empty() {
        return Ok((Vec::new(), None));
    }
    let sum = |of: fn(&Made) -> u64| chosen.iter().map(|made| of(made)).sum::<u64>();
    let (content_bytes, archive_bytes) = (sum(|made| made.content_bytes), sum(|made| made.archive_bytes));
    let bits_per_byte = 8.0 * ratio(archive_bytes, content_bytes);
    let compared = Compared { files: chosen.len(), content_bytes, archive_bytes, bits_per_byte };
    Ok((density::classical(&layout, items.into_iter())?, Some(compared)))
}

/// An error about one of the files, by its name.
fn named(error: Error, group: &[Pair]) -> Error {
    match (error, group) {
        (Error::Input { index, reason }, group) if index < group.len() => Error::file(&group[index].from, reason),
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
        return output::print("nothing is left to compress");
    }
    let line = |name: &str, from: u64, to: u64, note: &str| {
        output::print(&format!("{name}: {from} bytes to {to}, {:.1} %{note}", 100.0 * ratio(to, from)))
    };
    for made in &done.files {
        let note = if made.method == "stored" { ", stored: the model has no use here" } else { "" };
        line(&shown(&made.file), made.bytes, made.archive_bytes, note)?;
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

#[cfg(test)]
mod tests {
    use megabyte::modality::AudioLayout;

    use super::*;

    fn made(container: Container, content_bytes: u64) -> Made {
        Made {
            file: String::new(),
            archive: String::new(),
            method: "",
            container,
            bytes: content_bytes,
            content_bytes,
            archive_bytes: 10,
            ratio: 0.0,
            bits_per_byte: 0.0,
        }
    }

    #[test]
    fn stored_files_leave_the_others_their_coders() {
        let of = |files: &[(Container, usize)]| {
            let contents: Vec<Vec<u8>> = files.iter().map(|&(_, len)| vec![1; len]).collect();
            let files: Vec<Made> = files.iter().map(|&(container, len)| made(container, len as u64)).collect();
            let (found, of) = compare(Layout::Audio(AudioLayout::default()), &files, &contents).unwrap();
            (found.first().map(|found| found.name.clone()), of.map(|of| (of.files, of.content_bytes, of.archive_bytes)))
        };
        let (coded, stored) = (Container::Decoded, Container::Stored);
        let flac = Some("FLAC 16 bit".to_owned());
        assert_eq!(of(&[(coded, 400), (stored, 9), (coded, 200)]), (flac.clone(), Some((2, 600, 20))));
        assert_eq!(of(&[(coded, 400), (coded, 0)]), (flac, Some((1, 400, 10))));
        assert_eq!(of(&[(stored, 9), (stored, 5)]), (Some("PPMd".to_owned()), Some((2, 14, 20))));
        assert_eq!(of(&[(coded, 0), (stored, 0)]), (None, None));
    }
}
