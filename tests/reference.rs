//! The model against an independent PyTorch implementation (`tests/reference/`): logits, loss and every parameter's
//! gradient, on fresh random weights and input, for one, two and three levels and for each switch.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::process::Command;

use common::device::{device, host};
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::modality::{Layout, TextLayout};
use megabyte::model::gradients::{self, Memory};
use megabyte::model::{Embedding, Ffn, Megabyte, ModelConfig, Norm, Position, Projection, folder};
use tch::{Kind, Tensor};

/// Every switch on its own, for two levels; and for one and three levels the default and all switches together.
fn cases() -> Vec<(String, ModelConfig)> {
    let base = hierarchy(&[(4, 16, 2, 2), (1, 12, 2, 3)], 24);
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    let modern = |config: &mut ModelConfig| {
        config.norm = Norm::RmsNorm;
        config.ffn = Ffn::SwiGlu;
        config.position = Position::Rotary;
        config.qk_norm = true;
        config.bias = false;
        config.tie = false;
        config.embedding = Embedding::Linear;
        config.byte_dim = 6;
        config.projection = Projection::Linear;
    };
    let three = hierarchy(&[(12, 24, 2, 2), (3, 24, 1, 2), (1, 12, 2, 3)], 48);
    let mut cases = vec![
        ("one level", hierarchy(&[(1, 16, 2, 2)], 24)),
        ("two levels", base.clone()),
        ("three levels", three.clone()),
        ("257 symbols", with(&|config| config.vocab = 257)),
        ("rmsnorm", with(&|config| config.norm = Norm::RmsNorm)),
        ("relu2", with(&|config| config.ffn = Ffn::Relu2)),
        ("gelu", with(&|config| config.ffn = Ffn::Gelu)),
        ("swiglu", with(&|config| config.ffn = Ffn::SwiGlu)),
        ("no biases", with(&|config| config.bias = false)),
        ("rotary", with(&|config| config.position = Position::Rotary)),
        ("no positions", with(&|config| config.position = Position::None)),
        ("qk norm", with(&|config| config.qk_norm = true)),
        ("linear embedding", with(&|config| (config.embedding, config.byte_dim) = (Embedding::Linear, 5))),
        ("linear projection", with(&|config| config.projection = Projection::Linear)),
        ("untied", with(&|config| config.tie = false)),
        ("all switches", with(&modern)),
        ("convolutions", with(&|config| config.conv_encoder = true)),
        ("cross-patch", with(&|config| config.cross_patch = 3)),
        ("cross-patch, whole patches", with(&|config| config.cross_patch = 4)),
        (
            "cross-patch, rotary everywhere",
            with(&|config| (config.cross_patch, config.position) = (2, Position::Rotary)),
        ),
        ("global window", with(&|config| config.levels[0].window = 2)),
        ("without global", with(&|config| config.levels[0].n_layer = 0)),
        ("without global, cross-patch", with(&|config| (config.levels[0].n_layer, config.cross_patch) = (0, 4))),
        ("without local", with(&|config| config.levels[1].n_layer = 0)),
        ("without local, untied", with(&|config| (config.levels[1].n_layer, config.tie) = (0, false))),
    ];
    let one = hierarchy(&[(1, 16, 2, 2)], 24);
    let mut windowed = one.clone();
    windowed.levels[0].window = 5;
    cases.push(("flat window", windowed));
    cases.push(("latents", ModelConfig { latents: 8, ..one.clone() }));
    cases.push(("latents, all", ModelConfig { latents: 24, ..one.clone() }));
    // A patch longer than the kernel for short sequences takes.
    let wide = hierarchy(&[(24, 48, 2, 2), (1, 12, 2, 3)], 72);
    cases.push(("cross-patch, long patches", ModelConfig { cross_patch: 5, ..wide }));
    cases.push(("three, cross-patch", ModelConfig { cross_patch: 4, ..three.clone() }));
    cases.push(("three, convolutions", ModelConfig { conv_encoder: true, ..three.clone() }));
    let extensions = ModelConfig { cross_patch: 3, conv_encoder: true, ..three.clone() };
    for (name, config) in [
        ("one level, all switches", one.clone()),
        ("three, all switches", three),
        ("three, all switches and extensions", extensions),
        ("latents, all switches", ModelConfig { latents: 8, ..one }),
    ] {
        let mut config = config;
        modern(&mut config);
        cases.push((name, config));
    }
    cases.into_iter().map(|(name, config)| (name.to_owned(), config)).collect()
}

