//! `megabyte generate`: files, from a prompt or from nothing.

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use megabyte::Error;
use megabyte::generate::{Request, SampleConfig, generate};
use megabyte::modality::{Adapter, Modality};
use megabyte::model::ModelConfig;
use megabyte::progress::Progress;
use megabyte::shown::shown;
use megabyte::train::speed::Work;
use megabyte::train::{Dtype, memory};
use serde::Serialize;
use tch::Device;

use super::model::{self, Opened};
use super::{device, model_run, output};
use crate::cli::GenerateArgs;

/// What was generated: printed with `--json`, and kept beside the files of a folder.
#[derive(Serialize)]
struct Made {
    model: String,
    modality: Modality,
    prompt: Option<String>,
    prompt_bytes: usize,
    kept_bytes: usize,
    length: usize,
    count: usize,
    seconds: f64,
    bytes_per_second: f64,
    settings: SampleConfig,
    device: String,
    dtype: Dtype,
    original: Option<String>,
    kept: Option<String>,
    files: Vec<String>,
}

/// Runs the verb.
pub fn run(args: GenerateArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let into_folder = args.count > 1 || args.out.is_dir();
    if into_folder && args.out.is_file() {
        bail!(Error::Usage(format!(
            "--out {}: is a file, and --count {} needs a folder",
            shown(&args.out),
            args.count
        )));
    }
    if args.count > 65_536 {
        bail!(Error::Usage(format!("--count {}: allowed is up to 65536 at a time", args.count)));
    }
    output::check_free(&args.out, args.force)?;
    if args.count == 0 {
        bail!(Error::Usage("--count 0: expected at least 1".to_owned()));
    }
    let count = args.count;
    let Opened { place, file, model, device, dtype } =
        model::open(&args.model, "--count", None, |model| Work::generation(model, count))?;
    let adapter = file.layout.adapter();

    let prompt = match &args.prompt {
        Some(path) => read_prompt(path, adapter.as_ref())?,
        None => Vec::new(),
    };
    let kept = kept_bytes(args.keep.as_deref(), prompt.len(), adapter.as_ref())?;
    let length = length(&args, &file.model, adapter.as_ref())?;
    check_room(kept, length)?;
    check_memory(args.count, length)?;
    let request = Request { prompt: prompt[..kept].to_vec(), length, count: args.count, sample: settings(&args) };
    let started = Instant::now();
    let sequences = generate(&model, &request, progress)?;
    let seconds = started.elapsed().as_secs_f64();
    let drawn: usize = sequences.iter().map(|sequence| sequence.len() - kept.min(sequence.len())).sum();

    let mut made = Made {
        model: place.display().to_string(),
        modality: file.layout.modality(),
        prompt: args.prompt.as_ref().map(|path| path.display().to_string()),
        prompt_bytes: prompt.len(),
        kept_bytes: kept,
        length: request.length,
        count: args.count,
        seconds,
        bytes_per_second: drawn as f64 / seconds,
        settings: request.sample,
        device: device::name(device),
        dtype,
        original: None,
        kept: None,
        files: Vec::new(),
    };
    if into_folder {
        write_folder(&args.out, &mut made, &sequences, &prompt, adapter.as_ref())?;
    } else {
        output::write(&args.out, &adapter.decode(&sequences[0])?)?;
        made.files.push(args.out.display().to_string());
    }
    progress.note(&format!(
        "{} of {} bytes in {seconds:.1} s, {}",
        made.files.join(" "),
        request.length,
        output::rate(made.bytes_per_second)
    ));
    if args.json { output::print_json(&made) } else { Ok(()) }
}

/// A file a sequence, and for whoever compares, the prompt as the model's layout shows it, whole and as kept.
fn write_folder(
    folder: &Path,
    made: &mut Made,
    sequences: &[Vec<u8>],
    prompt: &[u8],
    adapter: &dyn Adapter,
) -> anyhow::Result<()> {
    let extension = adapter.extension();
    let write = |name: String, bytes: &[u8]| -> anyhow::Result<String> {
        output::write(&folder.join(&name), &adapter.decode(bytes)?)?;
        Ok(name)
    };
    if made.prompt.is_some() {
        // As much of the original as was generated; a whole recording would dwarf its continuation.
        let original = &prompt[..prompt.len().min(made.length)];
        made.original = Some(write(format!("original.{extension}"), original)?);
        made.kept = Some(write(format!("kept.{extension}"), &prompt[..made.kept_bytes])?);
    }
    for (i, sequence) in sequences.iter().enumerate() {
        made.files.push(write(format!("{i:03}.{extension}"), sequence)?);
    }
    Ok(output::write(&folder.join("generate.json"), serde_json::to_string_pretty(made)?.as_bytes())?)
}

