//! The memory of CUDA devices as libtorch's allocator counts it, giving back what allocators keep, copies on the host, and
//! the bytes of tensors there.

use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use super::check;
use crate::Result;

unsafe extern "C" {
    fn mb_release_kept_memory(cuda: bool) -> *mut c_char;
    fn mb_kept_memory() -> usize;
    fn mb_cuda_memory(device: c_int, out: *mut i64) -> *mut c_char;
    fn mb_cuda_reset_peak(device: c_int) -> *mut c_char;
    fn mb_copy_to_host(tensor: *const C_tensor, to: *mut u8, bytes: usize) -> *mut c_char;
    fn mb_count_tensors() -> *mut c_char;
    fn mb_counted_peak(peak: *mut i64);
    fn mb_count_no_tensors() -> *mut c_char;
}

/// Bytes of a CUDA device.
#[derive(Debug, Clone, Copy)]
pub struct CudaMemory {
    /// Of live tensors.
    pub used: u64,
    /// The most of these since the peak was reset.
    pub peak: u64,
    /// Kept for tensors, the live ones among them.
    pub reserved: u64,
    /// That no program has.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// The memory of CUDA device `index`. Fails where there is no such device.
pub fn cuda_memory(index: usize) -> Result<CudaMemory> {
    let mut bytes = [0_i64; 5];
    // SAFETY: the shim writes five numbers.
    check(unsafe { mb_cuda_memory(index as c_int, bytes.as_mut_ptr()) })?;
    let [used, peak, reserved, free, total] = bytes.map(|bytes| bytes.max(0) as u64);
    Ok(CudaMemory { used, peak, reserved, free, total })
}

/// From here on the peak of CUDA device `index` is of what is live now.
pub fn cuda_reset_peak(index: usize) -> Result<()> {
    // SAFETY: passes a number.
    check(unsafe { mb_cuda_reset_peak(index as c_int) })
}

/// Gives memory that is kept but not used back: to the system, and with `cuda` that of CUDA devices to these.
pub fn release_kept_memory(cuda: bool) -> Result<()> {
    // SAFETY: allocators are made for being told so at any time.
    check(unsafe { mb_release_kept_memory(cuda) })
}

/// Bytes that were freed on the host and are kept, so that what is allocated next may lie in them; 0 where the allocator does
/// not say.
pub fn kept_memory() -> u64 {
    // SAFETY: asks the allocator for a number, which it is made for at any time.
    unsafe { mb_kept_memory() as u64 }
}

/// Copies a tensor's numbers, row by row, to the host: as many bytes as these are. From a device they come through a pinned
/// buffer of a fixed size. Waits for the device.
pub fn copy_to_host(tensor: &Tensor, to: &mut [u8]) -> Result<()> {
    // SAFETY: a live tensor, and as many bytes as are named, which the shim writes during the call; it refuses where the
    // tensor has other than so many.
    check(unsafe { mb_copy_to_host(tensor.as_ptr(), to.as_mut_ptr(), to.len()) })
}

/// Counts the bytes of the tensors on the CPU that the calling thread makes, until it is dropped: exactly, but without
/// what libraries below libtorch take for themselves. For checks of formulas; one at a time in a thread, and in the
/// thread that made it.
#[derive(Debug)]
pub struct TensorCount {
    /// It belongs to its thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl TensorCount {
    /// Begins with none.
    pub fn begin() -> Result<Self> {
        // SAFETY: sets what belongs to the calling thread.
        check(unsafe { mb_count_tensors() })?;
        Ok(TensorCount { _thread: std::marker::PhantomData })
    }

    /// The most bytes that there were at one time since the last call, or since it began.
    pub fn take_peak(&self) -> u64 {
        let mut peak = 0;
        // SAFETY: the shim writes one number.
        unsafe { mb_counted_peak(&mut peak) };
        peak.max(0) as u64
    }
}

impl Drop for TensorCount {
    fn drop(&mut self) {
        // SAFETY: takes back what `begin` set in this thread. A failure leaves it counting, which harms nothing.
        let _ = check(unsafe { mb_count_no_tensors() });
    }
}
