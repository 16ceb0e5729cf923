//! Arrays as NumPy's `.npy` files.

/// A file of format 1.0 that holds an array of one dimension of float32.
pub fn npy(values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", values.len());
    // Magic, version, length and header, ended by a line feed, are a multiple of 64 bytes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&(length as u16).to_le_bytes());
    file.extend_from_slice(format!("{header:<width$}\n", width = length - 1).as_bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    file
}
