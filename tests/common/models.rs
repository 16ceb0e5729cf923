//! Small models with weights that make every part of them matter.

use megabyte::model::{LevelConfig, Megabyte, ModelConfig};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tch::Tensor;

use super::device::device;

/// The paper's options with levels (unit, n_embd, n_layer, n_head), and no dropout.
pub fn hierarchy(levels: &[(usize, usize, usize, usize)], context: usize) -> ModelConfig {
    let levels: Vec<LevelConfig> = levels
        .iter()
        .map(|&(unit, n_embd, n_layer, n_head)| LevelConfig { unit, n_embd, n_layer, n_head, window: 0 })
        .collect();
    let text = format!("context = {context}\ndropout = 0.0\nlevel = []");
    let config: ModelConfig = toml::from_str(&text).unwrap();
    ModelConfig { levels, ..config }
}

/// Draws every parameter anew: gains around 1, all else wide enough, at 0.3, that attention is far from uniform.
///
/// libtorch has one generator for all threads: tests beside each other would draw from each other's seeds.
pub fn randomise(model: &Megabyte, seed: i64, std: f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed as u64);
    // Box and Muller's.
    let mut normal = || {
        let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos()
    };
    tch::no_grad(|| {
        for (name, tensor) in model.parameters().iter() {
            let drawn: Vec<f64> = (0..tensor.numel()).map(|_| normal()).collect();
            let noise = Tensor::from_slice(&drawn).view_as(tensor).to_kind(tensor.kind());
            let value = if name.contains("norm.weight") { 1.0 + 0.2 * noise } else { std * noise };
            tensor.shallow_clone().copy_(&value);
        }
    });
}

/// Symbols (rows, length) of the whole vocabulary.
pub fn random_symbols(config: &ModelConfig, rows: usize, length: usize, seed: u64) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let drawn: Vec<i64> = (0..rows * length).map(|_| random.random_range(0..config.vocab as i64)).collect();
    Tensor::from_slice(&drawn).view([rows as i64, length as i64]).to_device(device())
}

/// The nats of all symbols (B, T) that one forward pass predicts, with the graph of all of it: the plain way, beside what
/// the library does in parts.
pub fn total_nats(model: &Megabyte, symbols: &Tensor) -> Tensor {
    let logits = model.forward(symbols, 0.0).unwrap();
    let [rows, predicted, vocab] = logits.size()[..] else { panic!("logits are (B, n, V)") };
    let targets = symbols.narrow(1, symbols.size()[1] - predicted, predicted).reshape([rows * predicted]);
    logits.view([-1, vocab]).cross_entropy_loss(&targets, None::<&Tensor>, tch::Reduction::Sum, -1, 0.0)
}