fn compare(kind: Kind, dtype: &str, tolerance: f64) {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::Text(TextLayout::default());
    let mut ours = Vec::new();
    for (i, (name, config)) in cases().into_iter().enumerate() {
        let model = Megabyte::new(&config, kind, device(), i as u64).unwrap();
        // Wide weights magnify the rounding of float32.
        randomise(&model, 100 + i as i64, if kind == Kind::Double { 0.3 } else { 0.1 });
        let place = root.path().join(format!("{i:03}"));
        std::fs::create_dir(&place).unwrap();
        folder::save(&place, &layout, &model).unwrap();

        // The last row ends early: padding is not scored.
        let symbols = random_symbols(&config, 3, config.context, i as u64);
        let _ = symbols.get(2).narrow(0, config.context as i64 - 5, 5).fill_(-1);
        Tensor::write_safetensors(&[("symbols", &symbols)], place.join("input.safetensors")).unwrap();

        let logits = tch::no_grad(|| model.forward(&symbols.clamp_min(0), 0.0).unwrap());
        let predicted = config.predicted(config.context) as i64;
        let targets = symbols.narrow(1, config.context as i64 - predicted, predicted);
        let scored = f64::try_from(targets.ge(0).sum(Kind::Double)).unwrap();
        // As in training, each case with another way to save memory.
        let memory = Memory {
            stretch: [0, config.patch_size() * 6, 1][i % 3],
            checkpoint: (0..config.levels.len()).filter(|l| i >> l & 1 == 1).collect(),
        };
        let nats = gradients::accumulate(&model, &symbols, 0.0, 1.0 / scored, &memory).unwrap();
        let loss = (nats / scored).to_kind(kind);
        ours.push((name, model, logits, loss, place));
    }
    let script = common::root().join("tests/reference/run.py");
    let status =
        Command::new(common::python()).arg(script).arg("--cases").arg(root.path()).args(["--dtype", dtype]).status();
    assert!(status.unwrap().success(), "the reference fails");

    let mut worst = (0.0, String::new());
    for (name, model, logits, loss, place) in ours {
        let theirs: std::collections::HashMap<String, Tensor> =
            Tensor::read_safetensors(place.join("out.safetensors")).unwrap().into_iter().collect();
        let mut check = |what: &str, ours: &Tensor, theirs: &Tensor| {
            let ours = host(ours);
            assert_eq!(ours.size(), theirs.size(), "{name}: {what}");
            let difference = f64::try_from((&ours - theirs).abs().max()).unwrap();
            let scale = f64::try_from(theirs.abs().max()).unwrap();
            let relative = if difference == 0.0 { 0.0 } else { difference / scale };
            assert!(relative <= tolerance, "{name}: {what} differs by {relative:e}");
            if relative > worst.0 {
                worst = (relative, format!("{name}: {what}"));
            }
        };
        check("logits", &logits, &theirs["logits"]);
        check("loss", &loss, &theirs["loss"]);
        let mut gradients = 0;
        for (parameter, tensor) in model.parameters().iter() {
            let gradient = tensor.grad();
            let gradient = if gradient.defined() { gradient } else { tensor.zeros_like() };
            check(parameter, &gradient, &theirs[&format!("grad.{parameter}")]);
            gradients += 1;
        }
        assert_eq!(gradients + 2, theirs.len(), "{name}: the reference has other parameters");
    }
    println!("{dtype}: the largest relative difference is {:e} ({})", worst.0, worst.1);
}

#[test]
fn equals_the_reference_in_float64() {
    compare(Kind::Double, "float64", 1e-9);
}

#[test]
fn equals_the_reference_in_float32() {
    compare(Kind::Float, "float32", 1e-5);
}
