//! The rates of matrix products on a device: of each type at the sizes of a model, by which a type is chosen, and the
//! highest, of which a run's rate is a share (MFU).

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor};

use super::config::TrainConfig;
use super::dtype::without_bfloat16;
use crate::generate::OneThread;
use crate::model::{Activations, ModelConfig};
use crate::{Error, Result};

/// Floating-point operations of the smallest product that is measured, where the model's own has as many.
const LEAST_FLOPS: usize = 16_000_000;
/// Seconds of float32 below which a product is measured with more rows, or several times.
const SHORT: f64 = 5e-4;
/// Seconds for the rounds of one product, all types together.
const ROUNDS: f64 = 4e-3;
/// Seconds after which no other product is begun.
const ALL: f64 = 0.15;
/// Products that are measured at most: those of the most operations.
const PRODUCTS: usize = 4;
/// Seconds of float32 below which the time of a product is that of the call, whatever the type.
const CALL: f64 = 2e-5;
/// A type that is so many times slower than float32 is not measured twice.
const SLOW: f64 = 10.0;

/// Seconds for the highest rate.
const PEAK: f64 = 0.25;
/// Seconds of the largest product that is measured for it.
const LARGE: f64 = 0.06;
/// How often it is measured at most.
const TRIES: usize = 4;

/// The products of matrices with which a model spends its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Work {
    products: Vec<Product>,
    /// Whether gradients are computed too.
    backward: bool,
    /// Sequences that go through the model together, and whether their keys and values are kept, a unit after the other.
    sequences: usize,
    cached: bool,
}

/// (rows, inputs) times (inputs, outputs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Product {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// How often, relative to the others.
    times: usize,
}

impl Work {
    /// Training passes over so many sequences of the context, forward and backward.
    pub fn training(model: &ModelConfig, train: &TrainConfig) -> Self {
        Work { backward: true, ..Work::scoring(model, train.rows(model)) }
    }

    /// Forward passes over so many sequences of the context.
    pub fn scoring(model: &ModelConfig, sequences: usize) -> Self {
        Work::new(model, sequences, false, |l| (sequences * model.context / model.levels[l].unit, 1))
    }

    /// One unit after the other of so many sequences together.
    pub fn generation(model: &ModelConfig, sequences: usize) -> Self {
        Work::new(model, sequences, true, |l| (sequences, model.context / model.levels[l].unit))
    }

    /// The same where memory decides how many sequences there are: one is the least.
    pub fn as_memory_allows(self) -> Self {
        Work { sequences: 1, ..self }
    }

    /// Bytes that it takes beside the weights and the copy of its matrices, about.
    pub(super) fn memory(&self, config: &ModelConfig, kind: Kind, device: Device) -> u64 {
        let passes = Activations { config, rows: self.sequences, kind, device };
        if self.cached { passes.generation() } else { passes.scoring() }
    }

    /// `of` gives rows and times of a level's products.
    fn new(model: &ModelConfig, sequences: usize, cached: bool, of: impl Fn(usize) -> (usize, usize)) -> Self {
        let mut products: Vec<Product> = Vec::new();
        let last = model.levels.len() - 1;
        for l in model.first_level()..=last {
            let ((rows, times), width, inner) = (of(l), model.levels[l].n_embd, model.ffn_dim(l));
            let n_layer = model.levels[l].n_layer;
            let in_blocks = [(width, 3 * width), (width, width), (width, inner), (inner, width)];
            let output = (l == last).then_some((width, model.vocab, 1));
            for (inputs, outputs, count) in in_blocks.map(|(k, n)| (k, n, n_layer)).into_iter().chain(output) {
                products.push(Product { rows: rows.max(1), inputs, outputs, times: count * times });
            }
        }
        products.retain(|product| product.times > 0);
        products.sort_by(|a, b| b.flops().total_cmp(&a.flops()));
        products.truncate(PRODUCTS);
        Work { products, backward: false, sequences, cached }
    }
}

impl Product {
    /// Of all times together, forward.
    fn flops(&self) -> f64 {
        2.0 * (self.rows * self.inputs) as f64 * (self.outputs * self.times) as f64
    }

