//! The way back in little memory: dropout that is drawn twice, long sequences in stretches.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use common::device::device;
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::model::gradients::{Memory, accumulate};
use megabyte::model::{Ffn, Megabyte, ModelConfig, loss};
use tch::{Kind, Tensor};

fn models() -> Vec<ModelConfig> {
    let two = hierarchy(&[(4, 16, 2, 2), (1, 12, 2, 3)], 24);
    let three = hierarchy(&[(12, 24, 2, 2), (3, 24, 1, 2), (1, 12, 2, 3)], 48);
    let crossed = ModelConfig { cross_patch: 2, conv_encoder: true, ..three.clone() };
    let latents = ModelConfig { latents: 8, ..hierarchy(&[(1, 16, 2, 2)], 24) };
    // Smooth, so that differences show the slope.
    [two, three, crossed, latents].map(|model| ModelConfig { ffn: Ffn::Gelu, ..model }).to_vec()
}

/// Different in how much is kept.
fn memories() -> Vec<Memory> {
    let memory = |stretch, checkpoint: &[usize]| Memory { stretch, checkpoint: checkpoint.to_vec() };
    vec![memory(0, &[]), memory(24, &[0]), memory(0, &[0, 1, 2]), memory(1, &[1])]
}

/// Nats with the draws that `seed` decides; gradients are added to the parameters.
fn nats(model: &Megabyte, symbols: &Tensor, memory: &Memory, seed: i64) -> f64 {
    tch::manual_seed(seed);
    f64::try_from(accumulate(model, symbols, 0.3, 1.0, memory).unwrap()).unwrap()
}

// One test, because libtorch's generator is one for all threads.
#[test]
fn gradients_are_those_of_the_draws_that_gave_the_loss() {
    for (m, config) in models().iter().enumerate() {
        for (i, memory) in memories().iter().enumerate() {
            let model = Megabyte::new(config, Kind::Double, device(), m as u64).unwrap();
            randomise(&model, m as i64, 0.2);
            let symbols = random_symbols(config, 2, config.context, m as u64);
            let seed = (10 * m + i) as i64;
            nats(&model, &symbols, memory, seed);
            // Along a random direction, the loss changes as the gradient says.
            let mut slope = 0.0;
            let directions: Vec<Tensor> = model
                .parameters()
                .iter()
                .map(|(_, parameter)| {
                    let direction = parameter.detach().randn_like();
                    let gradient = parameter.grad();
                    if gradient.defined() {
                        slope += f64::try_from((&gradient * &direction).sum(Kind::Double)).unwrap();
                    }
                    direction
                })
                .collect();
            let moved = |by: f64| {
                tch::no_grad(|| {
                    for ((_, parameter), direction) in model.parameters().iter().zip(&directions) {
                        let _ = parameter.shallow_clone().g_add_(&(direction * by));
                    }
                });
            };
            let step = 1e-6;
            moved(step);
            let above = nats(&model, &symbols, memory, seed);
            moved(-2.0 * step);
            let below = nats(&model, &symbols, memory, seed);
            let measured = (above - below) / (2.0 * step);
            let difference = (measured - slope).abs() / slope.abs().max(1.0);
            assert!(difference < 1e-4, "model {m}, {memory:?}: {measured} measured, {slope} by gradients");
            assert_ne!(above, nats(&model, &symbols, memory, seed + 1), "other draws, other losses");
        }
    }
    long_sequences_are_scored_in_stretches_as_at_once();
}

fn long_sequences_are_scored_in_stretches_as_at_once() {
    // Three stretches, the last one shorter.
    let config = ModelConfig { cross_patch: 3, ..hierarchy(&[(256, 256, 1, 2), (1, 8, 2, 2)], 150 * 1024) };
    let model = Megabyte::new(&config, Kind::Double, device(), 1).unwrap();
    randomise(&model, 1, 0.1);
    let _guard = tch::no_grad_guard();
    let symbols = random_symbols(&config, 1, config.context, 2);
    let each = loss::each_nats(&model, &symbols).unwrap();
    assert_eq!(each.size(), [1, config.context as i64]);
    let logits = model.forward(&symbols, 0.0).unwrap();
    let expected = -logits.log_softmax(-1, Kind::Double).gather(-1, &symbols.unsqueeze(-1), false).squeeze_dim(-1);
    let difference = f64::try_from((&each - expected).abs().max()).unwrap();
    assert!(difference < 1e-10, "{difference:e}");
    let total = f64::try_from(common::models::total_nats(&model, &symbols)).unwrap();
    assert!((total / f64::try_from(each.sum(Kind::Double)).unwrap() - 1.0).abs() < 1e-12);
}
