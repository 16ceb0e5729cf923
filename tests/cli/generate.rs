//! `generate`: prompts, lengths, seeds, and files that are there already.

use std::fs;

use crate::fixture::{self, Fixture, scratch, write};
use crate::{Outcome, command, run};

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let Fixture { run, .. } = fixture::text();
    let folder = scratch("seeds");
    let drawn = |name: &str, seed: &str| {
        let out = folder.join(name);
        run!("generate", "--model", run, "--length", "300", "--seed", seed, "--out", out, "--device", "cpu").ok();
        fs::read(out).unwrap()
    };
    let first = drawn("a.txt", "7");
    assert_eq!(first, drawn("b.txt", "7"));
    assert_ne!(first, drawn("c.txt", "8"));
}

#[test]
fn a_prompt_comes_from_a_file_or_standard_input() {
    let Fixture { run, .. } = fixture::text();
    let folder = scratch("prompts");
    let text = "patch byte level local global model patch byte";
    let prompt = write(&folder, "prompt.txt", text);
    let (a, b, c) = (folder.join("a.txt"), folder.join("b.txt"), folder.join("c.txt"));
    run!("generate", "--model", run, "--prompt", prompt, "--out", a, "--device", "cpu").ok();
    let mut piped = command();
    piped.args(["generate", "--prompt", "-", "--device", "cpu", "--model"]).arg(run).arg("--out").arg(&b);
    Outcome::given(text, &mut piped).ok();
    let made = fs::read(a).unwrap();
    assert!(made.starts_with(text.as_bytes()));
    assert_eq!(made, fs::read(b).unwrap());

    // Half of 46 bytes, in whole patches of 8.
    let half = run!("generate", "--model", run, "--prompt", prompt, "--keep", "50%", "--out", c, "--json").json();
    assert_eq!((&half["prompt_bytes"], &half["kept_bytes"]), (&46.into(), &16.into()));
    assert!(fs::read(c).unwrap().starts_with(&text.as_bytes()[..16]));
}

#[test]
fn nothing_is_replaced_without_force() {
    let Fixture { run, config, files, prepared, .. } = fixture::text();
    let folder = scratch("kept");
    let mine = write(&folder, "mine.txt", "mine");
    let there = ["is there already", "--force", "mine.txt"];
    run!("generate", "--model", run, "--out", mine, "--device", "cpu").fails(1, &there);
    run!("generate", "--model", run, "--count", "2", "--out", folder, "--device", "cpu").fails(1, &there[..2]);
    run!("prepare", files, "--config", config, "--out", folder).fails(1, &there[..2]);
    run!("report", run, "--out", mine).fails(1, &["--force", "mine.txt"]);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    run!("generate", "--model", run, "--out", mine, "--force", "--device", "cpu").ok();
    assert_ne!(fs::read(&mine).unwrap(), b"mine");

    // A rename would take the place of what is no file.
    let socket = folder.join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let refused = ["socket: is a device, a pipe or a socket"];
    run!("generate", "--model", run, "--out", socket, "--force", "--device", "cpu").fails(1, &refused);
    run!("report", run, "--out", socket, "--force").fails(1, &refused);
    run!("compress", mine, "--model", run, "--out", socket, "--force", "--device", "cpu").fails(1, &refused);
    run!("compress", socket, "--model", run, "--out", folder.join("a.mbz"), "--device", "cpu").fails(1, &refused);

    // A configuration that stands where the run's own would be written is someone's.
    let config = write(&folder, "config.toml", fs::read(config).unwrap());
    run!("train", "--config", config, "--data", prepared, "--out", folder, "--device", "cpu")
        .fails(1, &["--force", "--out"]);
    assert!(!fs::read_to_string(config).unwrap().contains("weight_decay"), "the configuration was replaced");
}

#[test]
fn a_prompt_that_leaves_nothing_to_generate_is_refused() {
    let Fixture { run, .. } = fixture::text();
    let folder = scratch("long");
    let prompt = write(&folder, "long.txt", fixture::words(3, 100));
    let out = folder.join("out.txt");
    let long = |rest: [&str; 2]| run!("generate", "--model", run, "--prompt", prompt, "--out", out, rest[0], rest[1]);
    long(["--device", "cpu"]).fails(2, &["100 bytes", "64", "--keep"]);
    long(["--keep", "64"]).fails(2, &["64", "--keep"]);
    long(["--keep", "101"]).fails(2, &["--keep 101", "100 bytes"]);
    assert!(!out.exists());
    long(["--keep", "63"]).ok();
    // A prompt beyond the context is no obstacle where more is asked for.
    let longer = folder.join("longer.txt");
    run!("generate", "--model", run, "--prompt", prompt, "--out", longer, "--length", "200").ok();
    assert!(std::fs::read(longer).unwrap().starts_with(&std::fs::read(&prompt).unwrap()));

    // Nor can more come than memory holds.
    run!("generate", "--model", run, "--out", folder.join("a.txt"), "--length", "99999999999999")
        .fails(1, &["1 x 99999999999999 bytes", "--length"]);

    let Fixture { run, file, .. } = fixture::image();
    run!("generate", "--model", run, "--prompt", file, "--out", folder.join("a.png")).fails(2, &["48", "--keep"]);
}

#[test]
fn flags_that_can_not_work_are_wrong_use() {
    let Fixture { run, file, .. } = fixture::image();
    let out = scratch("flags").join("out.png");
    let with = |flags: &[&str]| {
        let mut program = command();
        program.args(["generate", "--device", "cpu", "--model"]).arg(run).arg("--out").arg(&out).args(flags);
        Outcome::of(&mut program)
    };
    let prompt = file.to_str().unwrap();
    with(&["--prompt", prompt, "--keep", "150%"]).fails(2, &["--keep 150%", "100%"]);
    with(&["--prompt", prompt, "--keep", "half"]).fails(2, &["--keep half", "50%"]);
    with(&["--keep", "50%"]).fails(2, &["--prompt"]);
    with(&["--length", "49"]).fails(2, &["--length 49", "48 bytes"]);
    with(&["--length", "0"]).fails(2, &["--length"]);
    with(&["--seconds", "1"]).fails(2, &["--seconds", "--length"]);
    with(&["--count", "0"]).fails(2, &["--count"]);
    with(&["--temperature=-1"]).fails(2, &["sample.temperature"]);
    with(&["--temperature=nan"]).fails(2, &["sample.temperature"]);
    with(&["--top-p", "2"]).fails(2, &["sample.top_p"]);
    with(&["--min-p", "1"]).fails(2, &["sample.min_p"]);
    with(&["--dtype", "float16"]).fails(2, &["float16", "bfloat16"]);
    with(&["--top-k", "many"]).fails(2, &["--top-k"]);
    with(&["--wings", "2"]).fails(2, &["--wings"]);
    assert!(!out.exists());
    let Fixture { run, .. } = fixture::audio();
    run!("generate", "--model", run, "--seconds", "0", "--out", out).fails(2, &["--seconds 0"]);
}
