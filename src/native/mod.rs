//! What tch does not bind, through a few small C++ files over libtorch; in `coders` and `webp`, libwebp and libFLAC.
//!
//! The only module with `unsafe` code. Every function takes tensors by reference, so each pointer is valid for the
//! call, and checks what the C++ side assumes about lengths before it crosses.
#![allow(unsafe_code)]

pub mod attention;
pub(crate) mod coders;
pub mod cuda;
pub mod mapped;
pub mod memory;
pub mod numerics;
pub mod profile;
pub(crate) mod webp;

use std::ffi::{CStr, c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::{Error, Result};

unsafe extern "C" {
    fn mb_fused_adamw(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        exp_avgs: *const *const C_tensor,
        exp_avg_sqs: *const *const C_tensor,
        steps: *const *const C_tensor,
        n: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        grad_scale: *const C_tensor,
        found_inf: *const C_tensor,
    ) -> *mut c_char;
    fn mb_total_norm(tensors: *const *const C_tensor, n: usize, out: *const C_tensor) -> *mut c_char;
    fn mb_histogram(
        tensors: *const *const C_tensor,
        n: usize,
        low: *mut f64,
        high: *mut f64,
        counts: *const C_tensor,
    ) -> *mut c_char;
    fn mb_lerp(tensors: *const *const C_tensor, targets: *const *const C_tensor, n: usize, weight: f64) -> *mut c_char;
    fn mb_clear_gradients(params: *const *const C_tensor, n: usize) -> *mut c_char;
    fn mb_backward(tensor: *const C_tensor, gradient: *const C_tensor) -> *mut c_char;
    fn mb_keep_freed_memory();
    fn mb_ignore_file_size_signal();
    fn mb_swap_threads(openmp: *mut c_int, mkl: *mut c_int) -> *mut c_char;
    fn mb_cpu_capability(name: *mut *mut c_char) -> *mut c_char;
    fn mb_libtorch_version(version: *mut u8);
    fn mb_exit_now(code: c_int) -> !;
    fn mb_free(message: *mut c_char);
}

/// The settings of one AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay rates of the two running averages.
    pub betas: (f64, f64),
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second average.
    pub eps: f64,
}

/// The tensors of one parameter group, in the same order in each list.
pub struct AdamWGroup<'a> {
    /// The parameters, changed in place.
    pub params: &'a [Tensor],
    /// Their gradients.
    pub grads: &'a [Tensor],
    /// Running averages of the gradients, changed in place.
    pub exp_avgs: &'a [Tensor],
    /// Running averages of the squared gradients, changed in place.
    pub exp_avg_sqs: &'a [Tensor],
    /// One float32 scalar a parameter: the number of this step, from 1.
    pub steps: &'a [Tensor],
}

/// One fused AdamW step. Gradients are divided by `grad_scale` as they are read; where `found_inf` is 1 nothing
/// changes. Both are float32 scalars on the parameters' device.
pub fn fused_adamw(group: &AdamWGroup<'_>, step: AdamWStep, grad_scale: &Tensor, found_inf: &Tensor) -> Result<()> {
    let n = group.params.len();
    let lists = [group.grads, group.exp_avgs, group.exp_avg_sqs, group.steps];
    assert!(lists.iter().all(|list| list.len() == n), "a parameter group has lists of one length");
    if n == 0 {
        return Ok(());
    }
    let params = pointers(group.params);
    let [grads, exp_avgs, exp_avg_sqs, steps] = lists.map(pointers);
    // SAFETY: five lists of `n` pointers to live tensors, and two more live tensors; the shim keeps none of them.
    check(unsafe {
        mb_fused_adamw(
            params.as_ptr(),
            grads.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            steps.as_ptr(),
            n,
            step.lr,
            step.betas.0,
            step.betas.1,
            step.weight_decay,
            step.eps,
            grad_scale.as_ptr(),
            found_inf.as_ptr(),
        )
    })
}

/// Writes the Euclidean norm of all `tensors` together into the scalar `out`, without a host round trip.
pub fn total_norm(tensors: &[Tensor], out: &Tensor) -> Result<()> {
    let list = pointers(tensors);
    // SAFETY: `list` holds `len` pointers to live tensors; `out` is a live tensor that the shim writes through torch.
    check(unsafe { mb_total_norm(list.as_ptr(), list.len(), out.as_ptr()) })
}

