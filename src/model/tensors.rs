//! A safetensors file, read a piece at a time: no more of it is in memory than a piece, its checksum is taken on the way, and
//! a file that is cut short meanwhile is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Kind, Tensor};

use crate::error::IoContext;
use crate::{Error, Result};

/// Bytes of a piece: a multiple of every number's size.
const PIECE: usize = 4 << 20;
/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes before the header, which say its length.
const PREFIX: u64 = 8;

/// An open file, whose header was read and checked.
#[derive(Debug)]
pub(super) struct TensorFile {
    path: PathBuf,
    file: File,
    /// Prefix and header, as they are.
    head: Vec<u8>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl TensorFile {
    /// Reads the header. Fails where that, or the length of the file, is not as the format says.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let damaged =
            |reason: &dyn std::fmt::Display| Error::file(path, format!("is damaged or no safetensors file: {reason}"));
        let file = File::open(path).at(path)?;
        let len = file.metadata().at(path)?.len();
        let mut prefix = [0; PREFIX as usize];
        if len < PREFIX {
            return Err(damaged(&"it is too short"));
        }
        read(&file, path, &mut prefix, 0)?;
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER.min(len - PREFIX) {
            return Err(damaged(&format!("a header of {header} bytes")));
        }
        let mut head = vec![0; (PREFIX + header) as usize];
        read(&file, path, &mut head, 0)?;
        let metadata: Metadata = serde_json::from_slice(&head[PREFIX as usize..]).map_err(|error| damaged(&error))?;
        let whole = (metadata.data_len() as u64).saturating_add(PREFIX + header);
        if whole != len {
            return Err(damaged(&format!("it has {len} bytes where its header says {whole}")));
        }
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(TensorFile { path: path.to_owned(), file, head, tensors })
    }

    /// The tensors, by name.
    pub(super) fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// Reads the first `rows` rows of a tensor, or all of it, into one of the same shape but for that number, whatever its
    /// device and type. `piece` is told of every piece as it is in the file. Gives whether all numbers are finite.
    pub(super) fn read_into(
        &self,
        name: &str,
        rows: Option<usize>,
        target: &Tensor,
        piece: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        let info = &self.tensors[name];
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F16 => Kind::Half,
            dtype => {
                return Err(Error::file(&self.path, format!("{name} is {dtype:?}, expected floating-point numbers")));
            }
        };
        let count = match rows {
            Some(rows) => rows * info.shape.iter().skip(1).product::<usize>(),
            None => info.shape.iter().product(),
        };
        let (size, start) = (kind.elt_size_in_bytes(), self.head.len() as u64 + info.data_offsets.0 as u64);
        let target = target.detach();
        if target.numel() != count || !target.is_contiguous() {
            return Err(Error::file(&self.path, format!("{name} has {count} numbers for {}", target.numel())));
        }
        let target = target.view(-1);
        let mut buffer = vec![0; PIECE.min(count * size)];
        let mut finite = true;
        for at in (0..count).step_by(PIECE / size) {
            let numbers = (count - at).min(PIECE / size);
            let bytes = &mut buffer[..numbers * size];
            read(&self.file, &self.path, bytes, start + (at * size) as u64)?;
            piece(bytes);
            let part = Tensor::f_from_data_size(bytes, &[numbers as i64], kind)?;
            finite &= bool::try_from(part.isfinite().all())?;
            target.narrow(0, at as i64, numbers as i64).f_copy_(&part)?;
        }
        Ok(finite)
    }

    /// Reads all tensors into those of the same names, each of which must be there with its shape, and finite. Where the
    /// CRC-32C of the file is known, another one is the first thing that is wrong.
    pub(super) fn read_all<'a>(
        &self,
        into: impl Iterator<Item = (&'a str, &'a Tensor)>,
        expected: Option<&str>,
    ) -> Result<()> {
        let mut there: BTreeMap<&str, &TensorInfo> =
            self.tensors.iter().map(|(name, info)| (name.as_str(), info)).collect();
        let mut wanted = Vec::new();
        for (name, target) in into {
            let Some(info) = there.remove(name) else {
                return Err(Error::file(&self.path, format!("has no tensor {name}, which config.json asks for")));
            };
            let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
            if shape != target.size() {
                let reason = format!("{name} is {shape:?}, but config.json asks for {:?}", target.size());
                return Err(Error::file(&self.path, reason));
            }
            wanted.push((info.data_offsets, name, target));
        }
        if let Some(name) = there.keys().next() {
            let reason = format!("has {} tensors that config.json knows nothing of, {name} among them", there.len());
            return Err(Error::file(&self.path, reason));
        }
        // As they stand in the file, one behind another: once through it, from the front to the end.
        wanted.sort_by_key(|&(place, ..)| place);
        let mut sum = crc32c::crc32c(&self.head);
        let mut odd = None;
        for (_, name, target) in wanted {
            let finite = self.read_into(name, None, target, &mut |piece| sum = crc32c::crc32c_append(sum, piece))?;
            if !finite {
                odd = odd.or(Some(name));
            }
        }
        // First: a damaged number may be one that is not finite.
        if let Some(expected) = expected.filter(|expected| *expected != format!("{sum:08x}")) {
            return Err(super::checksums::differs(&self.path, sum, expected));
        }
        odd.map_or(Ok(()), |name| Err(self.not_finite(name)))
    }

    /// The error of a tensor that has numbers which are not finite.
    pub(super) fn not_finite(&self, name: &str) -> Error {
        Error::file(&self.path, format!("{name} has NaN or infinite values: use an earlier checkpoint"))
    }
}

