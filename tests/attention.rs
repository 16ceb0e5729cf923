//! The kernel for short sequences against libtorch's attention: outputs and gradients, at every size that it takes.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

use megabyte::native::{short_attention, suits_short_attention};
use tch::{Device, Kind, Tensor};

/// Three of (S, H, n, E) as views of one (S, n, 3, H, E), as the model has them.
fn inputs(shape: [i64; 4], kind: Kind, seed: i64) -> (Tensor, [Tensor; 3]) {
    tch::manual_seed(seed);
    let [sequences, heads, units, features] = shape;
    let packed = Tensor::randn([sequences, units, 3, heads, features], (Kind::Double, Device::Cpu)).to_kind(kind);
    let packed = packed.set_requires_grad(true);
    let views = packed.unbind(2);
    let views = [0, 1, 2].map(|i| views[i].transpose(1, 2));
    (packed, views)
}

fn largest(x: &Tensor) -> f64 {
    f64::try_from(x.abs().max()).unwrap()
}

/// Output and gradient of our kernel in `kind`, and libtorch's in float64 from the same numbers.
fn compare(shape: [i64; 4], kind: Kind, tolerance: f64) {
    let (packed, [q, k, v]) = inputs(shape, kind, shape.iter().sum());
    assert!(suits_short_attention(&q));
    let out = short_attention(&q, &k, &v).unwrap();
    let weight = Tensor::randn_like(&out);
    (&out * &weight).sum(Kind::Double).backward();

    let exact = packed.detach().to_kind(Kind::Double).set_requires_grad(true);
    let views = exact.unbind(2);
    let [q, k, v] = [0, 1, 2].map(|i| views[i].transpose(1, 2));
    let scores = q.matmul(&k.transpose(-1, -2)) / (shape[3] as f64).sqrt();
    let later = Tensor::ones([shape[2], shape[2]], (Kind::Bool, Device::Cpu)).triu(1);
    let expected = scores.masked_fill(&later, f64::NEG_INFINITY).softmax(-1, Kind::Double).matmul(&v);
    (&expected * weight.to_kind(Kind::Double)).sum(Kind::Double).backward();

    for (what, ours, theirs) in [("output", out.detach(), expected.detach()), ("gradient", packed.grad(), exact.grad())]
    {
        let difference = largest(&(ours.to_kind(Kind::Double) - &theirs)) / largest(&theirs);
        assert!(difference <= tolerance, "{shape:?} {kind:?}: the {what} differs by {difference:e}");
    }
}

#[test]
fn equals_plain_attention_at_every_size() {
    for units in [1, 2, 3, 7, 8, 15, 16] {
        for features in [1, 2, 5, 16, 64, 127, 128] {
            compare([3, 2, units, features], Kind::Double, 1e-12);
            compare([3, 2, units, features], Kind::Float, 1e-5);
            compare([3, 2, units, features], Kind::BFloat16, 2e-2);
        }
    }
    // More pairs of sequence and head than one thread takes.
    compare([40, 3, 8, 64], Kind::Double, 1e-12);
}

#[test]
fn larger_sizes_are_libtorchs_and_refused_here() {
    for shape in [[1, 1, 17, 8], [1, 1, 8, 129]] {
        let (_, [q, k, v]) = inputs(shape, Kind::Float, 0);
        assert!(!suits_short_attention(&q));
        assert!(short_attention(&q, &k, &v).is_err());
    }
    let (_, [q, ..]) = inputs([1, 2, 4, 8], Kind::Float, 0);
    let (_, [k, ..]) = inputs([1, 2, 5, 8], Kind::Float, 0);
    assert!(short_attention(&q, &k, &k).is_err(), "shapes differ");
}
