//! The memory of the device that trains: how much is used, was used at most, and can be had.
//!
//! On a CPU, used memory is what is resident of the whole program (`/proc/self/status`). On a CUDA device, it is that of
//! tensors, as libtorch's allocator counts it; what CUDA itself takes is not in it.

use std::fs;
use std::path::Path;

use tch::{Device, Kind};

use super::config::OptimizerKind;
use super::dtype::Dtype;
use super::speed::Work;
use crate::config::RunConfig;
use crate::data::Loader;
use crate::model::{Activations, ModelConfig};
use crate::native::memory as native;
use crate::{Error, Result};

/// Bytes used now; 0 where the system does not say.
pub fn used(device: Device) -> Result<u64> {
    match device {
        Device::Cuda(index) => Ok(native::cuda_memory(index)?.used),
        _ => Ok(resident("VmRSS:")),
    }
}

/// The most bytes used since [`reset_peak`]; where the system does not let a program reset it, since its start.
pub fn peak(device: Device) -> Result<u64> {
    match device {
        Device::Cuda(index) => Ok(native::cuda_memory(index)?.peak),
        _ => Ok(resident("VmHWM:")),
    }
}

/// From here on the peak is of what is used now and later.
pub fn reset_peak(device: Device) -> Result<()> {
    match device {
        Device::Cuda(index) => native::cuda_reset_peak(index),
        _ => {
            // Refused in some containers: the peak is then since the start of the program.
            let _ = fs::write("/proc/self/clear_refs", "5");
            Ok(())
        }
    }
}

/// The most bytes used since the last call, or since [`reset_peak`].
pub fn take_peak(device: Device) -> Result<u64> {
    let peak = peak(device)?;
    reset_peak(device)?;
    Ok(peak)
}

/// Bytes that can be had beyond those used now, before anything fails or is swapped out: on a CPU what the system says is
/// available, what the limits of the program's control groups leave, or those of the program itself (`ulimit -v`,
/// `ulimit -d`), whichever is least.
pub fn available(device: Device) -> Result<u64> {
    match device {
        Device::Cuda(index) => {
            let memory = native::cuda_memory(index)?;
            Ok(memory.free + memory.reserved.saturating_sub(memory.used))
        }
        _ => {
            let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            let system = field(&text, "MemAvailable:").unwrap_or(u64::MAX);
            let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let groups = groups.lines().filter_map(|line| left_in_group(line, Path::new("/sys/fs/cgroup")));
            let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            // What was freed and kept still counts as the program's, and is there for what it takes next, but in pieces, of which
            // not all are large enough.
            let own = left_of_limits(&limits, &status).map(|left| left.saturating_add(native::kept_memory() / 2));
            Ok(groups.chain(own).fold(system, u64::min))
        }
    }
}

/// Bytes that the device has in all, used or not.
pub fn total(device: Device) -> Result<u64> {
    match device {
        Device::Cuda(index) => Ok(native::cuda_memory(index)?.total),
        _ => Ok(field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or(0)),
    }
}

/// Gives memory that is kept for later tensors back to the system, or to the device.
pub fn release_cached(device: Device) -> Result<()> {
    native::release_kept_memory(device.is_cuda())
}

/// Bytes that a run has on the device, by formula: nothing is built to know them. Numbers of the model and its optimizer are
/// float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Weights of all levels.
    pub weights: u64,
    /// A gradient of each weight that is trained.
    pub gradients: u64,
    /// Of each such weight AdamW's two averages or Muon's momentum, and the number of steps.
    pub optimizer: u64,
    /// The averages of all weights, where the run keeps them.
    pub averages: u64,
    /// What a way there and back of a micro-batch takes at most, beside these.
    pub activations: u64,
    /// What the optimizer takes for a moment.
    pub update: u64,
    /// What scoring held-out data takes, with the copy of the matrices that it is done with.
    pub evaluation: u64,
    /// Batches that wait to be used: on the host.
    pub batches: u64,
}

/// Fails where there is too little memory for a model that is loaded or made for inference: its weights, the copy of its
/// matrices in another type, and what the work takes. `flag` says how many sequences there are together.
pub fn check_inference(config: &ModelConfig, kind: Kind, device: Device, work: &Work, flag: &str) -> Result<()> {
    let frozen = Activations { config, rows: 1, kind, device }.frozen();
    let weights = (4 * config.total_parameters()).saturating_add(frozen);
    let beside = work.memory(config, kind, device);
    let available = available(device)?;
    if weights.saturating_add(beside) <= available {
        return Ok(());
    }
    let remedy = if weights.saturating_add(work.clone().as_memory_allows().memory(config, kind, device)) > available {
        "a smaller model, or another device (--device)".to_owned()
    } else {
        format!("fewer sequences together ({flag})")
    };
    let [weights, beside, available] = [weights, beside, available].map(human);
    Err(Error::Memory(format!(
        "the weights of this model need {weights} of memory and what it computes {beside} more, and {available} are \
         available: try {remedy}"
    )))
}

