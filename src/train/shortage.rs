//! Work for which there is too little memory: an error that says what to change, in place of a panic of tch's.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::memory;
use crate::config::RunConfig;
use crate::{Error, Result};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic with this message is one that [`catch`] turns into an error: a panic hook has nothing to say about it.
pub fn catches(message: &str) -> bool {
    CATCHING.get() && is_shortage(message)
}

/// Does work of libtorch's. Where memory is not to be had for it, that is [`Error::Memory`] with libtorch's words,
/// whether they come as an error or, as from tch's operators, as a panic.
pub fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = CATCHING.replace(true);
    // A panic inside `no_grad` leaves gradients off: the guard puts back what is set now.
    let before = tch::no_grad_guard();
    // What the work leaves half-done is dropped with the run, or made anew by the next step.
    let done = catch_unwind(AssertUnwindSafe(|| tch::with_grad(work)));
    drop(before);
    CATCHING.set(outer);
    let message = match done {
        Ok(Err(Error::Torch(error))) if is_shortage(&error.to_string()) => error.to_string(),
        Ok(done) => return done,
        Err(panic) => match panic.downcast_ref::<String>().filter(|message| is_shortage(message)) {
            Some(message) => message.clone(),
            None => resume_unwind(panic),
        },
    };
    Err(Error::Memory(said(&message)))
}

/// The same for a part of a run, such as "a training step": the error names the keys that would make it need less.
pub(super) fn guard<T>(part: &str, config: &RunConfig, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch(work).map_err(|error| match error {
        Error::Memory(reason) => Error::Memory(format!("{part} is out of memory: {}; {reason}", advice(config))),
        error => error,
    })
}

/// Which keys are what, and what to try.
pub(super) fn advice(config: &RunConfig) -> String {
    let (train, model) = (&config.train, &config.model);
    let rows = train.rows(model);
    let mut ways = Vec::new();
    if let Some(&fewer) = train.micro_batch_sizes(model).iter().rfind(|&&size| size <= rows / 2) {
        ways.push(format!(
            "train.micro_batch={fewer} (it is {}: {rows} sequences of {} bytes) or --fit, which finds the largest that \
             fits, in a new run",
            train.micro_batch, model.context
        ));
    }
    let together = if train.stretch_bytes == 0 { rows * model.context } else { train.stretch_bytes };
    if together / 2 >= model.patch_size() {
        ways.push(format!("train.stretch_bytes={} (it is {})", together / 2, train.stretch_bytes));
    }
    let all: Vec<usize> = (model.first_level()..model.levels.len()).collect();
    if all.iter().any(|l| !train.checkpoint_levels.contains(l)) {
        ways.push(format!("train.checkpoint_levels={all:?} (it is {:?})", train.checkpoint_levels));
    }
    if ways.is_empty() {
        ways.push("a smaller model or a smaller model.context".to_owned());
    }
    format!("try {}", ways.join(", or "))
}

/// What a run needs that is more than there is.
pub(super) fn too_large(what: &str, needed: u64, available: u64, config: &RunConfig) -> Error {
    let (needed, available) = (memory::human(needed), memory::human(available));
    Error::Memory(format!("{what} needs {needed} of memory, and {available} are there for it: {}", advice(config)))
}

/// What libtorch says where memory is short: CUDA's allocator, the CPU's, C++'s own, cuBLAS.
fn is_shortage(message: &str) -> bool {
    let words = ["out of memory", "can't allocate memory", "std::bad_alloc", "ALLOC_FAILED"];
    words.iter().any(|word| message.contains(word))
}

/// Of a message that came with a trace, or as Rust shows an error inside a panic, what libtorch says first.
fn said(message: &str) -> String {
    let message = message.split_once("Torch(\"").map_or(message, |(_, cause)| cause);
    let line = message.lines().next().unwrap_or_default();
    line.split("\\n").next().unwrap_or(line).trim_end_matches("\")").to_owned()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn too_little_memory_is_an_error_and_gradients_are_on_again() {
        let huge = || tch::no_grad(|| Tensor::zeros([1 << 56], (Kind::Uint8, Device::Cpu)));
        let error = catch(|| Ok(huge())).unwrap_err();
        assert!(matches!(&error, Error::Memory(reason) if !reason.contains('\\')), "{error}");
        let one = Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        assert!((one * 2.0).requires_grad());
        let other = catch_unwind(|| catch(|| -> Result<()> { panic!("of another cause") }));
        assert!(other.is_err());
    }

    #[test]
    fn cuda_s_words_are_understood() {
        let words = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB";
        let failed = || Err::<(), _>(tch::TchError::Torch(format!("{words}\nException raised from malloc")).into());
        assert!(matches!(catch(failed), Err(Error::Memory(reason)) if reason.ends_with("79.1 GiB")));
    }
}
