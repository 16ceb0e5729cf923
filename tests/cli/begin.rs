//! Runs that begin with another model, runs whose steps are skipped, and what a batch was of.

use std::fs;

use serde_json::Value;

use crate::fixture::{self, scratch};
use crate::run;

#[test]
fn a_run_begins_with_a_model_of_another_modality() {
    let (text, audio) = (fixture::text(), fixture::audio());
    let out = scratch("begin").join("run");
    let steps = "train.max_steps=3";
    let begun = run!(
        "train",
        "--config",
        audio.config,
        "--data",
        audio.prepared,
        "--out",
        out,
        "--device",
        "cpu",
        "--init-from",
        text.run,
        "--set",
        steps,
        "--set",
        "model.level.0.n_embd=8",
        "--set",
        "model.level.1.n_embd=8",
        "--set",
        "model.ffn=\"gelu\""
    )
    .ok();
    // Twice the patch and no end symbol: the tables of patches are drawn anew, rows of the bytes' are taken.
    for words in ["begins", "checkpoints/best", "256 of the 256 rows of level.1.byte_embedding", "drawn anew"] {
        assert!(begun.stderr.contains(words), "no {words} in {}", begun.stderr);
    }
    // What fits may mean something else.
    assert!(begun.stderr.contains("warning: model.ffn is \"gelu\" here and \"relu\" there"), "{}", begun.stderr);
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(config.contains("init_from"), "{config}");
    // What it began with is no matter for what follows.
    run!("train", "--out", out, "--resume", "--device", "cpu").ok();

    let again = |model: &std::path::Path, out: &std::path::Path| {
        run!("train", "--config", audio.config, "--data", audio.prepared, "--out", out, "--init-from", model)
    };
    let nothing = out.join("none");
    again(&nothing, &out.with_extension("a")).fails(1, &["none", "no such folder"]);
    again(&audio.files, &out.with_extension("a")).fails(1, &["holds no model"]);
    assert!(!out.with_extension("a").exists(), "nothing is left of a run that could not begin");
}

#[test]
fn a_model_of_which_nothing_fits_is_refused() {
    let (text, image) = (fixture::text(), fixture::image());
    let out = scratch("misfit").join("run");
    run!(
        "train",
        "--config",
        image.config,
        "--data",
        image.prepared,
        "--out",
        out,
        "--init-from",
        text.run,
        "--set",
        "model.level.0.n_embd=48",
        "--set",
        "model.bias=false",
        "--set",
        "model.norm=rmsnorm",
        "--set",
        "model.position=none",
        "--set",
        "model.level.1.n_embd=18",
        "--set",
        "model.level.2.n_embd=16"
    )
    .fails(1, &["fit", "[[model.level]]"]);
}

#[test]
fn frozen_levels_have_to_exist_and_leave_something() {
    let text = fixture::text();
    for (levels, words) in [("[2]", "levels 0 to 1"), ("[0, 1]", "nothing to train")] {
        run!(
            "train",
            "--config",
            text.config,
            "--data",
            text.prepared,
            "--set",
            format!("train.freeze_levels={levels}"),
            "--out",
            "none"
        )
        .fails(2, &["train.freeze_levels", words]);
    }
}

#[test]
fn what_a_batch_was_of_is_shown_and_written() {
    for (fixture, extension) in [(fixture::text(), "txt"), (fixture::image(), "png"), (fixture::audio(), "wav")] {
        let samples = scratch(&format!("batch-{extension}"));
        let batch = run!("inspect", fixture.run, "--batch", "3", "--samples", samples, "--json", "--force").json();
        let rows = batch["rows"].as_array().unwrap();
        assert!(!rows.is_empty() && batch["batch"] == 3);
        for (i, row) in rows.iter().enumerate() {
            assert!(row["byte"].is_u64() && !row["name"].as_str().unwrap().is_empty(), "{row}");
            assert!(samples.join(format!("{i:03}.{extension}")).is_file());
        }
        run!("inspect", fixture.run, "--batch", "3").ok();
    }
    run!("inspect", fixture::text().prepared, "--batch", "3").fails(2, &["--batch", "run"]);
}

/// A learning rate at which every weight is gone after a step.
#[test]
fn a_run_of_which_every_step_is_skipped_ends_and_says_why() {
    let text = fixture::text();
    let out = scratch("skipped-steps").join("run");
    run!(
        "train",
        "--config",
        text.config,
        "--data",
        text.prepared,
        "--out",
        out,
        "--device",
        "cpu",
        "--set",
        "train.lr=1e30",
        "--set",
        "train.warmup_steps=0",
        "--set",
        "train.max_steps=100",
        "--set",
        "train.clip=0",
        "--set",
        "train.max_skipped=5",
        "--set",
        "train.log_every=1",
        "--set",
        "train.eval_every=0",
        "--set",
        "train.sample_every=0"
    )
    .fails(1, &["5 steps in a row", "train.lr", "step_0000000"]);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert!(last["skipped"].as_u64().unwrap() >= 1 && last["loss"].is_null(), "{metrics}");
}
