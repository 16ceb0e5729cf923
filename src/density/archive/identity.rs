//! What has to be the same for two computations to give the same bits: the model, the device, the type of numbers, the
//! library and the processor, each by name, and a sample of the logits themselves.

use std::fmt;

use tch::{Device, Kind};
use xxhash_rust::xxh3::Xxh3Default;

use super::wire::{Reader, damaged};
use crate::generate::Engine;
use crate::model::Megabyte;
use crate::{Error, Result, native};

/// Names of devices, in the order of their numbers.
const DEVICES: [&str; 2] = ["cpu", "cuda"];
/// Names of the types of matrix work.
const KINDS: [&str; 3] = ["float32", "bfloat16", "float64"];
/// What libtorch calls the instructions that it uses of a CPU; the first stands for any other.
const CPUS: [&str; 4] = ["another", "DEFAULT", "AVX2", "AVX512"];

/// A model and a way to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// XXH3-64 of the model's configuration and tensors.
    pub model: u64,
    /// Checksum of the logits of a few bytes that are always the same.
    pub arithmetic: u32,
    device: u8,
    kind: u8,
    cpu: u8,
    /// Version of libtorch.
    libtorch: [u8; 3],
}

impl Identity {
    /// The identity of what a model computes in batches of `lanes` rows. To be called where the coding itself would
    /// run: on a thread of its own, as [`super::lockstep`] has them.
    pub(super) fn of(fingerprint: u64, model: &Megabyte, lanes: usize) -> Result<Self> {
        let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let (device, cpu) = match model.device() {
            // On a GPU, nothing is left to the CPU but what is exact everywhere.
            Device::Cuda(_) => (1, 0),
            _ => (0, place(&CPUS, &native::cpu_capability()?).unwrap_or(0) as u8),
        };
        let kind = match model.kind() {
            Kind::BFloat16 => 1,
            Kind::Double => 2,
            _ => 0,
        };
        let arithmetic = sample(model, lanes)?;
        Ok(Identity { model: fingerprint, arithmetic, device, kind, cpu, libtorch: native::libtorch_version() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.model.to_le_bytes());
        out.extend(self.arithmetic.to_le_bytes());
        out.push(self.device | self.kind << 1 | self.cpu << 3);
        out.extend(self.libtorch);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (model, arithmetic, way) = (reader.u64()?, reader.u32()?, reader.byte()?);
        let (device, kind, cpu) = (way & 1, way >> 1 & 3, way >> 3);
        if usize::from(kind) >= KINDS.len() || usize::from(cpu) >= CPUS.len() {
            return Err(damaged("the way in which it was computed is not known"));
        }
        Ok(Identity { model, arithmetic, device, kind, cpu, libtorch: reader.array()? })
    }

    /// `cpu` or `cuda`.
    pub fn device(&self) -> &'static str {
        DEVICES[usize::from(self.device)]
    }

    /// The type of matrix work, as `--dtype` names it.
    pub fn dtype(&self) -> &'static str {
        KINDS[usize::from(self.kind)]
    }

    /// Refuses to decode what another model, or another way to compute, has encoded: `self` is that of the archive.
    pub(super) fn check(&self, here: &Identity) -> Result<()> {
        self.check_model(here.model)?;
        let version = |[major, minor, patch]: [u8; 3]| format!("libtorch {major}.{minor}.{patch}");
        let [cpu, our_cpu] = [self, here].map(|id| CPUS[usize::from(id.cpu)]);
        let differs = |what: &str, theirs: String, ours: String, remedy: &str| {
            Err(Error::Content(format!("{what} of the archive is {theirs}, here it is {ours}; {remedy}")))
        };
        if self.device != here.device {
            let remedy = format!("decompress with --device {}", self.device());
            return differs("the device", self.device().to_owned(), here.device().to_owned(), &remedy);
        }
        if self.kind != here.kind {
            let remedy = format!("decompress with --dtype {}", self.dtype());
            return differs("the dtype", self.dtype().to_owned(), here.dtype().to_owned(), &remedy);
        }
        if self.libtorch != here.libtorch {
            let remedy = "decompress with that version";
            return differs("the library", version(self.libtorch), version(here.libtorch), remedy);
        }
        if self.cpu != here.cpu {
            let remedy = "ATEN_CPU_CAPABILITY chooses a smaller set of instructions where there is a larger one";
            return differs("the CPU's instruction set", cpu.to_owned(), our_cpu.to_owned(), remedy);
        }
        if self.arithmetic != here.arithmetic {
            let reason = "this machine computes other numbers than the one that made the archive, from the same model: \
                          decompress on a machine of that kind";
            return Err(Error::Content(reason.to_owned()));
        }
        Ok(())
    }

    /// Refuses another model alone.
    pub(super) fn check_model(&self, fingerprint: u64) -> Result<()> {
        if self.model != fingerprint {
            let reason = format!(
                "was made with another model: its fingerprint is {:016x}, this one's {fingerprint:016x}",
                self.model
            );
            return Err(Error::Content(reason));
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {:016x} on {} in {}", self.model, self.device(), self.dtype())
    }
}

/// Bytes of the sample that are decoded one by one.
const STEPS: usize = 24;

/// XXH3 of the logits that a batch of `lanes` rows has before and around a patch's end.
fn sample(model: &Megabyte, lanes: usize) -> Result<u32> {
    let config = model.config();
    let byte = |row: usize, i: usize| ((((row * 31 + i * 7) * 0x9e37) >> 4) & 0xff) as i64;
    // To the middle of the steps, where a patch begins if the context has a second one.
    let begin = config.patch_size().saturating_sub(STEPS / 2).min(config.context - 1);
    let prompts: Vec<Vec<i64>> = (0..lanes).map(|row| (0..begin).map(|i| byte(row, i)).collect()).collect();
    let mut hash = Xxh3Default::new();
    let mut add = |logits: &tch::Tensor| -> Result<()> {
        for logit in Vec::<f32>::try_from(logits.to_kind(Kind::Float).view(-1))? {
            hash.update(&logit.to_bits().to_le_bytes());
        }
        Ok(())
    };
    let mut engine = Engine::new(model, lanes);
    add(&engine.prefill(&prompts)?)?;
    for i in begin..(begin + STEPS).min(config.context - 1) {
        let symbols: Vec<i64> = (0..lanes).map(|row| byte(row, i)).collect();
        add(&engine.push(&symbols)?)?;
    }
    Ok(hash.digest() as u32)
}
