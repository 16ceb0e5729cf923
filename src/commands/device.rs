//! `--device` and `--dtype`.

use megabyte::{Error, Result};
use tch::{Cuda, Device};

/// The device that `--device` names, or a CUDA device where there is one.
pub fn choose(name: Option<&str>) -> Result<Device> {
    let wrong = |reason: String| Error::Usage(format!("--device {}: {reason}", name.unwrap_or_default()));
    let index = match name {
        None => return Ok(Device::cuda_if_available()),
        Some("cpu") => return Ok(Device::Cpu),
        Some("cuda") => 0,
        Some(name) => name
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| wrong("expected cpu, cuda or cuda:N".to_owned()))?,
    };
    let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    if index >= count.max(0) as usize {
        return Err(wrong(format!("there are {count} CUDA devices; `megabyte doctor` says what libtorch found")));
    }
    Ok(Device::Cuda(index))
}

/// The name of a device in results.
pub fn name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
