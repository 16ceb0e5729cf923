//! Whole sequences: a prompt, then symbols drawn until the length is reached or the sequence ends.

use tch::Device;

use super::engine::{Engine, to_rows};
use super::sampling::{SampleConfig, Sampler};
use super::threads::OneThread;
use crate::data::END;
use crate::model::Megabyte;
use crate::progress::Progress;
use crate::{Error, Result};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Request {
    /// The bytes to continue.
    pub prompt: Vec<u8>,
    /// Bytes of each sequence, the prompt included. Beyond the context the older half of what was seen is forgotten
    /// whenever the context is full; of a longer prompt too.
    pub length: usize,
    /// How many sequences, each with draws of its own.
    pub count: usize,
    /// How symbols are drawn.
    pub sample: SampleConfig,
}

/// Above this many parameters a step is worth sharing between threads.
const LARGE: u64 = 50_000_000;

/// Generates `count` sequences together. A sequence is shorter than asked where it ended by itself.
pub fn generate(model: &Megabyte, request: &Request, progress: &dyn Progress) -> Result<Vec<Vec<u8>>> {
    let Request { prompt, length, count, sample } = request;
    sample.validate()?;
    let mut sequences = vec![prompt.clone(); *count];
    if prompt.len() >= *length || *count == 0 {
        sequences.iter_mut().for_each(|sequence| sequence.truncate(*length));
        return Ok(sequences);
    }

    // Steps of a small model on a CPU: threads that wait for each other are slow where the machine is busy.
    let small = model.device() == Device::Cpu && model.parameters().count() <= LARGE;
    let _one = small.then(OneThread::begin).transpose()?;
    let mut samplers: Vec<Sampler> = (0..*count).map(|row| Sampler::new(*sample, row)).collect();
    let mut ended = vec![false; *count];
    let mut engine = Engine::new(model, *count);
    let widen = |bytes: &[u8]| -> Vec<i64> { bytes.iter().map(|&byte| i64::from(byte)).collect() };
    let context = model.config().context;
    let mut logits = engine.prefill(&vec![widen(&prompt[seen_from(model, prompt.len())..]); *count])?;
    // Every row goes on in the engine, the ended ones with a byte that nobody reads.
    let mut fed: Vec<Vec<u8>> = sequences.clone();
    progress.start("generate", (length - prompt.len()) as u64);
    for at in prompt.len()..*length {
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        let mut drawn = vec![0; *count];
        for (row, logits) in to_rows(&logits)?.iter().enumerate() {
            let symbol = samplers[row].sample(logits).map_err(|error| match error {
                Error::Content(reason) => Error::Content(format!("sequence {}, byte {}: {reason}", row + 1, at + 1)),
                error => error,
            })?;
            ended[row] |= symbol == END as usize;
            let byte = if ended[row] { 0 } else { symbol as u8 };
            drawn[row] = i64::from(byte);
            fed[row].push(byte);
            if !ended[row] {
                sequences[row].push(byte);
            }
        }
        progress.advance(1);
        if at + 1 == *length || ended.iter().all(|ended| *ended) {
            break;
        }
        logits = if engine.len() + 1 < context {
            engine.push(&drawn)?
        } else {
            let from = seen_from(model, at + 1);
            let kept: Vec<Vec<i64>> = fed.iter().map(|bytes| widen(&bytes[from..])).collect();
            engine.prefill(&kept)?
        };
    }
    Ok(sequences)
}

/// Where what the model sees begins, of a sequence of `length` bytes: at 0 until the context is full. Then, and whenever
/// it is again, a whole number of patches stays, about half the context.
fn seen_from(model: &Megabyte, length: usize) -> usize {
    let (context, patch) = (model.config().context, model.config().patch_size());
    let keep = (context / 2 / patch * patch).max(context.min(2) - 1);
    match length.checked_sub(context) {
        None => 0,
        Some(over) => (over + 1).next_multiple_of(context - keep),
    }
}
