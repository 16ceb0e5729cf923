//! What every byte costs, and the parts of an evaluation: against sums taken symbol by symbol, whatever the batch and
//! however often the work is interrupted.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use common::device::device;
use common::models::{hierarchy, randomise};
use megabyte::Error;
use megabyte::data::{Dataset, Files};
use megabyte::density::{
    EvalOptions, Examined, Inference, Journal, Key, Scores, area_under_curve, classical, examine, npy, rank, score,
};
use megabyte::modality::{AudioChannels, AudioFormat, AudioLayout, BytesLayout, Channels, ImageLayout, Layout, Scan};
use megabyte::model::{Megabyte, ModelConfig};
use megabyte::progress::{Progress, Quiet};
use proptest::prelude::*;
use tch::{Kind, Tensor};

fn model(config: &ModelConfig, kind: Kind) -> Megabyte {
    let model = Megabyte::new(config, kind, device(), 1).unwrap();
    randomise(&model, 5, 0.3);
    model
}

fn options(inference: Inference, batch: usize) -> EvalOptions {
    EvalOptions { batch, limit_bytes: 0, inference }
}

/// Bytes that repeat themselves now and then.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1);
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8 & 0x1f
    };
    (0..length).map(|_| byte()).collect()
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Files of several lengths in two folders, which end with a symbol.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let lengths = [("a", 1), ("a", 7), ("b", 20), ("a", 39), ("b", 40), ("b", 41), ("a", 95)];
    let file = |(i, &(source, length)): (usize, &(&str, usize))| {
        write(folder, &format!("{source}/{i}"), &bytes(i as u64, length))
    };
    lengths.iter().enumerate().map(file).collect()
}

/// Patches of 5, a context of 40, and ends.
fn config() -> ModelConfig {
    ModelConfig { vocab: 257, ..hierarchy(&[(5, 20, 1, 2), (1, 8, 1, 2)], 40) }
}

/// Nats of the symbols of one window, from its own pass.
fn window_nats(model: &Megabyte, symbols: &[i64]) -> Vec<f64> {
    let mut row = symbols.to_vec();
    row.resize(symbols.len().next_multiple_of(model.config().patch_size()), 7);
    let row = Tensor::from_slice(&row).unsqueeze(0).to_device(device());
    let logs = tch::no_grad(|| model.forward(&row, 0.0).unwrap().log_softmax(-1, Kind::Double));
    symbols.iter().enumerate().map(|(t, &symbol)| -logs.double_value(&[0, t as i64, symbol])).collect()
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {found} is not {expected}");
}

/// The groups of a curve: label to bytes and nats.
fn groups(examined: &Examined, by: &str) -> BTreeMap<String, (u64, f64)> {
    let curve = examined.curves.iter().find(|curve| curve.by == by).unwrap_or_else(|| panic!("no curve by {by}"));
    let sum = |bytes: u64, bits: f64| (bytes, bits * LN_2 * bytes as f64);
    curve.groups.iter().map(|group| (group.label.clone(), sum(group.bytes, group.bits_per_byte))).collect()
}

#[test]
fn scores_are_those_of_a_pass_and_add_up_to_the_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let (config, paths) = (config(), documents(folder.path()));
    let layout = Layout::Bytes(BytesLayout {});
    let dataset = Dataset::from_files(&paths, &layout).unwrap();
    let double = model(&config, Kind::Double);
    for (path, scores) in paths.iter().zip(score(&double, &dataset, Inference::Plain, 3, &Quiet).unwrap()) {
        let symbols: Vec<i64> = fs::read(path).unwrap().into_iter().map(i64::from).chain([256]).collect();
        let slow: Vec<f64> = symbols.chunks(40).flat_map(|window| window_nats(&double, window)).collect();
        let found: Vec<f32> = scores.bytes.iter().copied().chain(scores.end).collect();
        assert_eq!(found, slow.iter().map(|&nats| nats as f32).collect::<Vec<_>>());
    }
    // What a program computes in float32 is kept exactly, so the sums are the same numbers.
    let single = model(&config, Kind::Float);
    for inference in Inference::ALL {
        let scores = score(&single, &dataset, inference, 4, &Quiet).unwrap();
        let examined = examine(&single, &dataset, options(inference, 4), None, &Quiet).unwrap();
        let sum: f64 = scores.iter().map(Scores::nats).sum();
        assert_close(sum, examined.evaluation.nats, 1e-12, "all files");
        for (scores, file) in scores.iter().zip(&examined.files) {
            assert_close(scores.nats(), file.nats, 1e-12, &file.name);
            assert_close(scores.bits_per_byte(), file.bits_per_byte, 1e-12, &file.name);
        }
        let ends: f64 = scores.iter().map(|scores| f64::from(scores.end.unwrap())).sum();
        assert_close(ends, examined.evaluation.end_nats, 1e-12, "ends");
        for batch in [1, 7, 100] {
            for (scores, other) in scores.iter().zip(score(&single, &dataset, inference, batch, &Quiet).unwrap()) {
                assert_close(scores.nats(), other.nats(), 1e-6, "another batch");
            }
        }
    }
}

