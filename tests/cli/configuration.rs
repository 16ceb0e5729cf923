//! `inspect --config` without a path: what a configuration asks for.

use std::path::Path;

use serde_json::json;

use crate::fixture;
use crate::run;

#[test]
fn a_configuration_is_described_without_building_it() {
    let config = &fixture::text().config;
    let sets = ["--set", "train.max_steps=7", "--set", "train.bytes_per_step=128", "--set", "model.tie=false"];
    let mut command = crate::command();
    command.args(["inspect", "--json", "--config"]).arg(config).args(sets);
    let found = crate::Outcome::of(&mut command).json();
    assert_eq!((&found["kind"], &found["modality"]), (&json!("configuration"), &json!("text")));
    // Widths 8 and 8 with a block each, patches of 4, codes of 2 and 8, a context of 64, biases.
    let block = 12 * 8 * 8 + (4 + 4 + 1) * 8 + 4 * 8;
    let coarse = 257 * 2 + 64 * 2 + 8 + block + 2 * 8;
    let fine = 257 * 8 + 4 * 8 + 8 + block + 2 * 8 + 2 * 8;
    assert_eq!(found["levels"][0]["parameters"], coarse);
    assert_eq!(found["levels"][1]["parameters"], fine);
    assert_eq!(found["parameters"], coarse + fine + 257 * 8);
    assert_eq!((&found["training_bytes"], &found["micro_batches"]), (&json!(7 * 128), &json!(1)));
    let flops = 7.0 * 128.0 * found["training_flops_per_byte"].as_f64().unwrap();
    assert_eq!(found["training_flops"].as_f64().unwrap(), flops);
}

#[test]
fn a_published_configuration_is_larger_than_this_machine() {
    let paper = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/paper");
    let people = run!("inspect", "--config", paper.join("imagenet64/megabyte_sota.toml")).ok().stdout;
    for words in ["context      12,288 bytes", "445,048 steps", "256 sequences", "FLOPs"] {
        assert!(people.contains(words), "no `{words}` in {people}");
    }
    // Only some bytes of a pass are predicted, and the costs are of those.
    let latents = run!("inspect", "--config", paper.join("text/perceiver_ar.toml"), "--json").json();
    let number = |key: &str| latents[key].as_f64().unwrap();
    // 1,024 of every length but the shortest, which is one of sixteen and half of that.
    assert_eq!(number("trained_bytes"), 992.0);
    let predicted = number("training_bytes") * 992.0 / 8192.0;
    assert!((number("training_flops") / (predicted * number("training_flops_per_byte")) - 1.0).abs() < 1e-9);
    let people = run!("inspect", "--config", paper.join("text/perceiver_ar.toml")).ok().stdout;
    assert!(people.contains("of a predicted byte"), "{people}");
}

#[test]
fn what_is_about_files_needs_a_path() {
    let config = &fixture::text().config;
    run!("inspect").fails(2, &["--config"]);
    run!("inspect", "--config", config, "--verify").fails(2, &["PATH"]);
    run!("inspect", "--config", config, "--modality", "text").fails(2, &["PATH"]);
    run!("inspect", "--config", config, "--set", "model.context=66").fails(2, &["model.context"]);
}
