//! Cached decoding against the full forward pass.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use common::device::device;
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::generate::{Engine, Request, SampleConfig, generate};
use megabyte::model::{Embedding, Ffn, Megabyte, ModelConfig, Norm, Position, Projection};
use megabyte::progress::Quiet;
use tch::{Kind, Tensor};

fn models() -> Vec<ModelConfig> {
    let one = hierarchy(&[(1, 16, 2, 2)], 32);
    let two = hierarchy(&[(4, 16, 2, 2), (1, 12, 2, 3)], 32);
    let three = hierarchy(&[(12, 24, 2, 2), (3, 24, 1, 2), (1, 12, 2, 3)], 36);
    let mut models = vec![one.clone(), two.clone(), three.clone()];
    let mut windowed = one.clone();
    windowed.levels[0].window = 5;
    let mut without_global = two.clone();
    without_global.levels[0].n_layer = 0;
    let mut without_local = two.clone();
    without_local.levels[1].n_layer = 0;
    models.push(ModelConfig { cross_patch: 4, ..without_global.clone() });
    models.push(ModelConfig { latents: 8, position: Position::Rotary, ..one.clone() });
    models.extend([windowed, without_global, without_local, ModelConfig { latents: 8, ..one.clone() }]);
    for base in [&two, &three] {
        models.push(ModelConfig { conv_encoder: true, ..base.clone() });
        models.push(ModelConfig { cross_patch: 2, ..base.clone() });
        models.push(ModelConfig { cross_patch: 4, conv_encoder: true, qk_norm: true, vocab: 257, ..base.clone() });
        models.push(ModelConfig { cross_patch: 3, position: Position::Rotary, ..base.clone() });
    }
    for base in [one, two, three] {
        models.push(ModelConfig { position: Position::Rotary, qk_norm: true, ..base.clone() });
        models.push(ModelConfig { norm: Norm::RmsNorm, ffn: Ffn::SwiGlu, bias: false, tie: false, ..base.clone() });
        models.push(ModelConfig { position: Position::None, ffn: Ffn::Relu2, ..base.clone() });
        models.push(ModelConfig {
            embedding: Embedding::Linear,
            byte_dim: 6,
            projection: Projection::Linear,
            ffn: Ffn::Gelu,
            vocab: 257,
            ..base
        });
    }
    models
}

/// Logits (B, T, V) of whole sequences: in one pass, or for latents in one pass for each place, as it is defined.
fn full_logits(model: &Megabyte, symbols: &Tensor) -> Tensor {
    let config = model.config();
    if config.latents == 0 {
        return model.forward(symbols, 0.0).unwrap();
    }
    let logits: Vec<Tensor> = (0..config.context)
        .map(|t| {
            // The pass in which t is predicted with the latents that begin where they should.
            let begin = config.latents_begin(t);
            let end = (begin + config.latents).min(config.context);
            let pass = model.forward(&symbols.narrow(1, 0, end as i64), 0.0).unwrap();
            pass.select(1, (t - (end - config.predicted(end))) as i64)
        })
        .collect();
    Tensor::stack(&logits, 1)
}

fn rows(symbols: &Tensor) -> Vec<Vec<i64>> {
    (0..symbols.size()[0]).map(|row| Vec::<i64>::try_from(symbols.get(row)).unwrap()).collect()
}

#[test]
fn cached_logits_equal_the_full_pass_after_every_prompt_length() {
    for (m, config) in models().iter().enumerate() {
        let mut model = Megabyte::new(config, Kind::Float, device(), m as u64).unwrap();
        randomise(&model, m as i64, 0.3);
        model.freeze();
        let symbols = random_symbols(config, 2, config.context, m as u64);
        let full = tch::no_grad(|| full_logits(&model, &symbols));
        let scale = f64::try_from(full.abs().max()).unwrap();
        let symbols = rows(&symbols);
        for prompt in 0..config.context - 1 {
            let mut engine = Engine::new(&model, 2);
            let kept: Vec<Vec<i64>> = symbols.iter().map(|row| row[..prompt].to_vec()).collect();
            let mut logits = engine.prefill(&kept).unwrap();
            // From the empty prompt every step; from the others a few, past the next borders of units.
            let last = if prompt == 0 { config.context } else { config.context.min(prompt + 6) };
            for t in prompt..last {
                let expected = full.select(1, t as i64);
                let difference = f64::try_from((&logits - expected).abs().max()).unwrap();
                assert!(difference <= 1e-4 * scale.max(1.0), "model {m}, prompt {prompt}, byte {t}: {difference:e}");
                if t + 1 < last {
                    logits = engine.push(&symbols.iter().map(|row| row[t]).collect::<Vec<_>>()).unwrap();
                }
            }
        }
    }
}

