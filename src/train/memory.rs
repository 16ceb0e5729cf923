//! The memory of the device that trains: how much is used, was used at most, and can be had.
//!
//! On a CPU, used memory is what is resident of the whole program (`/proc/self/status`). On a CUDA device, it is that of
//! tensors, as libtorch's allocator counts it; what CUDA itself takes is not in it.

use std::fs;
use std::path::Path;

use tch::Device;

use super::config::OptimizerKind;
use crate::Result;
use crate::config::RunConfig;
use crate::native::memory as native;

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
/// available, or what the limits of the program's control groups leave, whichever is less.
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
            Ok(groups
                .lines()
                .filter_map(|line| left_in_group(line, Path::new("/sys/fs/cgroup")))
                .fold(system, u64::min))
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

/// Bytes that a run has on the device by its model alone, whatever a step takes beside them. All numbers are float32.
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
}

impl Footprint {
    /// By formula, of a model that is not built for it.
    pub fn of(config: &RunConfig) -> Self {
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
        Footprint {
            weights,
            gradients: 4 * all,
            optimizer: 4 * (with_momentum + 2 * (all - with_momentum) + 1),
            averages: if train.ema > 0.0 { weights } else { 0 },
        }
    }

    /// All of it on the device.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimizer + self.averages
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
        self.total() + self.snapshot(device)
    }
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
    use super::*;

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
