//! What has to be the same for two computations to give the same bits: the model, the device, the type of numbers, the
//! library and the processor, each by name, and a sample of the logits themselves.

use std::fmt;

use tch::{Device, Kind};
use xxhash_rust::xxh3::Xxh3Default;

use super::wire::{Reader, damaged, put_bytes, put_varint};
use crate::generate::Engine;
use crate::model::Megabyte;
use crate::native::cuda::{self, CudaLibraries};
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
    /// The GPU, where it is the device.
    gpu: Option<Gpu>,
}

/// Bytes of a GPU's name that are kept.
const NAME: usize = 64;

/// A GPU and the libraries that compute on it: which kernels they choose, and how these share sums, follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gpu {
    /// As its driver names it, and zeros.
    name: [u8; NAME],
    multiprocessors: u32,
    cudnn: [u16; 3],
    cublas: [u16; 3],
}

impl Gpu {
    fn of(index: usize) -> Result<Self> {
        let (device, libraries) = (cuda::device(index)?, cuda::libraries()?);
        let CudaLibraries { cudnn, cublas } = libraries;
        Ok(Gpu { name: kept(device.name.as_bytes()), multiprocessors: device.multiprocessors, cudnn, cublas })
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end_matches('\0').to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name().as_bytes());
        put_varint(out, self.multiprocessors.into());
        for part in self.cudnn.into_iter().chain(self.cublas) {
            put_varint(out, part.into());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let name = reader.bytes()?;
        if name.len() > NAME {
            return Err(damaged("the name of its GPU is too long"));
        }
        let name = kept(name);
        let mut number = || reader.varint();
        let impossible = |_| damaged("its GPU has no possible numbers");
        let multiprocessors = number()?.try_into().map_err(impossible)?;
        let mut version = || -> Result<[u16; 3]> {
            let mut parts = [0; 3];
            for part in &mut parts {
                *part = number()?.try_into().map_err(impossible)?;
            }
            Ok(parts)
        };
        Ok(Gpu { name, multiprocessors, cudnn: version()?, cublas: version()? })
    }
}

/// The first bytes of a name, and zeros.
fn kept(name: &[u8]) -> [u8; NAME] {
    let mut kept = [0; NAME];
    let len = name.len().min(NAME);
    kept[..len].copy_from_slice(&name[..len]);
    kept
}