/// What libtorch and its libraries take for themselves at first, about: code that is loaded as it is used, kernels that are
/// compiled, stacks of threads. On CUDA, what is outside of libtorch's allocator.
const LIBRARIES: u64 = 256 << 20;
const CUDA_LIBRARIES: u64 = 1 << 30;

impl Footprint {
    /// By formula, of a model that is not built for it. Of a configuration that is [`resolved`](super::resolved): a type that is
    /// not chosen yet counts as float32.
    pub fn of(config: &RunConfig, device: Device) -> Self {
        let RunConfig { model, train, .. } = config;
        let last = model.levels.len() - 1;
        // As the level of a parameter is found, the output matrix belongs to the last one.
        let level = |l: usize| model.parameters(l) + if l == last { model.output_parameters() } else { 0 };
        // The block in which latents read the whole context is one more.
        let blocks = |l: usize| model.block_parameters(l) + model.latents_parameters(l);
        let matrices = |l: usize| blocks(l) + model.from_parent_parameters(l);
        let trained = || (model.first_level()..=last).filter(|l| !train.freeze_levels.contains(l));

        let all = trained().map(level).sum::<u64>();
        let with_momentum = match train.optimizer {
            OptimizerKind::AdamW => 0,
            OptimizerKind::Muon => trained().map(matrices).sum(),
        };
        let weights = 4 * model.total_parameters();
        let kind = matrix_kind(train.dtype);
        let rows = train.rows(model);
        let passes = Activations { config: model, rows, kind, device };
        Footprint {
            weights,
            gradients: 4 * all,
            optimizer: 4 * (with_momentum + 2 * (all - with_momentum) + 1),
            averages: if train.ema > 0.0 { weights } else { 0 },
            activations: passes.training(&train.memory()),
            update: update(config, with_momentum),
            evaluation: passes.frozen() + passes.scoring(),
            batches: 2 * (train.bytes_per_step as u64 + Loader::ahead(rows * model.context, train.loader_threads)),
        }
    }

    /// What the run has on the device at all times.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.averages
    }

    /// The most that comes on top of it.
    pub fn moment(&self) -> u64 {
        self.activations.max(self.update).max(self.evaluation)
    }

    /// The tensors of a checkpoint.
    pub fn checkpoint(&self) -> u64 {
        self.weights + self.optimizer + self.averages
    }

    /// What the copy of a checkpoint, which is written while steps go on, takes of the device's memory: copies are on the
    /// host.
    pub fn snapshot(&self, device: Device) -> u64 {
        if device == Device::Cpu { self.checkpoint() } else { 0 }
    }

    /// The least that a run needs of the device, before any step.
    pub fn least(&self, device: Device) -> u64 {
        self.total().saturating_add(self.snapshot(device))
    }

    /// What libraries take for themselves, and an allocator's blocks that are larger than what they are for.
    pub fn overhead(&self, device: Device) -> u64 {
        let (libraries, batches) = if device == Device::Cpu { (LIBRARIES, self.batches) } else { (CUDA_LIBRARIES, 0) };
        (libraries + batches).saturating_add(self.moment() / 8)
    }

    /// All that a run needs of the device at one time.
    pub fn needed(&self, device: Device) -> u64 {
        self.least(device).saturating_add(self.moment()).saturating_add(self.overhead(device))
    }
}

fn matrix_kind(dtype: Dtype) -> Kind {
    dtype.kind().unwrap_or(Kind::Float)
}

/// Bytes that the optimizer takes for a moment, of so many parameters with momentum.
fn update(config: &RunConfig, with_momentum: u64) -> u64 {
    if with_momentum == 0 {
        return 0;
    }
    let RunConfig { model, train, .. } = config;
    let (levels, m) = (0..model.levels.len(), matrix_kind(train.dtype).elt_size_in_bytes() as u64);
    let size = |l: usize| {
        let width = model.levels[l].n_embd;
        (4 * width * width).max(width * model.ffn_dim(l)) as u64
    };
    // Matrices of one size are made orthogonal together: of all levels, where these are of one width.
    let together: u64 = levels.map(|l| (model.levels[l].n_layer as u64 + 1) * size(l)).sum();
    // All in the type of matrix work; of one size joined, normed, and twice in the iteration, with what it multiplies by.
    m * (with_momentum + 5 * together)
}

