//! Runs that are killed at any moment, where nothing can be put in order: also between the files of a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
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

/// Whether there is a part of a checkpoint.
fn is_half_written(run: &Path) -> bool {
    let mut entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    entries.any(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.starts_with(".step_") && name.ends_with(".tmp")
    })
}

/// Many programs, one after another.
mod slow {
    use super::*;

    #[test]
    fn a_run_killed_at_any_moment_is_what_it_would_have_been() {
        killed("kills", KILLS, &["train.max_steps=700", "train.log_every=3"]);
    }

    #[test]
    fn so_is_one_with_muon_and_averages() {
        killed("kills-muon", 8, &["train.max_steps=300", "train.log_every=3", "train.optimizer=muon", "train.ema=0.9"]);
    }
}

fn killed(name: &str, kills: usize, settings: &[&str]) {
    let folder = scratch(name);
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let rare = [settings, &["train.checkpoint_every=0"]].concat();
    assert!(train(&whole, &rare).status().unwrap().success());

    let settings = [settings, &["train.checkpoint_every=1"]].concat();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let latest = parts.join("checkpoints/latest");
    let mut amid_writing = 0;
    for kill in 0..kills {
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
        if kill % 3 == 1 {
            // While a checkpoint is written, as soon as that is seen.
            let waited = Instant::now();
            while !is_half_written(&parts) && waited.elapsed() < Duration::from_secs(2) {}
        } else {
            sleep(Duration::from_micros(random.random_range(0..if early { 400_000 } else { 25_000 })));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "kill {kill} came too late");
        amid_writing += usize::from(is_half_written(&parts));
    }
    assert!(amid_writing > 0, "no kill came while a checkpoint was written");
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

/// A run of 60 steps with the interval of `whole`, and one that has 2 up to its step `until` and 3 from there on.
fn with_another_interval(name: &str, whole: &str, until: &str) -> (PathBuf, PathBuf) {
    let folder = scratch(name);
    let runs = (folder.join("whole"), folder.join("parts"));
    let constant = "train.schedule=constant";
    for (run, settings) in [
        (&runs.0, vec![constant, "train.max_steps=60", whole]),
        (&runs.1, vec![constant, until, "train.log_every=2"]),
        (&runs.1, vec!["train.max_steps=60", "train.log_every=3"]),
    ] {
        assert!(train(run, &settings).status().unwrap().success());
    }
    runs
}

/// What does not depend on the interval: all but the mean loss, and of that, the sum up to a step that both have.
#[test]
fn another_log_interval_changes_no_number_at_a_step() {
    let (whole, parts) = with_another_interval("intervals", "train.log_every=2", "train.max_steps=31");

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

/// The first line after the change is of the steps since the last line of the other interval. The rest is byte for byte
/// what the new interval makes of the run.
#[test]
fn from_the_second_line_on_a_run_is_as_if_it_had_always_had_its_log_interval() {
    let (whole, parts) = with_another_interval("interval-bytes", "train.log_every=3", "train.max_steps=32");

    let after = |run: &Path| -> Vec<String> {
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let step = |line: &str| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap();
        text.lines().filter(|line| step(line) > 32).map(str::to_owned).collect()
    };
    let (whole, parts) = (after(&whole), after(&parts));
    assert_eq!(whole[1..], parts[1..]);
    assert!(whole.len() > 12);
    let [mut a, mut b] = [&whole[0], &parts[0]].map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(a["step"], 33);
    for key in ["loss", "bits_per_byte"] {
        assert_ne!(a[key].take(), b[key].take(), "{key} is of three steps, and of one");
    }
    assert_eq!(a, b);
}
