//! Parameters and floating-point operations as reported, against counts by hand.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use common::models::hierarchy;
use megabyte::model::{Megabyte, ModelConfig};
use tch::{Device, Kind};

fn forward_mflops(config: &ModelConfig) -> f64 {
    (0..config.levels.len()).map(|l| config.forward_flops_per_byte(l)).sum::<f64>() / 1e6
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.05, "{found} is not {expected}");
}

/// The sizes of the paper's table 15, counted by hand with SpaceByte's formula (appendix A).
#[test]
fn the_papers_models_cost_what_a_hand_count_says() {
    let megabyte = hierarchy(&[(8, 2048, 14, 32), (1, 1024, 18, 16)], 8192);
    assert_close(forward_mflops(&megabyte), 645.5);
    assert_close(forward_mflops(&hierarchy(&[(1, 1024, 22, 16)], 1024)), 646.4);
    assert_close(forward_mflops(&hierarchy(&[(8, 2048, 24, 32), (1, 1024, 15, 16)], 8192)), 706.2);
    assert_close(forward_mflops(&hierarchy(&[(1, 1024, 24, 16)], 1024)), 705.2);
    assert_close(megabyte.block_parameters(0) as f64 / 1e6, 704.6);
    assert_close(megabyte.block_parameters(1) as f64 / 1e6, 226.5);
    let total = (0..2).map(|l| megabyte.forward_flops_per_byte(l)).sum::<f64>();
    assert_eq!(megabyte.training_flops_per_byte(), 3.0 * total);
}

#[test]
fn parameters_equal_a_hand_count() {
    // Two levels: patches of 4 in a context of 32, widths 16 and 12, with biases and learned positions.
    let config = hierarchy(&[(4, 16, 2, 2), (1, 12, 3, 3)], 32);
    let model = Megabyte::new(&config, Kind::Float, Device::Cpu, 0).unwrap();
    let block = |d: u64| {
        let norms = 2 * 2 * d;
        let attention = 3 * d * d + 3 * d + d * d + d;
        let feed_forward = 4 * d * d + 4 * d + 4 * d * d + d;
        norms + attention + feed_forward
    };
    // Tables of 256 bytes and of positions (32, then 4), the pad, the blocks, the final norm.
    let coarse = 256 * 4 + 32 * 4 + 16 + 2 * block(16) + 2 * 16;
    // The same, and one matrix for all slices of 16 / 4 from the patch.
    let fine = 256 * 12 + 4 * 12 + 12 + 3 * block(12) + 2 * 12 + 4 * 12;
    assert_eq!(model.parameters().count_of("level.0."), coarse);
    assert_eq!(model.parameters().count_of("level.1."), fine);
    assert_eq!(model.parameters().count(), coarse + fine, "the output matrix is the byte table");

    let untied = ModelConfig { tie: false, ..config };
    let model = Megabyte::new(&untied, Kind::Float, Device::Cpu, 0).unwrap();
    assert_eq!(model.parameters().count(), coarse + fine + 256 * 12);
}

#[test]
fn a_fresh_model_is_drawn_from_a_cut_normal() {
    let config = ModelConfig { init_std: 0.02, ..hierarchy(&[(4, 64, 2, 2), (1, 48, 2, 2)], 64) };
    let model = Megabyte::new(&config, Kind::Float, Device::Cpu, 7).unwrap();
    for (name, tensor) in model.parameters().iter() {
        let (largest, mean) =
            (f64::try_from(tensor.abs().max()).unwrap(), f64::try_from(tensor.mean(Kind::Double)).unwrap());
        if name.ends_with("norm.weight") {
            assert_eq!((largest, mean), (1.0, 1.0), "{name}");
        } else if name.ends_with(".bias") {
            assert_eq!(largest, 0.0, "{name}");
        } else {
            assert!(largest <= 0.04 + 1e-7 && largest > 0.02, "{name}: {largest}");
            if tensor.numel() > 4000 {
                // A normal cut at two standard deviations has 0.8796 of the spread.
                let spread = f64::try_from(tensor.to_kind(Kind::Double).std(true)).unwrap();
                assert!((spread / (0.8796 * 0.02) - 1.0).abs() < 0.05, "{name}: {spread}");
            }
        }
    }
    // The paper's loss before training: every byte costs about eight bits.
    let symbols = common::models::random_symbols(&config, 2, 64, 1);
    let nats = tch::no_grad(|| megabyte::model::loss::total_nats(&model, &symbols, 0.0).unwrap());
    let bits = f64::try_from(nats).unwrap() / 128.0 / std::f64::consts::LN_2;
    assert!((bits - 8.0).abs() < 0.1, "{bits}");
}
