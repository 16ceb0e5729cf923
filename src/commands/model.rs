//! `--model`, with the device and the type that it computes on and in.

use std::path::PathBuf;

use megabyte::Result;
use megabyte::model::folder::{self, ModelFile};
use megabyte::model::{Megabyte, ModelConfig};
use megabyte::train::speed::Work;
use megabyte::train::{Choice, Dtype, memory};
use tch::{Device, Kind};

use super::device;
use super::terminal::say;
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
    /// The type of its matrix work.
    pub dtype: Dtype,
}

/// Where a model is, and how it is to compute.
pub struct Found {
    /// Its folder.
    pub place: PathBuf,
    /// Where it computes.
    pub device: Device,
    /// In which type: never [`Dtype::Auto`].
    pub dtype: Dtype,
}

impl Found {
    /// libtorch's name of the type.
    pub fn kind(&self) -> Kind {
        self.dtype.kind().unwrap_or(Kind::Float)
    }
}

/// Finds a model, and the type in which it is to do some work. `before` is the type of work that this call goes on with,
/// where it does with any. Fails where there is too little memory for it, of which `flag` takes more or less.
pub fn find(
    args: &ModelArgs,
    flag: &str,
    before: Option<Dtype>,
    work: impl FnOnce(&ModelConfig) -> Work,
) -> Result<Found> {
    let device = device::choose(args.device.as_deref())?;
    let asked: Dtype = args.dtype.parse()?;
    let place = folder::resolve(&args.path)?;
    let config = ModelFile::read(&place)?.model;
    let work = work(&config);
    if let (Dtype::Auto, Some(dtype)) = (asked, before) {
        let found = Found { place, device, dtype };
        memory::check_inference(&config, found.kind(), device, &work, flag)?;
        return Ok(found);
    }
    let choice = Choice::new(asked, &work, device)?;
    let warning = choice.warning(&format!("--dtype {asked}"), "leave out --dtype").filter(|_| asked != Dtype::Auto);
    if let Some(warning) = warning {
        say(&format!("warning: {warning}"));
    }
    let found = Found { place, device, dtype: choice.dtype };
    memory::check_inference(&config, found.kind(), device, &work, flag)?;
    Ok(found)
}

/// Finds a model and loads it.
pub fn open(
    args: &ModelArgs,
    flag: &str,
    before: Option<Dtype>,
    work: impl FnOnce(&ModelConfig) -> Work,
) -> Result<Opened> {
    let found = find(args, flag, before, work)?;
    let (file, model) = folder::load(&found.place, found.kind(), found.device)?;
    let Found { place, device, dtype } = found;
    Ok(Opened { place, file, model, device, dtype })
}
