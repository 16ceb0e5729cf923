//! Runs that are killed at any moment, where nothing can be put in order: also between the files of a checkpoint.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::fixture::{self, scratch};

const KILLS: usize = 25;

/// A run of many small steps, with a checkpoint after each.
fn train(out: &Path, settings: &[&str]) -> Command {
    let fixture = fixture::text();
    let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
    program.envs(fixture::environment()).args(["train", "--device", "cpu", "--out"]).arg(out);
    if has_checkpoint(out) {
        program.args(["--resume", "--allow-config-change"]);
    } else {
        program.arg("--config").arg(&fixture.config).arg("--data").arg(&fixture.prepared);
        program.args(["--set", "train.sample_every=0", "--set", "train.eval_every=5"]);
    }
    for setting in settings {
        program.args(["--set", setting]);
    }
    program.stdout(Stdio::null()).stderr(Stdio::null());
    program
}

fn has_checkpoint(run: &Path) -> bool {
    let mut entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("step_"))
}

#[test]
fn a_run_killed_at_any_moment_is_what_it_would_have_been() {
    let folder = scratch("kills");
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let settings = ["train.max_steps=700", "train.log_every=3"];
    let rare = [&settings[..], &["train.checkpoint_every=0"]].concat();
    assert!(train(&whole, &rare).status().unwrap().success());

    let settings = [&settings[..], &["train.checkpoint_every=1"]].concat();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let latest = parts.join("checkpoints/latest");
    for kill in 0..KILLS {
        let before = fs::read_link(&latest).ok();
        let resumed = has_checkpoint(&parts);
        let mut child = train(&parts, if resumed { &[] } else { &settings }).spawn().unwrap();
        let began = Instant::now();
        // Some while they start, most while they write.
        let early = kill % 6 == 5;
        while !early && fs::read_link(&latest).ok() == before {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "kill {kill}: ended by itself with {ended:?}, resumed: {resumed}");
            assert!(began.elapsed() < Duration::from_secs(60), "kill {kill}: no checkpoint");
            sleep(Duration::from_micros(200));
        }
        sleep(Duration::from_micros(random.random_range(0..if early { 400_000 } else { 25_000 })));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "kill {kill} came too late");
    }
    assert!(train(&parts, &[]).status().unwrap().success());

    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors", "checkpoints/best/model.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
    for link in ["latest", "best"] {
        let target = |run: &Path| fs::read_link(run.join("checkpoints").join(link)).unwrap();
        assert_eq!(target(&whole), target(&parts), "{link}");
    }
    for entry in fs::read_dir(parts.join("checkpoints")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with(".step_"), "{name:?} was left");
    }
}

/// What does not depend on the interval: all but the mean loss, and of that, the sum up to a step that both have.
#[test]
fn another_log_interval_changes_no_number_at_a_step() {
    let folder = scratch("intervals");
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let constant = "train.schedule=constant";
    assert!(train(&whole, &[constant, "train.max_steps=60", "train.log_every=2"]).status().unwrap().success());
    assert!(train(&parts, &[constant, "train.max_steps=31", "train.log_every=2"]).status().unwrap().success());
    assert!(train(&parts, &["train.max_steps=60", "train.log_every=3"]).status().unwrap().success());

    let read = |run: &Path| -> Vec<Value> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (whole, parts) = (read(&whole), read(&parts));
    let nats = |lines: &[Value], step: u64| -> f64 {
        let mut before = 0.0;
        let of = lines.iter().filter(|line| line["kind"] == "train" && line["step"].as_u64() <= Some(step));
        of.map(|line| {
            let bytes = line["bytes"].as_f64().unwrap();
            let share = line["loss"].as_f64().unwrap() * (bytes - before);
            before = bytes;
            share
        })
        .sum()
    };
    let mut common = 0;
    for line in &whole {
        let step = line["step"].as_u64().unwrap();
        let Some(other) = parts.iter().find(|other| other["step"] == line["step"] && other["kind"] == line["kind"])
        else {
            continue;
        };
        if line["kind"] == "valid" {
            // The end of the shorter run is no step at which the other evaluates.
            assert_eq!(line, other);
            continue;
        }
        for key in ["bytes", "lr", "grad_norm"] {
            assert_eq!(line[key], other[key], "{key} at step {step}");
        }
        let (a, b) = (nats(&whole, step), nats(&parts, step));
        assert!((a - b).abs() < 1e-9 * a, "step {step}: {a} and {b} nats");
        common += usize::from(step > 31);
    }
    assert_eq!(common, 5, "36, 42, 48, 54 and 60");
}
