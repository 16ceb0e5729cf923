//! Paths that are odd: pipes, devices and sockets, names with control characters, data that has moved, folders under several
//! names.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::fixture::{self, Fixture, scratch, words, write};
use crate::run;

fn pipe(path: &PathBuf) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Reading a pipe that nobody writes to never ends.
#[test]
fn pipes_devices_and_sockets_are_refused_at_once() {
    let Fixture { config, prepared, run, file, .. } = fixture::text();
    let folder = scratch("special");
    let (fifo, socket, out) = (folder.join("fifo"), folder.join("socket"), folder.join("out"));
    pipe(&fifo);
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let began = Instant::now();
    for path in [fifo, socket, PathBuf::from("/dev/zero")] {
        let refused = ["is a device, a pipe or a socket"];
        run!("prepare", path, "--modality", "text", "--out", out).fails(1, &refused);
        run!("prepare", file, "--config", path, "--out", out).fails(1, &refused);
        run!("prepare", file, "--modality", "text", "--out", path).fails(1, &refused);
        run!("inspect", path).fails(1, &refused);
        run!("train", "--config", path, "--data", prepared, "--out", out).fails(1, &refused);
        run!("train", "--config", config, "--data", path, "--out", out).fails(1, &refused);
        run!("train", "--config", config, "--data", prepared, "--out", path).fails(1, &refused);
        let sources = format!("data.sources=[\"{}\"]", path.display());
        run!("train", "--config", config, "--set", sources, "--out", out).fails(1, &refused);
        run!("generate", "--model", path, "--out", out).fails(1, &refused);
        run!("generate", "--model", run, "--prompt", path, "--out", out).fails(1, &refused);
        run!("eval", "--model", run, "--data", path).fails(1, &refused);
        run!("eval", "--model", run, "--data", file, "--per-file", path).fails(1, &refused);
        run!("score", "--model", run, path, "--out", out).fails(1, &refused);
        run!("rank", "--model", run, "--data", path).fails(1, &refused);
        run!("rank", "--model", run, "--data", file, "--labels", path).fails(1, &refused);
        run!("compress", "--model", run, path, "--out", out).fails(1, &refused);
        run!("decompress", "--model", run, path, "--out", out).fails(1, &refused);
        run!("bench", "data", "--config", path).fails(1, &refused);
        run!("report", path, "--out", out).fails(1, &refused);
        run!("download", "enwik8", "--out", path).fails(1, &refused);
    }
    // Some fifty programs, on a machine that may be busy; one that reads would never end.
    assert!(began.elapsed() < Duration::from_secs(600));
    assert!(!out.exists());
    // In a folder they are left out.
    write(&folder.join("in"), "a.txt", words(1, 400));
    pipe(&folder.join("in/fifo"));
    let done = run!("prepare", folder.join("in"), "--modality", "text", "--out", out, "--json").json();
    assert_eq!((&done["documents"], &done["skipped_count"]), (&1.into(), &1.into()), "{done}");
}

#[test]
fn names_can_not_command_a_terminal() {
    let Fixture { run, .. } = fixture::text();
    let folder = scratch("commanding");
    let hostile = "red\x1b[31m\nline\rback\x07\u{202e}\u{200e}\u{2028}\u{9b}";
    write(&folder.join("in"), &format!("{hostile}.txt"), words(2, 300));
    write(&folder.join("in"), &format!("empty{hostile}"), "");
    let path = folder.join("in").join(format!("{hostile}.txt"));
    let commands = ['\x1b', '\r', '\x07', '\u{202e}', '\u{200e}', '\u{2028}', '\u{9b}'];
    let mut named = 0;
    for outcome in [
        run!("prepare", folder.join("in"), "--modality", "text", "--out", folder.join("out")),
        run!("inspect", path),
        run!("inspect", folder.join("in")),
        run!("score", "--model", run, folder.join("in"), "--out", folder.join("scores"), "--device", "cpu"),
        run!("rank", "--model", run, "--data", folder.join("in"), "--device", "cpu"),
        run!("eval", "--model", run, "--data", path, "--device", "cpu"),
        run!("compress", "--model", run, path, "--out", folder.join("a.mbz"), "--device", "cpu"),
    ] {
        let outcome = outcome.ok();
        let said = outcome.stdout + &outcome.stderr;
        assert!(!said.contains(commands), "{said:?}");
        let shown = "\\u{1b}[31m\\nline\\rback\\u{7}\\u{202e}\\u{200e}\\u{2028}\\u{9b}";
        named += usize::from(said.contains(shown));
    }
    assert!(named >= 5, "{named} of seven commands name the file");
    // A program that reads JSON gets the name itself.
    let scored = run!("score", "--model", run, path, "--out", folder.join("b.npy"), "--device", "cpu", "--json");
    assert!(!scored.stdout.contains(commands), "{:?}", scored.stdout);
    let found: serde_json::Value = serde_json::from_str(&scored.ok().stdout).unwrap();
    assert!(found["files"][0]["name"].as_str().unwrap().contains(hostile), "{found}");
    let missing = run!("inspect", folder.join(hostile));
    assert!(missing.stderr.contains("\\u{1b}[31m\\nline") && !missing.stderr.contains('\x1b'), "{:?}", missing.stderr);
}

#[test]
fn data_that_has_moved_is_named_anew() {
    let Fixture { config, .. } = fixture::text();
    let folder = scratch("moved");
    let (data, new, out) = (folder.join("data"), folder.join("new"), folder.join("run"));
    write(&data, "a.txt", words(3, 6_000));
    let train = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_megabyte"));
        command.envs(fixture::environment()).args(["train", "--device", "cpu", "--out"]).arg(&out).args(more);
        crate::Outcome::from(command.output().unwrap())
    };
    let (config, given) = (config.display().to_string(), data.display().to_string());
    train(&["--config", &config, "--data", &given]).ok();
    fs::rename(&data, &new).unwrap();
    train(&["--resume"]).fails(1, &[&given, "is not there", "--data NEW"]);
    train(&["--resume", "--data", &new.display().to_string(), "--allow-config-change"]).ok();
    run!("eval", "--model", out, "--data", data).fails(1, &[&given]);
}

/// However a folder is named, the same files are skipped, once.
#[test]
fn what_is_skipped_does_not_depend_on_how_a_folder_is_written() {
    let folder = scratch("spelled");
    let data = folder.join("data");
    for (name, content) in [("a.txt", words(4, 400)), ("b.txt", String::new()), ("c/d.txt", String::new())] {
        write(&data, name, content);
    }
    pipe(&data.join("fifo"));
    std::os::unix::fs::symlink(&data, folder.join("link")).unwrap();
    let here = |sources: &[&str], out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_megabyte"));
        command.envs(fixture::environment()).current_dir(&folder).arg("prepare").args(sources);
        command.args(["--modality", "text", "--json", "--out", out]);
        let done = crate::Outcome::from(command.output().unwrap()).json();
        (done["skipped_count"].as_u64().unwrap(), done["documents"].as_u64().unwrap())
    };
    let absolute = data.display().to_string();
    let spellings: [&[&str]; 9] = [
        &["data"],
        &["data/"],
        &["./data"],
        &["data/."],
        &["data/c/.."],
        &[&absolute],
        &["link"],
        &["data", "data"],
        &["data", "link", "data/c", "data/b.txt"],
    ];
    for (i, sources) in spellings.into_iter().enumerate() {
        assert_eq!(here(sources, &format!("out{i}")), (3, 1), "{sources:?}");
        // And added to what is prepared already.
        assert_eq!(here(sources, "all"), (3, 1), "{sources:?}");
    }
}
