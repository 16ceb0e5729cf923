//! `inspect --config` without a path: what a configuration asks for; `inspect --keys`, and the files made of the keys.

use std::fs;
use std::path::Path;

use megabyte::RunConfig;
use megabyte::config::{self, KeyInfo};
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

#[test]
fn keys_are_listed() {
    let all = run!("inspect", "--keys").ok().stdout;
    for words in ["train.warmup_steps = 500\n", "model.context  (required)\n", "data.channels = \"mono\"   of audio\n"]
    {
        assert!(all.contains(words), "no `{words}` in {all}");
    }
    assert!(all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let keys = |prefix: &str| -> Vec<String> {
        let found = run!("inspect", "--keys", prefix, "--json").json();
        let keys = found["keys"].as_array().unwrap();
        keys.iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
    };
    let of_levels = ["n_embd", "n_head", "n_layer", "unit", "window"].map(|name| format!("model.level.N.{name}"));
    assert_eq!(keys("model.level"), of_levels);
    assert_eq!(keys("seed"), ["sample.seed", "train.seed"]);
    run!("inspect", "--keys", "tarin").fails(2, &["--keys tarin"]);
    run!("inspect", "--keys", "train", "--config", fixture::text().config).fails(2, &["--keys"]);
}

/// A key that is left out is the same as one that is set to the default that is documented.
#[test]
fn documented_defaults_are_the_defaults() {
    let mut count = 0;
    for fixture in [fixture::text(), fixture::image(), fixture::audio()] {
        // With the required keys alone.
        let text = fs::read_to_string(&fixture.config).unwrap();
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.remove("train");
        let modality = table["data"]["modality"].as_str().unwrap().to_owned();
        let layout = ["width", "height", "patch", "rate"];
        let kept = |key: &str| key == "modality" || layout.contains(&key);
        table["data"].as_table_mut().unwrap().retain(|key, _| kept(key));
        table["model"].as_table_mut().unwrap().retain(|key, _| key == "context" || key == "level");
        let folder = crate::fixture::scratch(&format!("defaults-{modality}"));
        // The default step is a multiple of no picture of 48 bytes.
        let step = "train.bytes_per_step=6144".to_owned();
        let path = crate::fixture::write(&folder, "config.toml", toml::to_string(&table).unwrap());
        let plain = RunConfig::load(&path, std::slice::from_ref(&step)).unwrap();
        for KeyInfo { key, modality: of, default, .. } in config::list() {
            let other_layout = of.is_some_and(|of| of.name() != modality);
            let set_above = key == "train.bytes_per_step" || layout.iter().any(|name| key == format!("data.{name}"));
            if other_layout || set_above || default == "required" || default == "unset" {
                continue;
            }
            let set = format!("{}={default}", key.replace(".N.", ".0."));
            let mut with = RunConfig::load(&path, &[step.clone(), set]).unwrap();
            assert_eq!(with.data.layout().unwrap(), plain.data.layout().unwrap(), "{key}");
            with.data.layout = plain.data.layout.clone();
            assert_eq!(with, plain, "{key} = {default}");
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

/// docs/configuration.md and configs/schema.json, which `make docs` writes with UPDATE_DOCS=1.
#[test]
fn the_reference_is_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = serde_json::to_string_pretty(&config::json_schema()).unwrap() + "\n";
    for (name, made) in [("docs/configuration.md", config::markdown()), ("configs/schema.json", schema)] {
        let path = root.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == made, "{name} is not what the code gives: `make docs` writes it");
    }
}