    /// Floating-point operations a second in float32 and in bfloat16, measured at sizes that take milliseconds. Without
    /// bfloat16 where that is not `wanted`, or the product is so small that the type is no matter.
    fn rates(&self, wanted: bool, backward: bool, device: Device) -> Result<(f64, Option<f64>)> {
        // Larger ones behave alike, and where a type is emulated they take seconds.
        let most = if device.is_cuda() { 8192 } else { 1024 };
        let (inputs, outputs) = (self.inputs.min(most), self.outputs.min(most));
        let operands = |rows, kind| Operands::new([rows, inputs, outputs], kind, device);
        let ways = if backward { &WAYS[..] } else { &WAYS[..1] };
        let mut rows = (LEAST_FLOPS / (2 * inputs * outputs)).clamp(self.rows.min(8), self.rows);
        let single = loop {
            let single = operands(rows, Kind::Float)?;
            let seconds = single.seconds(1, ways)?.min(single.seconds(1, ways)?);
            if seconds >= SHORT || rows == self.rows {
                break seconds;
            }
            rows = (rows * 4).min(self.rows);
        };
        let kinds = if wanted && single >= CALL { &[Kind::Float, Kind::BFloat16][..] } else { &[Kind::Float] };
        let times = (SHORT / single).ceil().clamp(1.0, 1000.0) as usize;
        let all = kinds.iter().map(|&kind| operands(rows, kind)).collect::<Result<Vec<Operands>>>()?;
        let mut fastest = vec![f64::INFINITY; kinds.len()];
        // What a type loads or compiles at its first call is not its rate.
        for operands in &all {
            operands.seconds(1, ways)?;
        }
        let began = Instant::now();
        // In turn, so that what else the machine does meanwhile slows down all of them.
        for round in 0.. {
            if round > 1 && began.elapsed().as_secs_f64() > ROUNDS {
                break;
            }
            for i in 0..kinds.len() {
                // One call tells as much of a type that is far behind.
                let slow = fastest[i].is_finite() && fastest[i] > SLOW * fastest[0];
                if !slow {
                    let times = if round == 0 { 1 } else { times };
                    fastest[i] = fastest[i].min(all[i].seconds(times, ways)? / times as f64);
                }
            }
        }
        let flops = 2.0 * (rows * inputs) as f64 * outputs as f64 * ways.len() as f64;
        Ok((flops / fastest[0], fastest.get(1).map(|seconds| flops / seconds)))
    }
}

/// A product of a layer.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The output.
    Output,
    /// The gradient of the input.
    ToInput,
    /// The gradient of the weight.
    ToWeight,
}

/// All of them.
const WAYS: [Way; 3] = [Way::Output, Way::ToInput, Way::ToWeight];

/// What is multiplied: input (rows, inputs), weight (outputs, inputs), and the output's gradient (rows, outputs).
struct Operands {
    input: Tensor,
    weight: Tensor,
    gradient: Tensor,
    device: Device,
}

impl Operands {
    fn new([rows, inputs, outputs]: [usize; 3], kind: Kind, device: Device) -> Result<Self> {
        let matrix = |rows, columns| matrix(rows as i64, columns as i64, kind, device);
        Ok(Operands {
            input: matrix(rows, inputs)?,
            weight: matrix(outputs, inputs)?,
            gradient: matrix(rows, outputs)?,
            device,
        })
    }

    /// Seconds of so many times these products, one after the other.
    fn seconds(&self, times: usize, products: &[Way]) -> Result<f64> {
        let _guard = tch::no_grad_guard();
        synchronize(self.device);
        let started = Instant::now();
        for _ in 0..times {
            for product in products {
                let _product = match product {
                    Way::Output => self.input.f_matmul(&self.weight.tr())?,
                    Way::ToInput => self.gradient.f_matmul(&self.weight)?,
                    Way::ToWeight => self.gradient.tr().f_matmul(&self.input)?,
                };
            }
        }
        synchronize(self.device);
        // A clock that did not move has no rate.
        Ok(started.elapsed().as_secs_f64().max(1e-9))
    }
}

/// Numbers of -1 to 1. Not from the global generator, whose state belongs to the run.
fn matrix(rows: i64, columns: i64, kind: Kind, device: Device) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let numbers = Tensor::f_linspace(-1.0, 1.0, rows * columns, (Kind::Float, device))?;
    Ok(numbers.f_view([rows, columns])?.f_to_kind(kind)?)
}

/// Floating-point operations a second in matrix products of each type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// Of single precision.
    pub float32: f64,
    /// None where it can't be had, or says nothing.
    pub bfloat16: Option<f64>,
    /// Why there is none of bfloat16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without: Option<String>,
}

