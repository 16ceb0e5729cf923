//! The whole round of each modality: prepare, train, evaluate, generate, inspect, report.

use std::f64::consts::LN_2;
use std::fs;

use serde_json::Value;

use crate::fixture::{self, Fixture, scratch};
use crate::run;

/// What every modality has in common. Gives what `eval --json` printed of the test split.
fn round(name: &str, fixture: &Fixture) -> Value {
    let Fixture { config, files, file, prepared, run } = fixture;
    let folder = scratch(&format!("round-{name}"));

    let out = folder.join("prepared");
    let made = run!("prepare", files, "--config", config, "--out", out, "--json").json();
    assert_eq!(made["modality"], name);
    assert_eq!(made["skipped"].as_array().unwrap().len(), 0);
    for split in ["train", "valid", "test"] {
        assert!(made["splits"][split]["bytes"].as_u64().unwrap() > 0, "{made}");
    }
    // The same files give the same shards.
    for shard in made["shards"].as_array().unwrap() {
        let shard = shard["file"].as_str().unwrap();
        assert!(fs::read(out.join(shard)).unwrap() == fs::read(prepared.join(shard)).unwrap(), "{shard} differs");
    }

    for part in ["config.toml", "metrics.jsonl", "checkpoints/latest/state.json", "checkpoints/best/config.json"] {
        assert!(run.join(part).is_file(), "{part}");
    }
    assert_eq!(fs::read_link(run.join("checkpoints/latest")).unwrap().to_str(), Some("step_00000006"));
    assert_eq!(fs::read_dir(run.join("samples/step_00000006")).unwrap().count(), 2);

    let eval = run!("eval", "--model", run, "--data", prepared, "--json", "--device", "cpu").json();
    check_eval(&eval, name, "test");
    assert_eq!(eval["bytes"], made["splits"]["test"]["bytes"]);
    // A model folder by itself, with other batches, gives the same.
    let model = folder.join("model");
    crate::copy(&run.join("checkpoints/best"), &model);
    for extra in ["optimizer.safetensors", "state.json"] {
        fs::remove_file(model.join(extra)).unwrap();
    }
    let alone = run!("eval", "--model", model, "--data", prepared, "--json", "--batch", "3", "--device", "cpu").json();
    let difference = alone["nats"].as_f64().unwrap() - eval["nats"].as_f64().unwrap();
    assert!(difference.abs() < 1e-4 * eval["nats"].as_f64().unwrap(), "{alone} {eval}");

    let of_file = run!("eval", "--model", run, "--data", file, "--json", "--device", "cpu").json();
    check_eval(&of_file, name, "all");
    let total = |split: &str| made["splits"][split]["bytes"].as_u64().unwrap();
    let all = run!("eval", "--model", run, "--data", files, "--split", "all", "--json", "--device", "cpu").json();
    check_eval(&all, name, "all");
    assert_eq!(all["bytes"].as_u64().unwrap(), total("train") + total("valid") + total("test"));
    let people = run!("eval", "--model", run, "--data", prepared, "--baselines", "--device", "cpu").ok();
    assert!(people.stdout.contains("bits per byte") && people.stdout.contains("xz -9e"), "{}", people.stdout);

    let inspected = run!("inspect", run, "--json").json();
    assert_eq!((&inspected["kind"], &inspected["modality"]), (&"run".into(), &name.into()));
    assert_eq!(run!("inspect", file, "--config", config, "--json").json()["round_trip"], true);

    let page = folder.join("report.html");
    run!("report", run, "--out", page).ok();
    assert!(fs::read_to_string(&page).unwrap().contains("</html>"));
    eval
}

