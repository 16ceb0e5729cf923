//! How exact and how repeatable libtorch's arithmetic is, for the whole program.

use std::ffi::{CStr, c_char, c_int};

use super::check;
use crate::Result;

unsafe extern "C" {
    fn mb_set_float32_precision(name: *const c_char) -> *mut c_char;
    fn mb_float32_precision(out: *mut c_int) -> *mut c_char;
    fn mb_convolutions_in_tf32(out: *mut bool) -> *mut c_char;
    fn mb_set_deterministic(on: bool) -> *mut c_char;
    fn mb_deterministic(out: *mut bool) -> *mut c_char;
}

/// libtorch's names of precisions of float32 products, from the most exact one on.
const PRECISIONS: [&CStr; 3] = [c"highest", c"high", c"medium"];

/// Sets how exact products of float32 matrices are: 0 is exact, 1 allows TF32, 2 allows bfloat16 inside. Convolutions on
/// CUDA devices are exact with 0, and in TF32 with the others.
pub fn set_float32_precision(level: usize) -> Result<()> {
    // SAFETY: the shim reads a C string that lives for ever.
    check(unsafe { mb_set_float32_precision(PRECISIONS[level].as_ptr()) })
}

/// The same, as libtorch says it is set.
pub fn float32_precision() -> Result<usize> {
    let mut level = 0;
    // SAFETY: the shim writes one number.
    check(unsafe { mb_float32_precision(&mut level) })?;
    Ok(level as usize)
}

/// Whether convolutions of float32 on CUDA devices may be in TF32.
pub fn convolutions_in_tf32() -> Result<bool> {
    let mut allowed = false;
    // SAFETY: the shim writes one flag.
    check(unsafe { mb_convolutions_in_tf32(&mut allowed) })?;
    Ok(allowed)
}

/// Sets whether operations whose results would differ from run to run are replaced, and fail where they can't be.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: passes a flag.
    check(unsafe { mb_set_deterministic(on) })
}

/// The same, as libtorch says it is set.
pub fn deterministic() -> Result<bool> {
    let mut on = false;
    // SAFETY: the shim writes one flag.
    check(unsafe { mb_deterministic(&mut on) })?;
    Ok(on)
}
