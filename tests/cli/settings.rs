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
    let text = [
        ("train.max_steps=0", "1 or more"),
        ("train.max_steps=-5", "1 or more"),
        ("train.max_steps=2.5", "a whole number"),
        ("train.max_minutes=-1", "0 or more"),
        ("train.max_minutes=inf", "0 or more"),
        ("train.bytes_per_step=100", "multiple of 64"),
        ("train.bytes_per_step=0", "multiple of 64"),
        ("train.bytes_per_step=-192", "0 or more"),
        ("train.bytes_per_step=4611686018427387904", "at most 4294967296"),
        ("train.micro_batch=-1", "0 or more"),
        ("train.stretch_bytes=-1", "0 or more"),
        ("train.stretch_bytes=1.5", "a whole number"),
        ("train.checkpoint_levels=[2]", "levels 0 to 1"),
        ("train.checkpoint_levels=[0, -1]", "levels.1` is -1, allowed is 0 or more"),
        ("train.lr=-1", "above 0"),
        ("train.lr=nan", "above 0"),
        ("train.lr=inf", "above 0"),
        ("train.final_lr=1.5", "0 to 1"),
        ("train.warmup_steps=-1", "0 or more"),
        ("train.decay_steps=-1", "0 or more"),
        ("train.weight_decay=-0.1", "0 or more"),
        ("train.betas=[0.9, 1.0]", "0 to below 1"),
        ("train.betas=[0.9]", "a list of 2"),
        ("train.eps=0", "above 0"),
        ("train.clip=-1", "0 or more"),
        ("train.clip=nan", "0 or more"),
        ("train.muon_momentum=1", "0 to below 1"),
        ("train.ema=1", "0 to below 1"),
        ("train.max_skipped=-1", "0 or more"),
        ("train.spike_sigma=1", "0 or at least 2"),
        ("train.freeze_levels=[2]", "levels 0 to 1"),
        ("train.cudnn_attention=true", "needs model.dropout = 0"),
        ("train.seed=-1", "0 or more"),
        ("train.log_every=0", "1 or more"),
        ("train.log_every=-10", "1 or more"),
        ("train.eval_every=-1", "0 or more"),
        ("train.eval_bytes=-1", "0 or more"),
        ("train.checkpoint_every=-1", "0 or more"),
        ("train.keep_checkpoints=0", "1 or more"),
        ("train.keep_checkpoints=-2", "1 or more"),
        ("train.sample_every=-1", "0 or more"),
        ("train.loader_threads=0", "1 to 64"),
        ("train.loader_threads=-1", "1 to 64"),
        ("train.loader_threads=65", "1 to 64"),
        ("model.vocab=300", "256"),
        ("model.vocab=-1", "0 or more"),
        ("model.context=66", "multiple of"),
        ("model.context=0", "multiple of"),
        // A multiple of every unit, and beyond what anyone can mean.
        ("model.context=4611686018427387904", "at most 1073741824"),
        ("model.norm_eps=0", "above 0"),
        ("model.ffn_mult=0", "0.1 to 64"),
        ("model.ffn_mult=65", "0.1 to 64"),
        ("model.rotary_base=1", "above 1"),
        ("model.dropout=1.5", "0 to below 1"),
        ("model.dropout=-0.1", "0 to below 1"),
        ("model.init_std=0", "above 0"),
        ("model.cross_patch=-1", "0 or more"),
        ("model.latents=-2", "0 or more"),
        ("model.latents=2", "is for one level"),
        ("model.level.0.unit=0", "1 or more"),
        ("model.level.0.n_embd=0", "1 to 65536"),
        ("model.level.0.n_embd=-1", "1 to 65536"),
        ("model.level.0.n_embd=65540", "1 to 65536"),
        ("model.level.0.n_layer=1025", "0 to 1024"),
        ("model.level.0.n_head=3", "divide n_embd, 8"),
        ("model.level.0.window=-1", "0 or more"),
        ("model.level.1.n_head=0", "divide n_embd, 8"),
        ("model.level.1.unit=2", "must be 1"),
        ("model.level.1.unit=0", "must divide"),
        ("model.level.1.window=3", "must be 0"),
        ("model.level=[]", "is empty"),
        ("data.cut_over=-1", "0 or more"),
        ("data.weight=0", "above 0"),
        ("data.sheet=[0, 4]", "above 0"),
        ("data.sheet=[4]", "a list of 2"),
        ("data.sheet=[-1, 4]", "sheet.0` is -1, allowed is 0 to"),
        ("data.include=[\"a[\"]", "has a pattern that can't be read"),
        ("data.exclude=[\"{\"]", "has a pattern that can't be read"),
        ("data.limits.max_pixels=0", "1 or more"),
        ("data.limits.max_document=0", "1 or more"),
        ("data.limits.max_expansion=-1", "1 or more"),
        ("sample.temperature=-1", "0 or more"),
        ("sample.top_k=-1", "0 or more"),
        ("sample.top_p=0", "above 0 to 1"),
        ("sample.min_p=1", "0 to below 1"),
        ("sample.seed=-1", "0 or more"),
    ];
    let image = [
        ("model.context=96", "which it must be or divide"),
        ("model.vocab=257", "use 256"),
        ("data.width=0", "1 to 8192"),
        ("data.width=-4", "1 to 8192"),
        ("data.height=8193", "1 to 8192"),
        ("data.patch=3", "must divide 4 x 4"),
        ("data.background=[0, 0, 256]", "0 to 255"),
    ];
    let audio = [
        ("data.rate=5", "1000 to 384000"),
        ("data.rate=4294967296", "1000 to 384000"),
        ("data.trim_db=1", "-120 to 0"),
        ("data.channels=2", "\"mono\" or \"stereo\""),
    ];
    for (Fixture { config, .. }, cases) in
        [(fixture::text(), &text[..]), (fixture::image(), &image), (fixture::audio(), &audio)]
    {
        for (set, range) in cases {
            let key = set.split_once('=').unwrap().0;
            refused(config, &[set], &[&format!("`{key}"), range]);
        }
    }
    refused(
        &fixture::text().config,
        &["train.micro_batch=288230376151711744"],
        &["`train.bytes_per_step`", "must be a multiple"],
    );
    refused(&fixture::text().config, &["train.schedule=wsd", "train.decay_steps=7"], &["`train.decay_steps`", "0 to"]);
    // Other schedules don't read it.
    RunConfig::load(&fixture::text().config, &["train.decay_steps=7".to_owned()]).unwrap();
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
fn unknown_keys_are_told_with_what_may_be_meant() {
    let folder = scratch("keys");
    let text = fs::read_to_string(&fixture::text().config).unwrap();
    let image = fs::read_to_string(&fixture::image().config).unwrap();
    let cases = [
        (
            text.replace("lr = ", "learning_rate = "),
            ["line 25", "`train.learning_rate`", "no key of [train]", "mean `train.lr`?"],
        ),
        (text.replace("lr = ", "zeta = "), ["line 25", "`train.zeta`", "[train], which has", "`lr`"]),
        (
            text.replacen("n_embd = ", "dim = ", 1),
            ["line 12", "0.dim`", "[[model.level]]", "mean `model.level.0.n_embd`?"],
        ),
        (text.replace("warmup_steps", "warmup"), ["line 26", "`train.warmup`", "did you mean", "`train.warmup_steps`"]),
        (text.replacen("n_layer = ", "n_layers = ", 1), ["line 13", "n_layers`", "[[model.level]]", "0.n_layer`"]),
        (text.replace("[train]", "[training]"), ["line 22", "`training`", "the top", "did you mean `train`?"]),
        (text.replace("[[model.level]]", "[[level]]"), ["line 10", "`level`", "belongs elsewhere", "`model.level`"]),
        (text.replace("[model]", "[model]\nlr = 1"), ["line 7", "`model.lr`", "belongs elsewhere", "`train.lr`"]),
        (
            text.replace("[model]", "[model]\nwarmup = 1"),
            ["line 7", "`model.warmup`", "did you", "`train.warmup_steps`"],
        ),
        (text.replace("[data]", "[data]\nwidth = 3"), ["line 3", "`data.width`", "a key of \"image\"", "is \"text\""]),
        (text.replace("[data]", "seed = 3\n[data]"), ["line 2", "`seed`", "`sample.seed`", "`train.seed`"]),
        (image.replace("width = ", "wdth = "), ["line 4", "`data.wdth`", "did you mean", "`data.width`"]),
        (text.replace("[data]", "[sample]\ntop = 3\n[data]"), ["line 3", "`sample.top`", "did you", "`sample.top_"]),
        (
            text.replace("[data]", "[data.limits]\npixels = 1\n[data]"),
            ["line 3", "limits.pixels`", "[data.limits]", "max_pix"],
        ),
        // Values.
        (
            text.replace("context = 64", "context = \"long\""),
            ["line 8", "`model.context`", "\"long\"", "a whole number"],
        ),
        (text.replace("\"text\"", "\"film\""), ["line 3", "`data.modality`", "\"film\"", "\"image\", \"audio\" or"]),
        (
            text.replace("\"float32\"", "\"float23\""),
            ["line 27", "`train.dtype`", "\"bfloat16\" or", "did you mean \"float32\"?"],
        ),
        (
            text.replace("[train]", "[train]\nschedule = \"cosin\""),
            ["line 23", "`train.schedule`", "\"cosin\"", "did you mean \"cosine\"?"],
        ),
        (text.replace("[model]", "[model"), ["line 6", "config.toml", "[model", "]"]),
        // What is not there.
        (text.replace("context = 64\n", ""), ["line 6", "`model.context`", "is missing", "longest sequence"]),
        (text.replacen("n_head = 2\n", "", 1), ["line 10", "`model.level.0.n_head`", "is missing", "heads"]),
        (text.replace("modality = \"text\"\n", ""), ["line 2", "`data.modality`", "is missing", "files"]),
        (String::new(), ["config.toml", "`data`", "is missing", "learned"]),
    ];
    for (content, words) in cases {
        let config = write(&folder, "config.toml", &content);
        refused(&config, &[], &words);
        refused(&config, &[], &[config.to_str().unwrap()]);
    }
    let config = write(&folder, "config.toml", text.replace("warmup_steps", "warmup"));
    run!("train", "--config", config, "--data", folder, "--out", folder.join("run"))
        .fails(2, &["config.toml: line 26: `train.warmup`", "did you mean `train.warmup_steps`?"]);
    run!("prepare", folder, "--config", fixture::image().config, "--set", "data.wdth=4", "--out", folder.join("out"))
        .fails(2, &["`data.wdth`", "did you mean `data.width`?"]);
    // The same by --set.
    let config = write(&folder, "config.toml", &text);
    for (set, words) in [
        ("train.learning_rate=1", ["`train.learning_rate`", "`train.lr`"]),
        ("train.warmup=1", ["`train.warmup`", "did you mean `train.warmup_steps`?"]),
        ("train.lr=fast", ["`train.lr` is \"fast\"", "a number"]),
        ("trian.lr=1", ["`trian`", "did you mean `train`?"]),
        ("train.dropout=1", ["`train.dropout`", "`model.dropout`"]),
        ("model.level.0.width=1", ["`model.level.0.width`", "`data.width`"]),
        ("model.level.0.heads=1", ["`model.level.0.heads`", "n_head`"]),
        ("model.level.7.unit=1", ["model.level.7.unit", "there are 2"]),
        ("train=1", ["`train`", "a section"]),
        ("model.level=1", ["`model.level`", "[[model.level]]"]),
        ("train.lr.x=1", ["train.lr.x", "not a section"]),
        ("data.wdth=1", ["`data.wdth`", "did you mean `data.width`?"]),
        ("data.mix=[{modality=\"image\", rate=3}]", ["`data.mix.0.rate`", "\"audio\""]),
        ("data.mix=[{modality=\"image\", width=0}]", ["`data.mix.0.width`", "1 to 8192"]),
        ("nonsense", ["--set nonsense", "key=value"]),
        ("extends=other.toml", ["`extends`", "the top of a configuration file"]),
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
    prepare("film", "data.width=4").fails(2, &["data.modality", "film", "\"image\""]);
    prepare("image", "data.width=0").fails(2, &["data.width"]);
    prepare("image", "data.sheet=[0, 4]").fails(2, &["data.sheet"]);
    prepare("image", "data.wdth=4").fails(2, &["`data.wdth`", "`data.width`"]);
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
