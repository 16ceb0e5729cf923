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

/// Output and gradient of our kernel in `kind`, and plain arithmetic in float64 on the same numbers. Of `parents`
/// consecutive sequences each but the first also sees the last `before` keys of the one before it.
fn compare(shape: [i64; 4], before: i64, parents: i64, kind: Kind, tolerance: f64) {
    let [sequences, heads, units, features] = shape;
    let (packed, [q, k, v]) = inputs(shape, kind, shape.iter().sum::<i64>() + before);
    assert!(suits_short_attention(&q, before));
    // Keys that no query may see are wild: they must not show.
    let tail = |x: &Tensor| {
        let tails = x.narrow(2, units - before, before).view([-1, parents, heads, before, features]);
        let wild = Tensor::full_like(&tails.narrow(1, 0, 1), 1e30);
        Tensor::cat(&[wild, tails.narrow(1, 0, parents - 1)], 1).view([sequences, heads, before, features])
    };
    let joined =
        |x: &Tensor| if before == 0 { x.shallow_clone() } else { Tensor::cat(&[tail(x), x.shallow_clone()], 2) };
    let out = short_attention(&q, &joined(&k), &joined(&v), parents).unwrap();
    let weight = Tensor::randn_like(&out);
    (&out * &weight).sum(Kind::Double).backward();

    // One attention over all units of all parents of a sequence, and a mask that says who sees whom.
    let exact = packed.detach().to_kind(Kind::Double).set_requires_grad(true);
    let views = exact.unbind(2);
    let long = |x: &Tensor| x.reshape([-1, parents * units, heads, features]).transpose(1, 2);
    let [q, k, v] = [0, 1, 2].map(|i| long(&views[i]));
    let scores = q.matmul(&k.transpose(-1, -2)) / (features as f64).sqrt();
    let place = Tensor::arange(parents * units, (Kind::Int64, Device::Cpu));
    let parent = place.divide_scalar_mode(units, "floor");
    let behind = (parent.unsqueeze(1) - &parent).eq(1).logical_and(&place.remainder(units).ge(units - before));
    let own = parent.unsqueeze(1).eq_tensor(&parent).logical_and(&place.unsqueeze(1).ge_tensor(&place));
    let hidden = own.logical_or(&behind).logical_not();
    let expected = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double).matmul(&v);
    let expected = expected.transpose(1, 2).reshape([sequences, units, heads, features]).transpose(1, 2);
    (&expected * weight.to_kind(Kind::Double)).sum(Kind::Double).backward();

    for (what, ours, theirs) in [("output", out.detach(), expected.detach()), ("gradient", packed.grad(), exact.grad())]
    {
        let difference = largest(&(ours.to_kind(Kind::Double) - &theirs)) / largest(&theirs);
        assert!(difference <= tolerance, "{shape:?}, {before} before, {kind:?}: the {what} differs by {difference:e}");
    }
}

#[test]
fn equals_plain_attention_at_every_size() {
    for units in [1, 2, 3, 7, 8, 15, 16] {
        for features in [1, 2, 5, 16, 64, 127, 128] {
            compare([3, 2, units, features], 0, 1, Kind::Double, 1e-12);
            compare([3, 2, units, features], 0, 1, Kind::Float, 1e-5);
            compare([3, 2, units, features], 0, 1, Kind::BFloat16, 2e-2);
        }
    }
    // More pairs of sequence and head than one thread takes.
    compare([40, 3, 8, 64], 0, 1, Kind::Double, 1e-12);
}

#[test]
fn attends_to_the_end_of_the_sequence_before() {
    for units in [1, 2, 8, 16] {
        for before in [1, 2, 5, 16] {
            if before <= units {
                compare([6, 2, units, 16], before, 3, Kind::Double, 1e-12);
                compare([6, 2, units, 16], before, 6, Kind::Float, 1e-5);
                compare([6, 2, units, 16], before, 2, Kind::BFloat16, 2e-2);
            }
        }
    }
    compare([40, 3, 8, 64], 8, 20, Kind::Double, 1e-12);
}

#[test]
fn larger_sizes_are_libtorchs_and_refused_here() {
    for shape in [[1, 1, 17, 8], [1, 1, 8, 129]] {
        let (_, [q, k, v]) = inputs(shape, Kind::Float, 0);
        assert!(!suits_short_attention(&q, 0));
        assert!(short_attention(&q, &k, &v, 1).is_err());
    }
    let (_, [q, ..]) = inputs([1, 2, 4, 8], Kind::Float, 0);
    assert!(!suits_short_attention(&q, 17));
    for other in [[1, 3, 4, 8], [1, 2, 3, 8], [1, 2, 21, 8], [2, 2, 4, 8], [1, 2, 4, 9]] {
        let (_, [k, ..]) = inputs(other, Kind::Float, 0);
        assert!(short_attention(&q, &k, &k, 1).is_err(), "{other:?}");
    }
}
