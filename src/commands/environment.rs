//! `environment.json` of a run: what each start of the program ran on, and of what it was made.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use megabyte::native;
use megabyte::shown::shown;
use megabyte::train::memory;
use serde::Serialize;
use serde_json::Value;
use tch::Device;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::terminal::say;
use super::{device, doctor, output};

/// The file in a run folder.
pub const FILE: &str = "environment.json";

/// The git commit that this program was built from, with `-dirty` where files differed from it; else `unknown`.
pub const COMMIT: &str = env!("MEGABYTE_COMMIT");

#[derive(Serialize)]
struct Environment {
    megabyte: &'static str,
    commit: &'static str,
    libtorch: String,
    rustc: &'static str,
    device: String,
    cpu: Cpu,
    threads: i32,
    /// Bytes of the device in all.
    memory: u64,
    os: String,
    /// RFC 3339, UTC.
    started: String,
    /// Steps that were done when it started.
    step: u64,
    command: Vec<String>,
}

#[derive(Serialize)]
struct Cpu {
    model: String,
    /// The set of instructions that libtorch uses of it.
    capability: String,
}

/// Adds this start of the program to a run's list. A list that can't be read stays as it is, and the run goes on
/// without: it is worth more.
pub fn append(folder: &Path, device: Device, step: u64) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let found = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    };
    let mut starts: Vec<Value> = match found {
        Ok(starts) => starts,
        Err(reason) => {
            say(&format!(
                "warning: {}: can't be read ({reason}), so this start is not added: move it away to begin another",
                shown(&path)
            ));
            return Ok(());
        }
    };
    starts.push(serde_json::to_value(examine(device, step)?)?);
    Ok(output::write(&path, format!("{}\n", serde_json::to_string_pretty(&starts)?).as_bytes())?)
}

fn examine(device: Device, step: u64) -> anyhow::Result<Environment> {
    // To the second: nothing in a run is told apart by less.
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    Ok(Environment {
        megabyte: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        libtorch: doctor::libtorch_version()
            .unwrap_or_else(|| native::libtorch_version().map(|n| n.to_string()).join(".")),
        rustc: env!("MEGABYTE_RUSTC"),
        device: named(device),
        cpu: Cpu { model: doctor::cpu().model, capability: native::cpu_capability()? },
        threads: tch::get_num_threads(),
        memory: memory::total(device)?,
        os: os(),
        started: now.format(&Rfc3339).context("the clock is beyond the year 9999")?,
        step,
        command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
    })
}

/// A device, with the name of a GPU.
fn named(device: Device) -> String {
    let name = device::name(device);
    let Device::Cuda(index) = device else { return name };
    // CUDA's numbers are those of the devices that it may see.
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let id = visible.split(',').nth(index).filter(|id| !id.is_empty()).map_or(index.to_string(), str::to_owned);
    match doctor::ask("nvidia-smi", &["--query-gpu=name", "--format=csv,noheader", "-i", &id]) {
        Some(gpu) => format!("{name} ({})", gpu.trim()),
        None => name,
    }
}

/// The distribution and the kernel.
fn os() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {} {}", pretty.trim_matches('"'), std::env::consts::OS, kernel.trim())
}
