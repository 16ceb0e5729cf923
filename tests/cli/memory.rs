//! What a run would need and what it ran on: dry runs, micro-batches that fit, too little memory, `environment.json`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

/// Bytes of the tensors in a safetensors file, without its header.
fn tensor_bytes(path: &Path) -> u64 {
    let content = fs::read(path).unwrap();
    let header = u64::from_le_bytes(content[..8].try_into().unwrap());
    content.len() as u64 - 8 - header
}

#[test]
fn a_dry_run_tells_what_the_run_is_and_writes_nothing() {
    // No sources: there is nothing to read.
    let Fixture { config, run, .. } = fixture::text();
    let out = scratch("dry").join("run");
    let found = run!("train", "--config", config, "--dry-run", "--json", "--out", out, "--device", "cpu").json();
    assert!(!out.exists() && !out.with_file_name("dry").exists());
    let asked = run!("inspect", "--config", config, "--json").json();
    for key in ["parameters", "training_flops_per_byte", "bytes_per_step", "training_flops", "micro_batches"] {
        assert_eq!(found[key], asked[key], "{key}");
    }
    assert_eq!(found["levels"][1]["parameters"], asked["levels"][1]["parameters"]);
    // Of 192 bytes each; every second and third of them.
    assert_eq!((&found["steps"], &found["bytes"], &found["patches"]), (&json!(6), &json!(6 * 192), &json!(6 * 48)));
    assert_eq!((&found["evaluations"], &found["checkpoints"]), (&json!(2), &json!(3)));
    // As the run itself has it on the disk.
    let latest = run.join("checkpoints/latest");
    let on_disk = ["model.safetensors", "optimizer.safetensors"].map(|name| tensor_bytes(&latest.join(name)));
    assert_eq!(found["checkpoint_bytes"].as_u64().unwrap(), on_disk.iter().sum::<u64>());
    let memory = |key: &str| found["memory"][key].as_u64().unwrap();
    let [weights, state] = on_disk;
    assert_eq!([memory("weights"), memory("gradients"), memory("optimizer")], [weights, weights, state]);
    // Its copy is on the host, which is the device.
    assert_eq!([memory("averages"), memory("snapshot")], [0, weights + state]);
    assert!(memory("peak") > 50 << 20 && memory("available") > memory("peak"), "{found}");
    assert!(memory("peak") <= memory("needed"), "{found}");
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!(number("mfu") > 0.0 && number("bytes_per_second") > 0.0);
    assert!((number("seconds") - 6.0 * number("seconds_per_step")).abs() < 1e-9);

    let people = run!("train", "--config", config, "--dry-run", "--fit", "--device", "cpu").ok();
    assert!(people.stdout.contains("1 passes of 3 sequences"), "{}", people.stdout);
    assert!(people.stderr.contains("train.micro_batch = 3"), "{}", people.stderr);
    assert!(people.stdout.contains("while a checkpoint is written"), "{}", people.stdout);
}

#[test]
fn a_dry_run_depends_on_no_learning_rate() {
    // Which a run reaches by its warm-up, or never: weights would be infinite after a step of it.
    let Fixture { config, .. } = fixture::text();
    let sets = ["train.lr=1e38", "train.ema=0.9", "train.optimizer=\"muon\""];
    let [lr, ema, muon] = sets;
    let found =
        run!("train", "--config", config, "--dry-run", "--set", lr, "--set", ema, "--set", muon, "--device", "cpu")
            .ok();
    assert!(found.stdout.contains("averages"), "{}", found.stdout);
}

