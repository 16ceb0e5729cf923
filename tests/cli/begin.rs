//! Runs that begin with another model, runs whose steps are skipped, and what a batch was of.

use std::fs;

use serde_json::Value;

use crate::fixture::{self, scratch};
use crate::{Outcome, copy, run};

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
    // Of other data the batches are others.
    let other = scratch("batch-other");
    std::fs::create_dir_all(other.join("checkpoints/latest")).unwrap();
    std::fs::copy(fixture::text().run.join("config.toml"), other.join("config.toml")).unwrap();
    std::fs::write(other.join("checkpoints/latest/state.json"), r#"{"data": ["of another run"]}"#).unwrap();
    run!("inspect", other, "--batch", "3").fails(1, &["batch-other", "other data"]);
}

/// At these learning rates the first step leaves weights of which all others are skipped: such that the squares of some are
/// beyond float32, and such that only the next step tells.
#[test]
fn a_run_of_which_every_step_is_skipped_ends_and_can_go_on() {
    let folder = scratch("skipped-steps");
    for (lr, saved) in [("1e30", false), ("1e16", true)] {
        let run = folder.join(lr);
        copy(&fixture::text().run, &run);
        // As in the run, which the copy followed the links of.
        let latest = run.join("checkpoints/latest");
        fs::remove_dir_all(&latest).unwrap();
        std::os::unix::fs::symlink("step_00000006", &latest).unwrap();
        let resume = |settings: &[&str]| {
            let mut program = crate::command();
            program.args(["train", "--resume", "--allow-config-change", "--device", "cpu", "--out"]).arg(&run);
            program.args(settings.iter().flat_map(|set| ["--set", set]));
            Outcome::of(&mut program)
        };
        let rate = format!("train.lr={lr}");
        let ruin = [
            &rate,
            "train.schedule=constant",
            "train.max_steps=100",
            "train.clip=0",
            "train.max_skipped=5",
            "train.log_every=1",
            "train.checkpoint_every=1",
            "train.eval_every=0",
            "train.sample_every=0",
        ];
        let ended = resume(&ruin);
        assert_eq!(
            ended.stderr.contains("no checkpoint at step 7: weights are not finite"),
            !saved,
            "{}",
            ended.stderr
        );
        let good = run.join("checkpoints/step_00000006");
        ended.fails(1, &["5 steps in a row", "train.lr", "--resume goes on from", good.to_str().unwrap()]);
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert!(last["skipped"].as_u64().unwrap() >= 1 && last["loss"].is_null(), "{metrics}");
        // No step that was skipped has a checkpoint, and none has removed the good one.
        let entries = fs::read_dir(run.join("checkpoints")).unwrap();
        let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let newest = names.iter().filter(|name| name.starts_with("step_")).max().unwrap();
        assert_eq!(newest, if saved { "step_00000007" } else { "step_00000006" }, "{names:?}");
        if saved {
            // The error says so.
            fs::remove_dir_all(run.join("checkpoints/step_00000007")).unwrap();
        }
        let on = resume(&["train.lr=1e-3", "train.max_steps=10"]).ok();
        assert!(on.stderr.contains("goes on   from step 6, ") && on.stderr.contains("step_00000006"), "{}", on.stderr);
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert!(!metrics.contains("null") && metrics.contains("\"step\":10"), "{metrics}");
    }
}

#[test]
fn a_run_that_began_with_a_model_goes_on_with_its_file() {
    let text = fixture::text();
    let out = scratch("file-again").join("run");
    let train = |flags: &[&str]| {
        let mut program = crate::command();
        program.args(["train", "--device", "cpu", "--config"]).arg(&text.config).arg("--data").arg(&text.prepared);
        Outcome::of(program.arg("--out").arg(&out).args(flags))
    };
    train(&["--init-from", text.run.to_str().unwrap()]).ok();
    train(&["--resume"]).ok();
    // What was chosen for it can't be carried over: then the file is what has to go.
    train(&["--resume", "--set", "train.seed=1"]).fails(2, &["train.seed", "leave out --config"]);
}
