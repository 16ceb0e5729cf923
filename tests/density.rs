//! Which window scores a symbol, and the sums over all of them, against the definitions taken symbol by symbol.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::collections::HashMap;
use std::f64::consts::LN_2;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use common::device::device;
use common::models::{hierarchy, randomise};
use megabyte::Error;
use megabyte::data::Dataset;
use megabyte::density::{EvalOptions, Evaluation, Inference, Protocol, evaluate, examine};
use megabyte::modality::{BytesLayout, Layout};
use megabyte::model::{Megabyte, ModelConfig};
use megabyte::progress::{Progress, Quiet};
use proptest::prelude::*;
use tch::{Kind, Tensor};

/// A model of patches of `patch` bytes; nothing but its shape matters.
fn shape(patch: usize, context: usize) -> ModelConfig {
    match patch {
        1 => hierarchy(&[(1, 8, 1, 2)], context),
        _ => hierarchy(&[(patch, 4 * patch, 1, 1), (1, 8, 1, 2)], context),
    }
}

/// Where the first of the windows at `offset`, `offset + stride`, … that hold symbol `i` begins.
fn first_holder(i: usize, offset: usize, stride: usize, context: usize) -> Option<usize> {
    (0..=i).find(|start| {
        *start >= offset && (*start - offset).is_multiple_of(stride) && (*start..*start + context).contains(&i)
    })
}

/// Where the window begins that scores symbol `i`, by the definitions.
fn scorer(inference: Inference, config: &ModelConfig, i: usize) -> usize {
    let (context, patch) = (config.context, config.patch_size());
    let stride = match inference {
        Inference::Plain | Inference::Strided => context,
        Inference::Sliding | Inference::SlidingStrided if context == patch => context,
        Inference::Sliding | Inference::SlidingStrided => (context / 2) - (context / 2) % patch,
    };
    let a = first_holder(i, 0, stride, context).unwrap();
    if matches!(inference, Inference::Plain | Inference::Sliding) || i % patch < patch / 2 {
        return a;
    }
    match first_holder(i, patch / 2, stride, context) {
        Some(b) if i - b >= patch => b,
        _ => a,
    }
}

/// Checks the windows of a document of `symbols`.
fn check_windows(inference: Inference, config: &ModelConfig, symbols: usize) {
    let protocol = Protocol::new(inference, config).unwrap();
    let (context, patch) = (config.context, config.patch_size());
    let what = format!("{inference:?}, context {context}, patches of {patch}, {symbols} symbols");
    let mut found = Vec::new();
    for window in protocol.windows(symbols) {
        assert!(window.start < window.end && window.end <= symbols.min(window.start + context), "{what}: {window:?}");
        assert!(window.scored().next().is_some(), "{what}: {window:?} scores nothing");
        for i in window.scored() {
            assert!((window.start..window.end).contains(&i), "{what}: {window:?} scores {i}");
            found.push((i, window.start));
        }
    }
    found.sort_unstable();
    let expected: Vec<_> = (0..symbols).map(|i| (i, scorer(inference, config, i))).collect();
    assert_eq!(found, expected, "{what}");

    // What the definitions are for.
    let sliding = matches!(inference, Inference::Sliding | Inference::SlidingStrided);
    let strided = matches!(inference, Inference::Strided | Inference::SlidingStrided);
    for (i, start) in found {
        let place = i - start;
        assert!(!sliding || i < context || place >= context - protocol.stride, "{what}: {i} knows {place}");
        assert!(!strided || place < patch || place % patch < patch.div_ceil(2), "{what}: {i} is late in its patch");
    }
}

fn ladder(patch: usize) -> impl Iterator<Item = Inference> {
    Inference::ALL
        .into_iter()
        .filter(move |inference| patch > 1 || matches!(inference, Inference::Plain | Inference::Sliding))
}

