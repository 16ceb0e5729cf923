//! Run folders as training, evaluation and generation leave them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::json;

/// A PNG of `width` x `height` pixels.
pub fn png(width: u32, height: u32, color: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb(color(x, y)));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A WAV of 16-bit mono samples.
pub fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

/// Writes a file, and the folders above it.
pub fn put(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// config.toml, metrics, speed and a checkpoint.
pub fn trained(run: &Path, data: &str, context: usize, lr: f64) {
    let config = format!(
        "[data]\n{data}\n[model]\ncontext = {context}\n[[model.level]]\nunit = 8\nn_embd = 64\nn_layer = 1\nn_head = 2\n\
         [[model.level]]\nunit = 1\nn_embd = 32\nn_layer = 1\nn_head = 2\n\
         [train]\nbytes_per_step = {context}\nlr = {lr}\n"
    );
    put(run.join("config.toml"), config);
    let (mut metrics, mut speed) = (String::new(), String::new());
    for step in (10..=600u64).step_by(10) {
        let bits = 2.0 + 6.0 * (-(step as f64) / 50.0).exp();
        let train = json!({"kind": "train", "step": step, "bytes": step * 4096, "loss": bits * std::f64::consts::LN_2, "bits_per_byte": bits,
            "lr": lr, "grad_norm": 1.0});
        metrics += &format!("{train}\n");
        if step % 100 == 0 {
            let valid = json!({"kind": "valid", "step": step, "bytes": step * 4096, "nats": 1000.0,
                "bits_per_byte": bits + 0.1, "std_error": 0.01, "scored_bytes": 4096});
            metrics += &format!("{valid}\n");
        }
        let line = json!({"step": step, "seconds": step as f64 * 0.3, "bytes_per_second": 13_650.0, "mfu": 0.42, "data_wait": 0.01});
        speed += &format!("{line}\n");
    }
    put(run.join("metrics.jsonl"), metrics);
    put(run.join("speed.jsonl"), speed);
    let header = json!({
        "__metadata__": {"format": "pt"},
        "level.0.byte_embedding": {"dtype": "F32", "shape": [256, 8], "data_offsets": [0, 8192]},
        "level.1.block.0.ffn.up.weight": {"dtype": "F32", "shape": [128, 32], "data_offsets": [8192, 24576]},
    })
    .to_string();
    let model = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    put(run.join("checkpoints/step_00000600/model.safetensors"), model);
}

/// eval.json with two classical coders.
pub fn evaluated(run: &Path, modality: &str, bits: f64, coders: [(&str, f64); 2]) {
    let baseline =
        |(name, bits): &(&str, f64)| json!({"name": name, "bytes": (bits * 12_500.0) as u64, "bits_per_byte": bits});
    let baselines: Vec<_> = coders.iter().map(baseline).collect();
    let eval = json!({"modality": modality, "split": "test", "sequences": 25, "bytes": 100_000, "nats": bits * 69_310.0,
        "bits_per_byte": bits, "std_error": 0.012, "inference": "plain", "seconds": 4.5, "context": 1024,
        "baselines": baselines});
    put(run.join("eval.json"), eval.to_string());
}

/// A completion folder: its files and generate.json, where `request` has what differs.
pub fn completed(run: &Path, name: &str, files: &[(&str, Vec<u8>)], request: serde_json::Value) {
    let dir = run.join("completions").join(name);
    for (name, content) in files {
        put(dir.join(name), content);
    }
    let mut whole = json!({"prompt": "prompt", "prompt_bytes": 0, "kept_bytes": 0, "length": 0, "seconds": 1.5,
        "bytes_per_second": 2048.0, "original": null, "kept": null, "files": [],
        "settings": {"temperature": 0.9, "top_k": 0, "top_p": 0.95, "min_p": 0.0, "seed": 7}});
    for (key, value) in request.as_object().unwrap() {
        whole[key] = value.clone();
    }
    put(dir.join("generate.json"), whole.to_string());
}

/// A run of each modality: image, audio, text, and a second text run with another learning rate.
pub fn runs(root: &Path) -> Vec<PathBuf> {
    let paths = ["pictures", "speech", "prose", "prose <2>"].map(|name| root.join(name));
    let [image, audio, text, text2] = &paths;

    trained(image, "modality = \"image\"\nwidth = 16\nheight = 16\npatch = 4\n", 768, 1e-3);
    evaluated(image, "image", 3.2, [("PNG", 3.9), ("xz -9e", 4.4)]);
    let picture = png(16, 16, |x, y| [(x * 16) as u8, (y * 16) as u8, 90]);
    let files = ["original.png", "kept.png", "000.png", "001.png"].map(|name| (name, picture.clone()));
    let request = json!({"modality": "image", "prompt_bytes": 768, "kept_bytes": 384, "length": 768,
        "original": "original.png", "kept": "kept.png", "files": ["000.png", "001.png"]});
    completed(image, "face", &files, request);
    for step in [100, 200, 300] {
        put(image.join(format!("samples/step_{step:08}/000.png")), &picture);
    }

    trained(audio, "modality = \"audio\"\nrate = 8000\n", 1024, 1e-3);
    evaluated(audio, "audio", 4.9, [("FLAC 16 bit", 4.4), ("xz -9e", 6.4)]);
    let tone: Vec<i16> = (0..4_000).map(|t| ((t as f64 * 0.2).sin() * 8_000.0) as i16).collect();
    let files =
        [("original.wav", wav(8_000, &tone)), ("kept.wav", wav(8_000, &tone[..1_000])), ("000.wav", wav(8_000, &tone))];
    let request = json!({"modality": "audio", "prompt_bytes": 8_000, "kept_bytes": 2_000, "length": 8_000,
        "original": "original.wav", "kept": "kept.wav", "files": ["000.wav"]});
    completed(audio, "sentence", &files, request);
    put(audio.join("samples/step_00000100/000.wav"), wav(8_000, &tone[..500]));

    trained(text, "modality = \"text\"\n", 1024, 1e-3);
    evaluated(text, "text", 2.1, [("xz -9e", 2.3), ("gzip -9", 2.9)]);
    let prompt = b"Once upon a ".to_vec();
    let hostile = b"time <script>alert('x')</script> & \xff\x00 caf\xc3\xa9";
    let files = [("kept.txt", prompt.clone()), ("000.txt", [&prompt[..], hostile].concat())];
    let request = json!({"modality": "text", "prompt_bytes": 12, "kept_bytes": 12, "length": 60, "kept": "kept.txt", "files": ["000.txt"]});
    completed(text, "tale", &files, request);
    put(text.join("samples/step_00000100/000.txt"), "qwe rty");

    trained(text2, "modality = \"text\"\n", 1024, 3e-4);
    paths.to_vec()
}
