//! Archives: what was put in comes back, bit for bit, in about the size that the model's score says; what is damaged is
//! named, and the rest comes back all the same.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod coder;
mod containers;
mod damage;
mod program;
mod round;
mod size;

use megabyte::density::archive::{Codec, CompressOptions, Compressed, DecompressOptions, Restored};
use megabyte::modality::{BytesLayout, Layout};
use megabyte::model::{Megabyte, ModelConfig};
use megabyte::progress::Quiet;
use rand::{Rng, SeedableRng, rngs::ChaCha8Rng};
use tch::Kind;

/// Two small levels with patches of 4 and a context of 64.
fn config() -> ModelConfig {
    common::models::hierarchy(&[(4, 16, 1, 2), (1, 8, 1, 2)], 64)
}

/// A model whose predictions are sharp and wrong, by seed.
fn model(config: &ModelConfig, seed: i64) -> Megabyte {
    let mut model = Megabyte::new(config, Kind::Float, common::device::device(), 0).unwrap();
    common::models::randomise(&model, seed, 0.3);
    model.freeze();
    model
}

/// A codec of such a model for a layout.
fn codec(layout: Layout) -> Codec {
    Codec::new(layout, model(&config(), 1)).unwrap()
}

/// A codec for bytes of any kind.
fn bytes_codec() -> Codec {
    codec(Layout::Bytes(BytesLayout {}))
}

/// What the model makes larger than the file is not stored: it is the model that is tested.
fn options() -> CompressOptions {
    CompressOptions { store_larger: false, verify: false, ..CompressOptions::default() }
}

fn compress(codec: &Codec, files: &[Vec<u8>], options: CompressOptions) -> Vec<Compressed> {
    codec.compress(files, options, &Quiet).unwrap()
}

fn decompress(codec: &Codec, archives: &[&[u8]]) -> Vec<megabyte::Result<Restored>> {
    codec.decompress(archives, DecompressOptions::default(), &Quiet).unwrap()
}

/// The file of an archive that is whole.
fn restore(codec: &Codec, archive: &[u8]) -> Vec<u8> {
    let restored = decompress(codec, &[archive]).remove(0).unwrap();
    assert_eq!(restored.damage, []);
    restored.file
}

/// Random bytes.
fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
