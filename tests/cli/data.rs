//! Data from outside: any file as bytes, mixtures, work that is killed, examples decoded back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixture::{self, Fixture, environment, scratch, words, write};
use crate::run;

/// Two data sets of their own modalities; `SOURCES` and `OTHERS` are to be filled in.
const MIXED: &str = r#"
[data]
modality = "bytes"
sources = ["SOURCES"]
cut_over = 1000
weight = 3.0

[[data.mix]]
modality = "image"
sources = ["OTHERS"]
width = 4
height = 4
patch = 2
flip = true

[model]
vocab = 257
context = 48

[[model.level]]
unit = 12
n_embd = 24
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 12
n_layer = 1
n_head = 2

[train]
max_steps = 6
bytes_per_step = 192
micro_batch = 2
warmup_steps = 0
schedule = "constant"
log_every = 1
eval_every = 3
checkpoint_every = 3
dtype = "float32"
"#;

/// A text model, and data as it is without a word about it.
const SMALL: &str = r#"
[data]
modality = "text"

[model]
vocab = 257
context = 64

[[model.level]]
unit = 4
n_embd = 8
n_layer = 1
n_head = 2

[[model.level]]
unit = 1
n_embd = 8
n_layer = 1
n_head = 2

[train]
max_steps = 4
bytes_per_step = 256
dtype = "float32"
eval_every = 2
"#;

#[test]
fn one_small_text_is_enough() {
    let folder = scratch("small-text");
    let config = write(&folder, "config.toml", SMALL);
    for len in [1000, 50_000, 1_000_000] {
        let (input, out) = (write(&folder, "input.txt", words(1, len)), folder.join(format!("run-{len}")));
        let trained = run!("train", "--config", config, "--data", input, "--out", out, "--device", "cpu").ok();
        let said = &trained.stderr;
        assert!(said.contains("1 document is too little to hold some out: it is cut by place"), "{said}");
        assert!(said.contains("best held-out"), "{said}");
        let prepared = said.split_once("held out (valid), in ").unwrap().1.lines().next().unwrap();
        for split in ["valid", "test"] {
            let found = run!("eval", "--model", out, "--data", prepared, "--split", split, "--device", "cpu", "--json");
            assert_eq!(found.json()["bytes"], len as u64 / 20, "{split} of {len}");
        }
    }
    // A picture can't be cut.
    let (picture, image) = (folder.join("pictures/0.png"), fixture::image());
    fixture::png(&picture, 1);
    let out = folder.join("pictures-run");
    let begun = run!("train", "--config", image.config, "--data", picture, "--out", out, "--device", "cpu");
    assert!(begun.stderr.contains("sort them into folders named train, valid and test"), "{}", begun.stderr);
}

#[test]
fn any_files_make_a_model_and_two_modalities_one() {
    let folder = scratch("mixed-data");
    let files = folder.join("files");
    for i in 0..4 {
        // Every byte value, and no text.
        let content: Vec<u8> = (0..1500_u32).map(|at| (at * at / (i + 3)) as u8).collect();
        write(&files, &format!("{i}.mid"), content);
    }
    let config =
        MIXED.replace("SOURCES", files.to_str().unwrap()).replace("OTHERS", fixture::image().files.to_str().unwrap());
    let config = write(&folder, "mixed.toml", config);
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let done = run!("train", "--config", config, "--out", whole, "--device", "cpu").ok();
    assert!(done.stderr.contains("bytes of bytes") && done.stderr.contains("bytes of image"), "{}", done.stderr);
    let metrics = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    let valid = metrics.lines().find(|line| line.contains("\"valid\"")).unwrap();
    let valid: serde_json::Value = serde_json::from_str(valid).unwrap();
    assert_eq!(valid["parts"].as_array().unwrap().len(), 2, "{valid}");

    // Stopped at the third step and continued, it is the same run.
    run!("train", "--config", config, "--out", parts, "--device", "cpu", "--set", "train.max_steps=3").ok();
    run!("train", "--resume", "--allow-config-change", "--out", parts, "--device", "cpu", "--set", "train.max_steps=6")
        .ok();
    assert_eq!(fs::read_to_string(parts.join("metrics.jsonl")).unwrap(), metrics);
    let weights = "checkpoints/latest/model.safetensors";
    assert!(fs::read(parts.join(weights)).unwrap() == fs::read(whole.join(weights)).unwrap());

    let out = folder.join("made.bin");
    run!("generate", "--model", whole, "--out", out, "--device", "cpu").ok();
    assert!(fs::metadata(&out).unwrap().len() <= 48);
    let eval = run!("eval", "--model", whole, "--data", files.join("0.mid"), "--json", "--device", "cpu").json();
    assert_eq!((&eval["modality"], &eval["bytes"]), (&"bytes".into(), &1500.into()));

    // A run that goes on with other data would be another run.
    write(&files, "new.mid", [7; 3000]);
    run!("train", "--resume", "--allow-config-change", "--out", parts, "--device", "cpu", "--set", "train.max_steps=9")
        .fails(1, &["was trained on other data"]);
    run!("train", "--config", config, "--out", folder.join("no"), "--device", "cpu", "--set", "data.weight=0")
        .fails(2, &["data.weight"]);
    run!("train", "--config", config, "--out", folder.join("no"), "--device", "cpu", "--set", "data.flip=true")
        .fails(2, &["data.flip", "bytes"]);
}

