//! Damaged models, shards and files: a clear error, or a skipped file that is counted and listed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{self, Fixture, png, scratch, write};
use crate::{copy, run};

/// A copy of the text run's model, to damage.
fn model(name: &str) -> PathBuf {
    let folder = scratch(name);
    copy(&fixture::text().run.join("checkpoints/best"), &folder);
    // As of a model that came without: with them, any change is found before it is looked at.
    fs::remove_file(folder.join("checksums.json")).unwrap();
    folder
}

fn refused(model: &Path, words: &[&str]) {
    let Fixture { file, .. } = fixture::text();
    run!("eval", "--model", model, "--data", file, "--device", "cpu").fails(1, words);
}

fn edit(model: &Path, from: &str, to: &str) {
    let path = model.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_model_of_another_shape_is_refused() {
    let wider = model("wider");
    edit(&wider, "\"context\": 64", "\"context\": 128");
    refused(&wider, &["model.safetensors", "level.0.position", "config.json asks for"]);
    let deeper = model("deeper");
    edit(&deeper, "\"n_layer\": 1", "\"n_layer\": 2");
    refused(&deeper, &["model.safetensors", "has no tensor level.0.block.1"]);
    let fewer = model("fewer");
    edit(&fewer, "\"bias\": true", "\"bias\": false");
    refused(&fewer, &["model.safetensors", "config.json knows nothing of"]);
}

#[test]
fn a_config_json_that_can_not_be_is_refused() {
    let newer = model("newer");
    edit(&newer, "\"format\": 1", "\"format\": 2");
    refused(&newer, &["config.json", "format 2", "format 1"]);
    run!("inspect", newer).fails(1, &["format 2"]);
    let odd = model("odd");
    edit(&odd, "\"context\": 64", "\"context\": 66");
    refused(&odd, &["config.json", "model.context", "multiple"]);
    let unknown = model("unknown");
    edit(&unknown, "\"context\"", "\"contxt\": 1, \"context\"");
    refused(&unknown, &["config.json", "contxt", "`context`"]);
    let cut = model("cut");
    let text = fs::read(cut.join("config.json")).unwrap();
    fs::write(cut.join("config.json"), &text[..text.len() / 2]).unwrap();
    refused(&cut, &["config.json", "EOF"]);
    run!("inspect", cut).fails(1, &["config.json", "EOF"]);
}

#[test]
fn damaged_weights_are_refused() {
    let cut = model("truncated");
    let weights = cut.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    for len in [0, 100, whole.len() - 1] {
        fs::write(&weights, &whole[..len]).unwrap();
        refused(&cut, &["model.safetensors", "damaged"]);
    }
    let out = cut.join("out.txt");
    run!("generate", "--model", cut, "--out", out, "--device", "cpu").fails(1, &["model.safetensors", "damaged"]);
    assert!(!out.exists());
    run!("inspect", cut).fails(1, &["model.safetensors", "damaged"]);
    fs::remove_file(&weights).unwrap();
    refused(&cut, &["model.safetensors", "No such file"]);

    for (name, value) in [("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        let model = model(name);
        let mut bytes = whole.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&value.to_le_bytes());
        fs::write(model.join("model.safetensors"), bytes).unwrap();
        refused(&model, &["model.safetensors", "NaN or infinite", "earlier checkpoint"]);
    }
}

/// The newest checkpoint beside one.
fn before(checkpoint: &Path) -> PathBuf {
    let checkpoint = fs::canonicalize(checkpoint).unwrap();
    let entries = fs::read_dir(checkpoint.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_other = |path: &PathBuf| *path != checkpoint && path.to_string_lossy().contains("/step_");
    entries.filter(is_other).max().unwrap()
}

#[test]
fn a_damaged_checkpoint_is_not_resumed_from() {
    let folder = scratch("damaged-run").join("run");
    copy(&fixture::text().run, &folder);
    let latest = folder.join("checkpoints/latest");
    let metrics = fs::read(folder.join("metrics.jsonl")).unwrap();
    for file in ["state.json", "optimizer.safetensors", "model.safetensors"] {
        let whole = fs::read(latest.join(file)).unwrap();
        fs::write(latest.join(file), &whole[..whole.len() / 2]).unwrap();
        run!("train", "--out", folder, "--resume", "--allow-config-change", "--set", "train.max_steps=8")
            .fails(1, &[file]);
        fs::write(latest.join(file), whole).unwrap();
    }
    // A byte that only a sum can tell: the error offers the checkpoint before, once `latest` is a link as in the run.
    fs::remove_dir_all(&latest).unwrap();
    std::os::unix::fs::symlink("step_00000006", &latest).unwrap();
    for file in ["config.json", "state.json", "optimizer.safetensors", "model.safetensors"] {
        let whole = fs::read(latest.join(file)).unwrap();
        let mut changed = whole.clone();
        let at = changed.len() - 3;
        changed[at] ^= 1;
        fs::write(latest.join(file), &changed).unwrap();
        let before = before(&latest);
        run!("train", "--out", folder, "--resume", "--allow-config-change", "--set", "train.max_steps=8")
            .fails(1, &[file, "damaged", "CRC-32C", before.to_str().unwrap()]);
        fs::write(latest.join(file), whole).unwrap();
    }
    let weights = fs::read(latest.join("model.safetensors")).unwrap();
    let mut changed = weights.clone();
    // The last number becomes one that is not finite.
    changed[weights.len() - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(latest.join("model.safetensors"), changed).unwrap();
    let damaged = ["model.safetensors", "damaged", "CRC-32C", before(&latest).to_str().unwrap()].map(str::to_owned);
    let damaged: Vec<&str> = damaged.iter().map(String::as_str).collect();
    refused(&latest, &damaged);
    let Fixture { config, prepared, .. } = fixture::text();
    let out = folder.with_file_name("begun");
    run!("train", "--config", config, "--data", prepared, "--out", out, "--init-from", latest).fails(1, &damaged);
    fs::write(latest.join("model.safetensors"), weights).unwrap();
    // What says that it is damaged, or what it is, is lost.
    for file in ["state.json", "checksums.json", "run.toml"] {
        let whole = fs::read(latest.join(file)).unwrap();
        fs::remove_file(latest.join(file)).unwrap();
        run!("train", "--out", folder, "--resume", "--allow-config-change", "--set", "train.max_steps=8")
            .fails(1, &[file, "damaged", "step_00000006 away", before(&latest).to_str().unwrap()]);
        fs::write(latest.join(file), whole).unwrap();
    }
    // Checkpoints of earlier versions have none of this.
    fs::remove_file(latest.join("checksums.json")).unwrap();
    fs::remove_file(latest.join("run.toml")).unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(latest.join("state.json")).unwrap()).unwrap();
    state.as_object_mut().unwrap().retain(|key, _| key != "format" && key != "valid");
    fs::write(latest.join("state.json"), state.to_string()).unwrap();
    assert_eq!(fs::read(folder.join("metrics.jsonl")).unwrap(), metrics);
    run!(
        "train",
        "--out",
        folder,
        "--resume",
        "--allow-config-change",
        "--set",
        "train.max_steps=8",
        "--device",
        "cpu"
    )
    .ok();
}

#[test]
fn damaged_shards_are_refused() {
    let Fixture { prepared, run, config, .. } = fixture::text();
    let folder = scratch("shards");
    copy(prepared, &folder);
    let shard = folder.join("test-00000.shard");
    let whole = fs::read(&shard).unwrap();
    let again = "prepare --force` again";
    let eval = || run!("eval", "--model", run, "--data", folder, "--device", "cpu");
    for len in [0, 100, whole.len() - 1] {
        fs::write(&shard, &whole[..len]).unwrap();
        eval().fails(1, &["test-00000.shard", again]);
    }
    run!("inspect", folder).fails(1, &["test-00000.shard", again]);
    // Every byte around the payload of 300 counts: magic, index, header, checksums.
    for at in [0, 16 + 300 + 5, whole.len() - 60, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&shard, flipped).unwrap();
        eval().fails(1, &["test-00000.shard"]);
    }
    // The payload is checked when asked.
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    fs::write(&shard, flipped).unwrap();
    run!("inspect", folder, "--verify").fails(1, &["test-00000.shard", "book.txt", again]);
    fs::remove_file(&shard).unwrap();
    eval().fails(1, &["test-00000.shard", "is missing", again]);

    let manifest = folder.join("manifest.json");
    let text = fs::read(&manifest).unwrap();
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    let out = folder.join("run");
    run!("train", "--config", config, "--data", folder, "--out", out).fails(1, &["manifest.json", again]);
    assert!(!out.exists());
}

#[test]
fn files_that_can_not_be_used_are_skipped_counted_and_listed() {
    let folder = scratch("skipped");
    let files = folder.join("files");
    for i in 0..8 {
        png(&files.join(format!("{i}.png")), i);
    }
    let whole = fs::read(files.join("0.png")).unwrap();
    write(&files, "cut.png", &whole[..whole.len() / 2]);
    write(&files, "empty.png", "");
    write(&files, "really.png", "this is text");
    let out = folder.join("out");
    let done = run!("prepare", files, "--config", fixture::image().config, "--out", out, "--json");
    for name in ["cut.png", "empty.png", "really.png"] {
        assert!(done.stderr.contains(name), "{}", done.stderr);
    }
    let object = done.json();
    assert_eq!((&object["documents"], object["skipped"].as_array().unwrap().len()), (&8.into(), 3));
    for skipped in object["skipped"].as_array().unwrap() {
        assert!(!skipped["reason"].as_str().unwrap().is_empty() && skipped["path"].is_string(), "{skipped}");
    }
    let people = run!("inspect", out).ok().stdout;
    assert!(people.contains("3 skipped") && people.contains("cut.png"), "{people}");
    let raw = run!("inspect", files, "--modality", "image", "--json").json();
    assert_eq!(raw["skipped"].as_array().unwrap().len(), 3);

    // Alone it is an error, whoever reads it.
    let cut = files.join("cut.png");
    run!("inspect", cut).fails(1, &["cut.png"]);
    run!("prepare", cut, "--modality", "image", "--out", folder.join("no"))
        .fails(1, &["cut.png", "no file can be used"]);
    let Fixture { run, .. } = fixture::image();
    run!("eval", "--model", run, "--data", cut).fails(1, &["cut.png"]);
    run!("generate", "--model", run, "--prompt", cut, "--out", folder.join("no.png")).fails(1, &["cut.png"]);
}
