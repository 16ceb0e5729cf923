//! Standard output and error: one JSON object, nothing else, and readers that go away.

use std::fs;
use std::process::{Command, Stdio};

use crate::fixture::{self, Fixture, scratch};
use crate::{Outcome, run};

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
    program.envs(fixture::environment());
    program
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let Fixture { run, prepared, .. } = fixture::text();
    for args in [["inspect"].as_slice(), &["inspect", "--json"], &["--help"], &["doctor"]] {
        let mut command = program();
        command.args(args);
        if args[0] == "inspect" {
            command.arg(run);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let outcome = Outcome::from(child.wait_with_output().unwrap()).ok();
        assert_eq!(outcome.stderr, "", "{args:?}");
    }
    let mut command = program();
    command.args(["eval", "--device", "cpu", "--model"]).arg(run).arg("--data").arg(prepared);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Outcome::from(child.wait_with_output().unwrap()).ok();
}

#[test]
fn progress_that_nobody_reads_stops_no_work() {
    let Fixture { config, prepared, .. } = fixture::text();
    let out = scratch("unread").join("run");
    let mut command = program();
    command
        .args(["train", "--device", "cpu", "--config"])
        .arg(config)
        .arg("--data")
        .arg(prepared)
        .arg("--out")
        .arg(&out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(out.join("checkpoints/step_00000006/state.json").is_file());
    // An error that nobody reads is one all the same.
    let mut child = program().args(["inspect", "/no/such"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// What a run shows on a terminal of so many columns.
fn on_a_terminal(columns: &str) -> String {
    let Fixture { config, prepared, .. } = fixture::text();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join(".venv/bin/python"));
    command.envs(fixture::environment()).arg(root.join("tests/reference/terminal.py")).arg(columns);
    command.arg(env!("CARGO_BIN_EXE_megabyte")).args(["train", "--device", "cpu", "--config"]).arg(config);
    command.arg("--data").arg(prepared).arg("--out").arg(scratch(&format!("terminal-{columns}")).join("run"));
    Outcome::from(command.output().unwrap()).ok().stdout
}

#[test]
fn a_terminal_has_one_live_line_that_fits() {
    let wide = on_a_terminal("200");
    let live = wide.split(['\r', '\n']).find(|line| line.contains("bits/byte")).unwrap_or_else(|| panic!("{wide}"));
    let words = ["bits/byte", "left", "B/s", "lr ", "grad ", "MB", "MFU ", "wait ", "mem "];
    assert!(words.iter().all(|word| live.contains(word)), "{live}");
    let narrow = on_a_terminal("60");
    // Without the control sequences of the terminal.
    let live: Vec<&str> = narrow.split(['\r', '\n', '\x1b']).filter(|line| line.contains("bits/byte")).collect();
    assert!(!live.is_empty() && live.iter().all(|line| line.chars().count() <= 60 + 4), "{live:?}");
    assert!(live.iter().any(|line| line.contains("left")), "{live:?}");
}

#[test]
fn a_profile_of_training_adds_up_to_the_step() {
    let Fixture { config, .. } = fixture::text();
    let with = |json: &str| {
        run!("bench", "train", "--profile", json, "--config", config, "--seconds", "0.1", "--device", "cpu")
    };
    let measured = with("--json").json();
    let found = &measured["profile"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let parts = found["parts"].as_array().unwrap();
    let part = |name: &str| number(&parts.iter().find(|part| part["part"] == name).unwrap()["ms"]);
    let sum: f64 = parts.iter().map(|part| number(&part["ms"])).sum();
    assert!((sum / number(&found["ms_per_step"]) - 1.0).abs() < 1e-6, "{found}");
    for name in ["matrices", "attention", "elementwise", "embedding-loss", "copies", "optimizer", "data"] {
        assert!(part(name) > 0.0, "{name}: {found}");
    }
    // Every operation of the paper's model is known, and nothing was recorded twice.
    assert_eq!(part("other"), 0.0, "{found}");
    assert!(part("rest") >= 0.0 && number(&found["loop_share"]) < 1.0, "{found}");
    assert_eq!(found["operations"].as_array().unwrap().len(), 10);
    let shown = with("--set=train.log_every=2").ok().stdout;
    assert!(shown.contains("matrix products") && shown.contains("aten::"), "{shown}");
}

#[test]
fn results_and_progress_do_not_mix() {
    let Fixture { run, config, prepared, .. } = fixture::text();
    let folder = scratch("mixed");
    assert_eq!(run!("doctor", "--json").json()["libtorch"]["required"], "2.11.0");
    for what in ["train", "generate", "compress", "data"] {
        let measured = run!("bench", what, "--config", config, "--seconds", "0.1", "--json", "--device", "cpu").json();
        let rate = |of: &serde_json::Value| of["bytes_per_second"].as_f64().unwrap_or(0.0);
        assert!(rate(&measured) > 0.0, "{measured}");
        let in_both = matches!(what, "generate" | "compress");
        assert_eq!(measured["other"]["dtype"] == "bfloat16" && rate(&measured["other"]) > 0.0, in_both, "{measured}");
        assert_eq!(measured["memory"].is_u64(), what == "train", "{measured}");
    }
    let one = run!("bench", "generate", "--config", config, "--seconds", "0.1", "--dtype", "bfloat16", "--json").json();
    assert!(one["dtype"] == "bfloat16" && one["other"].is_null(), "{one}");
    run!("bench", "train", "--dtype", "float32").fails(2, &["--dtype", "train.dtype"]);
    let trained =
        run!("train", "--config", config, "--data", prepared, "--out", folder.join("run"), "--device", "cpu").ok();
    assert_eq!(trained.stdout, "");
    assert!(trained.stderr.contains("step 6/6") && trained.stderr.contains("held out"), "{}", trained.stderr);
    let generated = run!("generate", "--model", run, "--out", folder.join("a.txt"), "--device", "cpu").ok();
    assert_eq!(generated.stdout, "");
    let shown = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    for line in shown.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].is_u64());
    }
    let help = run!("train", "--help").ok();
    assert!(help.stdout.contains("Usage: megabyte train") && help.stderr.is_empty());
}