fn read_prompt(path: &Path, adapter: &dyn Adapter) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut content).context("standard input")?;
    } else {
        content = std::fs::read(path).with_context(|| shown(path))?;
    }
    adapter.encode(&content).with_context(|| shown(path))
}

/// How many of the prompt's bytes `--keep` keeps: a share of it in whole patches, or a number.
fn kept_bytes(keep: Option<&str>, total: usize, adapter: &dyn Adapter) -> megabyte::Result<usize> {
    let Some(keep) = keep else {
        return Ok(total);
    };
    let wrong = |reason: String| Error::Usage(format!("--keep {keep}: {reason}"));
    if let Some(percent) = keep.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| wrong("expected a percentage such as 50%".to_owned()))?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(wrong("expected 0% to 100%".to_owned()));
        }
        let bytes = (total as f64 * percent / 100.0) as usize;
        let patch = adapter.patch_size();
        return Ok(if bytes >= patch { bytes / patch * patch } else { bytes });
    }
    let bytes: usize = keep.parse().map_err(|_| wrong("expected 50% or a number of bytes".to_owned()))?;
    if bytes > total {
        return Err(wrong(format!("the prompt has {total} bytes")));
    }
    Ok(bytes)
}

fn length(args: &GenerateArgs, model: &ModelConfig, adapter: &dyn Adapter) -> megabyte::Result<usize> {
    if let Some(seconds) = args.seconds {
        let rate = adapter.bytes_per_second().ok_or_else(|| {
            Error::Usage("--seconds: this model's sequences have no duration; use --length".to_owned())
        })?;
        if !(seconds > 0.0 && seconds <= 86_400.0) {
            return Err(Error::Usage(format!("--seconds {seconds}: expected above 0 to 86400")));
        }
        return Ok((seconds * rate).round() as usize);
    }
    match (args.length, adapter.sequence_len()) {
        (Some(length), Some(fixed)) if length > fixed => {
            Err(Error::Usage(format!("--length {length}: a sequence of this model is {fixed} bytes")))
        }
        (Some(length), _) => Ok(length),
        (None, fixed) => Ok(fixed.unwrap_or(model.context)),
    }
}

/// Refuses a prompt after which there is nothing to generate.
fn check_room(kept: usize, length: usize) -> megabyte::Result<()> {
    if kept >= length {
        return Err(Error::Usage(format!(
            "a length of {length} bytes leaves nothing to generate after the {kept} bytes of the prompt: ask for more with --length or --seconds, or keep less with --keep"
        )));
    }
    Ok(())
}

/// Refuses more bytes than there is memory for: they are written once all of them are there.
fn check_memory(count: usize, length: usize) -> megabyte::Result<()> {
    let (needed, available) = ((count as u64).saturating_mul(length as u64), memory::available(Device::Cpu)?);
    if needed > available {
        let [needed, available] = [needed, available].map(memory::human);
        return Err(Error::Memory(format!(
            "{count} x {length} bytes are {needed}, and {available} of memory are available: ask for fewer with --length, \
             --seconds or --count"
        )));
    }
    Ok(())
}

/// The flags over the `[sample]` section of the run that the model is from, if there is one, over the defaults.
fn settings(args: &GenerateArgs) -> SampleConfig {
    let base = model_run::config(&args.model.path).map(|run| run.sample).unwrap_or_default();
    SampleConfig {
        temperature: args.temperature.unwrap_or(base.temperature),
        top_k: args.top_k.unwrap_or(base.top_k),
        top_p: args.top_p.unwrap_or(base.top_p),
        min_p: args.min_p.unwrap_or(base.min_p),
        seed: args.seed.unwrap_or(base.seed),
    }
}
