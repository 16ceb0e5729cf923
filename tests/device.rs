//! What has to hold on whatever device computes, the one that `MEGABYTE_DEVICE` names.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod common;

use common::device::{device, named};
use common::models::{hierarchy, random_symbols, randomise};
use megabyte::data::{Batch, PAD};
use megabyte::model::{Megabyte, loss};
use megabyte::native::{cuda, numerics};
use megabyte::train::{memory, shortage};
use tch::{Device, Kind, Tensor};

#[test]
fn only_devices_that_are_there_are_taken() {
    assert_eq!(named("cpu", 0), Ok(Device::Cpu));
    assert_eq!(named("cuda", 1), Ok(Device::Cuda(0)));
    assert_eq!(named("cuda:1", 2), Ok(Device::Cuda(1)));
    for name in ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1", "cuda:2"] {
        assert!(named(name, 1).is_err(), "{name}");
    }
    assert!(named("cuda", 0).unwrap_err().contains("0 CUDA devices"));
}

/// Attention of a tenth that is dropped, in the type and with the number of keys that training has: where all scores are
/// equal and the values are rows of an identity, what comes out are the weights.
#[test]
fn dropout_drops_the_share_that_is_asked_for() {
    // What builds a model sets how its device computes.
    let model = Megabyte::new(&hierarchy(&[(4, 8, 1, 2), (1, 8, 1, 2)], 16), Kind::BFloat16, device(), 0).unwrap();
    if model.device().is_cuda() {
        assert!(!cuda::cudnn_attention().unwrap());
        assert!(!numerics::convolutions_in_tf32().unwrap());
    }
    let (heads, keys, features) = (16, 1024, 64);
    let scores = Tensor::zeros([1, heads, keys, features], (Kind::BFloat16, device()));
    let values = Tensor::eye(keys, (Kind::BFloat16, device())).narrow(1, 0, features).expand_as(&scores).contiguous();
    for share in [0.1, 0.3] {
        let out =
            Tensor::scaled_dot_product_attention(&scores, &scores, &values, None::<&Tensor>, share, false, None, false);
        let dropped = f64::try_from(out.eq(0.0).to_kind(Kind::Double).mean(Kind::Double)).unwrap();
        // A million weights: five standard deviations are below 0.002.
        assert!((dropped - share).abs() < 0.003, "{dropped} for {share}");
        let kept = f64::try_from(out.max().to_kind(Kind::Double)).unwrap();
        assert!((kept * keys as f64 * (1.0 - share) - 1.0).abs() < 0.01, "what is kept is {kept} for {share}");
    }
}

#[test]
fn more_sequences_than_a_kernel_takes_at_once_are_what_they_are_apart() {
    let config = hierarchy(&[(2, 8, 1, 2), (1, 8, 1, 2)], 32);
    let model = Megabyte::new(&config, Kind::Float, device(), 0).unwrap();
    randomise(&model, 1, 0.3);
    // 16 patches in each of 4,100 sequences are more than the 65,535 rows of a CUDA grid.
    let symbols = random_symbols(&config, 4_100, 32, 2);
    let _guard = tch::no_grad_guard();
    let together = model.forward(&symbols, 0.0).unwrap();
    for (from, count) in [(0, 50), (4_050, 50)] {
        let apart = model.forward(&symbols.narrow(0, from, count), 0.0).unwrap();
        let difference = f64::try_from((together.narrow(0, from, count) - apart).abs().max()).unwrap();
        assert!(difference < 1e-4, "from {from} on: {difference:e}");
    }
}

#[test]
fn more_memory_than_the_device_has_is_an_error_and_work_goes_on() {
    let all = memory::total(device()).unwrap() as i64;
    let taken = || shortage::catch(|| Ok(tch::no_grad(|| Tensor::empty([1 << 20, all], (Kind::Uint8, device())))));
    assert!(matches!(taken(), Err(megabyte::Error::Memory(reason)) if !reason.is_empty()));
    let one = Tensor::ones([4], (Kind::Float, device())).sum(Kind::Float);
    assert_eq!(f64::try_from(one).unwrap(), 4.0);
}

#[test]
fn a_batch_arrives_as_it_is() {
    let symbols: Vec<i16> = (0..600).map(|i| if i % 7 == 6 { PAD } else { i % 257 }).collect();
    let wide: Vec<i64> = symbols.iter().map(|&symbol| symbol.into()).collect();
    let arrived = loss::to_device(&Batch { symbols, rows: 20, cols: 30 }, device()).unwrap();
    assert_eq!((arrived.device(), arrived.kind(), arrived.size()), (device(), Kind::Int64, vec![20, 30]));
    assert_eq!(Vec::<i64>::try_from(arrived.view(-1)).unwrap(), wide);
}