#[test]
fn a_dry_run_refuses_what_the_run_would() {
    let Fixture { config, run, .. } = fixture::text();
    run!("train", "--config", config, "--dry-run", "--set", "train.lr=-1").fails(2, &["`train.lr`"]);
    run!("train", "--out", run, "--dry-run", "--resume").fails(2, &["--dry-run", "--resume"]);
    run!("train", "--out", run, "--fit", "--resume").fails(2, &["--fit", "--resume"]);
    run!("train", "--config", config, "--json").fails(2, &["--dry-run"]);
    // A model of terabytes is not even begun: a dry run tells what it would be, and the run is refused.
    let large = ["model.level.0.n_layer=1000", "model.level.0.n_embd=65536"];
    let words = [
        "weights, gradients and optimizer state",
        "with the copy of a checkpoint, of memory",
        "fewer or narrower levels ([[model.level]])",
        "train.optimizer=\"muon\"",
        "train.freeze_levels (it is [])",
    ];
    let told =
        run!("train", "--config", config, "--dry-run", "--set", large[0], "--set", large[1], "--device", "cpu").ok();
    for words in ["warning: this run does not fit, and would be refused: "].iter().chain(&words) {
        assert!(told.stderr.contains(words), "no `{words}` in {}", told.stderr);
    }
    for words in ["parameters", "MFLOP/byte forward", "in all by formula", "not measured: this run does not fit"] {
        assert!(told.stdout.contains(words), "no `{words}` in {}", told.stdout);
    }
    let told = run!(
        "train",
        "--config",
        config,
        "--dry-run",
        "--json",
        "--set",
        large[0],
        "--set",
        large[1],
        "--device",
        "cpu"
    )
    .json();
    assert!(told["shortage"].as_str().unwrap().contains(words[0]) && told["seconds_per_step"].is_null(), "{told}");
    assert!(told["memory"]["needed"].as_u64().unwrap() > told["memory"]["available"].as_u64().unwrap());
    run!("train", "--config", config, "--dry-run", "--fit", "--set", large[0], "--set", large[1], "--device", "cpu")
        .fails(1, &words);
    run!("bench", "train", "--config", config, "--set", large[0], "--set", large[1], "--device", "cpu")
        .fails(1, &words);
    let out = scratch("large").join("run");
    let data = &fixture::text().prepared;
    run!(
        "train", "--config", config, "--data", data, "--out", out, "--set", large[0], "--set", large[1], "--device",
        "cpu"
    )
    .fails(1, &words);
    assert!(!out.exists(), "nothing is written for a run that can't begin");
}

#[test]
fn a_run_goes_on_with_another_micro_batch() {
    let Fixture { config, prepared, .. } = fixture::text();
    let out = scratch("smaller").join("run");
    run!("train", "--config", config, "--data", prepared, "--out", out, "--device", "cpu").ok();
    let smaller = ["train.micro_batch=1", "train.max_steps=8"];
    let resume = |allow: &str| {
        run!("train", "--out", out, "--resume", "--set", smaller[0], "--set", smaller[1], allow, "--device", "cpu")
    };
    resume("--set=train.max_steps=8").fails(2, &["train.micro_batch: 0 -> 1", "--allow-config-change"]);
    let resumed = resume("--allow-config-change").ok();
    assert!(resumed.stderr.contains("train.micro_batch: 0 -> 1"), "{}", resumed.stderr);
    let state: Value = serde_json::from_slice(&fs::read(out.join("checkpoints/latest/state.json")).unwrap()).unwrap();
    assert_eq!((&state["step"], &state["next_batch"]), (&json!(8), &json!(24)));
}

#[test]
fn a_micro_batch_that_fits_is_the_run_s() {
    let Fixture { config, prepared, run, .. } = fixture::text();
    let out = scratch("fit").join("run");
    let chosen = run!("train", "--config", config, "--data", prepared, "--out", out, "--fit", "--device", "cpu").ok();
    assert!(chosen.stderr.contains("train.micro_batch = 3"), "{}", chosen.stderr);
    assert!(fs::read_to_string(out.join("config.toml")).unwrap().contains("\nmicro_batch = 3\n"));
    // Choosing it has left nothing: the run is that of the fixture, whose micro-batch is the whole step.
    let metrics = |run: &Path| fs::read(run.join("metrics.jsonl")).unwrap();
    assert!(metrics(&out) == metrics(run), "other metrics");
    run!("train", "--out", out, "--resume", "--device", "cpu").ok();
}