impl Identity {
    /// The identity of what a model computes in batches of `lanes` rows. To be called where the coding itself would
    /// run: on a thread of its own, as [`super::lockstep`] has them.
    pub(super) fn of(fingerprint: u64, model: &Megabyte, lanes: usize) -> Result<Self> {
        let place = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let (device, cpu, gpu) = match model.device() {
            // On a GPU, nothing is left to the CPU but what is exact everywhere.
            Device::Cuda(index) => (1, 0, Some(Gpu::of(index)?)),
            _ => (0, place(&CPUS, &native::cpu_capability()?).unwrap_or(0) as u8, None),
        };
        let kind = match model.kind() {
            Kind::BFloat16 => 1,
            Kind::Double => 2,
            _ => 0,
        };
        let arithmetic = sample(model, lanes)?;
        Ok(Identity { model: fingerprint, arithmetic, device, kind, cpu, libtorch: native::libtorch_version(), gpu })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.model.to_le_bytes());
        out.extend(self.arithmetic.to_le_bytes());
        out.push(self.device | self.kind << 1 | self.cpu << 3);
        out.extend(self.libtorch);
        if let Some(gpu) = &self.gpu {
            gpu.write(out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (model, arithmetic, way) = (reader.u64()?, reader.u32()?, reader.byte()?);
        let (device, kind, cpu) = (way & 1, way >> 1 & 3, way >> 3);
        if usize::from(kind) >= KINDS.len() || usize::from(cpu) >= CPUS.len() {
            return Err(damaged("the way in which it was computed is not known"));
        }
        let libtorch = reader.array()?;
        let gpu = if device == 1 { Some(Gpu::read(reader)?) } else { None };
        Ok(Identity { model, arithmetic, device, kind, cpu, libtorch, gpu })
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
            let [theirs, ours] = [self, here].map(|id| version("libtorch", id.libtorch.map(u16::from)));
            return differs("the library", theirs, ours, remedy);
        }
        if let (Some(theirs), Some(ours)) = (&self.gpu, &here.gpu) {
            let named = |gpu: &Gpu| format!("{} with {} multiprocessors", gpu.name(), gpu.multiprocessors);
            if named(theirs) != named(ours) {
                return differs("the GPU", named(theirs), named(ours), "decompress on a GPU of that kind");
            }
            for (name, theirs, ours) in [("cuDNN", theirs.cudnn, ours.cudnn), ("cuBLAS", theirs.cublas, ours.cublas)] {
                if theirs != ours {
                    let remedy = "decompress with the PyTorch wheel that brings that version";
                    return differs("the library", version(name, theirs), version(name, ours), remedy);
                }
            }
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

fn version(name: &str, [major, minor, patch]: [u16; 3]) -> String {
    format!("{name} {major}.{minor}.{patch}")
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {:016x} on {} in {}", self.model, self.device(), self.dtype())
    }
}

/// Bytes of the sample that are decoded one by one, at each of its two places.
const STEPS: usize = 24;

/// XXH3 of the logits that a batch of `lanes` rows has before and around the first patch's end, and around the beginning
/// of the last patch, where every earlier unit is attended to: how a library computes may change with their number.
fn sample(model: &Megabyte, lanes: usize) -> Result<u32> {
    let config = model.config();
    let byte = |row: usize, i: usize| ((((row * 31 + i * 7) * 0x9e37) >> 4) & 0xff) as i64;
    let prompts =
        |len: usize| -> Vec<Vec<i64>> { (0..lanes).map(|row| (0..len).map(|i| byte(row, i)).collect()).collect() };
    let mut hash = Xxh3Default::new();
    let mut add = |logits: &tch::Tensor| -> Result<()> {
        for logit in Vec::<f32>::try_from(logits.to_kind(Kind::Float).view(-1))? {
            hash.update(&logit.to_bits().to_le_bytes());
        }
        Ok(())
    };
    let mut steps = |engine: &mut Engine<'_>, begin: usize| -> Result<()> {
        for i in begin..(begin + STEPS).min(config.context - 1) {
            let symbols: Vec<i64> = (0..lanes).map(|row| byte(row, i)).collect();
            add(&engine.push(&symbols)?)?;
        }
        Ok(())
    };
    // To the middle of the steps, where a patch begins if the context has a second one.
    let begin = config.patch_size().saturating_sub(STEPS / 2).min(config.context - 1);
    let mut engine = Engine::new(model, lanes);
    let first = engine.prefill(&prompts(begin))?;
    steps(&mut engine, begin)?;
    // The last patch begins there, unless it is the only one.
    let last = (config.context - 1) / config.patch_size() * config.patch_size();
    let end = if last == 0 { config.context } else { last + STEPS / 2 };
    let begin = end.min(config.context - 1).saturating_sub(STEPS);
    engine.pretend(&prompts(begin))?;
    steps(&mut engine, begin)?;
    add(&first)?;
    Ok(hash.digest() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    fn model(more: &str) -> Megabyte {
        let text = format!(
            "context = 64\ninit_std = 0.3\n{more}\n[[level]]\nunit = 4\nn_embd = 16\nn_layer = 2\nn_head = 2\n\
             [[level]]\nunit = 1\nn_embd = 8\nn_layer = 2\nn_head = 2\n"
        );
        let config: ModelConfig = toml::from_str(&text).unwrap();
        let mut model = Megabyte::new(&config, Kind::Float, Device::Cpu, 1).unwrap();
        model.freeze();
        model
    }

    #[test]
    fn the_sample_is_the_same_again_and_sees_the_end_of_the_context() {
        for more in ["", "cross_patch = 2", "position = \"rotary\""] {
            let model = model(more);
            let found = sample(&model, 3).unwrap();
            assert_eq!(sample(&model, 3).unwrap(), found, "{more}");
            assert_ne!(sample(&model, 2).unwrap(), found, "{more}");
        }
        let model = model("");
        let found = sample(&model, 2).unwrap();
        // The positions of the last patch alone.
        let (_, positions) = model.parameters().iter().find(|(name, _)| *name == "level.0.position").unwrap();
        let _ = tch::no_grad(|| positions.narrow(0, 52, 12).fill_(0.25));
        assert_ne!(sample(&model, 2).unwrap(), found);
    }

    fn gpu() -> Gpu {
        let name = kept(b"NVIDIA H100 80GB HBM3");
        Gpu { name, multiprocessors: 132, cudnn: [9, 19, 0], cublas: [13, 1, 0] }
    }

    #[test]
    fn another_gpu_or_library_is_refused_by_name() {
        let ours =
            Identity { model: 7, arithmetic: 9, device: 1, kind: 1, cpu: 0, libtorch: [2, 11, 0], gpu: Some(gpu()) };
        let mut written = Vec::new();
        ours.write(&mut written);
        let mut reader = Reader(&written);
        assert_eq!(Identity::read(&mut reader).unwrap(), ours);
        assert!(reader.0.is_empty());
        for len in 0..written.len() {
            assert!(Identity::read(&mut Reader(&written[..len])).is_err());
        }
        ours.check(&ours).unwrap();
        for (gpu, words) in [
            (Gpu { name: kept(b"NVIDIA H200"), ..gpu() }, ["NVIDIA H200", "NVIDIA H100 80GB HBM3"]),
            (Gpu { multiprocessors: 114, ..gpu() }, ["NVIDIA H100 80GB HBM3 with 114 multi", "with 132 multi"]),
            (Gpu { cudnn: [9, 20, 1], ..gpu() }, ["cuDNN 9.20.1", "cuDNN 9.19.0"]),
            (Gpu { cublas: [12, 9, 0], ..gpu() }, ["cuBLAS 12.9.0", "cuBLAS 13.1.0"]),
        ] {
            let archive = Identity { gpu: Some(gpu), ..ours };
            let error = archive.check(&ours).unwrap_err().to_string();
            let [theirs, here] = words;
            assert!(error.contains(&format!("of the archive is {theirs}")) && error.contains(here), "{error}");
        }
        // A name that is longer than any.
        let mut long = written[..16].to_vec();
        put_bytes(&mut long, &[b'x'; 65]);
        long.extend([0; 20]);
        assert!(Identity::read(&mut Reader(&long)).unwrap_err().to_string().contains("too long"));
    }
}
