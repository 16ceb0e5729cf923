//! The parts that decide how fast a run is, by criterion: `cargo bench`. Beside other implementations: `benches/peers`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use megabyte::data::{Dataset, LoaderConfig, Sampler};
use megabyte::density::archive::{Codec, CompressOptions, DecompressOptions};
use megabyte::generate::{Engine, SampleConfig, Sampler as Draw};
use megabyte::modality::{AudioLayout, ImageLayout, Layout, TextLayout};
use megabyte::model::{LevelConfig, Megabyte, ModelConfig};
use megabyte::native;
use megabyte::native::attention::{self, Dropout, Level, Sight};
use megabyte::progress::Quiet;
use tch::{Device, Kind, Tensor};

/// The model of the comparison with others: global 256 x 4, local 128 x 2, patches of 8, 1,024 bytes.
fn small() -> ModelConfig {
    let level = |unit, n_embd, n_layer, n_head| LevelConfig { unit, n_embd, n_layer, n_head, window: 0 };
    let defaults: ModelConfig = toml::from_str("context = 1024\ndropout = 0.0\nlevel = []").expect("the keys exist");
    ModelConfig { levels: vec![level(8, 256, 4, 4), level(1, 128, 2, 2)], ..defaults }
}

/// Sequences, heads, units, features a head.
const ATTENTION: [[i64; 4]; 8] = [
    [256, 2, 4, 64],
    [256, 2, 8, 64],
    [128, 2, 16, 64],
    [16, 4, 32, 64],
    [16, 4, 48, 64],
    [16, 4, 64, 64],
    [2, 4, 128, 64],
    [1, 8, 1024, 64],
];
const ATTENTION_ROUNDS: usize = 30;

/// Attention of the finest level, of the level above it, and of longer sequences: ours at every level of instructions
/// that this CPU has, beside libtorch's; with weights dropped and without.
fn attention_table() {
    let levels = attention::levels().expect("the environment names a level");
    println!("| sequences x heads x units x width | type | dropped | level | ours, us | libtorch, us | ratio |");
    println!("|---|---|---:|---|---:|---:|---:|");
    for shape in ATTENTION {
        for kind in [Kind::Float, Kind::BFloat16] {
            for share in [0.0, 0.1] {
                let [q, k, v] = [0; 3].map(|_| Tensor::randn(shape, (kind, Device::Cpu)).set_requires_grad(true));
                let gradient = Tensor::randn(shape, (kind, Device::Cpu));
                let back = |out: Tensor| native::backward(&out, &gradient).expect("the gradient is like the output");
                let ours = |level| {
                    attention::limited_to(level, || {
                        let dropout = Dropout::draw(share).expect("libtorch draws");
                        back(attention::attend(&q, &k, &v, Sight::OWN, dropout).expect("it suits"));
                    });
                };
                let theirs = || {
                    back(Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, share, true, None, false));
                };
                let suited: Vec<Level> = levels
                    .iter()
                    .copied()
                    .filter(|&level| attention::limited_to(level, || attention::suits(&q, Sight::OWN, share)))
                    .collect();
                // The best of rounds in which each has its turn: what else the machine does meets all of them.
                let mut best = vec![f64::INFINITY; suited.len() + 1];
                for _ in 0..ATTENTION_ROUNDS {
                    for (i, best) in best.iter_mut().enumerate() {
                        let begin = Instant::now();
                        suited.get(i).map_or_else(theirs, |&level| ours(level));
                        *best = best.min(begin.elapsed().as_secs_f64() * 1e6);
                    }
                }
                let theirs = best[suited.len()];
                let name = shape.map(|size| size.to_string()).join(" x ");
                for level in &levels {
                    let at = suited.iter().position(|suits| suits == level);
                    let (ours, ratio) = at.map_or_else(
                        || ("libtorch's".to_owned(), String::new()),
                        |i| (format!("{:.1}", best[i]), format!("{:.2}", theirs / best[i])),
                    );
                    println!("| {name} | {kind:?} | {share} | {level} | {ours} | {theirs:.1} | {ratio} |");
                }
            }
        }
    }
}

