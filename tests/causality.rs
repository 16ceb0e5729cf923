//! What every byte sees: nothing at or after itself, everything before.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use common::device::device;
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::model::{Embedding, Megabyte, ModelConfig, Position, Projection};
use tch::{Kind, Tensor};

fn models() -> Vec<ModelConfig> {
    let two = hierarchy(&[(4, 16, 1, 2), (1, 8, 1, 2)], 24);
    let three = hierarchy(&[(12, 24, 1, 2), (3, 24, 1, 2), (1, 8, 1, 2)], 36);
    let four = hierarchy(&[(16, 32, 1, 2), (8, 16, 1, 2), (2, 8, 1, 2), (1, 8, 1, 2)], 32);
    let linear = ModelConfig {
        embedding: Embedding::Linear,
        byte_dim: 4,
        projection: Projection::Linear,
        position: Position::Rotary,
        ..three.clone()
    };
    let cross = ModelConfig { cross_patch: 2, ..two.clone() };
    let extended = ModelConfig { cross_patch: 3, conv_encoder: true, ..three.clone() };
    let four_extended = ModelConfig { cross_patch: 2, conv_encoder: true, ..four.clone() };
    vec![two, three, four, linear, cross, extended, four_extended]
}

/// The first byte that the logits at a place depend on.
type First = fn(usize) -> usize;

/// Models that do not see everything, and how far back they do.
fn short_sighted() -> Vec<(ModelConfig, First)> {
    let mut windowed = hierarchy(&[(1, 16, 2, 2)], 24);
    windowed.levels[0].window = 4;
    // Two blocks of three units each before the own one, whose input is the byte before.
    let window_first: First = |t| (t + 1).saturating_sub(8);
    let mut local = hierarchy(&[(4, 16, 0, 2), (1, 16, 2, 2)], 24);
    let local_first: First = |t| t / 4 * 4;
    let alone = local.clone();
    local.cross_patch = 2;
    // Patch k - 2 through its last two units, whose inputs are the bytes before them.
    let cross_first: First = |t| (t / 4 * 4).saturating_sub(8 - 1);
    vec![(windowed, window_first), (local, cross_first), (alone, local_first)]
}

#[test]
fn short_sight_ends_where_it_should() {
    for (m, (config, first)) in short_sighted().into_iter().enumerate() {
        let mut seen = vec![vec![false; config.context]; config.context];
        for seed in 0..6 {
            for (s, row) in influence(&config, 100 * m as u64 + seed).into_iter().enumerate() {
                for (t, moved) in row.into_iter().enumerate() {
                    let allowed = s < t && s >= first(t);
                    assert!(!moved || allowed, "model {m}: byte {s} changes the logits at {t}");
                    seen[s][t] |= moved;
                }
            }
        }
        for t in 1..config.context {
            let nearest = t - 1;
            // Without a global model, the last byte of a patch is no input that the next patch sees.
            if t % 4 != 0 {
                assert!(seen[nearest][t], "model {m}: byte {nearest} never changes the logits at {t}");
            }
            if first(t) > 0 && first(t) < t {
                assert!(seen[first(t)][t], "model {m}: byte {} never changes the logits at {t}", first(t));
            }
        }
    }
}

#[test]
fn without_a_local_model_bytes_of_a_patch_do_not_see_each_other() {
    let config = hierarchy(&[(4, 16, 2, 2), (1, 16, 0, 2)], 24);
    for seed in 0..4 {
        for (s, row) in influence(&config, seed).into_iter().enumerate() {
            for (t, moved) in row.into_iter().enumerate() {
                assert!(!moved || s / 4 < t / 4, "byte {s} changes the logits at {t}");
            }
        }
    }
}

/// For each pair (s, t) whether changing byte s changes the logits at t: rows of `true` where it does.
fn influence(config: &ModelConfig, seed: u64) -> Vec<Vec<bool>> {
    let model = Megabyte::new(config, Kind::Double, device(), seed).unwrap();
    randomise(&model, seed as i64, 0.3);
    let _guard = tch::no_grad_guard();
    let length = config.context as i64;
    let symbols = random_symbols(config, 1, config.context, seed);
    let changed = symbols.repeat([length, 1]);
    // Row s has byte s replaced by another.
    let diagonal = Tensor::eye(length, (Kind::Int64, device()));
    let changed = (changed + diagonal * 77).remainder(256);
    let before = model.forward(&symbols, 0.0).unwrap();
    let after = model.forward(&changed, 0.0).unwrap();
    // Far above rounding, which differs with the place in a batch, and far below any real effect.
    let moved = (after - before).abs().amax([-1], false).gt(1e-11).to_kind(Kind::Uint8);
    (0..length).map(|s| Vec::<u8>::try_from(moved.get(s)).unwrap().into_iter().map(|m| m == 1).collect()).collect()
}

#[test]
fn a_byte_changes_no_logit_at_or_before_itself_and_every_one_after() {
    for (m, config) in models().iter().enumerate() {
        // A change may cancel or die in a ReLU once; over several models it must show.
        let mut seen = vec![vec![false; config.context]; config.context];
        for seed in 0..4 {
            for (s, row) in influence(config, 10 * m as u64 + seed).into_iter().enumerate() {
                for (t, moved) in row.into_iter().enumerate() {
                    assert!(!(moved && t <= s), "model {m}: byte {s} changes the logits at {t}");
                    seen[s][t] |= moved;
                }
            }
        }
        for (s, row) in seen.iter().enumerate() {
            for (t, seen) in row.iter().enumerate().skip(s + 1) {
                assert!(seen, "model {m}: byte {s} never changes the logits at {t}");
            }
        }
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_neighbours() {
    for config in models() {
        let model = Megabyte::new(&config, Kind::Double, device(), 5).unwrap();
        randomise(&model, 5, 0.3);
        let _guard = tch::no_grad_guard();
        let symbols = random_symbols(&config, 3, config.context, 6);
        let together = model.forward(&symbols, 0.0).unwrap();
        for row in 0..3 {
            let alone = model.forward(&symbols.narrow(0, row, 1), 0.0).unwrap();
            let difference = f64::try_from((together.narrow(0, row, 1) - alone).abs().max()).unwrap();
            assert!(difference < 1e-12, "{difference:e}");
        }
    }
}

#[test]
fn every_byte_value_counts_in_the_loss_zero_too() {
    let config = hierarchy(&[(4, 16, 1, 2), (1, 8, 1, 2)], 256);
    let model = Megabyte::new(&config, Kind::Double, device(), 1).unwrap();
    randomise(&model, 1, 0.3);
    let symbols = Tensor::arange(256, (Kind::Int64, device())).view([1, 256]);
    let nats = megabyte::model::loss::each_nats(&model, &symbols).unwrap();
    let expected = model.forward(&symbols, 0.0).unwrap().log_softmax(-1, Kind::Double);
    let expected = -expected.gather(-1, &symbols.unsqueeze(-1), false).squeeze_dim(-1);
    assert!(f64::try_from((&nats - expected).abs().max()).unwrap() < 1e-12);
    assert!(bool::try_from(nats.gt(0.0).all()).unwrap());
    let total = common::models::total_nats(&model, &symbols);
    assert!((f64::try_from(total).unwrap() - f64::try_from(nats.sum(Kind::Double)).unwrap()).abs() < 1e-9);
}