fn check_eval(eval: &Value, modality: &str, split: &str) {
    assert_eq!(
        (&eval["modality"], &eval["split"], &eval["inference"]),
        (&modality.into(), &split.into(), &"plain".into())
    );
    let number = |key: &str| eval[key].as_f64().unwrap_or_else(|| panic!("no {key} in {eval}"));
    assert!(number("sequences") >= 1.0 && number("seconds") > 0.0 && number("std_error") >= 0.0);
    let bits = number("nats") / (LN_2 * number("bytes"));
    assert!((bits - number("bits_per_byte")).abs() < 1e-9, "{eval}");
    // Six steps of a tiny model: it knows little, and no worse than chance.
    assert!((1.0..8.5).contains(&bits), "{eval}");
}

#[test]
fn text_goes_round() {
    let fixture = fixture::text();
    let eval = round("text", fixture);
    let words = eval["nats"].as_f64().unwrap() / eval["word_perplexity"].as_f64().unwrap().ln();
    assert!((words - words.round()).abs() < 1e-6 && words > 20.0, "{words} words");

    let Fixture { files, prepared, run, .. } = fixture;
    for (path, kind) in [(files, "folder"), (prepared, "prepared"), (&run.join("checkpoints/best"), "model")] {
        assert_eq!(run!("inspect", path, "--json").json()["kind"], kind);
        assert!(run!("inspect", path).ok().stdout.starts_with(kind));
    }
    assert_eq!(run!("inspect", prepared, "--verify", "--json").json()["verified"], true);

    let out = scratch("text-out").join("new.txt");
    let made = run!("generate", "--model", fixture.run, "--out", out, "--json", "--device", "cpu").json();
    assert_eq!((&made["modality"], &made["length"]), (&"text".into(), &64.into()));
    assert!(fs::read(out).unwrap().len() <= 64);
}

#[test]
fn images_go_round() {
    let fixture = fixture::image();
    assert!(round("image", fixture)["word_perplexity"].is_null());

    let out = scratch("image-out");
    let half = out.join("half.png");
    run!(
        "generate",
        "--model",
        fixture.run,
        "--prompt",
        fixture.file,
        "--keep",
        "50%",
        "--out",
        half,
        "--device",
        "cpu"
    )
    .ok();
    let (made, prompt) = (image::open(half).unwrap().to_rgb8(), image::open(&fixture.file).unwrap().to_rgb8());
    assert_eq!(made.dimensions(), (4, 4));
    // Half of four patches is the upper two.
    assert!((0..2).all(|y| (0..4).all(|x| made.get_pixel(x, y) == prompt.get_pixel(x, y))));

    let several = out.join("several");
    let made = run!("generate", "--model", fixture.run, "--count", "3", "--out", several, "--json", "--device", "cpu");
    assert_eq!(made.json()["files"].as_array().unwrap().len(), 3);
    let pictures: Vec<_> = (0..3).map(|i| fs::read(several.join(format!("00{i}.png"))).unwrap()).collect();
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2], "each has draws of its own");
    assert!(several.join("generate.json").is_file());
}

#[test]
fn audio_goes_round() {
    let fixture = fixture::audio();
    round("audio", fixture);

    let out = scratch("audio-out");
    let (prompt, made) = (out.join("prompt.wav"), out.join("made.wav"));
    fixture::wav(&prompt, 100, 440.0);
    // 24 of 64 bytes are kept; 0.02 seconds are 160 samples, five times the context.
    let seconds = ["--keep", "24", "--seconds", "0.02"];
    let json = run!(
        "generate",
        "--model",
        fixture.run,
        "--prompt",
        prompt,
        seconds[0],
        seconds[1],
        seconds[2],
        seconds[3],
        "--out",
        made,
        "--json",
        "--device",
        "cpu"
    );
    assert_eq!(json.json()["kept_bytes"], 24);
    let read = |path| {
        let mut wav = hound::WavReader::open(path).unwrap();
        assert_eq!((wav.spec().sample_rate, wav.spec().channels), (8000, 1));
        wav.samples::<i16>().map(|sample| sample.unwrap()).collect::<Vec<_>>()
    };
    let (made, prompt) = (read(made), read(prompt));
    assert_eq!(made.len(), 160);
    assert_eq!(made[..12], prompt[..12]);
}