#[test]
fn every_symbol_is_scored_once_by_the_window_of_the_definition() {
    for patch in 1..=7 {
        for patches in 1..=6 {
            let config = shape(patch, patch * patches);
            for inference in ladder(patch) {
                for symbols in 0..=3 * config.context + patch + 1 {
                    check_windows(inference, &config, symbols);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn long_documents_too(patch in 1usize..40, patches in 1usize..12, contexts in 0usize..6, more in -3i64..3) {
        let config = shape(patch, patch * patches);
        let half = (contexts * config.context / 2) as i64;
        for symbols in [half + more, half + more * patch as i64] {
            ladder(patch).for_each(|inference| check_windows(inference, &config, symbols.max(0) as usize));
        }
    }
}

#[test]
fn what_the_passes_cost() {
    let windows = |inference, symbols| {
        let protocol = Protocol::new(inference, &shape(8, 64)).unwrap();
        let sum = |sum, window: megabyte::density::Window| sum + window.end - window.start;
        protocol.windows(symbols).into_iter().fold(0, sum)
    };
    let n = 64_000;
    for (inference, times) in Inference::ALL.into_iter().zip([1.0, 2.0, 2.0, 4.0]) {
        let cost = windows(inference, n) as f64 / n as f64;
        assert!((cost - times).abs() < 0.01, "{inference:?} costs {cost}");
    }
    // A picture is one context: nothing slides.
    assert_eq!(windows(Inference::Sliding, 64), 64);
    assert_eq!(windows(Inference::SlidingStrided, 64), 64 + 60);
}

#[test]
fn names_go_round_and_others_are_refused() {
    for inference in Inference::ALL {
        assert_eq!(inference.name().parse::<Inference>().unwrap(), inference);
    }
    let wrong = "magic".parse::<Inference>().unwrap_err().to_string();
    assert!(wrong.contains("--inference magic") && wrong.contains("sliding+strided"), "{wrong}");
    for inference in [Inference::Strided, Inference::SlidingStrided] {
        let refused = Protocol::new(inference, &shape(1, 16)).unwrap_err();
        let flag = format!("--inference {}", inference.name());
        assert!(matches!(&refused, Error::Usage(reason) if reason.contains(&flag)), "{refused}");
    }
}

/// Bytes that repeat themselves now and then.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8 & 0x1f
    };
    (0..length).map(|_| byte()).collect()
}

/// Documents, as symbols too, with their ends where they have any.
struct Documents {
    dataset: Dataset,
    symbols: Vec<Vec<i64>>,
}

impl Documents {
    /// Without ends, some of them empty.
    fn open(config: &ModelConfig) -> Self {
        let (t, p) = (config.context, config.patch_size());
        let lengths = [0, 1, p - p / 2, p, p + 1, t / 2, t - 1, t, t + 1, t + p / 2, t + p, 2 * t, 3 * t + 2];
        let items: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, &n)| bytes(i as u64, n)).collect();
        let symbols = items.iter().map(|item| item.iter().map(|&byte| i64::from(byte)).collect()).collect();
        Documents { dataset: Dataset::from_memory(items, &Layout::Bytes(BytesLayout {})), symbols }
    }

    /// With ends, which may begin a stretch of their own.
    fn ended(config: &ModelConfig) -> Self {
        let (t, p) = (config.context, config.patch_size());
        let folder = tempfile::tempdir().unwrap();
        let (mut paths, mut symbols): (Vec<PathBuf>, _) = (Vec::new(), Vec::new());
        for (i, n) in [1, p, t / 2, t - 1, t, t + p - p / 2, 2 * t - 1, 2 * t].into_iter().enumerate() {
            let content = bytes(100 + i as u64, n);
            paths.push(folder.path().join(i.to_string()));
            std::fs::write(&paths[i], &content).unwrap();
            symbols.push(content.into_iter().map(i64::from).chain([256]).collect());
        }
        Documents { dataset: Dataset::from_files(&paths, &Layout::Bytes(BytesLayout {})).unwrap(), symbols }
    }
}

