//! What each byte costs a model, and that the sum is what `eval` reports: `cargo run --release --example score_bytes`.

use megabyte::model::{LevelConfig, Megabyte, ModelConfig, loss};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The paper's options; levels of 8 bytes and of one.
    let level = |unit, n_embd, n_layer| LevelConfig { unit, n_embd, n_layer, n_head: 2, window: 0 };
    let defaults: ModelConfig = toml::from_str("context = 64\nlevel = []")?;
    let config = ModelConfig { levels: vec![level(8, 64, 2), level(1, 32, 2)], ..defaults };
    for l in 0..config.levels.len() {
        println!(
            "level {l}: {} parameters in blocks, {:.0} FLOP a byte",
            config.block_parameters(l),
            config.forward_flops_per_byte(l)
        );
    }

    let model = Megabyte::new(&config, Kind::Float, Device::Cpu, 0)?;
    let bytes = b"a model that knows nothing needs eight bits for every byte of it";
    let symbols: Vec<i64> = bytes.iter().map(|&byte| i64::from(byte)).collect();
    let symbols = Tensor::from_slice(&symbols).view([1, -1]);
    let nats = tch::no_grad(|| loss::each_nats(&model, &symbols))?;
    let bits = Vec::<f32>::try_from((nats / std::f64::consts::LN_2).view(-1))?;
    for (byte, bits) in bytes.iter().zip(&bits).take(8) {
        println!("{:?} {bits:.3} bits", char::from(*byte));
    }
    println!("{:.4} bits per byte", bits.iter().sum::<f32>() / bits.len() as f32);
    Ok(())
}