/// One byte at a time with caches.
fn decoding(c: &mut Criterion) {
    let mut model = Megabyte::new(&small(), Kind::Float, Device::Cpu, 0).expect("the configuration is valid");
    model.freeze();
    tch::set_num_threads(1);
    let mut group = c.benchmark_group("decoding");
    group.throughput(Throughput::Bytes(64));
    group.bench_function("64 bytes after 512", |b| {
        b.iter(|| {
            let mut engine = Engine::new(&model, 1);
            let _ = black_box(engine.prefill(&[vec![65; 512]]).expect("the prompt fits"));
            for _ in 0..64 {
                let _ = black_box(engine.push(&[66]).expect("the context has room"));
            }
        });
    });
    group.finish();
    let logits: Vec<f32> = (0..256).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let mut draw = Draw::new(SampleConfig { top_p: 0.95, ..SampleConfig::default() }, 0);
    c.bench_function("draw a byte with top-p", |b| b.iter(|| draw.sample(black_box(&logits))));
}

/// Batches from a data set in memory.
fn batches(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let file = folder.path().join("bytes");
    std::fs::write(&file, vec![b'x'; 8 << 20]).expect("the folder is writable");
    let dataset = Dataset::from_files(&[file], &Layout::Text(TextLayout::default())).expect("any bytes are text");
    let config = LoaderConfig::new(1024, 16, 257, 0);
    let sampler = Sampler::new(Arc::new(dataset), config).expect("the data set has bytes");
    let mut group = c.benchmark_group("data");
    group.throughput(Throughput::Bytes(16 * 1024));
    let mut index = 0;
    group.bench_function("a batch of 16 x 1,024", |b| {
        b.iter(|| {
            index += 1;
            black_box(sampler.batch(index))
        });
    });
}

/// Files to bytes and back.
fn adapters(c: &mut Criterion) {
    let image = Layout::Image(ImageLayout { width: 64, height: 64, ..ImageLayout::default() }).adapter();
    let pixels: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let png = image.decode(&pixels).expect("the length is right");
    let audio = Layout::Audio(AudioLayout::default()).adapter();
    let wav = audio.decode(&vec![17; 32_000]).expect("any bytes are sound");
    let mut group = c.benchmark_group("adapters");
    group.bench_function("PNG 64 x 64 to bytes", |b| b.iter(|| image.encode(black_box(&png))));
    group.bench_function("bytes to PNG 64 x 64", |b| b.iter(|| image.decode(black_box(&pixels))));
    group.bench_function("WAV of a second to bytes", |b| b.iter(|| audio.encode(black_box(&wav))));
}

/// Archives, there and back: 32 windows of 1,024 bytes as one batch, on one thread.
fn archives(c: &mut Criterion) {
    let mut model = Megabyte::new(&small(), Kind::Float, Device::Cpu, 0).expect("the configuration is valid");
    model.freeze();
    let codec = Codec::new(Layout::Text(TextLayout::default()), model).expect("a model in memory has a fingerprint");
    let files = [(0..32 * 1024).map(|i| (i * i % 251) as u8).collect::<Vec<u8>>()];
    let options = CompressOptions { store_larger: false, verify: false, ..CompressOptions::default() };
    let archive = codec.compress(&files, options, &Quiet).expect("nothing interrupts it").remove(0).archive;
    let mut group = c.benchmark_group("archives");
    group.sample_size(10).throughput(Throughput::Bytes(32 * 1024));
    group.bench_function("compress", |b| b.iter(|| codec.compress(black_box(&files), options, &Quiet)));
    let options = DecompressOptions::default();
    group.bench_function("decompress", |b| b.iter(|| codec.decompress(black_box(&[&archive]), options, &Quiet)));
}

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = decoding, batches, adapters, archives
}

/// Whether the command line asks for this: `cargo bench -- attention`.
fn asked_for(name: &str) -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let lists = arguments.iter().any(|argument| argument == "--list" || argument == "--test");
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    !lists && (filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str())))
}

fn main() {
    if asked_for("attention") {
        attention_table();
    }
    parts();
    Criterion::default().configure_from_args().final_summary();
}
