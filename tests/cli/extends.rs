//! Configurations that extend others.

use std::fs;
use std::path::Path;

use megabyte::RunConfig;

use crate::fixture::{self, scratch, write};
use crate::run;

fn load(config: &Path, sets: &[&str]) -> Result<RunConfig, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    RunConfig::load(config, &sets).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(config: &Path, words: &[&str]) {
    let error = load(config, &[]).unwrap_err();
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

#[test]
fn tables_are_merged_and_the_rest_replaced() {
    let folder = scratch("extends");
    let text = fs::read_to_string(&fixture::text().config).unwrap();
    write(&folder, "bases/text.toml", text.replace("[train]", "[train]\nbetas = [0.8, 0.9]"));
    write(&folder, "bases/wide.toml", "extends = \"text.toml\"\n[train]\nlr = 0.5\nbetas = [0.7, 0.8]\n");
    let levels = "[[model.level]]\nunit = 1\nn_embd = 12\nn_layer = 1\nn_head = 3\n";
    let content = format!("extends = \"bases/wide.toml\"\n[model]\ndropout = 0.0\n{levels}[train]\nmax_steps = 9\n");
    let config = write(&folder, "child.toml", content);

    let base = load(&fixture::text().config, &[]).unwrap();
    let child = load(&config, &["train.seed=4"]).unwrap();
    let mut expected = base.clone();
    expected.train.betas = [0.7, 0.8];
    (expected.train.lr, expected.train.max_steps, expected.train.seed) = (0.5, 9, 4);
    expected.model.dropout = 0.0;
    // A list is replaced as a whole: of two levels one is left.
    expected.model.levels = vec![base.model.levels[1].clone()];
    (expected.model.levels[0].n_embd, expected.model.levels[0].n_head) = (12, 3);
    assert_eq!(child, expected);

    // What a run keeps is the whole, from the folder that it is called in and from any other.
    let out = folder.join("run");
    let prepared = &fixture::text().prepared;
    run!("train", "--config", config, "--data", prepared, "--out", out, "--device", "cpu", "--set", "train.seed=4")
        .ok();
    let kept = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(!kept.contains("extends"), "{kept}");
    expected.data.sources = vec![prepared.clone()];
    assert_eq!(load(&out.join("config.toml"), &[]).unwrap(), expected);
    // `prepare` and `inspect` see the same.
    let found = run!("inspect", "--config", config, "--json").json();
    assert_eq!((&found["max_steps"], &found["modality"]), (&9.into(), &"text".into()));
    run!("prepare", fixture::text().files, "--config", config, "--out", folder.join("prepared")).ok();
}

#[test]
fn an_error_names_the_file_that_the_key_stands_in() {
    let folder = scratch("extends-errors");
    let text = fs::read_to_string(&fixture::text().config).unwrap();
    let base = write(&folder, "base.toml", text.replace("lr = ", "rl = "));
    let child = write(&folder, "child.toml", "extends = \"base.toml\"\n[train]\nclip = 2.0\n");
    refused(&child, &[&format!("{}: line 25: `train.rl`", base.display())]);
    write(&folder, "base.toml", text.replace("context = 64", "context = 66"));
    refused(&child, &[&format!("{}: line 8: `model.context`", base.display())]);
    write(&folder, "base.toml", &text);
    write(&folder, "child.toml", "extends = \"base.toml\"\n[train]\n\nclip = -2.0\n");
    refused(&child, &[&format!("{}: line 4: `train.clip`", child.display())]);
    // A list of the file's own has the file's lines, and one of the base's is gone.
    let level = "extends = \"base.toml\"\n[[model.level]]\nunit = 1\nn_embd = 8\nn_layer = 1\n";
    write(&folder, "child.toml", level);
    refused(&child, &[&format!("{}: line 2: `model.level.0.n_head`", child.display()), "missing"]);
    write(&folder, "child.toml", "[data]\nmodality = \"text\"\nextends = \"base.toml\"\n");
    refused(&child, &["line 3", "`data.extends`", "`extends`"]);
}

#[test]
fn a_base_that_can_not_be_read_is_named_with_the_file_that_extends_it() {
    let folder = scratch("extends-bases");
    let names = |config: &Path, base: &str, words: &[&str]| {
        refused(config, &[&[config.to_str().unwrap(), base], words].concat());
    };
    let child = write(&folder, "child.toml", "# a comment\nextends = \"nowhere/base.toml\"\n");
    names(&child, "nowhere/base.toml", &["line 2", "`extends`", "can't be read", "No such file"]);
    write(&folder, "broken.toml", "[data\n");
    write(&folder, "child.toml", "extends = \"broken.toml\"\n");
    names(&child, "broken.toml", &["line 1"]);
    write(&folder, "child.toml", "extends = 3\n");
    names(&child, "", &["line 1", "`extends` is 3", "path"]);
    write(&folder, "child.toml", "extends = [\"a.toml\"]\n");
    names(&child, "", &["line 1", "`extends`", "path"]);

    write(&folder, "child.toml", "extends = \"child.toml\"\n");
    names(&child, "child.toml", &["circle"]);
    write(&folder, "child.toml", "extends = \"b.toml\"\n");
    write(&folder, "b.toml", "extends = \"../extends-bases/c.toml\"\n");
    write(&folder, "c.toml", "extends = \"./b.toml\"\n");
    refused(&child, &["b.toml", "c.toml", "circle"]);
    assert!(!load(&child, &[]).unwrap_err().contains("child.toml"), "the circle does not go through it");
    run!("train", "--config", child, "--data", folder, "--out", folder.join("run")).fails(2, &["circle"]);
}