#[test]
fn too_little_memory_names_what_needs_less() {
    // Four thousand sequences of a million bytes together: terabytes.
    let folder = scratch("shortage");
    let level = "[[model.level]]\nunit = 1\nn_embd = 8\nn_layer = 1\nn_head = 1\n";
    let train = "bytes_per_step = 4294967296\nmax_steps = 1\ndtype = \"float32\"\n";
    let model = format!("[data]\nmodality = \"text\"\n[model]\ncontext = 1048576\ndropout = 0.0\n{level}");
    let config = write(&folder, "config.toml", format!("{model}[train]\n{train}"));
    let data = write(&folder, "book.txt", fixture::words(1, 3_000_000));
    run!("train", "--config", config, "--data", data, "--out", folder.join("run"), "--device", "cpu").fails(
        1,
        &[
            "there is too little memory for a training step: with a micro-batch of 4096 this run needs",
            "activations of a step",
            "are available; what fits: train.micro_batch=",
            "(it is 0: 4096 sequences of 1048576 bytes)",
            "goes on by --resume and --allow-config-change",
            "--fit",
        ],
    );
    assert!(!folder.join("run").exists());
}

/// The program with so many KiB of addresses.
fn program_within(limit: u64) -> Command {
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &limit.to_string(), env!("CARGO_BIN_EXE_megabyte")]);
    program.envs(fixture::environment());
    program
}

/// KiB of addresses with which the program begins at all: libraries take another share of it everywhere.
fn least(config: &Path) -> u64 {
    let begins = |limit: &u64| {
        let mut program = program_within(*limit);
        program.args(["inspect", "--config"]).arg(config).output().unwrap().status.success()
    };
    (1..=40).map(|n| n * 100_000).find(begins).unwrap()
}

