//! The kernels for attention on a CPU against plain arithmetic: outputs and gradients, at sizes of all kinds.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

use megabyte::native::{attention, suits_attention};
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
/// consecutive sequences each but the first also sees the last `before` keys of the one before it; a query sees the last
/// `window` of all these.
fn compare(shape: [i64; 4], [before, parents]: [i64; 2], window: Option<i64>, kind: Kind) {
    let tolerance = match kind {
        Kind::Double => 1e-12,
        Kind::Float => 1e-5,
        _ => 2e-2,
    };
    let [sequences, heads, units, features] = shape;
    let (packed, [q, k, v]) = inputs(shape, kind, shape.iter().sum::<i64>() + before);
    assert!(suits_attention(&q, before, window), "{shape:?}, {before} before, {window:?}, {kind:?}");
    // Keys that no query may see are wild: they must not show.
    let tail = |x: &Tensor| {
        let tails = x.narrow(2, units - before, before).view([-1, parents, heads, before, features]);
        let wild = Tensor::full_like(&tails.narrow(1, 0, 1), 1e30);
        Tensor::cat(&[wild, tails.narrow(1, 0, parents - 1)], 1).view([sequences, heads, before, features])
    };
    let joined =
        |x: &Tensor| if before == 0 { x.shallow_clone() } else { Tensor::cat(&[tail(x), x.shallow_clone()], 2) };
    let out = attention(&q, &joined(&k), &joined(&v), parents, window).unwrap();
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
    // From the end of the parent before to this one no unit is left out.
    let near = (place.unsqueeze(1) - &place).lt(window.unwrap_or(i64::MAX));
    let hidden = own.logical_or(&behind).logical_and(&near).logical_not();
    let expected = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double).matmul(&v);
    let expected = expected.transpose(1, 2).reshape([sequences, units, heads, features]).transpose(1, 2);
    (&expected * weight.to_kind(Kind::Double)).sum(Kind::Double).backward();

    for (what, ours, theirs) in [("output", out.detach(), expected.detach()), ("gradient", packed.grad(), exact.grad())]
    {
        let difference = largest(&(ours.to_kind(Kind::Double) - &theirs)) / largest(&theirs);
        let case = format!("{shape:?}, {before} before, window {window:?}, {kind:?}");
        assert!(difference <= tolerance, "{case}: the {what} differs by {difference:e}");
    }
}

#[test]
fn equals_plain_attention_at_every_short_size() {
    for units in [1, 2, 3, 7, 8, 15, 16] {
        for features in [1, 2, 5, 16, 64, 127, 128] {
            for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
                compare([3, 2, units, features], [0, 1], None, kind);
            }
        }
    }
    // More pairs of sequence and head than one thread takes.
    compare([40, 3, 8, 64], [0, 1], None, Kind::Double);
}

/// The types of the kernel in blocks that this processor has.
fn blocked(features: i64) -> impl Iterator<Item = Kind> {
    let here = move |kind: &Kind| {
        let suits = suits_attention(&inputs([1, 1, 64, features], *kind, 0).1[0], 0, None);
        // Elsewhere libtorch may lack the products.
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        assert!(suits || *kind == Kind::BFloat16 && !info.contains("avx512_bf16"), "{kind:?} is not tested");
        suits
    };
    [Kind::Float, Kind::BFloat16].into_iter().filter(here)
}

#[test]
fn equals_plain_attention_around_the_edges_of_blocks() {
    for units in [33, 63, 64, 65, 100, 127, 128, 129, 200, 333] {
        for features in [2, 16, 48, 64, 130, 256] {
            for kind in blocked(features) {
                compare([3, 2, units, features], [0, 1], None, kind);
            }
        }
    }
    for kind in blocked(64).filter(|&kind| kind == Kind::BFloat16) {
        for units in [17, 24, 32] {
            compare([3, 2, units, 64], [0, 1], None, kind);
        }
    }
    for kind in blocked(64) {
        // One head, whose blocks several threads share, and more heads than threads.
        compare([1, 1, 700, 64], [0, 1], None, kind);
        compare([9, 5, 70, 32], [0, 1], None, kind);
    }
}

