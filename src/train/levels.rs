//! What a run shows of each level: the norms of its gradients and weights, and how its gradients are distributed.

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::Result;
use crate::model::Megabyte;
use crate::native;

/// Buckets of a histogram.
const BUCKETS: i64 = 64;

/// The Euclidean norms of a level's tensors, all of a kind together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelNorms {
    /// Of the last step's gradients before clipping; 0 where the level has none, being frozen.
    pub grad_norm: f64,
    /// Of the weights after that step.
    pub weight_norm: f64,
}

/// How the elements of a level's gradients are distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The level.
    pub level: usize,
    /// (left, right, count), from the least element to the greatest.
    pub buckets: Vec<[f64; 3]>,
}

/// The norms of each level, coarse first. `total` is the norm of all gradients before clipping. Waits for the device,
/// from which two numbers a level come.
pub fn norms(model: &Megabyte, total: f64) -> Result<Vec<LevelNorms>> {
    let levels = model.config().levels.len();
    let gradients = norms_of(&gradients(model), model)?;
    let weights = norms_of(&by_level(model, |tensor| Some(tensor.detach())), model)?;
    let scale = unclipped(&gradients, total);
    let level = |l: usize| LevelNorms { grad_norm: gradients[l] * scale, weight_norm: weights[l] };
    Ok((0..levels).map(level).collect())
}

/// A histogram of the gradients of each level that has any and whose gradients are finite. `total` is as in [`norms`].
/// Waits for the device, from which the counts come.
pub fn histograms(model: &Megabyte, total: f64) -> Result<Vec<Histogram>> {
    let gradients = gradients(model);
    let scale = unclipped(&norms_of(&gradients, model)?, total);
    let mut histograms = Vec::new();
    for (level, tensors) in gradients.iter().enumerate().filter(|(_, tensors)| !tensors.is_empty()) {
        let counts = Tensor::zeros([BUCKETS], (Kind::Double, model.device()));
        let (low, high) = native::histogram(tensors, &counts)?;
        if !(low.is_finite() && high.is_finite()) {
            continue;
        }
        let edge = |i: usize| (low + (high - low) * i as f64 / BUCKETS as f64) * scale;
        let counts = Vec::<f64>::try_from(counts)?;
        let buckets = counts.iter().enumerate().map(|(i, &count)| [edge(i), edge(i + 1), count]).collect();
        histograms.push(Histogram { level, buckets });
    }
    Ok(histograms)
}

/// By how much the optimizer scaled the gradients down in their place. 1 where they are not finite: then it left them as
/// they were.
fn unclipped(norms: &[f64], total: f64) -> f64 {
    let now = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
    let scale = total / now;
    if scale.is_finite() { scale } else { 1.0 }
}

/// The gradients that are there, by level.
fn gradients(model: &Megabyte) -> Vec<Vec<Tensor>> {
    by_level(model, |tensor| Some(tensor.grad()).filter(Tensor::defined))
}

/// What `of` gives of the parameters, by their levels.
fn by_level(model: &Megabyte, of: impl Fn(&Tensor) -> Option<Tensor>) -> Vec<Vec<Tensor>> {
    let mut levels: Vec<Vec<Tensor>> = model.config().levels.iter().map(|_| Vec::new()).collect();
    for (name, tensor) in model.parameters().iter() {
        levels[model.level_of(name)].extend(of(tensor));
    }
    levels
}