#[test]
fn parts_add_up_to_the_whole_whatever_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::from_files(&documents(folder.path()), &Layout::Bytes(BytesLayout {})).unwrap();
    let model = model(&config(), Kind::Float);
    for inference in Inference::ALL {
        let of = |batch| examine(&model, &dataset, options(inference, batch), None, &Quiet).unwrap();
        let examined = of(4);
        let whole = &examined.evaluation;
        for curve in &examined.curves {
            let parts = groups(&examined, curve.by);
            let sum = parts.values().fold((0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
            assert_eq!(sum.0, whole.bytes, "{} of {inference:?}", curve.by);
            assert_close(sum.1, whole.nats - whole.end_nats, 1e-9, curve.by);
        }
        let sources: Vec<&str> = examined.sources.iter().map(|source| source.source.as_str()).collect();
        assert_eq!(sources, ["a", "b"].map(|name| folder.path().join(name)).map(|path| path.display().to_string()));
        assert_eq!(examined.sources.iter().map(|source| source.files).collect::<Vec<_>>(), [4, 3]);
        let by_hand = |name: &str| {
            let files = examined.files.iter().filter(|file| file.name.contains(&format!("/{name}/")));
            files.fold((0, 0.0, 0), |sum, file| (sum.0 + file.bytes, sum.1 + file.nats, sum.2 + file.sequences))
        };
        for (source, name) in examined.sources.iter().zip(["a", "b"]) {
            let (bytes, nats, sequences) = by_hand(name);
            assert_eq!((source.bytes, source.sequences), (bytes, sequences));
            assert_close(source.nats, nats, 1e-12, name);
        }
        let (a, b) = (by_hand("a"), by_hand("b"));
        assert_eq!((a.0 + b.0, a.2 + b.2), (whole.bytes, whole.sequences));
        assert_close(a.1 + b.1, whole.nats, 1e-12, "files");

        for batch in [1, 3, 1000] {
            let other = of(batch);
            assert_close(other.evaluation.bits_per_byte, whole.bits_per_byte, 1e-6, "another batch");
            for (a, b) in examined.curves.iter().zip(&other.curves) {
                assert_eq!(a.groups.len(), b.groups.len());
                for (a, b) in a.groups.iter().zip(&b.groups) {
                    assert_eq!((&a.label, a.bytes), (&b.label, b.bytes));
                    assert_close(a.bits_per_byte, b.bits_per_byte, 1e-6, &a.label);
                }
            }
        }
    }
}

/// The curves that a model of whole pictures gives are sums over what is at each place, found by the pixels themselves.
#[test]
fn curves_of_pictures_are_sums_over_their_channels_and_rows() {
    let layout = ImageLayout { width: 4, height: 4, patch: 2, scan: Scan::Patch, ..ImageLayout::default() };
    let (places, layout) = (spelled_out(&layout), Layout::Image(layout));
    // Half a picture is a context: places in the picture are not places in the window.
    let config = hierarchy(&[(12, 24, 1, 2), (3, 12, 1, 2), (1, 12, 1, 2)], 24);
    let model = model(&config, Kind::Double);
    let pictures: Vec<Vec<u8>> = (0..5).map(|i| bytes(i, 48)).collect();
    let (mut channels, mut rows, mut history) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for picture in &pictures {
        let symbols: Vec<i64> = picture.iter().map(|&byte| byte.into()).collect();
        for (i, nats) in symbols.chunks(24).flat_map(|window| window_nats(&model, window)).enumerate() {
            let (row, channel) = places[i];
            let before = ["0", "1", "2-3", "4-7", "8-15", "16-23"];
            let before = before[[1, 2, 4, 8, 16, 32].iter().position(|&end| i % 24 < end).unwrap()];
            for (sums, key) in [
                (&mut channels, ["red", "green", "blue"][channel].to_owned()),
                (&mut rows, row.to_string()),
                (&mut history, before.to_owned()),
            ] {
                let sum: &mut (u64, f64) = sums.entry(key).or_default();
                *sum = (sum.0 + 1, sum.1 + nats);
            }
        }
    }
    let dataset = Dataset::from_memory(pictures, &layout);
    let examined = examine(&model, &dataset, options(Inference::Plain, 3), None, &Quiet).unwrap();
    for (by, expected) in [("channel", channels), ("row", rows), ("bytes before", history)] {
        let found = groups(&examined, by);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{by}");
        for (label, (bytes, nats)) in expected {
            assert_eq!(found[&label].0, bytes, "{by} {label}");
            assert_close(found[&label].1, nats, 1e-9, &label);
        }
    }
    assert_eq!(examined.evaluation.bits_per_dimension, Some(examined.evaluation.bits_per_byte));
}

/// Row and channel of every byte of the stream, by a picture whose pixels say where they are.
fn spelled_out(layout: &ImageLayout) -> Vec<(usize, usize)> {
    let pixel = |_, y| image::Rgb([y as u8, 100 + y as u8, 200 + y as u8]);
    let picture = image::RgbImage::from_fn(layout.width as u32, layout.height as u32, pixel);
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let stream = Layout::Image(layout.clone()).adapter().encode(png.get_ref()).unwrap();
    stream.iter().map(|&byte| (usize::from(byte) % 100, usize::from(byte) / 100)).collect()
}

#[test]
fn facets_say_what_is_at_a_place() {
    for scan in [Scan::Raster, Scan::Patch, Scan::Nested, Scan::Planar] {
        let layout = ImageLayout { width: 12, height: 8, patch: 4, inner: 2, scan, ..ImageLayout::default() };
        let facets = Layout::Image(layout.clone()).facets();
        let names: Vec<&str> = facets.iter().map(|facet| facet.name).collect();
        assert_eq!(names, ["channel", "row"]);
        for (place, (row, channel)) in spelled_out(&layout).into_iter().enumerate() {
            assert_eq!((facets[0].label(place), facets[1].label(place)), (channel, row), "{scan:?} {place}");
        }
        let gray = ImageLayout { channels: Channels::Gray, ..layout };
        assert_eq!(Layout::Image(gray).facets().iter().map(|facet| facet.name).collect::<Vec<_>>(), ["row"]);
    }
    // Left samples are 0x0102, right ones 0x0304.
    let spec =
        hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
    (0..20).for_each(|i| writer.write_sample([0x0102_i16, 0x0304][i % 2]).unwrap());
    writer.finalize().unwrap();
    for format in [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8] {
        for channels in [AudioChannels::Mono, AudioChannels::Stereo] {
            let layout = Layout::Audio(AudioLayout { rate: 8000, channels, format, ..AudioLayout::default() });
            let facets = layout.facets();
            let wide = matches!(format, AudioFormat::Pcm16le | AudioFormat::Pcm16be);
            assert_eq!(facets.iter().any(|facet| facet.name == "sample byte"), wide);
            assert_eq!(facets.iter().any(|facet| facet.name == "side"), channels == AudioChannels::Stereo);
            if !wide || channels == AudioChannels::Mono {
                continue;
            }
            for (place, byte) in layout.adapter().encode(wav.get_ref()).unwrap().into_iter().enumerate() {
                let label = |i: usize| facets[i].labels[facets[i].label(place)].as_str();
                let expected = match byte & 0x7f {
                    1 => ["high", "left"],
                    2 => ["low", "left"],
                    3 => ["high", "right"],
                    _ => ["low", "right"],
                };
                assert_eq!([label(0), label(1)], expected, "{format:?} {place}");
            }
        }
    }
    assert_eq!(Layout::Bytes(BytesLayout {}).facets(), []);
}

/// Stops the work when it asks for the n-th time whether it should.
struct StopAt(AtomicU64);

impl Progress for StopAt {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

fn key(model: &str) -> Key {
    Key::new(model.to_owned(), "data".to_owned(), 0, Inference::Sliding, ["float32", "cpu"].map(str::to_owned))
}

/// Without the time it took.
fn timeless(mut examined: Examined) -> Examined {
    examined.evaluation.seconds = 0.0;
    examined
}

#[test]
fn an_evaluation_interrupted_at_every_window_finds_what_it_would_have_found() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::from_files(&documents(folder.path()), &Layout::Bytes(BytesLayout {})).unwrap();
    for (kind, wide) in [(Kind::Float, false), (Kind::Double, true)] {
        let model = model(&config(), kind);
        let of = |journal: Option<&mut Journal>, batch, progress: &dyn Progress| {
            examine(&model, &dataset, options(Inference::Sliding, batch), journal, progress).map(timeless)
        };
        let whole = of(None, 1, &Quiet).unwrap();
        let path = folder.path().join(format!("journal {wide}"));
        let open = || Journal::open(&path, &key("model"), wide).unwrap();
        // One more window each time: what is there is asked for once a record.
        let mut calls = 0;
        let found = loop {
            calls += 1;
            match of(Some(&mut open()), 1, &StopAt(AtomicU64::new(calls))) {
                Ok(found) => break found,
                Err(error) => assert!(matches!(error, Error::Interrupted), "{error}"),
            }
        };
        assert_eq!((found.evaluation.windows, calls), (whole.evaluation.windows, whole.evaluation.windows));
        assert_eq!(found, whole);
        // All of it is there now, for any batch; and whatever is missing at the end is computed again.
        assert_eq!(of(Some(&mut open()), 5, &Quiet).unwrap(), whole);
        let content = fs::read(&path).unwrap();
        for length in (0..content.len()).step_by(61) {
            fs::write(&path, &content[..length]).unwrap();
            assert_eq!(of(Some(&mut open()), 1, &Quiet).unwrap(), whole, "cut at {length}");
            assert_eq!(fs::read(&path).unwrap(), content, "cut at {length}");
        }
        // So is what is damaged, and what stands behind it.
        let mut damaged = content.clone();
        damaged[content.len() / 2] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(of(Some(&mut open()), 1, &Quiet).unwrap(), whole);
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_journal_of_something_else_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let ours = Journal::open(&path, &key("model"), false).unwrap();
    let refused = |path: &Path, key: &Key| Journal::open(path, key, false).unwrap_err().to_string();
    assert!(refused(&path, &key("model")).contains("in use"));
    drop(ours);
    let content = fs::read(&path).unwrap();
    let on = |model: &str, data: &str, limit, inference, way: [&str; 2]| {
        refused(&path, &Key::new(model.to_owned(), data.to_owned(), limit, inference, way.map(str::to_owned)))
    };
    let of = |model, data, limit, inference, dtype| on(model, data, limit, inference, [dtype, "cpu"]);
    for (reason, word) in [
        (of("other", "data", 0, Inference::Sliding, "float32"), "another model"),
        (of("model", "other", 0, Inference::Sliding, "float32"), "another data"),
        (of("model", "data", 9, Inference::Sliding, "float32"), "another --limit-bytes"),
        (of("model", "data", 0, Inference::Plain, "float32"), "another --inference"),
        (of("model", "data", 0, Inference::Sliding, "bfloat16"), "another --dtype"),
        (on("model", "data", 0, Inference::Sliding, ["float32", "cuda:0"]), "another --device"),
    ] {
        assert!(reason.contains(word) && reason.contains("journal"), "{reason}");
    }
    let old = String::from_utf8(content.clone()).unwrap();
    let old = old.replace("\"megabyte_journal\":2", "\"megabyte_journal\":1").replace(",\"device\":\"cpu\"", "");
    let old = write(folder.path(), "old", old.as_bytes());
    assert!(refused(&old, &key("model")).contains("another format (1)"));
    let book = write(folder.path(), "book", b"Call me Ishmael.\nSome years ago");
    assert!(refused(&book, &key("model")).contains("is no journal"));
    assert_eq!(fs::read(&book).unwrap(), b"Call me Ishmael.\nSome years ago");
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn files_are_ranked_and_broken_ones_listed() {
    let folder = tempfile::tempdir().unwrap();
    documents(folder.path());
    write(folder.path(), "a/empty", b"");
    let layout = Layout::Bytes(BytesLayout {});
    let model = model(&config(), Kind::Float);
    let mut files = Files::find(&[folder.path().to_owned()], &layout).unwrap();
    let ranked = rank(&model, &mut files, Inference::Plain, 4, false, &Quiet).unwrap();
    assert_eq!((ranked.len(), files.len(), files.skipped.len()), (7, 8, 1));
    assert!(files.skipped[0].path.ends_with("a/empty") && files.skipped[0].reason == "is empty", "{:?}", files.skipped);
    assert!(ranked.is_sorted_by(|a, b| a.bits_per_byte >= b.bits_per_byte));
    // Each is what it is alone, and goes by its path below the folder.
    for file in &ranked {
        let dataset = Dataset::from_files(&[folder.path().join(&file.name)], &layout).unwrap();
        let alone = score(&model, &dataset, Inference::Plain, 1, &Quiet).unwrap();
        assert_close(file.nats, alone[0].nats(), 1e-6, &file.name);
        assert_eq!(file.bytes, dataset.bytes());
    }
    let mut files = Files::find(&[folder.path().to_owned()], &layout).unwrap();
    let relative = rank(&model, &mut files, Inference::Plain, 4, true, &Quiet).unwrap();
    assert!(relative.is_sorted_by(|a, b| a.key() >= b.key()));
    for file in &relative {
        let content = fs::read(folder.path().join(&file.name)).unwrap();
        let coders = classical(&layout, std::iter::once(&content[..])).unwrap();
        let best = coders.iter().map(|coder| coder.bits_per_byte).fold(f64::INFINITY, f64::min);
        assert_close(file.key(), file.bits_per_byte - best, 1e-12, &file.name);
    }
    // A file that is named twice is read once; two that would go by one name are not.
    let twice = [folder.path().join("a/0"), folder.path().join("a/0")];
    assert_eq!(Files::find(&twice, &layout).unwrap().with_short_names().unwrap().len(), 1);
    write(folder.path(), "twin/0", b"another");
    let twice = [folder.path().join("a/0"), folder.path().join("twin/0")];
    let error = Files::find(&twice, &layout).unwrap().with_short_names().unwrap_err().to_string();
    assert!(error.contains("called 0 too"), "{error}");
}

#[test]
fn arrays_are_numpys() {
    for length in [0, 1, 2, 100, 12_345] {
        let values: Vec<f32> = (0..length).map(|i| i as f32 / 7.0).collect();
        let file = npy(&values);
        assert_eq!((file.len() - 4 * length) % 64, 0);
        let read = npyz::NpyFile::new(&file[..]).unwrap();
        assert_eq!(read.shape(), [length as u64]);
        assert_eq!(read.into_vec::<f32>().unwrap(), values);
    }
}

proptest! {
    #[test]
    fn the_area_is_a_count_of_pairs(scores in prop::collection::vec((0u8..12, any::<bool>()), 0..60)) {
        let scores: Vec<(f64, bool)> = scores.into_iter().map(|(score, anomaly)| (score.into(), anomaly)).collect();
        let of = |wanted| scores.iter().filter(move |(_, anomaly)| *anomaly == wanted).map(|(score, _)| *score);
        let pair = |(a, b): (f64, f64)| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
        let pairs: Vec<f64> = of(true).flat_map(|a| of(false).map(move |b| (a, b))).map(pair).collect();
        let expected = (!pairs.is_empty()).then(|| pairs.iter().sum::<f64>() / pairs.len() as f64);
        prop_assert_eq!(area_under_curve(&scores).map(|area| (area * 1e9).round()), expected.map(|area| (area * 1e9).round()));
    }
}