#[test]
fn attends_to_the_end_of_the_sequence_before() {
    for units in [1, 2, 8, 16] {
        for before in [1, 2, 5, 16] {
            if before <= units {
                compare([6, 2, units, 16], [before, 3], None, Kind::Double);
                compare([6, 2, units, 16], [before, 6], None, Kind::Float);
                compare([6, 2, units, 16], [before, 2], None, Kind::BFloat16);
            }
        }
    }
    compare([40, 3, 8, 64], [8, 20], None, Kind::Double);
    for (units, before) in [(48, 1), (48, 48), (64, 64), (65, 3), (100, 63), (100, 65), (192, 128), (192, 192)] {
        for kind in blocked(16) {
            compare([6, 2, units, 16], [before, 3], None, kind);
        }
    }
}

#[test]
fn attends_to_a_window() {
    for (units, window) in [(40, 1), (64, 2), (100, 63), (100, 64), (100, 65), (300, 7), (300, 128), (300, 129)] {
        for kind in blocked(16) {
            compare([2, 2, units, 16], [0, 1], Some(window), kind);
        }
    }
    for kind in blocked(16) {
        compare([6, 2, 70, 16], [70, 3], Some(50), kind);
    }
}

#[test]
fn scores_that_are_large_or_no_numbers_are_kept() {
    for kind in blocked(16) {
        let (_, [q, k, v]) = inputs([1, 1, 128, 16], kind, 3);
        // The first queries find their own key, which is far above the others.
        let own = Tensor::eye(128, (Kind::Double, Device::Cpu)).narrow(1, 0, 16) * 1e4;
        let own = own.view([1, 1, 128, 16]).to_kind(kind);
        let found = attention(&own, &own, &v, 1, None).unwrap().narrow(2, 0, 16).to_kind(Kind::Double);
        assert!(largest(&(found - v.narrow(2, 0, 16))) < 1e-6, "{kind:?}");
        // A key that is not a number spoils the queries from it on, and none before.
        let spoilt = k.detach().copy();
        let _ = spoilt.narrow(2, 70, 1).fill_(f64::NAN);
        let found = attention(&q.detach(), &spoilt, &v.detach(), 1, None).unwrap().isnan();
        assert!(!bool::try_from(found.narrow(2, 0, 70).any()).unwrap(), "{kind:?}");
        assert!(bool::try_from(found.narrow(2, 70, 58).all()).unwrap(), "{kind:?}");
    }
}

#[test]
fn threads_change_nothing() {
    for kind in blocked(64) {
        let found: Vec<[Tensor; 2]> = [1, 2, 5]
            .map(|threads| {
                tch::set_num_threads(threads);
                let (packed, [q, k, v]) = inputs([2, 3, 300, 64], kind, 1);
                let out = attention(&q, &k, &v, 1, None).unwrap();
                out.square().sum(Kind::Float).backward();
                [out.detach(), packed.grad()]
            })
            .into();
        for other in &found[1..] {
            assert_eq!(&found[0], other, "{kind:?}");
        }
    }
}

#[test]
fn other_sizes_are_libtorchs_and_refused_here() {
    for (shape, kind) in [
        ([1, 1, 17, 8], Kind::Double),
        ([1, 1, 17, 8], Kind::Float),
        ([1, 1, 64, 257], Kind::Float),
        ([1, 1, 64, 63], Kind::BFloat16),
    ] {
        let (_, [q, k, v]) = inputs(shape, kind, 0);
        assert!(!suits_attention(&q, 0, None));
        assert!(attention(&q, &k, &v, 1, None).is_err());
    }
    let (_, [q, ..]) = inputs([1, 2, 4, 8], Kind::Float, 0);
    assert!(!suits_attention(&q, 17, None));
    assert!(attention(&q, &q, &q, 1, Some(0)).is_err());
    for other in [[1, 3, 4, 8], [1, 2, 3, 8], [1, 2, 21, 8], [2, 2, 4, 8], [1, 2, 4, 9]] {
        let (_, [k, ..]) = inputs(other, Kind::Float, 0);
        assert!(attention(&q, &k, &k, 1, None).is_err(), "{other:?}");
    }
}
