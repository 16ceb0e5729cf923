//! Tiny data of each modality, and a model of a few thousand parameters trained on it for some steps; made once.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use crate::run;

/// A modality's files and what the program made of them.
pub struct Fixture {
    /// The configuration.
    pub config: PathBuf,
    /// The folder of files.
    pub files: PathBuf,
    /// A held-out file.
    pub file: PathBuf,
    /// What `prepare` wrote.
    pub prepared: PathBuf,
    /// What `train` wrote.
    pub run: PathBuf,
}

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    root
});

/// A new folder for a test.
pub fn scratch(name: &str) -> PathBuf {
    let folder = ROOT.join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

/// One thread a program, since the tests run beside each other; and a cache that is no user's.
pub fn environment() -> [(&'static str, PathBuf); 2] {
    [("OMP_NUM_THREADS", "1".into()), ("XDG_CACHE_HOME", ROOT.join("cache"))]
}

/// Writes a file, and the folders above it.
pub fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

const TEXT: &str = r#"
[data]
modality = "text"
cut_over = 1000

[model]
vocab = 257
context = 64

[[model.level]]
unit = 4
n_embd = 8
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 8
n_layer = 1
n_head = 2
"#;

const IMAGE: &str = r#"
[data]
modality = "image"
width = 4
height = 4
patch = 2

[model]
context = 48

[[model.level]]
unit = 12
n_embd = 24
n_layer = 1
n_head = 2

[[model.level]]
unit = 3
n_embd = 12
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 12
n_layer = 1
n_head = 2
"#;

const AUDIO: &str = r#"
[data]
modality = "audio"
rate = 8000
cut_over = 1000

[model]
context = 64

[[model.level]]
unit = 8
n_embd = 16
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 8
n_layer = 1
n_head = 2
"#;

const TRAIN: &str = r#"
[train]
max_steps = 6
bytes_per_step = 192
lr = 1e-2
warmup_steps = 2
dtype = "float32"
log_every = 2
eval_every = 3
checkpoint_every = 2
sample_every = 3
"#;

/// Words of a small language.
pub fn words(seed: u64, bytes: usize) -> String {
    let words = ["patch ", "byte ", "level ", "local ", "global ", "model\n"];
    let mut state = seed;
    let mut text = String::new();
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(words[(state >> 33) as usize % words.len()]);
    }
    text.truncate(bytes);
    text
}

/// A PNG of 4 x 4 pixels in a colour of its own.
pub fn png(path: &Path, number: u8) {
    let colour = |x: u32, y: u32| image::Rgb([number.wrapping_mul(37), 60 * x as u8, 60 * y as u8]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_fn(4, 4, colour).save(path).unwrap();
}

/// A mono WAV of 16 bits at 8 kHz.
pub fn wav(path: &Path, samples: usize, frequency: f64) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..samples {
        writer.write_sample((9000.0 * (TAU * frequency * i as f64 / 8000.0).sin()) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// One document, cut into the splits.
pub fn text() -> &'static Fixture {
    static MADE: OnceLock<Fixture> = OnceLock::new();
    MADE.get_or_init(|| make("text", TEXT, |files| write(files, "book.txt", words(1, 6000))))
}

/// Small pictures, sorted into the splits by hand.
pub fn image() -> &'static Fixture {
    static MADE: OnceLock<Fixture> = OnceLock::new();
    MADE.get_or_init(|| {
        make("image", IMAGE, |files| {
            for i in 0..16 {
                png(&files.join(format!("train/{i}.png")), i);
            }
            png(&files.join("valid/0.png"), 20);
            png(&files.join("test/0.png"), 21);
            files.join("test/0.png")
        })
    })
}

/// A tone, cut into the splits.
pub fn audio() -> &'static Fixture {
    static MADE: OnceLock<Fixture> = OnceLock::new();
    MADE.get_or_init(|| {
        make("audio", AUDIO, |files| {
            wav(&files.join("tone.wav"), 3000, 440.0);
            files.join("tone.wav")
        })
    })
}

fn make(name: &str, config: &str, fill: impl Fn(&Path) -> PathBuf) -> Fixture {
    let folder = scratch(name);
    let config = write(&folder, "config.toml", format!("{config}{TRAIN}"));
    let files = folder.join("files");
    fs::create_dir(&files).unwrap();
    let file = fill(&files);
    let (prepared, run) = (folder.join("prepared"), folder.join("run"));
    run!("prepare", files, "--config", config, "--out", prepared).ok();
    run!("train", "--config", config, "--data", prepared, "--out", run, "--device", "cpu").ok();
    Fixture { config, files, file, prepared, run }
}
