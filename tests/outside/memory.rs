//! What a program takes of the memory, by the system's own account.

use std::fs;

use megabyte::RunConfig;
use megabyte::config::DataConfig;
use megabyte::generate::SampleConfig;
use megabyte::modality::Modality;
use megabyte::model::{Megabyte, folder};
use megabyte::train::memory::{self, Footprint};
use megabyte::train::{Dtype, TrainConfig, fit};
use tch::{Device, Kind, Tensor};

use crate::common::models::hierarchy;
use crate::{Done, Lack, lacks};

/// The system lets a program begin its peak anew.
fn account() -> Done {
    match fs::write("/proc/self/clear_refs", "5") {
        Ok(()) => Ok(()),
        Err(error) => lacks(&format!("a peak of memory that can be reset: /proc/self/clear_refs: {error}")),
    }
}

pub fn the_peak_is_what_was_used_since_it_was_reset() -> Done {
    account()?;
    let bytes = 256 << 20;
    memory::release_cached(Device::Cpu).unwrap();
    memory::reset_peak(Device::Cpu).unwrap();
    let before = memory::used(Device::Cpu).unwrap();
    let large = Tensor::ones([bytes], (Kind::Uint8, Device::Cpu));
    drop(large);
    memory::release_cached(Device::Cpu).unwrap();
    let peak = memory::take_peak(Device::Cpu).unwrap();
    assert!(peak >= before + bytes as u64 * 9 / 10, "{peak} after {before}");
    let again = memory::peak(Device::Cpu).unwrap();
    assert!(again < peak - bytes as u64 / 2, "{again} is no new peak after {peak}");
    assert!(memory::available(Device::Cpu).unwrap() < memory::total(Device::Cpu).unwrap());
    Ok(())
}

/// A configuration whose tensors are large beside all else in memory: 200 MB of weights, nearly all in the first level.
fn large() -> Result<RunConfig, Lack> {
    account()?;
    let train = TrainConfig { bytes_per_step: 64, micro_batch: 1, dtype: Dtype::Float32, ..TrainConfig::default() };
    let mut model = hierarchy(&[(4, 1024, 4, 2), (1, 16, 1, 2)], 64);
    model.vocab = 257;
    Ok(RunConfig { data: DataConfig::new(Modality::Text), model, train, sample: SampleConfig::default() })
}

pub fn a_trial_has_the_averages_and_holds_the_levels_that_the_run_does() -> Done {
    let plain = large()?;
    let peak = |config: &RunConfig| fit::within(config, Device::Cpu, 1 << 40).unwrap().peak;
    let least = |config: &RunConfig| Footprint::of(config, Device::Cpu).least(Device::Cpu);
    let (mut averaged, mut held) = (plain.clone(), plain.clone());
    averaged.train.ema = 0.9;
    held.train.freeze_levels = vec![0];
    // What libtorch loads at first is in the first trial.
    let _first = peak(&plain);
    let [of_plain, of_averaged, of_held] = [&plain, &averaged, &held].map(peak);
    for (more, less, by_formula) in
        [(of_averaged, of_plain, least(&averaged) - least(&plain)), (of_plain, of_held, least(&plain) - least(&held))]
    {
        let share = (more as f64 - less as f64) / by_formula as f64;
        // What a thread's heap keeps is in no trial.
        assert!((0.75..1.25).contains(&share), "{more} - {less}, by formula {by_formula}");
    }
    assert!(of_plain >= least(&plain), "{of_plain}");
    Ok(())
}

pub fn saving_takes_one_copy_of_the_weights() -> Done {
    let config = large()?;
    let root = tempfile::tempdir().unwrap();
    let model = Megabyte::new(&config.model, Kind::Float, Device::Cpu, 1).unwrap();
    memory::release_cached(Device::Cpu).unwrap();
    memory::reset_peak(Device::Cpu).unwrap();
    let before = memory::used(Device::Cpu).unwrap();
    folder::save(root.path(), &config.data.layout().unwrap(), &model).unwrap();
    let taken = memory::peak(Device::Cpu).unwrap() - before;
    let weights = Footprint::of(&config, Device::Cpu).weights;
    assert!(taken < weights + weights / 2, "{taken} for weights of {weights}");
    Ok(())
}
