//! Trains a tiny model on this repository's own README and continues a sentence: `cargo run --release --example
//! train_text`.

use std::path::Path;

use megabyte::RunConfig;
use megabyte::data::Dataset;
use megabyte::generate::{Request, generate};
use megabyte::progress::Quiet;
use megabyte::train::{Event, Metric, Observer, Trainer};
use tch::Device;

const CONFIG: &str = r#"
[data]
modality = "text"

[model]
context = 128
dropout = 0.0
init_std = 0.02
level = [{ unit = 4, n_embd = 64, n_layer = 2, n_head = 2 }, { unit = 1, n_embd = 48, n_layer = 2, n_head = 2 }]

[train]
max_steps = 150
bytes_per_step = 2048
lr = 3e-3
warmup_steps = 20
dtype = "float32"
log_every = 50
"#;

/// Prints the loss now and then, and never stops early.
struct Print;

impl Observer for Print {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Logged(Metric::Train { step, bits_per_byte, .. }, speed) = event {
            println!("step {step}: {bits_per_byte:.3} bits per byte, {:.0} bytes/s", speed.bytes_per_second);
        }
    }

    fn stop(&mut self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config: RunConfig = toml::from_str(CONFIG)?;
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let dataset = Dataset::from_files(&[readme], &config.data.layout()?)?;
    let run = tempfile::tempdir()?;
    let mut trainer = Trainer::new(config.clone(), run.path(), vec![dataset], Vec::new(), Device::Cpu, false)?;
    trainer.train(&mut Print)?;

    let request = Request { prompt: b"The model ".to_vec(), length: 100, count: 1, sample: config.sample };
    let bytes = &generate(trainer.model(), &request, &Quiet)?[0];
    println!("{}", String::from_utf8_lossy(bytes));
    Ok(())
}
