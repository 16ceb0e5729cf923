//! Where tests compute: on the CPU, or on the device that `MEGABYTE_DEVICE` names, so that a machine with a GPU runs them as
//! they are. What is about the CPU itself stays there.

use std::sync::LazyLock;

use tch::{Cuda, Device, Tensor};

/// `$MEGABYTE_DEVICE`: `cpu`, `cuda` or `cuda:N`; where it is not set, the CPU. Any other value fails every test that asks.
pub fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(|| match std::env::var("MEGABYTE_DEVICE") {
        Err(std::env::VarError::NotPresent) => Device::Cpu,
        Ok(name) => {
            named(&name, Cuda::device_count()).unwrap_or_else(|reason| panic!("MEGABYTE_DEVICE={name}: {reason}"))
        }
        Err(error) => panic!("MEGABYTE_DEVICE: {error}"),
    });
    *DEVICE
}

/// The device that a name means where there are `count` CUDA devices.
pub fn named(name: &str, count: i64) -> Result<Device, String> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => name.strip_prefix("cuda:").and_then(|index| index.parse().ok()).ok_or("expected cpu, cuda or cuda:N")?,
    };
    if (index as i64) < count { Ok(Device::Cuda(index)) } else { Err(format!("there are {count} CUDA devices")) }
}

/// A copy on the host, or the tensor itself where it is there.
pub fn host(tensor: &Tensor) -> Tensor {
    tensor.detach().to_device(Device::Cpu)
}
