//! Wrong paths, and folders that can't be written: each verb names the path.

use std::fs;

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

#[test]
fn a_path_that_is_not_there_is_named() {
    let Fixture { config, prepared, run, file, .. } = fixture::text();
    let folder = scratch("nowhere");
    let (no, out) = (folder.join("no-such"), folder.join("out"));
    let words = ["no-such"];
    run!("prepare", no, "--modality", "text", "--out", out).fails(1, &words);
    run!("prepare", file, "--config", no, "--out", out).fails(1, &words);
    run!("inspect", no).fails(1, &words);
    run!("inspect", file, "--config", no).fails(1, &words);
    run!("train", "--config", no, "--data", prepared, "--out", out).fails(1, &words);
    run!("train", "--config", config, "--data", no, "--out", out).fails(1, &words);
    run!("generate", "--model", no, "--out", out).fails(1, &words);
    run!("generate", "--model", run, "--prompt", no, "--out", out).fails(1, &words);
    run!("eval", "--model", no, "--data", file).fails(1, &words);
    run!("eval", "--model", run, "--data", no).fails(1, &words);
    run!("bench", "data", "--config", no).fails(1, &words);
    run!("report", no, "--out", out).fails(1, &words);
    let download = run!("download", no, "--out", out);
    assert!(matches!(download.code, Some(1 | 2)), "{}", download.stderr);
    assert!(download.stderr.contains("no-such"), "{}", download.stderr);
    // A folder is there, and is not what is expected.
    run!("generate", "--model", folder, "--out", out).fails(1, &["nowhere", "holds no model"]);
    run!("report", folder, "--out", out).fails(1, &["nowhere", "config.toml"]);
    run!("generate", "--model", file, "--out", out).fails(1, &["book.txt", "expected a run"]);
    assert!(!out.exists());
}

#[test]
fn an_empty_folder_is_told() {
    let Fixture { config, run, .. } = fixture::text();
    let folder = scratch("empty");
    let (empty, out) = (folder.join("nothing"), folder.join("out"));
    fs::create_dir(&empty).unwrap();
    let words = ["no files in", "nothing"];
    run!("prepare", empty, "--modality", "text", "--out", out).fails(2, &words);
    run!("train", "--config", config, "--data", empty, "--out", out).fails(2, &words);
    run!("eval", "--model", run, "--data", empty).fails(2, &words);
    assert!(!out.exists());
    assert_eq!(run!("inspect", empty, "--json").json()["files"], 0);
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let Fixture { config, prepared, run, file, .. } = fixture::text();
    let folder = scratch("unwritable");
    // Below a file there is no folder, whoever asks.
    let wall = write(&folder, "wall", "");
    let out = wall.join("out");
    let words = ["wall"];
    run!("prepare", file, "--modality", "text", "--out", out).fails(1, &words);
    run!("train", "--config", config, "--data", prepared, "--out", out, "--device", "cpu").fails(1, &words);
    run!("generate", "--model", run, "--length", "8", "--out", out, "--device", "cpu").fails(1, &words);
    run!("report", run, "--out", out).fails(1, &words);
    assert_eq!(fs::read(wall).unwrap(), b"");
}

#[test]
fn wrong_words_are_wrong_use() {
    let Fixture { config, prepared, run, file, .. } = fixture::text();
    let out = scratch("wrong").join("out");
    run!("paint").fails(2, &["paint"]);
    run!("train", "--data", prepared).fails(2, &["--config"]);
    run!("eval", "--model", run).fails(2, &["--data"]);
    run!("eval", "--model", run, "--data", file, "--split", "half").fails(2, &["half", "`valid`"]);
    run!("eval", "--model", run, "--data", file, "--inference", "magic").fails(2, &["magic", "sliding+strided"]);
    run!("eval", "--model", run, "--data", file, "--dtype", "int4").fails(2, &["int4", "float32"]);
    run!("eval", "--model", run, "--data", file, "--batch", "0").fails(2, &["--batch", "0"]);
    run!("score", "--model", run, file, "--out", out, "--batch", "0").fails(2, &["--batch", "0"]);
    run!("rank", "--model", run, "--data", file, "--batch", "0").fails(2, &["--batch", "0"]);
    run!("bench", "sleep").fails(2, &["sleep", "generate"]);
    run!("bench", "data", "--profile").fails(2, &["--profile", "bench train"]);
    run!("bench", "data", "--seconds=-1").fails(2, &["--seconds"]);
    run!("eval", "--model", run, "--data", file, "--device", "tpu").fails(2, &["--device tpu", "cuda:N"]);
    run!("generate", "--model", run, "--out", out, "--device", "cuda:-1").fails(2, &["--device cuda:-1"]);
    let far = run!("train", "--config", config, "--data", prepared, "--out", out, "--device", "cuda:9999");
    far.fails(2, &["--device cuda:9999", "megabyte doctor"]);
    assert!(!out.exists());
}
