//! Configurations that can't work: wrong use, and the message names the key. The program is run on one of each kind; the
//! rest of the tables is read as it reads them, since starting it takes longer.

use std::fs;
use std::path::Path;

use megabyte::{Error, RunConfig};

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

/// A configuration is refused with an error of wrong use that has the words.
#[track_caller]
fn refused(config: &Path, overrides: &[&str], words: &[&str]) {
    let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
    let error = RunConfig::load(config, &overrides).unwrap_err();
    assert!(matches!(error, Error::Config { .. } | Error::ConfigFile { .. } | Error::Usage(_)), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "no `{word}` in: {error}");
    }
}

#[test]
fn values_out_of_range_name_the_dotted_key() {
    let folder = scratch("ranges");
    let cases = [
        (fixture::text(), "train.lr=-1", "train.lr"),
        (fixture::text(), "train.lr=nan", "train.lr"),
        (fixture::text(), "train.clip=-1", "train.clip"),
        (fixture::text(), "train.max_steps=0", "train.max_steps"),
        (fixture::text(), "train.betas=[0.9, 1.0]", "train.betas"),
        (fixture::text(), "train.bytes_per_step=100", "train.bytes_per_step"),
        (fixture::text(), "model.dropout=1.5", "model.dropout"),
        (fixture::text(), "model.vocab=300", "model.vocab"),
        (fixture::text(), "model.context=66", "model.context"),
        (fixture::text(), "model.context=0", "model.context"),
        // A multiple of every unit, and beyond what anyone can mean.
        (fixture::text(), "model.context=4611686018427387904", "model.context"),
        (fixture::text(), "train.bytes_per_step=4611686018427387904", "train.bytes_per_step"),
        (fixture::text(), "train.micro_batch=288230376151711744", "train.bytes_per_step"),
        (fixture::text(), "model.level.0.n_head=3", "model.level.0.n_head"),
        (fixture::text(), "model.level.1.n_head=0", "model.level.1.n_head"),
        (fixture::text(), "model.level.0.unit=0", "model.context"),
        (fixture::text(), "model.level.1.unit=2", "model.level.1.unit"),
        (fixture::text(), "model.level.1.unit=0", "model.level.1.unit"),
        (fixture::text(), "model.level=[]", "model.level"),
        (fixture::text(), "sample.top_p=0", "sample.top_p"),
        (fixture::image(), "model.context=96", "model.context"),
        (fixture::image(), "model.vocab=257", "model.vocab"),
        (fixture::image(), "data.width=0", "data.width"),
        (fixture::image(), "data.patch=3", "data.patch"),
        (fixture::audio(), "data.rate=5", "data.rate"),
    ];
    for (Fixture { config, .. }, set, key) in cases {
        refused(config, &[set], &[&format!("`{key}`")]);
    }
    // 64 times as many are 2^64 bytes, and 0 is a multiple of everything.
    let sets = ["train.micro_batch=288230376151711744", "train.bytes_per_step=0"];
    refused(&fixture::text().config, &sets, &["`train.bytes_per_step`"]);
    let out = folder.join("run");
    let Fixture { config, prepared, .. } = fixture::text();
    for (set, key) in [("model.context=66", "`model.context`"), ("model.level.0.n_head=3", "`model.level.0.n_head`")] {
        run!("train", "--config", config, "--data", prepared, "--out", out, "--set", set).fails(2, &[key]);
    }
    assert!(!out.exists(), "nothing is written for a run that can't begin");
}

#[test]
fn unknown_keys_are_told_with_those_that_are_accepted() {
    let folder = scratch("keys");
    let text = fs::read_to_string(&fixture::text().config).unwrap();
    let image = fs::read_to_string(&fixture::image().config).unwrap();
    let cases = [
        (text.replace("lr = ", "learning_rate = "), ["learning_rate", "`lr`"]),
        (text.replace("n_embd = ", "width = "), ["width", "`n_embd`"]),
        (text.replace("[train]", "[training]"), ["training", "`train`"]),
        (text.replace("[data]", "[data]\nwidth = 3"), ["data", "width"]),
        (image.replace("width = ", "wdth = "), ["wdth", "`width`"]),
        (text.replace("context = 64", "context = \"long\""), ["context", "string"]),
        (text.replace("\"text\"", "\"film\""), ["film", "`text`"]),
        (text.replace("[model]", "[model"), ["line 6", "config.toml"]),
        (text.replace("context = 64\n", ""), ["context", "missing"]),
    ];
    for (content, words) in cases {
        refused(&write(&folder, "config.toml", &content), &[], &words);
    }
    let config = write(&folder, "config.toml", text.replace("lr = ", "learning_rate = "));
    run!("train", "--config", config, "--data", folder, "--out", folder.join("run"))
        .fails(2, &["config.toml", "learning_rate", "`lr`", "`warmup_steps`"]);
    // The same by --set.
    let config = write(&folder, "config.toml", &text);
    for (set, words) in [
        ("train.learning_rate=1", ["learning_rate", "`lr`"]),
        ("train.lr=fast", ["train.lr", "fast"]),
        ("trian.lr=1", ["trian", "`train`"]),
        ("model.level.0.width=1", ["width", "`n_embd`"]),
        ("model.level.7.unit=1", ["model.level.7.unit", "there are 2"]),
        ("train.lr.x=1", ["train.lr.x", "not a section"]),
        ("data.wdth=1", ["data", "wdth"]),
        ("nonsense", ["--set nonsense", "key=value"]),
        ("=1", ["--set =1", "key"]),
        ("train.=1", ["--set train.=1", "key"]),
    ] {
        refused(&config, &[set], &words);
    }
    for (set, word) in [("nonsense", "key=value"), ("train.lr=fast", "train.lr")] {
        let failed = run!("train", "--config", config, "--data", folder, "--out", folder.join("run"), "--set", set);
        failed.fails(2, &[set.split('=').next().unwrap(), word]);
    }
    assert!(!folder.join("run").exists());
}

#[test]
fn prepare_and_inspect_check_the_layout_too() {
    let folder = scratch("layouts");
    let out = folder.join("out");
    let files = &fixture::image().files;
    let prepare =
        |modality: &str, set: &str| run!("prepare", files, "--modality", modality, "--set", set, "--out", out);
    prepare("film", "data.width=4").fails(2, &["data.modality", "film", "`image`"]);
    prepare("image", "data.width=0").fails(2, &["data.width"]);
    prepare("image", "data.sheet=[0, 4]").fails(2, &["data.sheet"]);
    prepare("image", "data.wdth=4").fails(2, &["wdth", "`width`"]);
    prepare("image", "train.lr=4").fails(2, &["train.lr", "data.key=value"]);
    run!("prepare", files, "--out", out).fails(2, &["--modality"]);
    run!("inspect", files, "--modality", "film").fails(2, &["film"]);
    assert!(!out.exists());
    // Prepared for another layout than the model's.
    let Fixture { config, prepared, .. } = fixture::audio();
    let other = run!("train", "--config", config, "--data", prepared, "--out", out, "--set", "data.format=mulaw8");
    other.fails(2, &["data.format", "mulaw8", "pcm16le", "prepare again"]);
    run!("eval", "--model", fixture::image().run, "--data", prepared).fails(2, &["data.modality", "image", "audio"]);
}

#[test]
fn every_committed_configuration_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let config = RunConfig::load(&path, &[]).unwrap();
        let again: RunConfig = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(again, config, "{}", path.display());
        count += 1;
    }
    assert!(count >= 6, "{count}");
}