/// The same on arguments, to its end.
fn limited(limit: u64, args: &[&OsStr]) -> Output {
    let output = program_within(limit).args(args).output().unwrap();
    // Ended by itself, and not by a signal, whatever there was.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}: {}", output.status, text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A fresh run that has so many KiB of addresses.
fn within(limit: u64, config: &Path, data: &Path, out: &Path, set: &str) -> Output {
    let args: [&OsStr; 12] = [
        "train".as_ref(),
        "--force".as_ref(),
        "--device".as_ref(),
        "cpu".as_ref(),
        "--config".as_ref(),
        config.as_ref(),
        "--data".as_ref(),
        data.as_ref(),
        "--out".as_ref(),
        out.as_ref(),
        "--set".as_ref(),
        set.as_ref(),
    ];
    limited(limit, &args)
}

/// The configuration of a small model whose steps are of half a million bytes.
fn half_a_million(folder: &Path) -> PathBuf {
    let model = "context = 1024\ndropout = 0.0\n\
                 [[model.level]]\nunit = 8\nn_embd = 64\nn_layer = 1\nn_head = 2\n\
                 [[model.level]]\nunit = 1\nn_embd = 64\nn_layer = 2\nn_head = 2\n";
    let train = "max_steps = 1\nbytes_per_step = 524288\ndtype = \"float32\"\n";
    write(folder, "config.toml", format!("[data]\nmodality = \"text\"\n[model]\n{model}[train]\n{train}"))
}

#[test]
fn what_is_said_to_fit_does() {
    // Half a million bytes together take some GB; fewer sequences are enough for what there is.
    let folder = scratch("fits");
    let config = half_a_million(&folder);
    let data = write(&folder, "book.txt", fixture::words(1, 1_500_000));
    let run = |set: &str| within(4_000_000, &config, &data, &folder.join("run"), set);
    let refused = run("train.seed=0");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let fits = said.split_once("what fits: ").unwrap().1.split_whitespace().next().unwrap();
    assert!(fits.starts_with("train.micro_batch="), "{said}");
    let ran = run(fits);
    assert_eq!(ran.status.code(), Some(0), "{fits}: {}", text(&ran.stderr));
}

/// What takes minutes: many programs, one after another.
mod slow {
    use super::*;

    #[test]
    fn what_is_fitted_is_not_refused_by_the_formula() {
        let folder = scratch("fitted");
        let config = half_a_million(&folder);
        let least = least(&config);
        let mut fitted = 0;
        for limit in (2..=10).map(|n| least + n * 250_000) {
            let args = ["train", "--dry-run", "--fit", "--json", "--device", "cpu", "--config"].map(OsStr::new);
            let ended = limited(limit, &[&args[..], &[config.as_os_str()]].concat());
            let said = text(&ended.stderr);
            if ended.status.success() {
                let found: Value = serde_json::from_slice(&ended.stdout).unwrap();
                // Where the address space is what is limited, what the trial left in pieces may be too small for a step.
                let ran_out = found["shortage"].as_str().is_some_and(|why| why.contains("is out of memory: try"));
                assert!(found["shortage"].is_null() || ran_out, "{limit}: {said} {found}");
                fitted += 1;
            } else {
                assert!(said.contains("memory"), "{limit}: {said}");
            }
        }
        assert!(fitted > 3, "{fitted}");
    }

    #[test]
    fn no_dry_run_of_the_paper_s_is_ended_by_the_system() {
        let paper = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/paper");
        let files = walkdir::WalkDir::new(paper).into_iter().map(|entry| entry.unwrap().into_path());
        let files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
        assert_eq!(files.len(), 41);
        for file in files {
            let args = ["train".as_ref(), "--dry-run".as_ref(), "--json".as_ref(), "--device".as_ref(), "cpu".as_ref()];
            let ended = limited(3_000_000, &[&args[..], &["--config".as_ref(), file.as_os_str()]].concat());
            let said = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(0), "{}: {said}", file.display());
            let found: Value = serde_json::from_slice(&ended.stdout).unwrap();
            assert!(found["parameters"].as_u64().unwrap() > 40_000_000, "{}", file.display());
            assert!(found["shortage"].is_null() != found["seconds_per_step"].is_null(), "{}", file.display());
        }
    }

    #[test]
    fn whatever_there_is_a_run_is_done_or_refused() {
        // Weights of 200 MB, and steps of one short sequence: what runs short is of the model.
        let folder = scratch("narrow");
        let model = "context = 64\ndropout = 0.0\n\
                     [[model.level]]\nunit = 4\nn_embd = 1024\nn_layer = 4\nn_head = 2\n\
                     [[model.level]]\nunit = 1\nn_embd = 16\nn_layer = 1\nn_head = 2\n";
        let train = "max_steps = 1\nbytes_per_step = 64\ndtype = \"float32\"\noptimizer = \"muon\"\n";
        let text_of = format!("[data]\nmodality = \"text\"\n[model]\n{model}[train]\n{train}");
        let config = write(&folder, "config.toml", text_of);
        let data = write(&folder, "book.txt", fixture::words(1, 20_000));
        // From where libraries have enough more and more, until the run has.
        let least = least(&config);
        let (mut said, mut done) = (String::new(), false);
        for limit in (1..=30).map(|n| least + n * 200_000) {
            let output = within(limit, &config, &data, &folder.join("run"), "train.seed=0");
            done = output.status.success();
            if done {
                break;
            }
            said.push_str(&text(&output.stderr));
        }
        assert!(done, "{said}");
        for words in [
            "weights, gradients and optimizer state of this model need",
            "there is too little memory for the optimizer's step: with a micro-batch of 1",
            "nothing of it is enough alone: try fewer or narrower levels ([[model.level]])",
            "or train.optimizer=\"adamw\", which takes nothing beside its state",
        ] {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
    }
}

#[test]
fn a_run_whose_evaluation_does_not_fit_is_refused_before_it_begins() {
    // Training goes through the finer level in stretches of a kilobyte, an evaluation in longer ones.
    let folder = scratch("evaluation");
    let model = "context = 65536\ndropout = 0.0\n\
                 [[model.level]]\nunit = 64\nn_embd = 128\nn_layer = 1\nn_head = 2\n\
                 [[model.level]]\nunit = 1\nn_embd = 768\nn_layer = 1\nn_head = 8\n";
    let train = "max_steps = 3\nbytes_per_step = 65536\nstretch_bytes = 1024\ndtype = \"float32\"\n";
    let config =
        write(&folder, "config.toml", format!("[data]\nmodality = \"text\"\n[model]\n{model}[train]\n{train}"));
    let data = write(&folder, "book.txt", fixture::words(1, 1_500_000));
    let refused = within(least(&config) + 800_000, &config, &data, &folder.join("run"), "train.seed=0");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("there is too little memory for an evaluation"), "{said}");
    assert!(!folder.join("run").exists());
}

