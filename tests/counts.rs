//! Parameters and floating-point operations as reported, against counts by hand.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::path::{Path, PathBuf};

use common::device::device;
use common::models::hierarchy;
use megabyte::RunConfig;
use megabyte::model::{Embedding, Ffn, Megabyte, ModelConfig, Norm, Position, Projection};
use tch::Kind;

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
    let model = Megabyte::new(&config, Kind::Float, device(), 0).unwrap();
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
    let model = Megabyte::new(&untied, Kind::Float, device(), 0).unwrap();
    assert_eq!(model.parameters().count(), coarse + fine + 256 * 12);
}

#[test]
fn a_fresh_model_is_drawn_from_a_cut_normal() {
    let config = ModelConfig { init_std: 0.02, ..hierarchy(&[(4, 64, 2, 2), (1, 48, 2, 2)], 64) };
    let model = Megabyte::new(&config, Kind::Float, device(), 7).unwrap();
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
    let nats = tch::no_grad(|| common::models::total_nats(&model, &symbols));
    let bits = f64::try_from(nats).unwrap() / 128.0 / std::f64::consts::LN_2;
    assert!((bits - 8.0).abs() < 0.1, "{bits}");
}

/// By formula and as built, for every option there is.
#[test]
fn parameters_by_formula_are_those_of_a_built_model() {
    let two = || hierarchy(&[(4, 16, 2, 2), (1, 12, 3, 3)], 32);
    let three = || hierarchy(&[(12, 48, 2, 4), (3, 24, 1, 2), (1, 12, 2, 2)], 48);
    let flat = || hierarchy(&[(1, 16, 2, 2)], 32);
    let without = |l: usize, mut config: ModelConfig| {
        config.levels[l].n_layer = 0;
        config
    };
    let mut windowed = flat();
    windowed.levels[0].window = 5;
    let mut configs = vec![
        two(),
        three(),
        flat(),
        windowed,
        without(0, two()),
        without(0, three()),
        without(1, two()),
        without(2, three()),
        ModelConfig { latents: 8, ..flat() },
        ModelConfig { latents: 8, ffn: Ffn::SwiGlu, qk_norm: true, bias: false, ..flat() },
        // Widths that no unit divides.
        ModelConfig {
            embedding: Embedding::Linear,
            byte_dim: 5,
            projection: Projection::Linear,
            ..hierarchy(&[(4, 18, 1, 3), (1, 10, 1, 1)], 32)
        },
    ];
    for config in [two(), three(), without(0, three()), without(2, three())] {
        configs.extend([
            ModelConfig { vocab: 257, tie: false, ..config.clone() },
            ModelConfig { bias: false, ..config.clone() },
            ModelConfig { norm: Norm::RmsNorm, ..config.clone() },
            ModelConfig { ffn: Ffn::SwiGlu, ffn_mult: 2.5, ..config.clone() },
            ModelConfig { ffn: Ffn::Relu2, ffn_mult: 3.0, ..config.clone() },
            ModelConfig { position: Position::Rotary, ..config.clone() },
            ModelConfig { position: Position::None, qk_norm: true, ..config.clone() },
            ModelConfig { embedding: Embedding::Linear, byte_dim: 7, ..config.clone() },
            ModelConfig { projection: Projection::Linear, ..config.clone() },
            ModelConfig { cross_patch: 2, ..config.clone() },
            ModelConfig { conv_encoder: true, ..config.clone() },
            ModelConfig { conv_encoder: true, bias: false, embedding: Embedding::Linear, byte_dim: 7, ..config },
        ]);
    }
    for config in configs {
        let model = Megabyte::new(&config, Kind::Float, device(), 0).unwrap();
        let built = model.parameters();
        for l in 0..config.levels.len() {
            assert_eq!(config.parameters(l), built.count_of(&format!("level.{l}.")), "level {l} of {config:?}");
        }
        assert_eq!(config.output_parameters(), built.count_of("output."), "{config:?}");
        assert_eq!(config.total_parameters(), built.count(), "{config:?}");
    }
}

/// Counted by hand, an operation at a time.
#[test]
fn operations_of_each_option_equal_a_hand_count() {
    // Blocks of 12 D² matrices; patches of 4 in a context of 32, so 8 and 4 units.
    let config = hierarchy(&[(4, 16, 2, 2), (1, 12, 3, 3)], 32);
    let coarse = (2 * 2 * 12 * 16 * 16 + 4 * 2 * 8 * 16) / 4;
    let fine = 2 * 3 * 12 * 12 * 12 + 4 * 3 * 4 * 12 + 2 * 4 * 12 + 2 * 256 * 12;
    let of = |config: &ModelConfig| (config.forward_flops_per_byte(0), config.forward_flops_per_byte(1));
    assert_eq!(of(&config), (f64::from(coarse), f64::from(fine)));

    // Three units more to attend to; more than a patch has are not there.
    let across = ModelConfig { cross_patch: 3, ..config.clone() };
    assert_eq!(of(&across), (f64::from(coarse), f64::from(fine + 4 * 3 * 3 * 12)));
    let across = ModelConfig { cross_patch: 9, ..config.clone() };
    assert_eq!(of(&across), (f64::from(coarse), f64::from(fine + 4 * 3 * 4 * 12)));
    // Filters of 3, 5 and 7 from 4 channels to 4 at each byte.
    let convolved = ModelConfig { conv_encoder: true, ..config.clone() };
    assert_eq!(of(&convolved), (f64::from(coarse + 2 * (3 + 5 + 7) * 4 * 4), f64::from(fine)));

    let mut without_global = config.clone();
    without_global.levels[0].n_layer = 0;
    assert_eq!(of(&without_global), (0.0, f64::from(fine - 2 * 4 * 12)));
    let mut without_local = config.clone();
    without_local.levels[1].n_layer = 0;
    assert_eq!(of(&without_local), (f64::from(coarse), f64::from(2 * 4 * 12 + 2 * 256 * 12)));

    let flat = hierarchy(&[(1, 16, 2, 2)], 32);
    let matrices = 2 * 2 * 12 * 16 * 16 + 2 * 256 * 16;
    let mut windowed = flat.clone();
    windowed.levels[0].window = 5;
    assert_eq!(windowed.forward_flops_per_byte(0), f64::from(matrices + 4 * 2 * 5 * 16));
    windowed.levels[0].window = 500;
    assert_eq!(windowed.forward_flops_per_byte(0), f64::from(matrices + 4 * 2 * 32 * 16));

    // Eight latents of 32 bytes: two blocks among them; one whose queries, output and feed-forward layer are a latent's,
    // and whose keys and values are of all 32, a quarter of which is a latent's share.
    let latents = ModelConfig { latents: 8, ..flat };
    let cross = 2 * (2 * 16 * 16 + 8 * 16 * 16) + 2 * 2 * 16 * 16 * 4 + 4 * 32 * 16;
    assert_eq!(latents.forward_flops_per_byte(0), f64::from(matrices + 4 * 2 * 8 * 16 + cross));
}

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/paper")
}

