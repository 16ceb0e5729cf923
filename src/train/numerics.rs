//! Sets in libtorch what `[train]` says about arithmetic.

use tch::Device;

use super::config::TrainConfig;
use crate::native::numerics as native;
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
            assert_eq!(native::deterministic(), deterministic);
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
