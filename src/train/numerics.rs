//! Sets in libtorch what `[train]` says about arithmetic.

use tch::Device;

use super::config::TrainConfig;
use crate::native::{cuda, numerics as native};
use crate::{Error, Result};

/// What cuBLAS takes for sums whose order never changes.
const WORKSPACES: [&str; 2] = [":4096:8", ":16:8"];

/// Fails where the device can't be deterministic as it is.
pub(super) fn check(config: &TrainConfig, device: Device) -> Result<()> {
    if config.deterministic && device.is_cuda() {
        check_workspace(std::env::var("CUBLAS_WORKSPACE_CONFIG").ok().as_deref())?;
    }
    Ok(())
}

/// Sets precision and determinism for the whole program. Fails where [`check`] does.
pub(super) fn apply(config: &TrainConfig, device: Device) -> Result<()> {
    check(config, device)?;
    native::set_float32_precision(config.float32_precision as usize)?;
    native::set_deterministic(config.deterministic)
}

/// While it lives, attention on the device may be cuDNN's, where `train.cudnn_attention` asks for it: for training steps,
/// whose shapes are always the same. Evaluations and samples are computed without it.
pub(super) struct CudnnAttention {
    _private: (),
}

impl CudnnAttention {
    pub(super) fn begin(config: &TrainConfig, device: Device) -> Result<Option<Self>> {
        if !config.cudnn_attention || !device.is_cuda() {
            return Ok(None);
        }
        cuda::set_cudnn_attention(true)?;
        Ok(Some(CudnnAttention { _private: () }))
    }
}

impl Drop for CudnnAttention {
    fn drop(&mut self) {
        // What could be switched on can be switched off.
        let _ = cuda::set_cudnn_attention(false);
    }
}

fn check_workspace(variable: Option<&str>) -> Result<()> {
    if variable.is_some_and(|value| WORKSPACES.contains(&value)) {
        return Ok(());
    }
    let reason = "needs the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 (or :16:8) on a CUDA device: \
                  set it and call again";
    Err(Error::config("train.deterministic", reason))
}

#[cfg(test)]
mod tests {
    use super::super::config::Precision;
    use super::*;

    #[test]
    fn libtorch_does_what_the_keys_say() {
        // Not medium: other tests compute at the same time, and it changes what a CPU does too.
        for (precision, deterministic) in [(Precision::High, true), (Precision::Highest, false)] {
            let config = TrainConfig { float32_precision: precision, deterministic, ..TrainConfig::default() };
            apply(&config, Device::Cpu).unwrap();
            assert_eq!(native::float32_precision().unwrap(), precision as usize);
            assert_eq!(native::convolutions_in_tf32().unwrap(), precision != Precision::Highest);
            assert_eq!(native::deterministic().unwrap(), deterministic);
            // A model that is built for a CUDA device keeps it so, and switches cuDNN's attention off.
            cuda::set_cudnn_attention(true).unwrap();
            assert!(cuda::cudnn_attention().unwrap());
            cuda::prepare().unwrap();
            assert!(!cuda::cudnn_attention().unwrap());
            assert_eq!(native::float32_precision().unwrap(), precision as usize);
            assert_eq!(native::convolutions_in_tf32().unwrap(), precision != Precision::Highest);
        }
    }

    #[test]
    fn on_cuda_the_workspace_has_to_be_fixed() {
        check_workspace(Some(":4096:8")).unwrap();
        for variable in [None, Some(""), Some(":1:8")] {
            let error = check_workspace(variable).unwrap_err().to_string();
            assert!(error.contains("`train.deterministic`") && error.contains("CUBLAS_WORKSPACE_CONFIG"), "{error}");
        }
    }
}