/// The norm of each level's tensors, read from the device together.
fn norms_of(levels: &[Vec<Tensor>], model: &Megabyte) -> Result<Vec<f64>> {
    let norms = Tensor::zeros([levels.len() as i64], (Kind::Double, model.device()));
    for (l, tensors) in levels.iter().enumerate().filter(|(_, tensors)| !tensors.is_empty()) {
        native::total_norm(tensors, &norms.get(l as i64))?;
    }
    Ok(Vec::<f64>::try_from(norms)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::model::ModelConfig;

    /// Two levels and an output matrix of its own, with gradients; those of the first level only where it is not `frozen`.
    fn model(frozen: bool) -> Megabyte {
        let text = "context = 16\ndropout = 0.0\ntie = false\n[[level]]\nunit = 4\nn_embd = 16\nn_layer = 1\nn_head = 2\n\
                    [[level]]\nunit = 1\nn_embd = 8\nn_layer = 1\nn_head = 2\n";
        let config: ModelConfig = toml::from_str(text).unwrap();
        let model = Megabyte::new(&config, Kind::Float, Device::Cpu, 1).unwrap();
        model.hold(if frozen { &[0] } else { &[] });
        let symbols = (Tensor::arange(32, (Kind::Int64, Device::Cpu)) * 7).remainder(256).view([2, 16]);
        let logits = model.forward(&symbols, 0.0).unwrap();
        logits.view([-1, 256]).cross_entropy_for_logits(&symbols.view([-1])).backward();
        model
    }

    /// The elements of the tensors of level 0, or of all others, one after another.
    fn elements(model: &Megabyte, level: usize, of: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
        let belong = model.parameters().iter().filter(|(name, _)| name.starts_with("level.0.") == (level == 0));
        belong.flat_map(|(_, tensor)| Vec::<f64>::try_from(of(tensor).detach().flatten(0, -1)).unwrap()).collect()
    }

    fn norm(elements: &[f64]) -> f64 {
        elements.iter().map(|element| element * element).sum::<f64>().sqrt()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-5 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn norms_equal_sums_over_the_elements() {
        let model = model(false);
        let gradients = [0, 1].map(|level| elements(&model, level, Tensor::grad));
        let norms = norms(&model, norm(&gradients.concat())).unwrap();
        assert_eq!(norms.len(), 2);
        for (level, found) in norms.iter().enumerate() {
            close(found.grad_norm, norm(&gradients[level]));
            close(found.weight_norm, norm(&elements(&model, level, Tensor::shallow_clone)));
        }
    }

    #[test]
    fn clipping_changes_neither_norms_nor_histograms() {
        let model = model(false);
        let total = norm(&[0, 1].map(|level| elements(&model, level, Tensor::grad)).concat());
        let before = (norms(&model, total).unwrap(), histograms(&model, total).unwrap());
        tch::no_grad(|| model.parameters().iter().for_each(|(_, tensor)| drop(tensor.grad().g_mul_scalar_(0.125))));
        let after = (norms(&model, total).unwrap(), histograms(&model, total).unwrap());
        for level in 0..2 {
            close(after.0[level].grad_norm, before.0[level].grad_norm);
            for (after, before) in after.1[level].buckets.iter().zip(&before.1[level].buckets) {
                close(after[0], before[0]);
                assert_eq!(after[2], before[2]);
            }
        }
    }

    #[test]
    fn a_frozen_level_has_no_gradients() {
        let model = model(true);
        let norms = norms(&model, 1.0).unwrap();
        assert_eq!(norms[0].grad_norm, 0.0);
        assert!(norms[0].weight_norm > 0.0 && norms[1].grad_norm > 0.0);
        let histograms = histograms(&model, 1.0).unwrap();
        assert_eq!(histograms.iter().map(|histogram| histogram.level).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn histograms_count_every_element_between_its_edges() {
        let model = model(false);
        let all = [0, 1].map(|level| elements(&model, level, Tensor::grad));
        for Histogram { level, buckets } in histograms(&model, norm(&all.concat())).unwrap() {
            let (elements, count) = (&all[level], buckets.iter().map(|bucket| bucket[2]).sum::<f64>());
            assert_eq!((buckets.len(), count), (64, elements.len() as f64));
            close(buckets[0][0], elements.iter().copied().fold(f64::INFINITY, f64::min));
            close(buckets[63][1], elements.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            for [left, right, count] in buckets {
                let width = right - left;
                let inside = |margin: f64| {
                    let inside = |x: &&f64| (left - margin * width..right + margin * width).contains(*x);
                    elements.iter().filter(inside).count() as f64
                };
                // Elements at an edge, to the precision of float32, may be on either side of it.
                assert!((inside(-1e-3)..=inside(1e-3)).contains(&count), "{count} between {left} and {right}");
            }
        }
    }

    #[test]
    fn gradients_that_are_not_finite_have_no_histogram() {
        let model = model(false);
        let (_, tensor) = model.parameters().iter().next().unwrap();
        let _ = tch::no_grad(|| tensor.grad().g_mul_scalar_(f64::INFINITY));
        let levels = |found: Vec<Histogram>| found.iter().map(|histogram| histogram.level).collect::<Vec<_>>();
        assert_eq!(levels(histograms(&model, f64::NAN).unwrap()), [1]);
        let norms = norms(&model, f64::NAN).unwrap();
        assert!(!norms[0].grad_norm.is_finite() && norms[1].grad_norm.is_finite());
    }
}