fn read(file: &File, path: &Path, into: &mut [u8], at: u64) -> Result<()> {
    file.read_exact_at(into, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::file(path, "was cut short while it was read"),
        _ => Error::io(path, error),
    })
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;
    use tch::Device;

    use super::*;

    /// A file of two tensors, the first of `numbers` of them.
    fn written(folder: &Path, numbers: &[f32]) -> PathBuf {
        let path = folder.join("model.safetensors");
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let view = |shape: Vec<usize>, bytes| TensorView::new(Dtype::F32, shape, bytes).unwrap();
        let all = [("a", view(vec![numbers.len()], &bytes)), ("b", view(vec![2, 1], &bytes[..8]))];
        safetensors::serialize_to_file(all, None, &path).unwrap();
        path
    }

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn what_is_longer_than_a_piece_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let numbers: Vec<f32> = (0..PIECE as u32 / 4 * 2 + 3).map(|i| i as f32).collect();
        let path = written(folder.path(), &numbers);
        let (a, b) = (zeros(&[numbers.len() as i64]), zeros(&[2, 1]));
        let sum = crc32c::crc32c(&std::fs::read(&path).unwrap());
        let file = TensorFile::open(&path).unwrap();
        file.read_all([("b", &b), ("a", &a)].into_iter(), Some(&format!("{sum:08x}"))).unwrap();
        assert_eq!(Vec::<f32>::try_from(a).unwrap(), numbers);
        assert_eq!(Vec::<f32>::try_from(b.view(-1)).unwrap(), [0.0, 1.0]);
        let error =
            file.read_all([("b", &zeros(&[2, 1])), ("a", &zeros(&[numbers.len() as i64]))].into_iter(), Some("0"));
        assert!(error.unwrap_err().to_string().contains("CRC-32C"));
    }

    #[test]
    fn a_file_that_is_cut_short_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[1.0; 5000]);
        let file = TensorFile::open(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(9000).unwrap();
        let error = file.read_all([("a", &zeros(&[5000])), ("b", &zeros(&[2, 1]))].into_iter(), None).unwrap_err();
        assert!(error.to_string().contains("was cut short while it was read"), "{error}");
        assert!(TensorFile::open(&path).unwrap_err().to_string().contains("where its header says"));
    }

    #[test]
    fn every_length_and_every_changed_header_is_refused_or_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[1.0, 2.0, 3.0]);
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(TensorFile::open(&path).is_err(), "{len} bytes");
        }
        for i in 0..whole.len() {
            let mut changed = whole.clone();
            changed[i] ^= 0x10;
            std::fs::write(&path, changed).unwrap();
            let (a, b) = (zeros(&[3]), zeros(&[2, 1]));
            let read = |file: TensorFile| file.read_all([("a", &a), ("b", &b)].into_iter(), Some("00000000"));
            assert!(TensorFile::open(&path).and_then(read).is_err(), "byte {i}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[1.0, f32::NAN, 3.0]);
        let file = TensorFile::open(&path).unwrap();
        let error = file.read_all([("a", &zeros(&[3])), ("b", &zeros(&[2, 1]))].into_iter(), None).unwrap_err();
        assert!(error.to_string().contains("a has NaN"), "{error}");
    }
}