/// Nats of the symbols of one window, from its own pass.
fn window_nats(model: &Megabyte, symbols: &[i64]) -> Vec<f64> {
    let patch = model.config().patch_size();
    let mut row = symbols.to_vec();
    row.resize(symbols.len().next_multiple_of(patch), 7);
    let row = Tensor::from_slice(&row).unsqueeze(0).to_device(device());
    let logs = model.forward(&row, 0.0).unwrap().log_softmax(-1, Kind::Double);
    symbols.iter().enumerate().map(|(t, &symbol)| -logs.double_value(&[0, t as i64, symbol])).collect()
}

/// The evaluation by the definitions, a symbol at a time.
fn slow(model: &Megabyte, documents: &Documents, inference: Inference) -> (u64, f64, f64, f64) {
    let config = model.config();
    let mut stretches = Vec::new(); // bytes and nats
    let mut end_nats = 0.0;
    for document in &documents.symbols {
        let mut passes = HashMap::new();
        for (i, &symbol) in document.iter().enumerate() {
            let start = scorer(inference, config, i);
            let end = document.len().min(start + config.context);
            let nats = passes.entry(start).or_insert_with(|| window_nats(model, &document[start..end]))[i - start];
            if i % config.context == 0 {
                stretches.push((0.0, 0.0));
            }
            let stretch = stretches.last_mut().unwrap();
            stretch.1 += nats;
            match symbol {
                256 => end_nats += nats,
                _ => stretch.0 += 1.0,
            }
        }
    }
    let (bytes, nats) = stretches.iter().fold((0.0, 0.0), |sum, stretch| (sum.0 + stretch.0, sum.1 + stretch.1));
    let n = stretches.len() as f64;
    let variance = stretches.iter().map(|stretch| (stretch.1 - stretch.0 * nats / bytes).powi(2)).sum::<f64>();
    (stretches.len() as u64, nats, end_nats, (variance * n / (n - 1.0)).sqrt() / bytes / LN_2)
}

fn options(inference: Inference, batch: usize) -> EvalOptions {
    EvalOptions { batch, limit_bytes: 0, inference }
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {found} is not {expected}");
}

#[test]
fn sums_equal_those_of_one_pass_a_window() {
    let levels: [&[_]; 4] = [
        &[(4, 16, 1, 2), (1, 8, 1, 2)],
        &[(3, 12, 1, 2), (1, 8, 2, 2)],
        &[(6, 24, 1, 2), (2, 8, 1, 2), (1, 8, 1, 1)],
        &[(1, 8, 2, 2)],
    ];
    for (m, levels) in levels.into_iter().enumerate() {
        for vocab in [256, 257] {
            let config = ModelConfig { vocab, ..hierarchy(levels, 5 * levels[0].0.max(3)) };
            let model = Megabyte::new(&config, Kind::Double, device(), 1).unwrap();
            randomise(&model, m as i64, 0.3);
            let _guard = tch::no_grad_guard();
            let documents = if vocab == 257 { Documents::ended(&config) } else { Documents::open(&config) };
            let mut totals: Vec<f64> = Vec::new();
            for inference in ladder(config.patch_size()) {
                let what = format!("model {m}, {vocab} symbols, {inference:?}");
                let (sequences, nats, end_nats, error) = slow(&model, &documents, inference);
                let of = |batch| evaluate(&model, &documents.dataset, options(inference, batch), &Quiet).unwrap();
                for batch in [1, 3, 1000] {
                    let found = of(batch);
                    assert_eq!((found.sequences, found.bytes), (sequences, documents.dataset.bytes()), "{what}");
                    assert_close(found.nats, nats, &what);
                    assert_close(found.end_nats, end_nats, &what);
                    assert_close(found.std_error, error, &what);
                    assert_close(found.bits_per_byte, nats / LN_2 / found.bytes as f64, &what);
                }
                // Another way is another number.
                assert!(totals.iter().all(|other| (other - nats).abs() > 1e-3), "{what}: {nats} among {totals:?}");
                totals.push(nats);
            }
            assert_eq!(totals.len(), if config.patch_size() == 1 { 2 } else { 4 });
        }
    }
}

