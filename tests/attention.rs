//! The kernels for attention on a CPU against plain arithmetic: outputs and gradients, at sizes of all kinds.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

use megabyte::native::attention::{Dropout, Level, Sight, attend, level, levels, limited_to, suits};
use tch::{Device, Kind, Tensor};

/// What a test does, at every level that this CPU has.
fn at_every_level(work: impl Fn()) {
    for level in levels().unwrap() {
        limited_to(level, &work);
    }
}

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

/// A number that is not like its neighbours' (SplitMix64).
fn mixed(seed: u64, row: u64) -> u64 {
    let mut z = seed.wrapping_add((row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the weights (S, H, n, r + n) of all queries are multiplied with: 0, or the scale of those that stay.
fn factors([sequences, heads, units, _]: [i64; 4], before: i64, dropout: Dropout) -> Tensor {
    let below = (dropout.share * 2f64.powi(32)).round();
    let scale = 1.0 / (1.0 - below / 2f64.powi(32));
    let mut all = Vec::new();
    for row in 0..(sequences * heads * units) as u64 {
        let key = mixed(dropout.seed, row);
        for j in 0..(before + units) as u32 {
            let mut x = (key as u32).wrapping_add(j.wrapping_mul(0x9E37_79B9));
            x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
            x = (x ^ (x >> 15)).wrapping_add((key >> 32) as u32).wrapping_mul(0x846C_A68B);
            x ^= x >> 16;
            all.push(if f64::from(x) >= below { scale } else { 0.0 });
        }
    }
    Tensor::from_slice(&all).view([sequences, heads, units, before + units])
}

/// Output and gradient of our kernel in `kind`, and plain arithmetic in float64 on the same numbers. Of `parents`
/// consecutive sequences each but the first also sees the last `before` keys of the one before it; a query sees the last
/// `window` of all these. Of the weights a `share` is dropped.
fn compare(shape: [i64; 4], [before, parents]: [i64; 2], window: Option<i64>, share: f64, kind: Kind) {
    let tolerance = match kind {
        Kind::Double => 1e-12,
        Kind::Float => 1e-5,
        _ => 2e-2,
    };
    let [sequences, heads, units, features] = shape;
    let (packed, [q, k, v]) = inputs(shape, kind, shape.iter().sum::<i64>() + before);
    let sight = Sight { before, parents, window };
    let at = level().unwrap();
    let case = format!("{at}: {shape:?}, {before} before, window {window:?}, {share} dropped, {kind:?}");
    assert!(suits(&q, sight, share), "{case}");
    let dropout = Dropout { share, seed: 0xFEED_5EED_0DD5 + shape[2] as u64 };
    let out = attend(&q, &k, &v, sight, dropout).unwrap();
    let weight = Tensor::randn_like(&out);
    (&out * &weight).sum(Kind::Double).backward();

    // One attention over all units of all parents of a sequence, and a mask that says who sees whom.
    let exact = packed.detach().to_kind(Kind::Double).set_requires_grad(true);
    let views = exact.unbind(2);
    let rows = sequences / parents;
    let long = |x: &Tensor| x.reshape([rows, parents * units, heads, features]).transpose(1, 2);
    let [q, k, v] = [0, 1, 2].map(|i| long(&views[i]));
    let scores = q.matmul(&k.transpose(-1, -2)) / (features as f64).sqrt();
    let place = Tensor::arange(parents * units, (Kind::Int64, Device::Cpu));
    let parent = place.divide_scalar_mode(units, "floor");
    let behind = (parent.unsqueeze(1) - &parent).eq(1).logical_and(&place.remainder(units).ge(units - before));
    let own = parent.unsqueeze(1).eq_tensor(&parent).logical_and(&place.unsqueeze(1).ge_tensor(&place));
    // From the end of the parent before to this one no unit is left out.
    let near = (place.unsqueeze(1) - &place).lt(window.unwrap_or(i64::MAX));
    let hidden = own.logical_or(&behind).logical_and(&near).logical_not();
    let weights = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double);
    let weights = if share > 0.0 {
        // Of each parent, the factors of its own keys and of those before, each at its place in the sequence.
        let factors = factors(shape, before, dropout).view([rows, parents, heads, units, before + units]);
        let wide = Tensor::zeros([rows, parents, heads, units, before + parents * units], (Kind::Double, Device::Cpu));
        for parent in 0..parents {
            let here = wide.select(1, parent).narrow(3, parent * units, before + units);
            here.shallow_clone().copy_(&factors.select(1, parent));
        }
        let wide = wide.narrow(4, before, parents * units).transpose(1, 2);
        weights * wide.reshape([rows, heads, parents * units, parents * units])
    } else {
        weights
    };
    let expected = weights.matmul(&v);
    let expected = expected.transpose(1, 2).reshape([sequences, units, heads, features]).transpose(1, 2);
    (&expected * weight.to_kind(Kind::Double)).sum(Kind::Double).backward();

    for (what, ours, theirs) in [("output", out.detach(), expected.detach()), ("gradient", packed.grad(), exact.grad())]
    {
        let difference = largest(&(ours.to_kind(Kind::Double) - &theirs)) / largest(&theirs);
        assert!(difference <= tolerance, "{case}: the {what} differs by {difference:e}");
    }
}

/// The types of the kernel for short sequences of so many units, at the thread's level.
fn short(units: i64) -> Vec<Kind> {
    let narrow = level().unwrap() == Level::None && units > 8;
    if narrow { vec![Kind::BFloat16] } else { vec![Kind::Double, Kind::Float, Kind::BFloat16] }
}

#[test]
fn equals_plain_attention_at_every_short_size() {
    at_every_level(|| {
        for units in [1, 2, 3, 7, 8, 15, 16] {
            for features in [1, 2, 5, 16, 64, 127, 128] {
                for kind in short(units) {
                    compare([3, 2, units, features], [0, 1], None, 0.0, kind);
                    compare([2, 2, units, features], [0, 1], None, 0.3, kind);
                }
            }
        }
        // More pairs of sequence and head than one thread takes.
        compare([40, 3, 8, 64], [0, 1], None, 0.0, Kind::Double);
    });
}

/// The types of the kernel in blocks, at the thread's level.
fn blocked() -> Vec<Kind> {
    if level().unwrap() == Level::None { vec![] } else { vec![Kind::Float, Kind::BFloat16] }
}

#[test]
fn equals_plain_attention_around_the_edges_of_blocks() {
    at_every_level(|| {
        for kind in blocked() {
            for units in [17, 33, 63, 64, 65, 100, 127, 128, 129, 200, 333] {
                for features in [2, 16, 48, 64, 130, 256] {
                    // Where nothing is dropped, float32 is libtorch's if blocks are far from full.
                    if kind == Kind::BFloat16 || units == 64 || units >= 100 {
                        compare([3, 2, units, features], [0, 1], None, 0.0, kind);
                    }
                }
                compare([3, 2, units, 48], [0, 1], None, 0.4, kind);
            }
            // One head, whose blocks several threads share, and more heads than threads.
            compare([1, 1, 700, 64], [0, 1], None, 0.1, kind);
            compare([9, 5, 100, 32], [0, 1], None, 0.0, kind);
        }
    });
}

#[test]
fn attends_to_the_end_of_the_sequence_before() {
    at_every_level(|| {
        for units in [1, 2, 8, 16] {
            for before in [1, 2, 5, 16].into_iter().filter(|&before| before <= units) {
                for (kind, parents) in short(units).into_iter().zip([3, 6, 2]) {
                    compare([6, 2, units, 16], [before, parents], None, 0.0, kind);
                    compare([6, 2, units, 16], [before, parents], None, 0.2, kind);
                }
            }
        }
        // More sequences than go back together.
        compare([80, 3, 8, 64], [8, 40], None, 0.1, Kind::Double);
        for kind in blocked() {
            for (units, before) in [(48, 1), (48, 48), (64, 64), (65, 3), (100, 63), (100, 65), (192, 128), (192, 192)]
            {
                compare([6, 2, units, 16], [before, 3], None, 0.0, kind);
                compare([6, 2, units, 16], [before, 3], None, 0.2, kind);
            }
            compare([22, 2, 40, 16], [7, 11], None, 0.1, kind);
        }
    });
}

#[test]
fn keys_that_do_not_follow_each_other_are_brought_in_line() {
    // (S, H, n, E) as it is written, where the end of one sequence is far from the begin of the next.
    let sight = Sight { before: 3, parents: 4, window: None };
    let (_, [q, k, v]) = inputs([8, 2, 8, 16], Kind::Double, 1);
    let expected = attend(&q, &k, &v, sight, Dropout::NONE).unwrap();
    let found = attend(&q, &k.contiguous(), &v.contiguous(), sight, Dropout::NONE).unwrap();
    assert_eq!(largest(&(found - expected)), 0.0);
}

#[test]
fn attends_to_a_window() {
    at_every_level(|| {
        for kind in blocked() {
            for (units, window) in [(40, 1), (64, 2), (100, 63), (100, 64), (100, 65), (300, 7), (300, 128), (300, 129)]
            {
                compare([2, 2, units, 16], [0, 1], Some(window), 0.0, kind);
                compare([2, 2, units, 16], [0, 1], Some(window), 0.5, kind);
            }
            compare([6, 2, 70, 16], [70, 3], Some(50), 0.2, kind);
        }
    });
}

#[test]
fn the_share_that_is_asked_for_is_dropped_evenly() {
    // With equal scores and values of 1, each output is the share of its weights that stays, times the scale.
    // Without vectors, longer sequences are libtorch's.
    let none = level().unwrap() == Level::None;
    let cases = if none { vec![(8, Kind::Double)] } else { vec![(16, Kind::Double), (512, Kind::Float)] };
    for (units, kind) in cases {
        let zeros = Tensor::zeros([64, 4, units, 8], (kind, Device::Cpu));
        let ones = zeros.ones_like();
        for share in [0.1, 0.5, 0.9] {
            let dropout = Dropout { share, seed: 7 };
            let kept = attend(&zeros, &zeros, &ones, Sight::OWN, dropout).unwrap().select(3, 0).to_kind(Kind::Double);
            let keys = Tensor::arange(units, (Kind::Double, Device::Cpu)) + 1.0;
            // Sums of independent draws: expectation 1 and this deviation, for a query and for the mean of all.
            let deviation = (share / (1.0 - share) / &keys).sqrt();
            let unlikely = ((&kept - 1.0) / &deviation).square().mean(Kind::Double);
            let count = (64 * 4 * units) as f64;
            assert!((f64::try_from(unlikely).unwrap() - 1.0).abs() < 12.0 / count.sqrt(), "{share} of {units}");
            // By the place of the query, and by sequence: none is favoured.
            for over in [vec![0, 1], vec![1, 2]] {
                let mean = ((&kept - 1.0) / &deviation).mean_dim(over.as_slice(), false, Kind::Double);
                let each = count / mean.numel() as f64;
                assert!(largest(&mean) < 5.5 / each.sqrt(), "{share} of {units}, over {over:?}: {}", largest(&mean));
            }
        }
    }
}

#[test]
fn dropout_draws_from_libtorchs_generator_and_only_where_it_is_asked_for() {
    // In a process of its own this would be exact; here other tests draw too.
    assert_eq!(Dropout::draw(0.0).unwrap(), Dropout::NONE);
    let seeds: std::collections::HashSet<u64> = (0..100).map(|_| Dropout::draw(0.1).unwrap().seed).collect();
    assert_eq!(seeds.len(), 100);
    let (_, [q, k, v]) = inputs([4, 2, 8, 16], Kind::Double, 1);
    let with = |share, seed| attend(&q, &k, &v, Sight::OWN, Dropout { share, seed });
    assert_eq!(with(0.2, 1).unwrap(), with(0.2, 1).unwrap());
    assert_ne!(with(0.2, 1).unwrap(), with(0.2, 2).unwrap());
    for share in [1.0, -0.1, f64::NAN] {
        assert!(with(share, 1).is_err(), "{share}");
    }
}

#[test]
fn scores_that_are_large_or_no_numbers_are_kept() {
    at_every_level(|| {
        for kind in blocked() {
            let (_, [q, k, v]) = inputs([1, 1, 128, 16], kind, 3);
            // The first queries find their own key, which is far above the others.
            let own = Tensor::eye(128, (Kind::Double, Device::Cpu)).narrow(1, 0, 16) * 1e4;
            let own = own.view([1, 1, 128, 16]).to_kind(kind);
            let found = attend(&own, &own, &v, Sight::OWN, Dropout::NONE).unwrap();
            let found = found.narrow(2, 0, 16).to_kind(Kind::Double);
            assert!(largest(&(found - v.narrow(2, 0, 16))) < 1e-6, "{kind:?}");
            // A key that is not a number spoils the queries from it on, and none before.
            let spoilt = k.detach().copy();
            let _ = spoilt.narrow(2, 70, 1).fill_(f64::NAN);
            let found = attend(&q.detach(), &spoilt, &v.detach(), Sight::OWN, Dropout::NONE).unwrap().isnan();
            assert!(!bool::try_from(found.narrow(2, 0, 70).any()).unwrap(), "{kind:?}");
            assert!(bool::try_from(found.narrow(2, 70, 58).all()).unwrap(), "{kind:?}");
        }
    });
}

#[test]
fn threads_change_nothing() {
    at_every_level(|| {
        for (kind, units) in blocked().into_iter().map(|kind| (kind, 300)).chain([(Kind::Float, 8)]) {
            // Sequences that see the end of the one before go back in pieces.
            for before in [0, units.min(7)] {
                let sight = Sight { before, parents: 40, window: None };
                let found: Vec<[Tensor; 2]> = [1, 2, 5]
                    .map(|threads| {
                        tch::set_num_threads(threads);
                        let (packed, [q, k, v]) = inputs([40, 3, units, 16], kind, 1);
                        let out = attend(&q, &k, &v, sight, Dropout { share: 0.1, seed: 5 }).unwrap();
                        out.square().sum(Kind::Float).backward();
                        [out.detach(), packed.grad()]
                    })
                    .into();
                for other in &found[1..] {
                    assert_eq!(&found[0], other, "{kind:?}, {units} units, {before} before");
                }
            }
        }
    });
}

#[test]
fn other_sizes_are_libtorchs_and_refused_here() {
    let refused = |q: &Tensor, k: &Tensor, sight: Sight| attend(q, k, k, sight, Dropout::NONE).is_err();
    for (shape, kind) in [
        ([1, 1, 17, 8], Kind::Double),
        ([1, 1, 32, 8], Kind::Float),
        ([1, 1, 64, 257], Kind::Float),
        ([1, 1, 64, 63], Kind::BFloat16),
    ] {
        let (_, [q, ..]) = inputs(shape, kind, 0);
        assert!(!suits(&q, Sight::OWN, 0.0));
        assert!(refused(&q, &q, Sight::OWN));
    }
    // In double precision the kernel for short sequences is the only one.
    let (_, [double, ..]) = inputs([1, 2, 4, 8], Kind::Double, 0);
    assert!(!suits(&double, Sight { before: 17, ..Sight::OWN }, 0.0));
    let (_, [q, ..]) = inputs([1, 2, 4, 8], Kind::Float, 0);
    assert!(refused(&q, &q, Sight { window: Some(0), ..Sight::OWN }));
    assert!(refused(&q, &q, Sight { before: 5, ..Sight::OWN }), "more than a sequence has");
    assert!(refused(&q, &q, Sight { parents: 2, ..Sight::OWN }), "one sequence is no two");
    for other in [[1, 3, 4, 8], [1, 2, 3, 8], [1, 2, 21, 8], [2, 2, 4, 8], [1, 2, 4, 9]] {
        let (_, [k, ..]) = inputs(other, Kind::Float, 0);
        assert!(refused(&q, &k, Sight::OWN), "{other:?}");
    }
}

#[test]
fn without_vectors_long_sequences_are_libtorchs() {
    limited_to(Level::None, || {
        for (units, kind) in [(16, Kind::Float), (16, Kind::Double), (64, Kind::Float), (64, Kind::BFloat16)] {
            assert!(!suits(&inputs([1, 1, units, 64], kind, 0).1[0], Sight::OWN, 0.0), "{units} units, {kind:?}");
        }
        assert!(suits(&inputs([1, 1, 8, 64], Kind::Float, 0).1[0], Sight::OWN, 0.0));
        assert_eq!(level().unwrap(), Level::None);
    });
}

#[test]
fn the_level_is_what_the_environment_allows() {
    if std::env::var_os("SAY_LEVEL").is_some() {
        println!("the level is {:?}", level().map(Level::name).map_err(|error| error.to_string()));
        return;
    }
    let best = level().unwrap();
    for (variable, value, most) in [
        ("MEGABYTE_CPU_LEVEL", "none", Level::None),
        ("MEGABYTE_CPU_LEVEL", "avx2", Level::Avx2),
        ("MEGABYTE_CPU_LEVEL", "avx512_bf16", Level::Avx512Bf16),
        ("ATEN_CPU_CAPABILITY", "default", Level::None),
        ("ATEN_CPU_CAPABILITY", "avx2", Level::Avx2),
        ("ONEDNN_MAX_CPU_ISA", "SSE41", Level::None),
        ("ONEDNN_MAX_CPU_ISA", "avx2", Level::Avx2),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", Level::Avx512),
    ] {
        // This test program again, for this test.
        let program = std::env::current_exe().unwrap();
        let mut command = std::process::Command::new(program);
        command.args(["--exact", "the_level_is_what_the_environment_allows", "--nocapture"]);
        let output = command.env("SAY_LEVEL", "1").env(variable, value).output().unwrap();
        let expected = format!("the level is Ok({:?})", best.min(most).name());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&expected), "{variable}={value}: {said}");
    }
}
