//! The optimizers against plain arithmetic in float64, and Muon against PyTorch's.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use std::collections::HashMap;
use std::process::Command;

use common::device::{device, host};
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::model::Megabyte;
use megabyte::train::{Dtype, Optimizer, OptimizerKind, TrainConfig};
use tch::{Kind, Tensor};

fn model() -> Megabyte {
    let model = Megabyte::new(&hierarchy(&[(4, 8, 1, 2), (1, 8, 1, 2)], 16), Kind::Float, device(), 3).unwrap();
    // As it begins, attention is uniform, and the gradients of queries and keys are nothing.
    randomise(&model, 4, 0.3);
    model
}

fn double(tensor: &Tensor) -> Tensor {
    tensor.detach().to_kind(Kind::Double).copy()
}

fn largest(tensor: &Tensor) -> f64 {
    f64::try_from(tensor.abs().max()).unwrap()
}

/// A parameter in float64, and up to two averages.
type Plain = HashMap<String, [Tensor; 3]>;

fn plain_of(model: &Megabyte) -> Plain {
    let zeros = |tensor: &Tensor| double(tensor).zeros_like();
    let entry = |(name, tensor): (&str, &Tensor)| (name.to_owned(), [double(tensor), zeros(tensor), zeros(tensor)]);
    model.parameters().iter().map(entry).collect()
}

/// Gradients of a step on fresh random symbols, scaled to the clipping norm, in float64.
fn gradients(model: &Megabyte, optimizer: &Optimizer, config: &TrainConfig, step: u64) -> HashMap<String, Tensor> {
    let symbols = random_symbols(model.config(), 2, 16, 100 + step);
    optimizer.zero_grad().unwrap();
    common::models::total_nats(model, &symbols).backward();
    let grads: Vec<(String, Tensor)> =
        model.parameters().iter().map(|(name, tensor)| (name.to_owned(), double(&tensor.grad()))).collect();
    let squares: f64 = grads.iter().map(|(_, grad)| f64::try_from(grad.square().sum(Kind::Double)).unwrap()).sum();
    let scale = (config.clip / squares.sqrt()).min(1.0);
    grads.into_iter().map(|(name, grad)| (name, grad * scale)).collect()
}

/// AdamW in float64, as in algorithm 2 of arXiv 1711.05101.
fn adamw(entry: &mut [Tensor; 3], grad: &Tensor, step: i32, lr: f64, config: &TrainConfig) {
    let [weight, first, second] = entry;
    let [beta1, beta2] = config.betas;
    *first = &*first * beta1 + grad * (1.0 - beta1);
    *second = &*second * beta2 + grad.square() * (1.0 - beta2);
    if weight.dim() >= 2 {
        *weight = &*weight * (1.0 - lr * config.weight_decay);
    }
    let corrected = (&*second / (1.0 - beta2.powi(step))).sqrt() + config.eps;
    *weight = &*weight - lr * (&*first / (1.0 - beta1.powi(step))) / corrected;
}

/// Muon in float64 with the iteration on singular values: U p(p(…p(S))) Vᵀ, with p(s) = as + bs³ + cs⁵.
fn muon(entry: &mut [Tensor; 3], grad: &Tensor, parts: i64, lr: f64, config: &TrainConfig) {
    let [weight, momentum, _] = entry;
    let beta = config.muon_momentum;
    *momentum = &*momentum * beta + grad * (1.0 - beta);
    let ahead = grad * (1.0 - beta) + &*momentum * beta;
    let updates: Vec<Tensor> = ahead
        .chunk(parts, 0)
        .iter()
        .map(|matrix| {
            let (u, s, v) = (matrix / matrix.norm()).svd(true, true);
            let s =
                (0..5).fold(s, |s, _| 3.4445 * &s - 4.7750 * s.pow_tensor_scalar(3) + 2.0315 * s.pow_tensor_scalar(5));
            let size = matrix.size();
            (u * s).matmul(&v.tr()) * (0.2 * (size[0].max(size[1]) as f64).sqrt())
        })
        .collect();
    let decayed = &*weight * (1.0 - lr * config.weight_decay);
    *weight = decayed - lr * Tensor::cat(&updates, 0);
}

fn parts(name: &str) -> i64 {
    if name.ends_with("attn.qkv.weight") { 3 } else { 1 }
}

