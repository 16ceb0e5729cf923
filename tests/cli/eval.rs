//! The ways of `eval` to give bytes their context.

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

const FLAT: &str = r#"
[data]
modality = "text"
cut_over = 1000

[model]
context = 64

[[model.level]]
unit = 1
n_embd = 8
n_layer = 1
n_head = 2

[train]
max_steps = 1
bytes_per_step = 64
dtype = "float32"
"#;

#[test]
fn every_way_scores_the_same_bytes() {
    let Fixture { run, file, .. } = fixture::text();
    let eval = |inference: &str| {
        let flags = ["--inference", inference, "--json", "--device", "cpu"];
        run!("eval", "--model", run, "--data", file, flags[0], flags[1], flags[2], flags[3], flags[4]).json()
    };
    let plain = eval("plain");
    assert_eq!((&plain["stride"], &plain["patch"]), (&64.into(), &4.into()));
    for (inference, stride, times) in [("sliding", 32, 2.0), ("strided", 64, 2.0), ("sliding+strided", 32, 4.0)] {
        let found = eval(inference);
        assert_eq!(found["inference"], inference);
        for key in ["bytes", "sequences", "context", "patch"] {
            assert_eq!(found[key], plain[key], "{key} of {inference}");
        }
        assert_eq!(found["stride"], stride);
        assert_eq!(found["offset"].as_u64(), inference.contains("strided").then_some(2));
        let windows = found["windows"].as_f64().unwrap() / plain["windows"].as_f64().unwrap();
        assert!((windows - times).abs() < 0.1, "{windows} times the windows for {inference}");
        let change = found["bits_per_byte"].as_f64().unwrap() - plain["bits_per_byte"].as_f64().unwrap();
        assert!(change != 0.0 && change.abs() < 0.5, "{change}");
    }
    let people = run!("eval", "--model", run, "--data", file, "--inference", "sliding+strided", "--device", "cpu").ok();
    assert!(people.stdout.contains("sliding+strided, context 64, stride 32"), "{}", people.stdout);
}

#[test]
fn what_was_trained_on_is_not_scored_without_a_word() {
    let Fixture { config, .. } = fixture::text();
    let folder = scratch("trained-on");
    let (file, run) = (write(&folder, "book.txt", fixture::words(5, 9000)), folder.join("run"));
    let other = write(&folder, "other.txt", fixture::words(6, 9000));
    run!("train", "--config", config, "--data", file, "--out", run, "--device", "cpu").ok();
    let said = |data: &std::path::Path| run!("eval", "--model", run, "--data", data, "--device", "cpu").ok().stderr;
    assert!(said(&file).contains("book.txt is what this model was trained on"), "{}", said(&file));
    assert!(!said(&other).contains("trained on"), "{}", said(&other));
    // A single sequence has no standard error.
    let short = write(&folder, "short.txt", fixture::words(7, 60));
    let found = run!("eval", "--model", run, "--data", short, "--device", "cpu").ok().stdout;
    assert!(found.contains("bits per byte") && !found.contains('±'), "{found}");
}

#[test]
fn a_split_without_anything_is_told_with_the_remedy() {
    let Fixture { run, .. } = fixture::image();
    let folder = scratch("no-split");
    image::RgbImage::new(4, 4).save(folder.join("a.png")).unwrap();
    run!("eval", "--model", run, "--data", folder, "--device", "cpu")
        .fails(2, &["nothing of it is in test", "--split"]);
}

#[test]
fn half_a_patch_needs_patches() {
    let Fixture { prepared, file, .. } = fixture::text();
    let folder = scratch("flat");
    let (config, run) = (write(&folder, "flat.toml", FLAT), folder.join("run"));
    run!("train", "--config", config, "--data", prepared, "--out", run, "--device", "cpu").ok();
    for inference in ["strided", "sliding+strided"] {
        let words = [&format!("--inference {inference}")[..], "single bytes"];
        run!("eval", "--model", run, "--data", file, "--inference", inference, "--device", "cpu").fails(2, &words);
    }
    run!("eval", "--model", run, "--data", file, "--inference", "sliding", "--device", "cpu").ok();
}
