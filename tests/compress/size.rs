//! An archive is as large as the model's own score says.

use megabyte::data::Dataset;
use megabyte::density::archive::Codec;
use megabyte::density::{EvalOptions, Inference, evaluate};
use megabyte::modality::{BytesLayout, Layout};
use megabyte::progress::Quiet;

use super::{common, compress, config, model, options, random};

/// Bytes that the score of `eval --inference plain` says, without the symbols that end sequences.
fn score(codec: &Codec, file: &[u8]) -> f64 {
    let dataset = Dataset::from_memory(vec![file.to_vec()], codec.layout());
    let options = EvalOptions { batch: 8, limit_bytes: 0, inference: Inference::Plain };
    let evaluation = evaluate(codec.model(), &dataset, options, &Quiet).unwrap();
    (evaluation.nats - evaluation.end_nats) / std::f64::consts::LN_2 / 8.0
}

#[test]
fn archives_are_within_half_a_percent_and_64_bytes_of_the_score() {
    let mut small = config();
    small.vocab = 256;
    let mut long = common::models::hierarchy(&[(8, 32, 1, 2), (1, 16, 1, 2)], 2048);
    long.vocab = 256;
    for config in [config(), small, long] {
        let codec = Codec::new(Layout::Bytes(BytesLayout {}), model(&config, 4)).unwrap();
        for len in [config.context, 1000, 4096, 30_000] {
            let file = random(len, len as u64);
            let score = score(&codec, &file);
            let made = compress(&codec, std::slice::from_ref(&file), options()).remove(0);
            let size = made.archive.len() as f64;
            assert!(size <= score * 1.005 + 64.0, "{size} for a score of {score:.1}, {len} bytes");
            // What the score gives to the end of a sequence is given to the bytes.
            let least = if config.vocab == 256 { score * 0.999 } else { score * 0.9 };
            assert!(size >= least, "{size} for a score of {score:.1}, {len} bytes");
        }
    }
}

#[test]
fn an_archive_is_described_in_few_bytes() {
    let codec = super::bytes_codec();
    let made = compress(&codec, &[random(64, 1)], options()).remove(0);
    let code: usize = made.header.blocks.iter().map(|block| block.len).sum();
    assert!(made.archive.len() - code <= 58, "{} beside the code", made.archive.len() - code);
}