/// The rates at which a device, of a CPU one thread, does a model's matrix products: a few milliseconds each, both types in
/// turn, and measured once for the same products.
pub fn rates(work: &Work, device: Device) -> Result<Rates> {
    static KNOWN: LazyLock<Mutex<HashMap<(Work, String), Rates>>> = LazyLock::new(Mutex::default);
    // Also while it is measured: two at a time would slow each other down.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (work.clone(), format!("{device:?}"));
    if let Some(rates) = known.get(&key) {
        return Ok(rates.clone());
    }
    let mut without = without_bfloat16(device);
    // Operations of each product, and their rates.
    let mut measured: Vec<(f64, f64, Option<f64>)> = Vec::new();
    // Threads that wait for each other, where other programs work too, would say nothing of the types.
    let _one_thread = OneThread::begin();
    let began = Instant::now();
    for product in &work.products {
        if !measured.is_empty() && began.elapsed().as_secs_f64() > ALL {
            break;
        }
        let (single, half) = product.rates(without.is_none(), work.backward, device)?;
        measured.push((product.flops(), single, half));
    }
    // The types are compared by the products that were measured in both, where there are any.
    let compared = measured.iter().any(|(.., half)| half.is_some());
    if compared {
        measured.retain(|(.., half)| half.is_some());
    } else if without.is_none() {
        without = Some("products of microseconds take as long in either type".to_owned());
    }
    let flops: f64 = measured.iter().map(|(flops, ..)| flops).sum();
    let single: f64 = measured.iter().map(|(flops, single, _)| flops / single).sum();
    let half: f64 = measured.iter().filter_map(|(flops, _, half)| half.map(|half| flops / half)).sum();
    let rates = Rates { float32: flops / single, bfloat16: compared.then_some(flops / half), without };
    known.insert(key, rates.clone());
    Ok(rates)
}

/// The highest rate of square products of `kind` on `device`, in floating-point operations a second: sizes that double until
/// one fills the machine, and the best of several rounds. A quarter of a second, once for each type. None where it can't be
/// measured.
pub fn matrix_flops(kind: Kind, device: Device) -> Option<f64> {
    // Of a CPU with as many threads.
    type Known = HashMap<(Kind, String, i32), f64>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (kind, format!("{device:?}"), tch::get_num_threads());
    if let Some(rate) = known.get(&key) {
        return Some(*rate);
    }
    let rate = above_one_thread(kind, device)?;
    known.insert(key, rate);
    Some(rate)
}

/// The highest rate, measured again where it is below that of one thread: threads that wait for each other on a busy machine
/// reach less than one that works alone. None where the machine stays busy.
fn above_one_thread(kind: Kind, device: Device) -> Option<f64> {
    let once = || highest(kind, device).ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    if device.is_cuda() {
        return once();
    }
    let mut best: f64 = 0.0;
    for _ in 0..TRIES {
        best = best.max(once()?);
        let one_thread = {
            let _one_thread = OneThread::begin();
            let operands = Operands::new([256; 3], kind, device).ok()?;
            let flops = 2.0 * 256_f64.powi(3);
            let rounds = (0..6).map(|_| operands.seconds(1, &WAYS[..1])).collect::<Result<Vec<f64>>>().ok()?;
            flops / rounds.into_iter().fold(f64::INFINITY, f64::min)
        };
        if best >= one_thread {
            return Some(best);
        }
    }
    None
}

fn highest(kind: Kind, device: Device) -> Result<f64> {
    let (mut n, largest) = if device.is_cuda() { (4096, 8192) } else { (256, 4096) };
    if device.is_cuda() {
        // Kernels are loaded at their first call, which takes longer than the clock below allows for all.
        Operands::new([n; 3], kind, device)?.seconds(1, &WAYS)?;
    }
    let began = Instant::now();
    let late = || began.elapsed().as_secs_f64() > PEAK;
    let mut best: f64 = 0.0;
    loop {
        let operands = Operands::new([n; 3], kind, device)?;
        let flops = 2.0 * (n as f64).powi(3);
        // In turn: types that are emulated have a kernel for each. The first one loads what libtorch loads at first.
        let mut turns = WAYS.iter().cycle();
        let mut seconds = f64::INFINITY;
        let mut round = |seconds: &mut f64| {
            let way = turns.next().map_or(Way::Output, |way| *way);
            *seconds = operands.seconds(1, &[way])?.min(*seconds);
            Ok::<(), Error>(())
        };
        for _ in 0..=WAYS.len() {
            round(&mut seconds)?;
            if late() {
                break;
            }
        }
        // The next size takes eight times as long.
        let last = n >= largest || 8.0 * seconds > LARGE;
        while last && !late() {
            round(&mut seconds)?;
        }
        best = best.max(flops / seconds);
        if last || late() {
            return Ok(best);
        }
        n *= 2;
    }
}