#[test]
fn prepared_folders_grow_and_say_what_they_are() {
    let folder = scratch("grow-data");
    let (files, out) = (folder.join("files"), folder.join("out"));
    (0..30).for_each(|i| drop(write(&files, &format!("{i}.txt"), words(i, 50))));
    let prepare = || run!("prepare", files, "--modality", "text", "--out", out, "--json", "--exclude", "*.log");
    assert_eq!(prepare().json()["documents"], 30);
    write(&files, "more.txt", words(99, 50));
    write(&files, "left.log", "not this");
    assert_eq!(prepare().json()["documents"], 31);
    run!("prepare", files, "--modality", "text", "--out", out, "--set", "data.newlines=lf")
        .fails(2, &["data.newlines", "keep", "--force"]);
    let inspected = run!("inspect", out, "--json", "--verify").json();
    assert_eq!((&inspected["documents"], &inspected["lengths"]["median"]), (&31.into(), &50.into()));
    assert_eq!(inspected["verified"], true);
    run!("prepare", files, "--modality", "film", "--out", out).fails(2, &["film", "bytes"]);
    run!("prepare", files, "--modality", "text", "--out", out, "--include", "a[").fails(2, &["data.include"]);
}

#[test]
fn examples_are_decoded_back() {
    let folder = scratch("examples-data");
    for (name, fixture, expected) in [
        ("image", fixture::image(), vec!["contact-sheet.png"]),
        ("text", fixture::text(), vec!["000.txt", "001.txt"]),
        ("audio", fixture::audio(), vec!["000.wav", "001.wav"]),
    ] {
        let Fixture { prepared, .. } = fixture;
        let out = folder.join(name);
        let inspected = run!("inspect", prepared, "--samples", out, "--count", "2", "--json").json();
        assert_eq!(inspected["samples"].as_array().unwrap().len(), expected.len(), "{name}");
        let mut names: Vec<_> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, expected);
        run!("inspect", prepared, "--samples", out).fails(1, &["--force"]);
    }
    // Two pictures of 4 x 4 pixels beside each other.
    let sheet = image::open(folder.join("image/contact-sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (10, 4));
}

/// Many programs, one after another.
mod slow {
    use super::*;

    #[test]
    fn killed_work_is_taken_up_again() {
        let folder = scratch("killed-prepare");
        let (files, whole, out) = (folder.join("files"), folder.join("whole"), folder.join("out"));
        for i in 0..600 {
            write(&files, &format!("{i:03}.txt"), words(i % 450, 3000));
        }
        write(&files, "long.txt", words(7, 5_000_000));
        run!("prepare", files, "--modality", "text", "--out", whole).ok();
        for wait in [0, 150, 300, 400, 450, 500, 550, 600, 700] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_megabyte"))
                .arg("prepare")
                .arg(&files)
                .args(["--modality", "text", "--out"])
                .arg(&out)
                .envs(environment())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        run!("prepare", files, "--modality", "text", "--out", out).ok();
        assert_eq!(content(&out), content(&whole));
        let rest: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".tmp") || name == "preparing.json")
            .collect();
        assert!(rest.is_empty(), "{rest:?}");
    }
}

/// Names and bytes of all items.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let data = megabyte::data::Dataset::open(folder, None).unwrap();
    (0..data.len()).map(|i| (data.name(i).to_owned(), data.item(i).bytes.to_vec())).collect()
}
