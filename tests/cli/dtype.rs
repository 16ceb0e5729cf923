//! The type of matrix work that is chosen, and the time that a run may take.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

/// The text fixture's configuration without a type, and with products of more than microseconds.
fn config(folder: &Path) -> PathBuf {
    let text = fs::read_to_string(&fixture::text().config).unwrap();
    let wide = text.replacen("n_embd = 8", "n_embd = 128", 1).replacen("n_embd = 8", "n_embd = 32", 1);
    write(folder, "config.toml", wide.replace("dtype = \"float32\"\n", ""))
}

fn dtype(run: &Path) -> String {
    let config: toml::Table = toml::from_str(&fs::read_to_string(run.join("config.toml")).unwrap()).unwrap();
    config["train"]["dtype"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_has_the_type_that_was_chosen_and_keeps_it() {
    let folder = scratch("dtype");
    let (config, prepared, out) = (config(&folder), &fixture::text().prepared, folder.join("run"));
    let begun = run!("train", "--config", config, "--data", prepared, "--out", out, "--device", "cpu").ok();
    let line = begun.stderr.lines().find(|line| line.starts_with("type ")).unwrap();
    assert!(line.contains("GFLOP/s") && line.contains("float32") && line.contains("bfloat16"), "{line}");
    let chosen = dtype(&out);
    assert!(line.starts_with(&format!("type      {chosen}: ")), "{line}, and the run is in {chosen}");
    let checkpoint = fs::read_to_string(out.join("checkpoints/latest/run.toml")).unwrap();
    assert!(checkpoint.contains(&format!("dtype = \"{chosen}\"")), "{checkpoint}");

    // "auto", in a file or by default, is no other type than the one that was chosen.
    let auto = "train.dtype=auto";
    run!("train", "--out", out, "--resume", "--device", "cpu", "--config", config, "--data", prepared).ok();
    let resumed = run!("train", "--out", out, "--resume", "--device", "cpu", "--set", auto).ok();
    assert!(resumed.stderr.contains(&format!("type      {chosen}: as the run began (")), "{}", resumed.stderr);
    assert_eq!(dtype(&out), chosen);
    let other = if chosen == "float32" { "bfloat16" } else { "float32" };
    let changed = format!("train.dtype={other}");
    run!("train", "--out", out, "--resume", "--device", "cpu", "--set", changed)
        .fails(2, &["train.dtype", &chosen, other]);
}

#[test]
fn a_type_that_is_far_slower_is_told_of() {
    let folder = scratch("slower");
    let (config, prepared, out) = (config(&folder), &fixture::text().prepared, folder.join("run"));
    let dry =
        |set: &str| run!("train", "--config", config, "--dry-run", "--json", "--set", set, "--device", "cpu").json();
    let auto = dry("train.dtype=auto");
    let rate = |name: &str| auto["rates"][name].as_f64().unwrap();
    assert!(rate("float32") > 0.0 && rate("bfloat16") > 0.0 && auto["reason"].is_string(), "{auto}");
    assert_eq!(auto["warnings"], Value::Array(Vec::new()));
    let ratio = (rate("float32") / rate("bfloat16")).max(rate("bfloat16") / rate("float32"));
    let chosen = auto["dtype"].as_str().unwrap();
    let other = if chosen == "float32" { "bfloat16" } else { "float32" };
    let asked = format!("train.dtype={other}");
    let found = dry(&asked);
    assert_eq!((found["dtype"].as_str(), found["reason"].as_str()), (Some(other), Some("as asked for")));
    // The memory that is known before is that of the type which is chosen.
    let needed = |run: &Value| run["memory"]["needed"].as_u64().unwrap();
    let named = format!("train.dtype={chosen}");
    assert_eq!(needed(&auto), needed(&dry(&named)));
    assert_ne!(needed(&auto), needed(&found));

    let begun =
        run!("train", "--config", config, "--data", prepared, "--out", out, "--set", asked, "--device", "cpu").ok();
    assert_eq!(dtype(&out), other);
    let resumed = run!("train", "--out", out, "--resume", "--device", "cpu").ok();
    assert_eq!(dtype(&out), other);
    let generated =
        run!("generate", "--model", out, "--length", "8", "--out", folder.join("a.txt"), "--dtype", other, "--json")
            .json();
    assert_eq!(generated["dtype"], other);
    // Where the machine leaves no doubt.
    if ratio > 6.0 {
        let warning = format!("warning: train.dtype = \"{other}\": {chosen} is ");
        assert!(
            begun.stderr.contains(&warning) && begun.stderr.contains("set train.dtype = \"auto\""),
            "{}",
            begun.stderr
        );
        assert!(found["warnings"][0].as_str().unwrap().contains("times as fast on this machine"), "{found}");
        let kept = format!("the run began in {other} and goes on in it; this machine would choose {chosen}");
        assert!(resumed.stderr.contains(&kept), "{}", resumed.stderr);
    }
    if ratio < 0.9 * 1.2 {
        assert!(!begun.stderr.contains("warning"), "{}", begun.stderr);
    }
}

#[test]
fn what_is_scored_and_compressed_says_its_type() {
    let Fixture { run, file, .. } = fixture::text();
    let folder = scratch("types");
    let types = ["float32", "bfloat16"];
    let evaluated = run!("eval", "--model", run, "--data", file, "--json", "--device", "cpu").json();
    assert!(types.contains(&evaluated["dtype"].as_str().unwrap()), "{evaluated}");
    let archive = folder.join("a.mbz");
    let made = run!(
        "compress",
        "--model",
        run,
        file,
        "--out",
        archive,
        "--dtype",
        "bfloat16",
        "--payload-only",
        "--json",
        "--device",
        "cpu"
    )
    .json();
    assert_eq!(made["dtype"], "bfloat16");
    // Which of its own it would choose is no matter where an archive is there, nor where one is read.
    run!("compress", "--model", run, file, "--out", archive, "--payload-only", "--device", "cpu").ok();
    let back =
        run!("decompress", "--model", run, archive, "--out", folder.join("a"), "--dtype", "auto", "--json").json();
    assert_eq!(
        back["files"][0]["dtype"],
        made["files"][0]["method"]
            .as_str()
            .map_or(Value::Null, |method| { if method == "coded" { "bfloat16".into() } else { Value::Null } })
    );

    // An evaluation goes on in the type of its journal.
    let journal = folder.join("journal");
    let part = |dtype: &str| {
        run!(
            "eval",
            "--model",
            run,
            "--data",
            file,
            "--json",
            "--resume-file",
            journal,
            "--dtype",
            dtype,
            "--device",
            "cpu"
        )
    };
    let first = part("bfloat16").json();
    let second = part("auto").json();
    assert_eq!((&second["dtype"], &second["nats"]), (&first["dtype"], &first["nats"]));
    part("float32").fails(1, &["--dtype (bfloat16)"]);
}

/// Steps of tens of milliseconds, and time for some of them.
#[test]
fn the_last_step_goes_beyond_the_limit_by_a_part_of_its_own_length() {
    let Fixture { config, prepared, .. } = fixture::text();
    let out = scratch("minutes").join("run");
    let minutes = 0.005;
    let limit = format!("train.max_minutes={minutes}");
    let settings = [
        limit.as_str(),
        "train.max_steps=100000",
        "train.bytes_per_step=49152",
        "train.log_every=1",
        "train.eval_every=0",
    ];
    let mut command = crate::command();
    command
        .args(["train", "--device", "cpu", "--config"])
        .arg(config)
        .arg("--data")
        .arg(prepared)
        .arg("--out")
        .arg(&out);
    for setting in settings.iter().chain(&["train.checkpoint_every=0", "train.sample_every=0"]) {
        command.args(["--set", setting]);
    }
    let done = crate::Outcome::of(&mut command).ok();
    let lines = fs::read_to_string(out.join("speed.jsonl")).unwrap();
    let seconds: Vec<f64> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seconds"].as_f64().unwrap()).collect();
    let (last, before) = seconds.split_last().unwrap();
    assert!(*last >= 60.0 * minutes, "{seconds:?}");
    assert!(before.iter().all(|seconds| *seconds < 60.0 * minutes), "a step began when the time was over: {seconds:?}");
    assert!(seconds.len() < 100, "{}", seconds.len());
    let warned = done
        .stderr
        .lines()
        .position(|line| line.contains("warning: train.max_minutes = 0.005 ends this run after about"));
    let stepped = done.stderr.lines().position(|line| line.starts_with("step "));
    assert!(warned.is_some() && warned < stepped, "{}", done.stderr);
}
