//! A model folder: `config.json`, which says what the model and its bytes are, and `model.safetensors`.

use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use xxhash_rust::xxh3::Xxh3Default;

use super::checksums::{self, CHECKSUMS};
use super::siblings::{newest_whole, with_remedy};
use super::tensors::TensorFile;
use super::{Megabyte, ModelConfig};
use crate::error::IoContext;
use crate::modality::Layout;
use crate::native::memory::copy_to_host;
use crate::shown::shown;
use crate::{Error, Result};

const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// `config.json`: `{"format": 1, "modality": …, "layout": {…}, "model": {…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// The version of this file.
    pub format: u32,
    /// How the bytes are laid out.
    #[serde(flatten)]
    pub layout: Layout,
    /// The model.
    pub model: ModelConfig,
}

impl ModelFile {
    /// The file of a model of this version.
    pub fn new(layout: &Layout, model: &ModelConfig) -> Self {
        ModelFile { format: 1, layout: layout.clone(), model: model.clone() }
    }

    /// Reads and validates a model folder's `config.json`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).at(&path)?;
        let file: ModelFile = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
        if file.format != 1 {
            let reason = format!("format {} is not known to this version, which reads format 1", file.format);
            return Err(Error::file(&path, reason));
        }
        file.layout.validate().and_then(|()| file.model.validate()).map_err(|error| Error::file(&path, error))?;
        Ok(file)
    }
}

/// Finds the model folder that `path` means: itself, or a run's best checkpoint, else its latest.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        let reason = "no such folder: expected a run, a checkpoint or a model folder";
        return Err(Error::file(path, reason));
    }
    for candidate in [path.to_owned(), path.join("checkpoints/best"), path.join("checkpoints/latest")] {
        if candidate.join(CONFIG).is_file() {
            return Ok(candidate);
        }
    }
    let reason = format!("holds no model: neither {CONFIG} nor checkpoints/best nor checkpoints/latest is there");
    Err(Error::file(path, reason))
}

/// A name for the model of a folder, which was loaded from there: the same for the same configuration and weights. The
/// configuration is taken as it is written there: keys that a later version adds don't make it another model.
pub fn fingerprint(folder: &Path, model: &Megabyte) -> Result<u64> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).at(&path)?;
    let config = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
    hash(&config, model)
}

/// The same for a model in memory.
pub(crate) fn fingerprint_of(layout: &Layout, model: &Megabyte) -> Result<u64> {
    let config = serde_json::to_value(ModelFile::new(layout, model.config()));
    hash(&config.expect("a configuration has no value that JSON lacks"), model)
}

/// XXH3-64 of `config.json` with sorted keys and without spaces, then of each tensor's name, a zero, and its float32
/// numbers.
fn hash(config: &serde_json::Value, model: &Megabyte) -> Result<u64> {
    let mut hash = Xxh3Default::new();
    hash.update(config.to_string().as_bytes());
    for (name, tensor) in model.parameters().iter() {
        hash.update(name.as_bytes());
        hash.update(&[0]);
        hash.update(&numbers(&tensor.to_kind(Kind::Float))?);
    }
    Ok(hash.digest())
}

/// Writes a model folder's two files into `folder`, which exists. Not atomic: write into a folder beside and rename.
pub fn save(folder: &Path, layout: &Layout, model: &Megabyte) -> Result<()> {
    save_copies(folder, &config_text(layout, model), &copies(model.parameters().iter())?)
}

/// What [`save`] writes as `config.json`.
pub(crate) fn config_text(layout: &Layout, model: &Megabyte) -> String {
    serde_json::to_string_pretty(&ModelFile::new(layout, model.config()))
        .expect("a configuration has no value that JSON lacks")
}

/// The same of a text and tensors that were copied.
pub(crate) fn save_copies(folder: &Path, config: &str, weights: &[TensorCopy]) -> Result<()> {
    let path = folder.join(CONFIG);
    std::fs::write(&path, config).at(&path)?;
    write_copies(&folder.join(WEIGHTS), weights)
}

