//! Runs that are stopped, continued, begun again, or fail to begin.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixture::{self, Fixture, scratch};
use crate::{Outcome, copy, run, tensorboard};

/// Long enough to be stopped in its middle.
const LONG: [&str; 8] = [
    "--set",
    "train.max_steps=600",
    "--set",
    "train.log_every=7",
    "--set",
    "train.checkpoint_every=0",
    "--set",
    "train.sample_every=0",
];

fn begin(fixture: &Fixture, out: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
    program.envs(fixture::environment()).args(["train", "--device", "cpu", "--set", "train.eval_every=0"]).args(LONG);
    program.arg("--config").arg(&fixture.config).arg("--data").arg(&fixture.prepared).arg("--out").arg(out);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

fn lines(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until something is so while a run goes on.
fn wait_until(child: &mut Child, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60), "it ended or hangs");
        sleep(Duration::from_millis(2));
    }
}

fn state(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(run.join("checkpoints/latest/state.json")).unwrap()).unwrap()
}

#[track_caller]
fn same(whole: &Path, parts: &Path) {
    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors", "config.toml"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
}

/// Stops a run with a signal once it has written some lines.
fn stop(program: &mut Command, run: &Path, signal: &str) -> Outcome {
    let mut child = program.spawn().unwrap();
    wait_until(&mut child, || lines(run) >= 5);
    send(signal, &child);
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    Outcome::from(std::process::Output { status, stdout: Vec::new(), stderr })
}

#[test]
fn a_run_stopped_by_a_signal_goes_on_as_if_it_never_was() {
    let fixture = fixture::text();
    let folder = scratch("stopped");
    let whole = folder.join("whole");
    let done = Outcome::from(begin(fixture, &whole).output().unwrap()).ok();
    let shown: Vec<&str> = done.stderr.lines().filter(|line| line.contains("bits/byte")).collect();
    assert!(shown.len() < 30 && lines(&whole) > 85, "not every line of metrics is printed: {}", done.stderr);
    assert!(shown[0].starts_with("step 7/600") && shown.last().unwrap().starts_with("step 600/600"), "{shown:?}");
    assert!(!done.stderr.contains(['\r', '\x1b']), "no live line where there is no terminal");

    for signal in ["INT", "TERM"] {
        let parts = folder.join(signal);
        let stopped = stop(&mut begin(fixture, &parts), &parts, signal).ok();
        assert!(stopped.stderr.contains("--resume"), "{}", stopped.stderr);
        assert!(lines(&parts) < lines(&whole), "it was stopped in its middle");
        assert!(stopped.stderr.contains(&format!("step {}", state(&parts)["step"])), "{}", stopped.stderr);

        run!("train", "--out", parts, "--resume", "--device", "cpu").ok();
        same(&whole, &parts);
        // Continuing a run that is at its end changes nothing.
        run!("train", "--out", parts, "--resume", "--device", "cpu").ok();
        assert_eq!(lines(&parts), lines(&whole));
    }
}

mod slow {
    use super::*;

    /// Steps of seconds, so that a second signal comes in the same one.
    #[test]
    fn a_second_signal_ends_a_run_at_once_and_costs_the_steps_since_the_checkpoint() {
        let fixture = fixture::text();
        let folder = scratch("twice");
        let long = |out: &Path| {
            let mut program = begin(fixture, out);
            for setting in
                ["max_steps=3", "log_every=1", "checkpoint_every=1", "micro_batch=256", "bytes_per_step=1048576"]
            {
                program.args(["--set", &format!("train.{setting}")]);
            }
            program
        };
        let whole = folder.join("whole");
        assert!(long(&whole).status().unwrap().success());
        // Two at a time are one request, as `timeout` sends them: the step is finished and saved.
        let parts = folder.join("parts");
        let mut child = long(&parts).spawn().unwrap();
        wait_until(&mut child, || lines(&parts) >= 1);
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        for signal in ["TERM", "HUP"] {
            send(signal, &child);
        }
        assert!(said.any(|line| line.contains("stopped and saved at step 2")));
        assert_eq!(child.wait().unwrap().code(), Some(0));

        let mut child = resume(&parts).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("goes on   from step 2, ")));
        sleep(Duration::from_millis(100));
        send("TERM", &child);
        assert!(said.any(|line| line.contains("once more, after a second, exits at once")));
        sleep(Duration::from_millis(1100));
        send("INT", &child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(state(&parts)["step"], 2, "nothing was saved any more");
        run!("train", "--out", parts, "--resume", "--device", "cpu").ok();
        same(&whole, &parts);
    }
}