#[test]
fn every_start_of_a_run_is_written_down() {
    let Fixture { config, prepared, .. } = fixture::text();
    let out = scratch("environment").join("run");
    let settings = ["train.deterministic=true", "train.float32_precision=\"high\""];
    let begin = |force: &str| {
        run!(
            "train",
            "--config",
            config,
            "--data",
            prepared,
            "--out",
            out,
            "--set",
            settings[0],
            "--set",
            settings[1],
            "--device",
            "cpu",
            force
        )
        .ok()
    };
    let starts = || -> Vec<Value> { serde_json::from_slice(&fs::read(out.join("environment.json")).unwrap()).unwrap() };
    begin("--force");
    run!("train", "--out", out, "--resume", "--device", "cpu").ok();
    let found = starts();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["step"], &found[1]["step"]), (&json!(0), &json!(6)));
    assert_eq!((&found[0]["device"], &found[0]["threads"]), (&json!("cpu"), &json!(1)));
    assert_eq!(found[0]["megabyte"], env!("CARGO_PKG_VERSION"));
    assert!(found[0]["rustc"].as_str().unwrap().starts_with("rustc 1."));
    assert!(found[0]["libtorch"].as_str().unwrap().starts_with("2.11.0"));
    assert!(found[0]["memory"].as_u64().unwrap() > 1 << 28);
    let (started, again) = (found[0]["started"].as_str().unwrap(), found[1]["started"].as_str().unwrap());
    assert!(started.len() == 20 && started.ends_with('Z') && started <= again, "{started} {again}");
    assert!(found[1]["command"].as_array().unwrap().contains(&json!("--resume")));
    let commit = found[0]["commit"].as_str().unwrap();
    let hash = commit.strip_suffix("-dirty").unwrap_or(commit);
    assert!(commit == "unknown" || hash.len() == 12 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
    assert!(found[0]["cpu"]["model"].is_string() && found[0]["cpu"]["capability"].is_string());
    assert!(found[0]["os"].as_str().unwrap().contains("linux"));

    // Begun anew, it has one start; a list that can't be read is no reason not to go on, and stays as it is.
    begin("--force");
    assert_eq!(starts().len(), 1);
    for damaged in [&b"[{"[..], b"[\xff]"] {
        fs::write(out.join("environment.json"), damaged).unwrap();
        let resumed = run!("train", "--out", out, "--resume", "--device", "cpu").ok();
        assert!(resumed.stderr.contains("environment.json: can't be read"), "{}", resumed.stderr);
        assert_eq!(fs::read(out.join("environment.json")).unwrap(), damaged);
    }
    fs::remove_file(out.join("environment.json")).unwrap();
    run!("train", "--out", out, "--resume", "--device", "cpu").ok();
    assert_eq!(starts().len(), 1);
}