/// Bytes, for people.
pub fn human(bytes: u64) -> String {
    match bytes {
        0..=999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// What `/proc/self/status` says, in bytes.
fn resident(name: &str) -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), name).unwrap_or(0)
}

/// A line such as `VmRSS:   1776 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// What the limits of the program itself leave, of `/proc/self/limits` and `/proc/self/status`.
fn left_of_limits(limits: &str, status: &str) -> impl Iterator<Item = u64> {
    let left = |limit: &str, used: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        // "unlimited" is no number, and no limit.
        let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(limit.saturating_sub(field(status, used)?))
    };
    [left("Max address space", "VmSize:"), left("Max data size", "VmData:")].into_iter().flatten()
}

/// What a control group's limits leave, its own and those of the groups above it; `line` is one of `/proc/self/cgroup`.
/// Of the second version (`0::/path`) or the first (`4:memory:/path`). Memory that only caches files is not in the way.
fn left_in_group(line: &str, root: &Path) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, limit, usage, cached) = match controllers {
        "" => (root.to_owned(), "memory.max", "memory.current", "inactive_file "),
        _ if controllers.split(',').any(|name| name == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        }
        _ => return None,
    };
    let number = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let left = |folder: &Path| {
        // "max" is no number, and no limit.
        let (limit, usage) = (number(folder, limit)?, number(folder, usage)?);
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    };
    let group = root.join(path.trim_start_matches('/'));
    // In a container the path may be that of the system outside, of which only the root is seen here.
    group.ancestors().take_while(|folder| folder.starts_with(&root)).filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::model::gradients;
    use crate::train::built::Built;

    #[test]
    fn the_optimizer_s_moment_is_below_the_formula() {
        let levels = "[[model.level]]\nunit = 4\nn_embd = 96\nn_layer = 3\nn_head = 2\n\
                      [[model.level]]\nunit = 1\nn_embd = 48\nn_layer = 2\nn_head = 2\n";
        let text = |dtype: &str| {
            let train = format!("[train]\nbytes_per_step = 64\noptimizer = \"muon\"\ndtype = \"{dtype}\"\n");
            format!("[data]\nmodality = \"text\"\n[model]\ncontext = 64\n{levels}{train}")
        };
        for dtype in ["float32", "bfloat16"] {
            let config: RunConfig = toml::from_str(&text(dtype)).unwrap();
            let count = native::TensorCount::begin().unwrap();
            let mut built = Built::new(&config, Device::Cpu, true, |_| Ok(())).unwrap().0;
            let symbols = Tensor::randint(256, [1, 64], (Kind::Int64, Device::Cpu));
            drop(gradients::accumulate(&built.model, &symbols, 0.0, 1.0, &config.train.memory()).unwrap());
            let of_the_run = Footprint::of(&config, Device::Cpu);
            count.take_peak();
            drop(built.optimizer.step(0.1).unwrap());
            let counted = count.take_peak() - of_the_run.total();
            assert!((counted..3 * counted).contains(&of_the_run.update), "{counted}, {of_the_run:?}");
        }
    }

    #[test]
    fn limits_of_the_program_count() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max data size             unlimited            unlimited            bytes\n\
                      Max address space         6442450944           unlimited            bytes\n";
        let status = "VmPeak:\t 4000000 kB\nVmSize:\t 2000000 kB\nVmData:\t 1000000 kB\n";
        let left = |limits: &str| left_of_limits(limits, status).collect::<Vec<_>>();
        assert_eq!(left(limits), [6_442_450_944 - 2_000_000 * 1024]);
        assert!(left(&limits.replace("6442450944", "unlimited")).is_empty());
        let less = limits.replacen("unlimited            unlimited", "1000               unlimited", 1);
        assert_eq!(left(&less).last(), Some(&0));
    }

    #[test]
    fn the_lowest_limit_of_the_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, name: &str, content: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), content).unwrap();
        };
        for (folder, limit, usage) in [("job", "5000", "3000"), ("job/run", "max", "2000")] {
            write(folder, "memory.max", limit);
            write(folder, "memory.current", usage);
        }
        write("job", "memory.stat", "anon 2500\ninactive_file 500\n");
        assert_eq!(left_in_group("0::/job/run", root.path()), Some(2500));
        assert_eq!(left_in_group("0::/elsewhere", root.path()), None);
        write("memory/job", "memory.limit_in_bytes", "9000");
        write("memory/job", "memory.usage_in_bytes", "10");
        assert_eq!(left_in_group("4:memory:/job", root.path()), Some(8990));
        assert_eq!(left_in_group("3:cpuset:/job", root.path()), None);
    }
}