/// Checks the sums of a model's two files, where there are sums. The error names the file, and the newest whole checkpoint
/// beside this one.
pub(crate) fn verify(folder: &Path) -> Result<()> {
    verify_of(folder, &[CONFIG, WEIGHTS])
}

fn verify_of(folder: &Path, names: &[&str]) -> Result<()> {
    checksums::verify(folder, names).map_err(|error| {
        let other = newest_whole(folder, |other| checksums::verify(other, &[]).is_ok());
        let other =
            other.map_or_else(String::new, |other| format!("the newest whole checkpoint is {}; ", shown(&other)));
        let remedy = format!("{other}where it was changed on purpose, remove {CHECKSUMS}");
        with_remedy(error, folder, &remedy)
    })
}

/// Loads a model folder for inference: matrix work in `kind` on `device`, matrices cast once. The file of weights is read
/// once, and checked on the way.
pub fn load(folder: &Path, kind: Kind, device: Device) -> Result<(ModelFile, Megabyte)> {
    let file = ModelFile::read(folder)?;
    verify_of(folder, &[CONFIG])?;
    let mut model = Megabyte::unset(&file.model, kind, device)?;
    let path = folder.join(WEIGHTS);
    let sums = checksums::of(folder)?;
    let expected = sums.get(WEIGHTS).map(String::as_str);
    let read = TensorFile::open(&path).and_then(|file| file.read_all(model.parameters().iter(), expected));
    if let Err(error) = read {
        // That a file is damaged says more than what was found wrong in it.
        verify(folder)?;
        return Err(error);
    }
    model.freeze();
    Ok((file, model))
}

/// Copies a model folder's weights into a model of the same configuration. Every parameter must be there with its
/// shape, and finite.
pub fn load_weights(folder: &Path, model: &Megabyte) -> Result<()> {
    read_tensors(&folder.join(WEIGHTS), model.parameters().iter())
}

/// The numbers of a tensor, row by row, as bytes.
fn numbers(tensor: &Tensor) -> Result<Vec<u8>> {
    let size = tensor.numel() * tensor.kind().elt_size_in_bytes();
    let mut data = Vec::new();
    // Where there is no memory for it, that is an error and not the end of the program.
    let short = |_| Error::Memory(format!("there is no memory for a copy of {size} bytes"));
    data.try_reserve_exact(size).map_err(short)?;
    data.resize(size, 0);
    copy_to_host(tensor, &mut data)?;
    Ok(data)
}

/// A tensor that was copied into memory: what it was of may change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorCopy {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

/// Copies named tensors.
pub(crate) fn copies<'a>(tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Result<Vec<TensorCopy>> {
    tensors
        .map(|(name, tensor)| {
            let dtype = match tensor.kind() {
                Kind::Float => Dtype::F32,
                Kind::Double => Dtype::F64,
                kind => unreachable!("no {kind:?} tensor is saved"),
            };
            let shape = tensor.size().iter().map(|&n| n as usize).collect();
            Ok(TensorCopy { name: name.to_owned(), dtype, shape, data: numbers(tensor)? })
        })
        .collect()
}

/// Writes copies of tensors as safetensors.
pub(crate) fn write_copies(path: &Path, tensors: &[TensorCopy]) -> Result<()> {
    let views = tensors
        .iter()
        .map(|copy| Ok((copy.name.as_str(), TensorView::new(copy.dtype, copy.shape.clone(), &copy.data)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|error| Error::file(path, error))?;
    // The library writes from the views, without a second copy in memory, into a file that nobody but its owner may
    // read: it gets the rights that a new file has.
    let rights = std::fs::File::create(path).and_then(|file| file.metadata()).at(path)?.permissions();
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => Error::io(path, error),
        error => Error::file(path, error),
    })?;
    std::fs::set_permissions(path, rights).at(path)
}

/// Copies tensors of a safetensors file into those of the same name, whatever their device and type.
pub(crate) fn read_tensors<'a>(path: &Path, into: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Result<()> {
    TensorFile::open(path)?.read_all(into, None)
}
