//! Runs that branch off a checkpoint of another.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{self, Fixture, scratch};
use crate::{Outcome, run};

const STABLE: [&str; 8] = [
    "train.max_steps=60",
    "train.schedule=wsd",
    "train.decay_steps=8",
    "train.log_every=3",
    "train.eval_every=5",
    "train.checkpoint_every=10",
    "train.keep_checkpoints=20",
    "train.sample_every=0",
];

fn train(out: &Path, flags: &[&str], settings: &[&str]) -> Outcome {
    let mut program = crate::command();
    program.args(["train", "--device", "cpu", "--out"]).arg(out).args(flags);
    Outcome::of(program.args(settings.iter().flat_map(|set| ["--set", set])))
}

/// The checkpoints of a run, by their steps.
fn checkpoints(run: &Path) -> BTreeMap<u64, PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let numbered = |path: PathBuf| Some((path.file_name()?.to_str()?.strip_prefix("step_")?.parse().ok()?, path));
    entries.filter_map(numbered).collect()
}

/// Everything that a folder holds.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[track_caller]
fn same(whole: &Path, branch: &Path) {
    for file in ["metrics.jsonl", "checkpoints/latest/model.safetensors", "checkpoints/latest/optimizer.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(branch.join(file)).unwrap(), "{file} differs");
    }
}

#[test]
fn decays_begin_at_checkpoints_of_one_run() {
    let Fixture { config, prepared, .. } = fixture::text();
    let folder = scratch("branches");
    let whole = folder.join("whole");
    let fresh = ["--config", config.to_str().unwrap(), "--data", prepared.to_str().unwrap()];
    train(&whole, &fresh, &STABLE).ok();
    let before = content(&whole);
    let steps = checkpoints(&whole);
    // Before its own decay.
    let early: Vec<u64> = steps.keys().copied().filter(|step| (5..52).contains(step)).collect();
    assert!(early.len() >= 2, "{steps:?}");

    for step in [early[0], early[early.len() - 1]] {
        let place = steps[&step].to_str().unwrap();
        // With nothing changed, it is the run that it branched off.
        let branch = folder.join(format!("same-{step}"));
        let begun = train(&branch, &["--branch-from", place], &[]).ok();
        assert!(begun.stderr.contains(&format!("goes on   from step {step}, ")), "{}", begun.stderr);
        same(&whole, &branch);
        assert_eq!(
            fs::read_link(whole.join("checkpoints/best")).unwrap(),
            fs::read_link(branch.join("checkpoints/best")).unwrap()
        );

        // Decayed from there, it is the run that was planned to end there.
        let end = format!("train.max_steps={}", step + 8);
        let (branch, planned) = (folder.join(format!("branch-{step}")), folder.join(format!("planned-{step}")));
        train(&branch, &["--branch-from", place], &[&end]).fails(2, &["train.max_steps: 60", "--allow-config-change"]);
        assert!(!branch.exists());
        train(&branch, &["--branch-from", place, "--allow-config-change"], &[&end]).ok();
        train(&planned, &fresh, &[&STABLE[..], &[&end]].concat()).ok();
        same(&planned, &branch);
        // And a run as any other.
        run!("train", "--out", branch, "--resume", "--device", "cpu").ok();
        run!("inspect", branch).ok();
    }
    assert!(content(&whole) == before, "the run that others branched off was changed");
}

#[test]
fn a_branch_replaces_nothing_and_begins_with_what_is_whole() {
    let folder = scratch("no-branch");
    let run = folder.join("run");
    crate::copy(&fixture::text().run, &run);
    let place = run.join("checkpoints/step_00000006");
    let from = ["--branch-from", place.to_str().unwrap()];
    train(&run, &from, &[]).fails(1, &["is not empty", "--out"]);
    let out = folder.join("out");
    train(&out, &from, &["train.seed=5"]).fails(2, &["train.seed", "can't change"]);
    train(&out, &["--branch-from", folder.to_str().unwrap()], &[]).fails(1, &["is no checkpoint of a run"]);
    run!("train", "--branch-from", place).fails(2, &["--out"]);
    let weights = fs::read(place.join("model.safetensors")).unwrap();
    let mut changed = weights;
    let at = changed.len() - 3;
    changed[at] ^= 1;
    fs::write(place.join("model.safetensors"), changed).unwrap();
    train(&out, &from, &[]).fails(1, &["model.safetensors", "damaged"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left of what could not begin");
}