/// Adds to `counts` (buckets; float64, on the tensors' device) how many elements of all `tensors` together lie in each of
/// as many equal buckets between the least and the greatest, which it returns; of elements that are all the same, half a
/// unit below and above. Counts nothing where these are not finite. Waits for the device.
pub fn histogram(tensors: &[Tensor], counts: &Tensor) -> Result<(f64, f64)> {
    let list = pointers(tensors);
    let (mut low, mut high) = (0.0, 0.0);
    // SAFETY: `list` holds `len` pointers to live tensors; the shim writes two numbers, and `counts` through torch.
    check(unsafe { mb_histogram(list.as_ptr(), list.len(), &mut low, &mut high, counts.as_ptr()) })?;
    Ok((low, high))
}

/// Moves each of `tensors` towards the one of `targets` at its place, by `weight` of the way.
pub fn lerp(tensors: &[Tensor], targets: &[Tensor], weight: f64) -> Result<()> {
    assert_eq!(tensors.len(), targets.len(), "every tensor has a target");
    let (list, to) = (pointers(tensors), pointers(targets));
    // SAFETY: two lists of as many pointers to live tensors; the shim keeps none of them.
    check(unsafe { mb_lerp(list.as_ptr(), to.as_ptr(), list.len(), weight) })
}

/// Makes every parameter's gradient undefined, so that the next backward pass stores instead of adding.
pub fn clear_gradients(params: &[Tensor]) -> Result<()> {
    let list = pointers(params);
    // SAFETY: `list` holds `len` pointers to live tensors.
    check(unsafe { mb_clear_gradients(list.as_ptr(), list.len()) })
}

/// Tells the allocator to keep what tensors free for the next ones: for programs that train or generate on a CPU, once,
/// at their start.
pub fn keep_freed_memory() {
    // SAFETY: sets numbers in the allocator, which is made for being told so at any time.
    unsafe { mb_keep_freed_memory() }
}

/// Has a file that grows beyond the limit of its size (`ulimit -f`) be an error of the write, as a full disk is: for programs,
/// once, at their start.
pub fn ignore_file_size_signal() {
    // SAFETY: sets what a signal does to being ignored, which is safe at any time.
    unsafe { mb_ignore_file_size_signal() }
}

/// How many threads share the work of one.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// Those of OpenMP: libtorch's own pool, and oneDNN's.
    pub openmp: c_int,
    /// Those of MKL; 0 is as many as the whole program has.
    pub mkl: c_int,
}

/// From here on the calling thread's work is shared by so many, whatever others are told; gives what was before.
pub fn swap_sharing(mut sharing: Sharing) -> Result<Sharing> {
    // SAFETY: two integers that the shim reads and writes during the call.
    check(unsafe { mb_swap_threads(&mut sharing.openmp, &mut sharing.mkl) })?;
    Ok(sharing)
}

/// The set of instructions that libtorch uses of this CPU: `DEFAULT`, `AVX2`, `AVX512`.
pub fn cpu_capability() -> Result<String> {
    let mut name = std::ptr::null_mut();
    // SAFETY: the shim writes one pointer, to a C string that is ours where there is no message.
    unsafe {
        check(mb_cpu_capability(&mut name))?;
        Ok(text(name))
    }
}

/// Ends the program with an exit code, from whatever thread and without waiting for the others.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: the system ends the process; nothing of it runs after.
    unsafe { mb_exit_now(code) }
}

/// The version of libtorch: major, minor, patch.
pub fn libtorch_version() -> [u8; 3] {
    let mut version = [0; 3];
    // SAFETY: the shim writes three bytes.
    unsafe { mb_libtorch_version(version.as_mut_ptr()) };
    version
}

/// Carries a gradient from `tensor`, whose shape and type it has, back to all that it was computed from.
pub fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<()> {
    // SAFETY: two live tensors; the shim keeps neither.
    check(unsafe { mb_backward(tensor.as_ptr(), gradient.as_ptr()) })
}

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr()).collect()
}

/// Turns the shim's answer, a malloc'ed message or null, into a result.
fn check(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null answer of the shim is a C string of its own making, not used after.
    Err(Error::Torch(tch::TchError::Torch(unsafe { text(message) })))
}

/// Takes a C string of the shim's making: it is freed here, once.
unsafe fn text(message: *mut c_char) -> String {
    // SAFETY: the caller has it from the shim, and uses it no more.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        mb_free(message);
        text
    }
}
