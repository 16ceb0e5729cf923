//! What CUDA devices need beside what tch binds.

use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use super::{check, numerics, text};
use crate::Result;

unsafe extern "C" {
    fn mb_set_cudnn_attention(on: bool) -> *mut c_char;
    fn mb_cudnn_attention(out: *mut bool) -> *mut c_char;
    fn mb_pinned(numbers: *const i16, rows: i64, cols: i64, out: *mut *mut C_tensor) -> *mut c_char;
    fn mb_cuda_device(index: c_int, name: *mut *mut c_char, properties: *mut c_int) -> *mut c_char;
    fn mb_cuda_libraries(cudnn: *mut c_int, cublas: *mut c_int) -> *mut c_char;
}

/// Sets whether attention on CUDA devices may be cuDNN's, for the whole program. libtorch 2.11 takes it before any other on
/// devices of compute capability 9.0 and newer, where some of its kernels round the share that dropout drops to sixteenths
/// (pytorch/pytorch#174245), and where each new shape costs tens of milliseconds.
pub fn set_cudnn_attention(on: bool) -> Result<()> {
    // SAFETY: passes a flag.
    check(unsafe { mb_set_cudnn_attention(on) })
}

/// The same, as it is set.
pub fn cudnn_attention() -> Result<bool> {
    let mut on = false;
    // SAFETY: the shim writes one flag.
    check(unsafe { mb_cudnn_attention(&mut on) })?;
    Ok(on)
}

/// What has to be set before a model computes on a CUDA device, where libtorch would by itself take cuDNN's attention, and
/// TF32 in convolutions.
pub fn prepare() -> Result<()> {
    set_cudnn_attention(false)?;
    numerics::set_float32_precision(numerics::float32_precision()?)
}

/// A copy (rows, cols) of `numbers`, row after row, in pinned memory, from which a CUDA device reads while the host goes on.
/// It may be dropped before that is over. Fails where there is no CUDA device.
pub fn pinned(numbers: &[i16], rows: usize, cols: usize) -> Result<Tensor> {
    assert_eq!(numbers.len(), rows * cols, "rows of one length");
    let mut out = std::ptr::null_mut();
    // SAFETY: the shim reads as many numbers as there are; where there is no message, `out` is a new tensor that is ours.
    unsafe {
        check(mb_pinned(numbers.as_ptr(), rows as i64, cols as i64, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// What a CUDA device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaDevice {
    /// As its driver names it, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Compute capability: 9 and 0 are sm_90.
    pub capability: (u32, u32),
    /// Its multiprocessors.
    pub multiprocessors: u32,
}

/// What CUDA device `index` is. Fails where there is no such device.
pub fn device(index: usize) -> Result<CudaDevice> {
    let (mut name, mut properties) = (std::ptr::null_mut(), [0; 3]);
    // SAFETY: the shim writes three numbers, and one pointer to a C string that is ours where there is no message.
    let name = unsafe {
        check(mb_cuda_device(index as c_int, &mut name, properties.as_mut_ptr()))?;
        text(name)
    };
    let [major, minor, multiprocessors] = properties.map(|number| number.max(0) as u32);
    Ok(CudaDevice { name, capability: (major, minor), multiprocessors })
}

/// The versions of the libraries that compute on CUDA devices, each major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaLibraries {
    /// Of cuDNN.
    pub cudnn: [u16; 3],
    /// Of cuBLAS.
    pub cublas: [u16; 3],
}

/// The versions of the libraries that this program has loaded. Fails where libtorch is one without CUDA.
pub fn libraries() -> Result<CudaLibraries> {
    let (mut cudnn, mut cublas) = ([0; 3], [0; 3]);
    // SAFETY: the shim writes two times three numbers.
    check(unsafe { mb_cuda_libraries(cudnn.as_mut_ptr(), cublas.as_mut_ptr()) })?;
    let small = |version: [c_int; 3]| version.map(|part| part.clamp(0, c_int::from(u16::MAX)) as u16);
    Ok(CudaLibraries { cudnn: small(cudnn), cublas: small(cublas) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_device_an_error_says_so() {
        if tch::Cuda::is_available() {
            let found = device(0).unwrap();
            assert!(!found.name.is_empty() && found.capability.0 > 0 && found.multiprocessors > 0, "{found:?}");
            assert_eq!(pinned(&[1, 2, 3, -1], 2, 2).unwrap(), Tensor::from_slice(&[1_i16, 2, 3, -1]).view([2, 2]));
            assert!(libraries().unwrap().cudnn[0] >= 9);
        } else {
            assert!(device(0).is_err() && pinned(&[1, 2], 1, 2).is_err());
        }
    }
}