#[test]
fn greedy_output_is_that_of_full_passes() {
    for (m, config) in models().iter().enumerate() {
        let mut model = Megabyte::new(config, Kind::Float, device(), m as u64).unwrap();
        randomise(&model, m as i64, 0.3);
        model.freeze();
        let prompt = vec![10, 200, 0, 255, 7];
        let sample = SampleConfig { temperature: 0.0, ..SampleConfig::default() };
        let request = Request { prompt: prompt.clone(), length: config.context, count: 2, sample };
        let cached = generate(&model, &request, &Quiet).unwrap();

        let _guard = tch::no_grad_guard();
        let mut slow: Vec<i64> = prompt.iter().map(|&byte| i64::from(byte)).collect();
        while slow.len() < config.context {
            let mut padded = slow.clone();
            padded.resize(config.context, 0);
            let logits = full_logits(&model, &Tensor::from_slice(&padded).view([1, -1]).to_device(device()));
            let next = logits.select(0, 0).select(0, slow.len() as i64).argmax(-1, false);
            let next = i64::try_from(next).unwrap();
            if next == 256 {
                break;
            }
            slow.push(next);
        }
        let slow: Vec<u8> = slow.into_iter().map(|symbol| symbol as u8).collect();
        assert_eq!(cached, [slow.clone(), slow], "model {m}");
    }
}

#[test]
fn a_row_of_a_batch_is_what_it_is_alone() {
    let config = hierarchy(&[(4, 16, 2, 2), (1, 12, 2, 3)], 64);
    let mut model = Megabyte::new(&config, Kind::Float, device(), 3).unwrap();
    randomise(&model, 3, 0.3);
    model.freeze();
    let request = |count| Request {
        prompt: b"abc".to_vec(),
        length: 64,
        count,
        sample: SampleConfig { seed: 9, ..SampleConfig::default() },
    };
    let together = generate(&model, &request(3), &Quiet).unwrap();
    let alone = generate(&model, &request(1), &Quiet).unwrap();
    assert_eq!(together[0], alone[0]);
    assert_ne!(together[0], together[1], "rows draw on their own");
}

#[test]
fn a_sequence_longer_than_the_context_goes_on() {
    let config = hierarchy(&[(4, 16, 1, 2), (1, 12, 1, 3)], 16);
    let mut model = Megabyte::new(&config, Kind::Float, device(), 3).unwrap();
    randomise(&model, 3, 0.3);
    model.freeze();
    let greedy = SampleConfig { temperature: 0.0, ..SampleConfig::default() };
    let request = Request { prompt: b"abc".to_vec(), length: 75, count: 1, sample: greedy };
    let sequence = &generate(&model, &request, &Quiet).unwrap()[0];
    assert_eq!(sequence.len(), 75);
    assert_eq!(&sequence[..3], b"abc");
    // A prompt beyond the context leaves the model where it would be had it generated it: what follows is the same.
    for prompt in [15, 16, 23, 24, 25, 40, 74] {
        let request = Request { prompt: sequence[..prompt].to_vec(), length: 75, count: 1, sample: greedy };
        assert_eq!(&generate(&model, &request, &Quiet).unwrap()[0], sequence, "a prompt of {prompt} bytes");
    }
}

#[test]
fn the_end_symbol_ends_a_sequence() {
    let mut config = hierarchy(&[(4, 16, 1, 2), (1, 12, 1, 3)], 16);
    config.vocab = 257;
    config.tie = false;
    let mut model = Megabyte::new(&config, Kind::Float, device(), 3).unwrap();
    randomise(&model, 3, 0.3);
    // Whatever the last level says, the end symbol is the likeliest: its row is the norm's bias, scaled up.
    tch::no_grad(|| {
        let named = |wanted: &str| model.parameters().iter().find(|(name, _)| *name == wanted).unwrap().1;
        let bias = named("level.1.norm.bias");
        let _ = named("level.1.norm.weight").shallow_clone().zero_();
        let output = named("output.weight").shallow_clone();
        let _ = output.shallow_clone().zero_();
        output.get(256).copy_(&(bias * 50.0));
    });
    model.freeze();
    let request = Request { prompt: b"ab".to_vec(), length: 16, count: 2, sample: SampleConfig::default() };
    assert_eq!(generate(&model, &request, &Quiet).unwrap(), [b"ab".to_vec(), b"ab".to_vec()]);
}
