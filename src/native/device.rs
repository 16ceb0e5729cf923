//! What a CUDA device is.

use std::ffi::{c_char, c_int};

use super::check;
use crate::Result;

unsafe extern "C" {
    fn mb_cuda_capability(device: c_int, major: *mut c_int, minor: *mut c_int) -> *mut c_char;
}

/// The compute capability of CUDA device `index`: major and minor, such as 9 and 0. Fails where the CUDA runtime does not say.
pub fn cuda_capability(index: usize) -> Result<(i32, i32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the shim writes two numbers.
    check(unsafe { mb_cuda_capability(index as c_int, &mut major, &mut minor) })?;
    Ok((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_has_no_capability() {
        let error = cuda_capability(4096).unwrap_err().to_string();
        assert!(error.contains("cudaDeviceGetAttribute"), "{error}");
    }
}