/// The share that a rate is of the highest. None where that is not known, or can't be right: nothing reaches more.
pub fn utilization(rate: f64, peak: Option<f64>) -> Option<f64> {
    Some(rate / peak?).filter(|share| (0.0..=1.0).contains(share))
}

/// Waits for the device to finish what it was given.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> ModelConfig {
        toml::from_str(text).unwrap()
    }

    const TWO: &str = "context = 64\nvocab = 257\n[[level]]\nunit = 4\nn_embd = 32\nn_layer = 2\nn_head = 2\n\
                       [[level]]\nunit = 1\nn_embd = 16\nn_layer = 1\nn_head = 2\n";

    #[test]
    fn the_products_are_those_of_the_models_matrices() {
        let model = model(TWO);
        let train = TrainConfig { bytes_per_step: 512, ..TrainConfig::default() };
        let work = Work::training(&model, &train);
        assert!(work.backward);
        // The most operations: the output of 8 sequences of 64 bytes; up and down of the first level, 16 patches each; queries, keys
        // and values.
        let expected = [(512, 16, 257, 1), (128, 32, 128, 2), (128, 128, 32, 2), (128, 32, 96, 2)];
        let found: Vec<_> = work.products.iter().map(|p| (p.rows, p.inputs, p.outputs, p.times)).collect();
        assert_eq!(found, expected);
        let generation = Work::generation(&model, 3);
        assert!(generation.products.iter().all(|product| product.rows == 3) && !generation.backward);
        let output = generation.products.iter().find(|product| product.outputs == 257).unwrap();
        assert_eq!(output.times, 64, "one for each byte of the context");
    }

    #[test]
    fn a_level_without_blocks_has_no_products_but_the_output() {
        let text = TWO.replace("unit = 1\nn_embd = 16\nn_layer = 1", "unit = 1\nn_embd = 16\nn_layer = 0");
        let work = Work::scoring(&model(&text), 1);
        assert!(work.products.iter().all(|product| product.inputs != 64 && product.times > 0));
        assert!(work.products.iter().any(|product| product.outputs == 257));
    }

    #[test]
    fn rates_are_numbers_and_measured_once() {
        let wide = TWO.replace("n_embd = 32", "n_embd = 512");
        let work = Work::scoring(&model(&wide), 2);
        let first = rates(&work, Device::Cpu).unwrap();
        assert!(first.float32 > 0.0 && first.float32.is_finite(), "{first:?}");
        assert!(first.bfloat16.is_some_and(|rate| rate > 0.0 && rate.is_finite()), "{first:?}");
        assert_eq!(first.without, None);
        assert_eq!(rates(&work, Device::Cpu).unwrap(), first);
    }

    #[test]
    fn products_of_microseconds_have_no_rate_in_bfloat16() {
        let narrow = TWO.replace("n_embd = 32", "n_embd = 8").replace("n_embd = 16", "n_embd = 8").replace("257", "16");
        let found = rates(&Work::generation(&model(&narrow), 1), Device::Cpu).unwrap();
        assert!(found.float32 > 0.0 && found.bfloat16.is_none(), "{found:?}");
        assert!(found.without.unwrap().contains("microseconds"));
    }

    #[test]
    fn the_highest_rate_is_not_below_that_of_a_small_product() {
        let peak = matrix_flops(Kind::Float, Device::Cpu).unwrap();
        let small = Operands::new([64; 3], Kind::Float, Device::Cpu).unwrap();
        let small = 2.0 * 64_f64.powi(3) / small.seconds(1, &WAYS[..1]).unwrap();
        assert!(peak.is_finite() && peak > small, "{peak} against {small}");
        assert_eq!(matrix_flops(Kind::Float, Device::Cpu), Some(peak));
    }

    #[test]
    fn a_share_above_the_whole_is_not_shown() {
        assert_eq!(utilization(50.0, Some(200.0)), Some(0.25));
        assert_eq!(utilization(200.0, Some(200.0)), Some(1.0));
        for (rate, peak) in
            [(334.0, Some(100.0)), (1.0, None), (f64::NAN, Some(1.0)), (1.0, Some(0.0)), (0.0, Some(0.0))]
        {
            assert_eq!(utilization(rate, peak), None, "{rate} of {peak:?}");
        }
    }
}
