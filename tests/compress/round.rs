//! What was put in comes back, whatever it is, alone or among others, on any number of threads.

use megabyte::density::archive::{CompressOptions, Container, DecompressOptions};
use megabyte::modality::{BytesLayout, Layout, TextLayout};
use megabyte::progress::Quiet;

use super::{bytes_codec, codec, common, compress, config, decompress, model, options, random, restore};

#[test]
fn files_of_every_length_up_to_several_windows_come_back() {
    let codec = bytes_codec();
    let files: Vec<Vec<u8>> = (0..200).map(|len| random(len, len as u64)).collect();
    let archives = compress(&codec, &files, options());
    for (file, made) in files.iter().zip(&archives) {
        assert_eq!(made.header.container, Container::Plain);
        assert_eq!(restore(&codec, &made.archive), *file, "{} bytes, alone", file.len());
    }
    let all: Vec<&[u8]> = archives.iter().map(|made| &made.archive[..]).collect();
    for (file, restored) in files.iter().zip(decompress(&codec, &all)) {
        assert_eq!(restored.unwrap().file, *file, "{} bytes, among others", file.len());
    }
}

#[test]
fn thousands_of_files_of_every_kind_come_back() {
    let codec = codec(Layout::Text(TextLayout::default()));
    let words = b"the quick brown fox jumps over the lazy dog and the cat sits on the mat, ".repeat(4);
    let file = |i: usize| match i % 6 {
        0 => random(i % 97, i as u64),
        1 => words[i % 40..i % 40 + i % 150].to_vec(),
        2 => vec![i as u8; i % 130],
        3 => Vec::new(),
        4 => vec![i as u8],
        _ => (0..i % 300).map(|j| (j * j % 251) as u8).collect(),
    };
    let files: Vec<Vec<u8>> = (0..4000).map(file).collect();
    let options = CompressOptions { threads: 2, ..options() };
    let archives = compress(&codec, &files, options);
    let all: Vec<&[u8]> = archives.iter().rev().map(|made| &made.archive[..]).collect();
    for (file, restored) in files.iter().rev().zip(decompress(&codec, &all)) {
        assert_eq!(restored.unwrap().file, *file);
    }
}

#[test]
fn threads_change_no_byte_of_an_archive() {
    let codec = bytes_codec();
    let files = [random(9000, 1), random(150, 2), random(5000, 3)];
    let with = |threads| {
        let options = CompressOptions { threads, lanes: Some(8), block_bytes: 512, ..options() };
        compress(&codec, &files, options).into_iter().map(|made| made.archive).collect::<Vec<_>>()
    };
    let one = with(1);
    for threads in [2, 3, 7] {
        assert!(one == with(threads), "{threads} threads");
        // Nor does what the rest of the program uses.
        tch::set_num_threads(threads as i32);
        let options = DecompressOptions { threads, ..DecompressOptions::default() };
        let archives: Vec<&[u8]> = one.iter().map(Vec::as_slice).collect();
        for (file, restored) in files.iter().zip(codec.decompress(&archives, options, &Quiet).unwrap()) {
            assert_eq!(restored.unwrap().file, *file);
        }
    }
    assert_eq!(tch::get_num_threads(), 7, "the number of threads is as it was");
}

#[test]
fn every_number_of_lanes_gives_an_archive_that_comes_back() {
    let codec = bytes_codec();
    let files = [random(1000, 4), random(65, 5)];
    for lanes in [1, 2, 3, 5, 16, 31, 64] {
        for (made, file) in
            compress(&codec, &files, CompressOptions { lanes: Some(lanes), ..options() }).iter().zip(&files)
        {
            assert_eq!(restore(&codec, &made.archive), *file, "{lanes} lanes");
        }
    }
    let none = CompressOptions { lanes: Some(0), ..options() };
    assert!(codec.compress(&files, none, &Quiet).unwrap_err().to_string().contains("lanes"));
}

#[test]
fn every_kind_of_model_codes() {
    let levels = |levels: &[(usize, usize, usize, usize)]| common::models::hierarchy(levels, 48);
    let two = levels(&[(4, 16, 1, 2), (1, 8, 1, 2)]);
    let mut vocab = two.clone();
    vocab.vocab = 256;
    let mut cross = two.clone();
    cross.cross_patch = 2;
    let mut rotary = two.clone();
    rotary.position = megabyte::model::Position::Rotary;
    let three = levels(&[(12, 24, 1, 2), (3, 24, 1, 2), (1, 8, 1, 2)]);
    let one = levels(&[(1, 16, 2, 2)]);
    for (name, config) in
        [("257", two), ("256", vocab), ("cross", cross), ("rotary", rotary), ("three", three), ("one", one)]
    {
        let codec = megabyte::density::archive::Codec::new(Layout::Bytes(BytesLayout {}), model(&config, 2)).unwrap();
        let files = [random(333, 6), random(1, 7), random(48, 8)];
        for (made, file) in compress(&codec, &files, options()).iter().zip(&files) {
            assert_eq!(restore(&codec, &made.archive), *file, "{name}");
        }
    }
}

#[test]
fn bfloat16_and_float32_are_each_exact_and_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::Bytes(BytesLayout {});
    megabyte::model::folder::save(folder.path(), &layout, &model(&config(), 3)).unwrap();
    let load = |kind| megabyte::density::archive::Codec::load(folder.path(), kind, common::device::device()).unwrap();
    let (single, half) = (load(tch::Kind::Float), load(tch::Kind::BFloat16));
    let files = [random(700, 9)];
    let made = compress(&half, &files, options()).remove(0);
    assert_eq!(restore(&half, &made.archive), files[0]);
    let refused = decompress(&single, &[&made.archive]).remove(0).unwrap_err().to_string();
    assert!(refused.contains("the dtype of the archive is bfloat16, here it is float32"), "{refused}");
}

#[test]
fn what_the_model_makes_larger_is_stored() {
    let codec = bytes_codec();
    let files = [random(10_000, 10), Vec::new(), vec![7]];
    for (made, file) in compress(&codec, &files, CompressOptions::default()).iter().zip(&files) {
        assert_eq!(made.header.container, Container::Stored);
        assert!(made.archive.len() <= file.len() + 48, "{} for {}", made.archive.len(), file.len());
        assert_eq!(restore(&codec, &made.archive), *file);
        // Whatever the model is.
        let other = megabyte::density::archive::Codec::new(codec.layout().clone(), model(&config(), 9)).unwrap();
        assert_eq!(restore(&other, &made.archive), *file);
    }
}
