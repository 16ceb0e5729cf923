//! `--model`, with the device and the type that it computes on and in.

use std::path::PathBuf;

use megabyte::Result;
use megabyte::model::Megabyte;
use megabyte::model::folder::{self, ModelFile};
use megabyte::train::{Dtype, memory};
use tch::{Device, Kind};

use super::device;
use crate::cli::ModelArgs;

/// A model that was loaded for inference.
pub struct Opened {
    /// Its folder.
    pub place: PathBuf,
    /// What its `config.json` says.
    pub file: ModelFile,
    /// The model.
    pub model: Megabyte,
    /// Where it is.
    pub device: Device,
}

/// Where a model is, and how it is to compute. Fails where there is too little memory for its weights.
pub fn find(args: &ModelArgs) -> Result<(PathBuf, Kind, Device)> {
    let device = device::choose(args.device.as_deref())?;
    let kind = args.dtype.parse::<Dtype>()?.kind();
    let place = folder::resolve(&args.path)?;
    memory::check_inference(&ModelFile::read(&place)?.model, kind, device)?;
    Ok((place, kind, device))
}

/// Finds a model and loads it.
pub fn open(args: &ModelArgs) -> Result<Opened> {
    let (place, kind, device) = find(args)?;
    let (file, model) = folder::load(&place, kind, device)?;
    Ok(Opened { place, file, model, device })
}