/// Whether Muon is for a parameter: written out, not by a rule.
fn is_hidden_matrix(name: &str) -> bool {
    ["attn.qkv.weight", "attn.out.weight", "ffn.up.weight", "ffn.down.weight", "from_parent"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Steps of both, with the same gradients. With `restarts` both begin each step from the same weights.
fn compare(config: &TrainConfig, steps: i32, bound: f64, restarts: bool) {
    let model = model();
    let mut optimizer = Optimizer::new(&model, config);
    let mut plain = plain_of(&model);
    for step in 1..=steps {
        let grads = gradients(&model, &optimizer, config, step as u64);
        let lr = config.lr * (1.0 - f64::from(step) / 200.0);
        let finite = optimizer.step(lr).unwrap();
        assert!(bool::try_from(finite).unwrap());
        for (name, tensor) in model.parameters().iter() {
            let entry = plain.get_mut(name).unwrap();
            if config.optimizer == OptimizerKind::Muon && is_hidden_matrix(name) {
                muon(entry, &grads[name], parts(name), lr, config);
            } else {
                adamw(entry, &grads[name], step, lr, config);
            }
            let difference = largest(&(double(tensor) - &entry[0]));
            assert!(difference < bound, "step {step}: {name}: {difference:e}");
            if restarts {
                entry[0] = double(tensor);
            }
        }
    }
}

#[test]
fn adamw_equals_plain_arithmetic() {
    let dtype = Dtype::Float32;
    // A weight of 1 is rounded by up to 6e-8 in each of 100 steps; which way differs between kinds of vectors.
    compare(&TrainConfig { dtype, lr: 1e-2, weight_decay: 0.1, clip: 0.5, ..TrainConfig::default() }, 100, 2e-6, false);
}

#[test]
fn muon_equals_plain_arithmetic_on_singular_values() {
    let config = TrainConfig {
        optimizer: OptimizerKind::Muon,
        dtype: Dtype::Float32,
        lr: 1e-2,
        clip: 0.5,
        ..TrainConfig::default()
    };
    // An update is 1e-2 times elements of about 0.2; the iteration amplifies roundings of float32.
    compare(&config, 100, 2e-6, true);
}

/// Both in bfloat16, whose roundings differ with the order of sums: an element differs by a hundredth of the largest.
#[test]
fn muon_equals_that_of_pytorch() {
    const STEPS: u64 = 5;
    // The products are in this type, as in the reference.
    let dtype = Dtype::Bfloat16;
    let config = TrainConfig { optimizer: OptimizerKind::Muon, dtype, lr: 1e-2, clip: 0.5, ..TrainConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let mut optimizer = Optimizer::new(&model, &config);
    let matrices = || model.parameters().iter().filter(|(name, _)| is_hidden_matrix(name));
    let mut given: Vec<(String, Tensor)> =
        matrices().map(|(name, tensor)| (format!("weight.{name}"), tensor.detach().copy())).collect();
    for step in 0..STEPS {
        let grads = gradients(&model, &optimizer, &config, step);
        given.extend(matrices().map(|(name, _)| (format!("grad.{step}.{name}"), grads[name].to_kind(Kind::Float))));
        let _ = optimizer.step(config.lr).unwrap();
    }
    let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    Tensor::write_safetensors(&given, &input).unwrap();
    let script = common::root().join("tests/reference/muon.py");
    let done = Command::new(common::python()).arg(script).args([&input, &output]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let theirs: HashMap<String, Tensor> = Tensor::read_safetensors(&output).unwrap().into_iter().collect();
    for (name, tensor) in matrices() {
        let began = &given.iter().find(|(given, _)| *given == format!("weight.{name}")).unwrap().1;
        let moved = largest(&(&theirs[name] - host(began)));
        let difference = largest(&(host(tensor) - &theirs[name]));
        assert!(moved > 5e-3 && difference < 0.03 * moved, "{name}: {difference:e} of {moved:e}");
    }
    assert_eq!(theirs.len(), matrices().count());
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    for optimizer in [OptimizerKind::AdamW, OptimizerKind::Muon] {
        let config = TrainConfig { optimizer, dtype: Dtype::Float32, ..TrainConfig::default() };
        let model = model();
        let mut optimizer = Optimizer::new(&model, &config);
        let symbols = random_symbols(model.config(), 1, 16, 5);
        // Averages that a step without effect would move.
        common::models::total_nats(&model, &symbols).backward();
        let _ = optimizer.step(1e-3).unwrap();
        let before: Vec<(String, Tensor)> = model
            .parameters()
            .iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.detach().copy()))
            .chain(optimizer.state().map(|(name, tensor)| (name, tensor.copy())))
            .collect();
        for scale in [f64::NAN, f64::INFINITY] {
            optimizer.zero_grad().unwrap();
            (common::models::total_nats(&model, &symbols) * scale).backward();
            assert!(!bool::try_from(optimizer.step(1.0).unwrap()).unwrap());
            assert!(!optimizer.grad_norm().unwrap().is_finite());
        }
        let after: HashMap<String, Tensor> = model
            .parameters()
            .iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
            .chain(optimizer.state().map(|(name, tensor)| (name, tensor.shallow_clone())))
            .collect();
        for (name, before) in &before {
            assert!(after[name].equal(before), "{config:?}: {name} changed");
        }
    }
}
