//! A full disk, and places that can't be written to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{self, Fixture, scratch};
use crate::{Outcome, run};

/// The records of a TensorBoard file: a length, its checksum, the content, its checksum. Fails on half of one.
fn records(mut file: &[u8]) -> usize {
    let mut count = 0;
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file = &file[8 + 4 + length + 4..];
        count += 1;
    }
    count
}

/// No file may get longer than a small model's weights, so that no checkpoint can be written.
const LIMITED: &str = r#"
ulimit -f 8
exec "$PROGRAM" train --out "$RUN" --resume --allow-config-change --device cpu --set train.max_steps=12
"#;

#[test]
fn checkpoints_that_can_not_be_written_cost_no_earlier_one() {
    let fixture = fixture::text();
    let folder = scratch("limited");
    let (run, whole) = (folder.join("run"), folder.join("whole"));
    crate::copy(&fixture.run, &run);
    crate::copy(&fixture.run, &whole);
    let place = run.join("checkpoints/step_00000006");
    let before = fs::read(place.join("optimizer.safetensors")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", LIMITED]).envs(fixture::environment());
    shell.env("PROGRAM", env!("CARGO_BIN_EXE_megabyte")).env("RUN", &run);
    let ended = Outcome::from(shell.output().unwrap());
    // At step 8; and which steps come next depends on how long that took.
    assert!(ended.stderr.contains("warning: no checkpoint at step 8:"), "{}", ended.stderr);
    assert!(ended.stderr.matches("warning: no checkpoint at step").count() >= 2, "{}", ended.stderr);
    // Not for want of the events, which no checkpoint needs.
    ended.fails(1, &["safetensors: File too large", "step 12 is not saved", "--resume goes on from"]);
    assert_eq!(before, fs::read(place.join("optimizer.safetensors")).unwrap());
    for entry in fs::read_dir(run.join("checkpoints")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().contains("tmp"), "{name:?} was left");
    }
    // Events are written up to the last that fits.
    let entries = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let events: Vec<_> = entries.filter(|path| path.to_string_lossy().contains("tfevents")).collect();
    assert!(events.iter().map(|path| records(&fs::read(path).unwrap())).max().unwrap() > 10);
    // With room, it is the run that it would have been.
    for run in [&run, &whole] {
        run!(
            "train",
            "--out",
            run,
            "--resume",
            "--allow-config-change",
            "--device",
            "cpu",
            "--set",
            "train.max_steps=12"
        )
        .ok();
    }
    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors"] {
        assert!(fs::read(run.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{file} differs");
    }
}

/// Where the folder of checkpoints would be, there is a file for a while. The next checkpoint is due so late that only a
/// second try can have written the one that is there.
#[test]
fn a_checkpoint_that_failed_is_tried_again() {
    let Fixture { config, prepared, .. } = fixture::text();
    let run = scratch("retried").join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("checkpoints"), "").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
    program.envs(fixture::environment()).args(["train", "--device", "cpu", "--config"]).arg(config);
    program.arg("--data").arg(prepared).arg("--out").arg(&run);
    for setting in ["max_steps=1000000", "checkpoint_every=1000", "log_every=1", "eval_every=0", "sample_every=0"] {
        program.args(["--set", &format!("train.{setting}")]);
    }
    let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let warning = said.find(|line| line.contains("no checkpoint at step 1000")).unwrap();
    assert!(warning.contains("checkpoints"), "{warning}");
    fs::remove_file(run.join("checkpoints")).unwrap();
    let began = Instant::now();
    while !run.join("checkpoints/latest").exists() {
        assert!(
            child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60),
            "it is not tried again"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let latest = fs::read_link(run.join("checkpoints/latest")).unwrap();
    let step: u64 = latest.to_str().unwrap().strip_prefix("step_").unwrap().parse().unwrap();
    assert!((1001..2000).contains(&step), "{step}");
}
