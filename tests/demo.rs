//! `make demo`: what its trainings get of the time on machines of different speeds.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// What the plan sets for each model, and what it says, where training and generation have such rates, in bytes a second.
fn plan(rate: f64, generated: f64, seconds: f64) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let of = |context: u64, bytes_per_step: u64, test_bytes: u64| {
        json!({
            "rate": rate, "generated": generated, "dtype": "float32", "reason": "40 times as fast as bfloat16",
            "context": context, "bytes_per_step": bytes_per_step, "max_steps": 100_000, "eval_bytes": 100_000, "test_bytes": test_bytes,
        })
    };
    let models = [("image", 3072, 12_288, 600_000), ("audio", 4096, 16_384, 400_000), ("text", 1024, 4096, 300_000)];
    let measured: Value =
        models.iter().map(|&(name, a, b, c)| (name.to_owned(), of(a, b, c))).collect::<serde_json::Map<_, _>>().into();
    let file = folder.path().join("measured.json");
    fs::write(&file, measured.to_string()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program = Command::new(root.join(".venv/bin/python"));
    program.arg(root.join("scripts/plan.py")).arg("--measured").arg(&file).arg("--out").arg(folder.path());
    program.args(["--seconds", &seconds.to_string(), "image=600000", "audio=400000", "text=300000"]);
    let done = program.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{said}");
    let mut found = json!({});
    for (name, ..) in models {
        for line in fs::read_to_string(folder.path().join(format!("{name}.plan"))).unwrap().lines() {
            let (key, value) = line.split_once('=').unwrap();
            found[name][key] = value.parse::<f64>().unwrap().into();
        }
    }
    (found, said)
}

fn minutes(plan: &Value) -> f64 {
    ["image", "audio", "text"].iter().map(|name| plan[name]["train.max_minutes"].as_f64().unwrap()).sum()
}

/// The minutes that the plan says it takes in all.
fn in_all(said: &str) -> f64 {
    let at = said.find("takes about ").unwrap() + "takes about ".len();
    said[at..].split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn trainings_get_what_is_left_of_the_time() {
    let (slow, said) = plan(18e3, 600.0, 660.0);
    assert!((6.0..10.0).contains(&minutes(&slow)), "{slow}");
    assert!(in_all(&said) <= 11.0 && !said.contains("more than"), "{said}");
    assert!(said.contains("18.0 kB/s in float32 (40 times as fast as bfloat16)"), "{said}");
    // What is not training takes less on a faster machine.
    let (fast, said) = plan(80e3, 2000.0, 660.0);
    assert!(minutes(&fast) > minutes(&slow) && in_all(&said) <= 11.0, "{said}");
}

#[test]
fn a_slow_machine_takes_smaller_steps_and_not_too_few() {
    let steps = |plan: &Value, name: &str, rate: f64| {
        let number = |key: &str| plan[name][key].as_f64().unwrap();
        rate * 60.0 * number("train.max_minutes") / number("train.bytes_per_step")
    };
    for rate in [9e3, 18e3, 80e3] {
        let (found, _) = plan(rate, 600.0, 660.0);
        for (name, context) in [("image", 3072.0), ("audio", 4096.0), ("text", 1024.0)] {
            let size = found[name]["train.bytes_per_step"].as_f64().unwrap();
            assert!(size >= context && size % context == 0.0, "{name}: {size}");
            assert!(steps(&found, name, rate) >= 600.0 || size == context, "{name} at {rate}: {found}");
        }
    }
    let (fast, _) = plan(80e3, 600.0, 660.0);
    assert_eq!(fast["audio"]["train.bytes_per_step"], 16_384.0, "there are steps enough");
}

#[test]
fn time_that_is_too_short_is_said() {
    let (found, said) = plan(18e3, 600.0, 60.0);
    assert!(minutes(&found) > 2.0 && said.contains("more than the 1.0 that there are"), "{said}");
}
