//! Causal attention on a CPU, by the kernels of this project.

use std::ffi::{c_char, c_int};
use std::fmt;

use tch::Tensor;
use torch_sys::C_tensor;

use super::check;
use crate::{Error, Result};

unsafe extern "C" {
    fn mb_attention_level(level: *mut c_int) -> *mut c_char;
    fn mb_limit_attention(level: c_int) -> c_int;
    fn mb_attention_suits(q: *const C_tensor, before: i64, window: i64, dropped: f64, answer: *mut bool)
    -> *mut c_char;
    fn mb_attention(
        q: *const C_tensor,
        k: *const C_tensor,
        v: *const C_tensor,
        before: i64,
        parents: i64,
        window: i64,
        dropped: f64,
        seed: u64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn mb_draw(out: *mut u64) -> *mut c_char;
}

/// The instructions that the kernels use: each level has those of the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Those that every CPU of its kind has.
    None,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// AVX-512 with products of bfloat16.
    Avx512Bf16,
}

impl Level {
    const ALL: [Level; 4] = [Level::None, Level::Avx2, Level::Avx512, Level::Avx512Bf16];

    /// As `MEGABYTE_CPU_LEVEL` names it.
    pub fn name(self) -> &'static str {
        ["none", "avx2", "avx512", "avx512_bf16"][self as usize]
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The calling thread's level: the best that this CPU has, and that `MEGABYTE_CPU_LEVEL`, `ATEN_CPU_CAPABILITY` and
/// `ONEDNN_MAX_CPU_ISA` allow. Fails where the first of these is no level.
pub fn level() -> Result<Level> {
    let mut level = 0;
    // SAFETY: the shim writes one number.
    check(unsafe { mb_attention_level(&mut level) }).map_err(|error| match error {
        Error::Torch(tch::TchError::Torch(reason)) => Error::Usage(reason),
        other => other,
    })?;
    Ok(Level::ALL[level as usize])
}

/// All levels from none up to the calling thread's.
pub fn levels() -> Result<Vec<Level>> {
    let best = level()?;
    Ok(Level::ALL.into_iter().filter(|level| *level <= best).collect())
}

/// What `work` gives where the calling thread uses no more than `level`: for tests and measurements. Gradients are
/// computed at the level of the forward pass.
pub fn limited_to<T>(level: Level, work: impl FnOnce() -> T) -> T {
    struct Limit(c_int);
    impl Drop for Limit {
        fn drop(&mut self) {
            // SAFETY: sets a number of this thread.
            unsafe { mb_limit_attention(self.0) };
        }
    }
    // SAFETY: as above.
    let _before = Limit(unsafe { mb_limit_attention(level as c_int) });
    work()
}

/// Which keys a query attends to, besides those of its own sequence up to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Units of the sequence before, the last ones: up to as many as a sequence has.
    pub before: i64,
    /// Every first of so many sequences attends to none before it.
    pub parents: i64,
    /// A query attends to no more keys than this, the last ones.
    pub window: Option<i64>,
}

impl Sight {
    /// All of a query's own sequence up to itself, and nothing else.
    pub const OWN: Sight = Sight { before: 0, parents: 1, window: None };

    fn window(&self) -> i64 {
        self.window.unwrap_or(i64::MAX)
    }
}

/// The share of attention weights that is dropped, and what decides which.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// 0 to below 1.
    pub share: f64,
    /// The same numbers drop the same weights, whatever the number of threads and the level.
    pub seed: u64,
}

impl Dropout {
    /// None.
    pub const NONE: Dropout = Dropout { share: 0.0, seed: 0 };

    /// A seed from libtorch's generator, which decides all draws of a step; nothing is drawn where nothing is dropped.
    pub fn draw(share: f64) -> Result<Self> {
        let mut seed = 0;
        if share > 0.0 {
            // SAFETY: the shim writes one number.
            check(unsafe { mb_draw(&mut seed) })?;
        }
        Ok(Dropout { share, seed })
    }
}

/// Whether [`attend`] takes queries (S, H, n, E) of whose weights a share is `dropped`: on the CPU, in a type and of a
/// size for which it is faster than libtorch's. Never where [`level`] fails.
pub fn suits(queries: &Tensor, sight: Sight, dropped: f64) -> bool {
    let mut answer = false;
    // SAFETY: a live tensor, which the shim only asks for its shape and type; it writes one boolean.
    let asked = unsafe { mb_attention_suits(queries.as_ptr(), sight.before, sight.window(), dropped, &mut answer) };
    check(asked).is_ok() && answer
}

/// Causal attention of queries to keys and values, all (S, H, n, E), differentiable.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, sight: Sight, dropout: Dropout) -> Result<Tensor> {
    let Sight { before, parents, .. } = sight;
    let Dropout { share, seed } = dropout;
    let (q, k, v, mut out) = (q.as_ptr(), k.as_ptr(), v.as_ptr(), std::ptr::null_mut());
    // SAFETY: three live tensors; where there is no message, `out` is a new tensor that is ours to drop.
    unsafe {
        check(mb_attention(q, k, v, before, parents, sight.window(), share, seed, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}