#[test]
fn the_output_says_how() {
    let config = shape(5, 30);
    let model = Megabyte::new(&config, Kind::Float, device(), 1).unwrap();
    let dataset = Dataset::from_memory(vec![bytes(1, 70)], &Layout::Bytes(BytesLayout {}));
    let found = |inference| evaluate(&model, &dataset, options(inference, 2), &Quiet).unwrap();
    let json = |found: &Evaluation| serde_json::to_value(found).unwrap();
    let both = found(Inference::SlidingStrided);
    let value = json(&both);
    assert_eq!(value["inference"], "sliding+strided");
    // First pass: 0, 15, 30, 45 hold the 70 bytes; second: 2, 17, 32, 47.
    for (key, number) in
        [("context", 30), ("stride", 15), ("patch", 5), ("offset", 2), ("windows", 8), ("sequences", 3)]
    {
        assert_eq!(value[key], number, "{key} in {value}");
    }
    let plain = json(&found(Inference::Plain));
    assert_eq!((&plain["inference"], &plain["stride"], &plain["windows"]), (&"plain".into(), &30.into(), &3.into()));
    assert!(plain.get("offset").is_none(), "{plain}");

    let sum = Evaluation::sum(&[both.clone(), both.clone()]).unwrap();
    assert_eq!((sum.windows, sum.sequences, sum.bytes), (16, 6, 140));
    assert_close(sum.bits_per_byte, both.bits_per_byte, "two of a kind");
}

#[test]
fn the_curve_by_place_in_the_patch_is_a_sum_by_place() {
    let config = shape(5, 30);
    let model = Megabyte::new(&config, Kind::Double, device(), 1).unwrap();
    randomise(&model, 3, 0.3);
    let _guard = tch::no_grad_guard();
    let documents = Documents::open(&config);
    let mut sums = [(0, 0.0); 5];
    for document in &documents.symbols {
        for window in document.chunks(30) {
            for (place, nats) in window_nats(&model, window).into_iter().enumerate() {
                sums[place % 5].0 += 1;
                sums[place % 5].1 += nats;
            }
        }
    }
    let curves = examine(&model, &documents.dataset, options(Inference::Plain, 3), None, &Quiet).unwrap().curves;
    let curve = curves.iter().find(|curve| curve.by == "place in patch").unwrap();
    assert_eq!(curve.groups.len(), 5);
    for (place, group) in curve.groups.iter().enumerate() {
        assert_eq!((group.label.as_str(), group.bytes), (place.to_string().as_str(), sums[place].0));
        assert_close(group.bits_per_byte, sums[place].1 / LN_2 / sums[place].0 as f64, "a place");
    }
}

/// Adds up what it is told, and stops the work after some bytes.
struct Counting {
    total: AtomicU64,
    done: AtomicU64,
    stop_after: u64,
}

impl Progress for Counting {
    fn start(&self, _stage: &str, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }
    fn advance(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        self.done.load(Ordering::Relaxed) > self.stop_after
    }
}

#[test]
fn progress_counts_bytes_and_stops_the_work() {
    let config = ModelConfig { vocab: 257, ..shape(4, 16) };
    let model = Megabyte::new(&config, Kind::Float, device(), 1).unwrap();
    let documents = Documents::ended(&config);
    let total = documents.dataset.bytes();
    for inference in Inference::ALL {
        let run = |stop_after| {
            let progress = Counting { total: 0.into(), done: 0.into(), stop_after };
            let result = evaluate(&model, &documents.dataset, options(inference, 1), &progress);
            (result, progress.total.into_inner(), progress.done.into_inner())
        };
        let (result, said, done) = run(u64::MAX);
        assert_eq!((result.unwrap().bytes, said, done), (total, total, total), "{inference:?}");
        let (result, _, done) = run(20);
        assert!(matches!(result, Err(Error::Interrupted)) && done > 20 && done < total, "{inference:?}: {done}");
    }
}