fn load(name: &str) -> RunConfig {
    RunConfig::load(&published().join(format!("{name}.toml")), &[]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Forward MFLOP a byte of published runs, by hand with SpaceByte's formula, which leaves out the keys of other patches.
#[test]
fn the_published_configurations_cost_what_a_hand_count_says() {
    // Widths that the patch does not divide are rounded to the next multiple of 48: 2544 for 2560 and 2064 for 2048, in
    // a global model that has two fifths and a twelfth of the operations.
    let runs = [
        ("text/megabyte", 645.5, 0.05),
        ("text/transformer", 646.4, 0.05),
        ("text/transformer_window", 646.4, 0.05),
        ("pg19/ratio_1300m_218m", 706.2, 0.05),
        ("pg19/transformer_350m", 705.2, 0.05),
        ("pg19/ratio_760m_262m", 643.0, 0.5),
        ("pg19/ratio_350m_290m", 593.0, 0.5),
        ("pg19/megabyte", 933.0, 0.5),
        ("imagenet64/megabyte_sota", 1054.0, 0.006 * 1054.0),
        ("imagenet64/megabyte", 2638.0, 0.002 * 2638.0),
        ("imagenet256/megabyte", 178.0, 0.5),
        ("imagenet640/megabyte", 120.0, 0.5),
        ("audio/megabyte", 241.0, 0.5),
    ];
    for (name, expected, tolerance) in runs {
        let model = ModelConfig { cross_patch: 0, ..load(name).model };
        let found = forward_mflops(&model);
        assert!((found - expected).abs() <= tolerance, "{name}: {found} is not {expected}");
    }
}

/// Millions of parameters in matrices of blocks, 12 L D² by hand.
#[test]
fn the_published_configurations_have_the_sizes_of_a_hand_count() {
    let runs = [
        ("text/megabyte", 0, 704.6),
        ("text/megabyte", 1, 226.5),
        ("text/transformer", 0, 276.8),
        ("pg19/ratio_1300m_218m", 0, 1208.0),
        ("pg19/ratio_1300m_218m", 1, 188.7),
        ("pg19/ratio_760m_262m", 0, 679.5),
        ("pg19/ratio_350m_290m", 0, 302.0),
        ("pg19/ratio_350m_290m", 1, 251.7),
        ("imagenet64/megabyte", 1, 1208.0),
        ("imagenet256/megabyte", 0, 84.9),
        ("imagenet640/megabyte", 1, 56.6),
        ("imagenet256/transformer", 0, 42.5),
        ("audio/megabyte", 0, 302.0),
    ];
    for (name, level, millions) in runs {
        let found = load(name).model.block_parameters(level) as f64 / 1e6;
        // Half of the last digit: four are written.
        assert!((found - millions).abs() <= if millions > 1000.0 { 0.5 } else { 0.05 }, "{name}: {found} M");
    }
    // 2517 M with a width of 2560.
    let sota = load("imagenet64/megabyte_sota").model;
    let rounded = 2544.0 / 2560.0;
    assert!((sota.block_parameters(0) as f64 / 1e6 - 2517.0 * rounded * rounded).abs() < 0.5);
}

/// Every published run can be trained, and the table beside them is about what is in the files.
#[test]
fn every_published_configuration_is_valid_and_in_the_table() {
    let readme = std::fs::read_to_string(published().join("README.md")).unwrap();
    let mut rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for entry in walkdir::WalkDir::new(published()).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = entry.path().strip_prefix(published()).unwrap().with_extension("");
        let name = name.to_str().unwrap();
        let RunConfig { model, train, .. } = load(name);
        assert!(train.bytes_per_step.is_multiple_of(model.context), "{name}");

        let found = rows.iter().position(|row| row.starts_with(&format!("| `{name}` |")));
        let row = rows.remove(found.unwrap_or_else(|| panic!("{name} has no row")));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let millions = format!("{:.1}", model.total_parameters() as f64 / 1e6);
        assert_eq!(
            cells[cells.len() - 5..cells.len() - 3],
            [millions, format!("{:.1}", forward_mflops(&model))],
            "{name}"
        );
    }
    assert!(rows.is_empty(), "no file for {rows:?}");
}