fn resume(out: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
    program.envs(fixture::environment()).args(["train", "--resume", "--device", "cpu", "--out"]).arg(out);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

#[test]
fn one_program_at_a_time_writes_to_a_run() {
    let fixture = fixture::text();
    let folder = scratch("locked");
    let mut program = begin(fixture, &folder);
    program.args(["--set", "train.max_steps=1000000", "--set", "train.checkpoint_every=10"]);
    let mut child = program.spawn().unwrap();
    wait_until(&mut child, || folder.join("checkpoints/latest").exists());
    let name = folder.to_str().unwrap();
    run!("train", "--out", folder, "--resume", "--device", "cpu").fails(1, &[name, "another megabyte train"]);
    let Fixture { config, prepared, .. } = fixture;
    run!("train", "--config", config, "--data", prepared, "--out", folder, "--force", "--device", "cpu")
        .fails(1, &[name, "another megabyte train"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // However it ended, the next one may.
    let shorter = "train.max_steps=20";
    run!("train", "--out", folder, "--resume", "--allow-config-change", "--set", shorter, "--device", "cpu").ok();
}

#[test]
fn a_configuration_that_was_edited_is_compared_with_that_of_the_checkpoint() {
    let folder = scratch("edited").join("run");
    copy(&fixture::text().run, &folder);
    let path = folder.join("config.toml");
    let whole = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("seed = 0\nlog_every", "seed = 7\nlog_every", ["train.seed: 0 -> 7", "can't change"]),
        ("bytes_per_step = 192", "bytes_per_step = 384", ["train.bytes_per_step: 192 -> 384", "can't change"]),
        ("lr = 0.01", "lr = 0.02", ["train.lr: 0.01 -> 0.02", "config.toml"]),
    ] {
        let edited = whole.replacen(from, to, 1);
        assert_ne!(edited, whole, "{whole}");
        fs::write(&path, &edited).unwrap();
        run!("train", "--out", folder, "--resume", "--device", "cpu").fails(2, &words);
        assert_eq!(fs::read_to_string(&path).unwrap(), edited, "a file of somebody's was changed");
    }
    // What hinders the run is found before its configuration is replaced.
    fs::write(&path, &whole).unwrap();
    fs::remove_file(folder.join("metrics.jsonl")).unwrap();
    fs::create_dir(folder.join("metrics.jsonl")).unwrap();
    let longer = "train.max_steps=8";
    run!("train", "--out", folder, "--resume", "--allow-config-change", "--set", longer, "--device", "cpu")
        .fails(1, &["metrics.jsonl"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}

/// A valid split that takes long: the run stops without it, and the one that goes on begins with it.
#[test]
fn an_evaluation_that_a_signal_stops_is_done_when_the_run_goes_on() {
    let fixture = fixture::text();
    let folder = scratch("evaluated");
    fixture::write(&folder, "files/train/book.txt", fixture::words(1, 6000));
    fixture::write(&folder, "files/valid/book.txt", fixture::words(2, 1_500_000));
    let begin = |out: &Path| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_megabyte"));
        program.envs(fixture::environment()).args(["train", "--device", "cpu", "--config"]).arg(&fixture.config);
        program.arg("--data").arg(folder.join("files")).arg("--out").arg(out).args(["--set", "train.eval_bytes=0"]);
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    };
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    assert!(begin(&whole).status().unwrap().success());
    let mut child = begin(&parts).spawn().unwrap();
    // Steps 2 and 3 of 6 are logged, then evaluated is step 3.
    wait_until(&mut child, || parts.join("checkpoints/latest/state.json").exists());
    sleep(Duration::from_millis(50));
    send("TERM", &child);
    let ended = Outcome::from(child.wait_with_output().unwrap()).ok();
    assert!(ended.stderr.contains("stopped and saved at step 3"), "{}", ended.stderr);
    assert_eq!(state(&parts)["owed"], serde_json::json!({"evaluation": true, "samples": true}));
    assert!(
        !fs::read_to_string(parts.join("metrics.jsonl")).unwrap().contains("valid") && !parts.join("samples").exists()
    );

    run!("train", "--out", parts, "--resume", "--device", "cpu").ok();
    same(&whole, &parts);
    for sample in ["samples/step_00000003/000.txt", "samples/step_00000006/001.txt"] {
        assert!(fs::read(whole.join(sample)).unwrap() == fs::read(parts.join(sample)).unwrap(), "{sample} differs");
    }
    assert_eq!(
        fs::read_link(whole.join("checkpoints/best")).unwrap(),
        fs::read_link(parts.join("checkpoints/best")).unwrap()
    );
    assert_eq!(state(&parts)["owed"], serde_json::json!({"evaluation": false, "samples": false}));
}

#[test]
fn a_run_that_is_killed_goes_on_from_its_latest_checkpoint() {
    let fixture = fixture::text();
    let folder = scratch("killed");
    let mut program = begin(fixture, &folder);
    program.args(["--set", "train.checkpoint_every=10"]);
    let killed = stop(&mut program, &folder, "KILL");
    assert_eq!(killed.code, None);
    assert!(folder.join("checkpoints/latest/state.json").is_file());
    // What a crash leaves: a half-written checkpoint beside, and a cut line.
    fs::create_dir(folder.join("checkpoints/.step_00000600.tmp")).ok();
    let mut metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    metrics.push_str("{\"kind\":\"tra");
    fs::write(folder.join("metrics.jsonl"), metrics).unwrap();

    run!("train", "--out", folder, "--resume", "--device", "cpu").ok();
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let steps: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["kind"] == "train")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (1..=600).filter(|step| step % 7 == 0 || *step == 600).collect();
    assert_eq!(steps, expected);
    assert_eq!(tensorboard::steps(&tensorboard::events(&folder)["scalars"]["train/bits_per_byte"]), expected);
    assert!(!folder.join("checkpoints/.step_00000600.tmp").exists());
}

#[test]
fn a_run_is_not_begun_where_one_is() {
    let Fixture { config, prepared, run, .. } = fixture::text();
    let folder = scratch("begun").join("run");
    copy(run, &folder);
    let weights = || fs::read(folder.join("checkpoints/latest/model.safetensors")).unwrap();
    let (before, metrics) = (weights(), fs::read(folder.join("metrics.jsonl")).unwrap());
    let again = |data: &Path, flag: &str| {
        run!("train", "--config", config, "--data", data, "--out", folder, "--device", "cpu", flag)
    };
    run!("train", "--config", config, "--data", prepared, "--out", folder).fails(1, &["--resume", "--force", "--out"]);
    // Not even by force, before it is clear that a new run can begin.
    let nowhere = folder.join("nowhere");
    again(&nowhere, "--force").fails(1, &["nowhere"]);
    again(prepared, "--set=train.seed=5").fails(1, &["--force"]);
    run!("train", "--config", config, "--out", folder, "--force").fails(2, &["data.sources", "--data"]);
    assert!(before == weights() && metrics == fs::read(folder.join("metrics.jsonl")).unwrap(), "the run was changed");
    again(prepared, "--force").ok();
}

#[test]
fn a_run_goes_on_only_as_it_began() {
    let Fixture { config, prepared, run, .. } = fixture::text();
    let folder = scratch("other").join("run");
    copy(run, &folder);
    let resume = |sets: &[&str], flags: &[&str]| {
        let mut program = crate::command();
        program.args(["train", "--resume", "--device", "cpu", "--out"]).arg(&folder).args(flags);
        program.args(sets.iter().flat_map(|set| ["--set", set]));
        Outcome::of(&mut program)
    };
    let allow = ["--allow-config-change"];
    // Whether by a file or by flags, what is different is told key by key.
    let asked = ["--config", config.to_str().unwrap(), "--data", prepared.to_str().unwrap()];
    resume(&["train.lr=0.005"], &asked).fails(2, &["train.lr: 0.01 -> 0.005", "--allow-config-change"]);
    resume(&["train.lr=0.005", "sample.top_k=3"], &[])
        .fails(2, &["train.lr: 0.01 -> 0.005", "sample.top_k: 0 -> 3", "--allow-config-change"]);
    // What its checkpoint is made of can't change, and what may change does not beside it.
    for set in [
        "model.level.0.n_embd=16",
        "model.level.0.n_layer=2",
        "model.norm_eps=1e-6",
        "data.cut_over=77",
        "data.newlines=\"lf\"",
        "train.seed=77",
        "train.bytes_per_step=384",
    ] {
        let key = set.split_once('=').unwrap().0;
        for flags in [&[][..], &allow[..]] {
            resume(&[set, "train.max_steps=8"], flags).fails(2, &[key, "can't change", "train.max_steps: 6 -> 8"]);
        }
    }
    assert_eq!(fs::read(run.join("config.toml")).unwrap(), fs::read(folder.join("config.toml")).unwrap());
    run!("train", "--config", config, "--out", folder, "--allow-config-change").fails(2, &["--resume"]);

    // A longer run can go on where that is allowed, and is then what its configuration says.
    let longer = resume(&["train.max_steps=8", "model.dropout=0.0"], &allow).ok();
    for words in ["train.max_steps: 6 -> 8", "model.dropout: 0.1 -> 0.0", "the learning rate jumps from 0"] {
        assert!(longer.stderr.contains(words), "no `{words}` in {}", longer.stderr);
    }
    assert!(fs::read_to_string(folder.join("metrics.jsonl")).unwrap().contains("\"step\":8"));
    let now = fs::read_to_string(folder.join("config.toml")).unwrap();
    assert!(now.contains("max_steps = 8") && now.contains("dropout = 0.0"), "{now}");
    resume(&["train.max_steps=8"], &[]).ok();
    resume(&["train.lr=0.01"], &allow).ok();

    run!("train", "--resume").fails(2, &["--out"]);
    run!("train", "--resume", "--out", folder.join("no")).fails(1, &["no", "config.toml"]);
    fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    run!("train", "--resume", "--out", folder).fails(1, &["has no checkpoint"]);
}
