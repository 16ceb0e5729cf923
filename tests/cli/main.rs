//! The `megabyte` program from outside: what it writes, what it prints, and how it ends, on good input and on bad.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used)]

mod begin;
mod branch;
mod configuration;
mod damage;
mod data;
mod disk;
mod dtype;
mod eval;
mod extends;
mod fixture;
mod generate;
mod kill;
mod memory;
mod paths;
mod resume;
mod round;
mod score;
mod settings;
mod streams;
mod tensorboard;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

/// Runs the program with arguments, strings and paths, to its end.
macro_rules! run {
    ($($arg:expr),+ $(,)?) => {
        $crate::Outcome::of($crate::command().args([$(std::ffi::OsStr::new(&$arg)),+]))
    };
}
pub(crate) use run;

/// The program, with a cache of its own for prepared data.
fn command() -> assert_cmd::Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("megabyte");
    command.envs(fixture::environment()).timeout(Duration::from_secs(120));
    command
}

/// How the program ended, and what it printed.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(command: &mut assert_cmd::Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Whatever happens, nobody is shown the program's inside.
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let outcome = Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for word in ["panicked", "RUST_BACKTRACE", "internal:"] {
            assert!(!outcome.stderr.contains(word), "{}", outcome.stderr);
        }
        outcome
    }

    /// It is done.
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It ended with this code and an error that has all the words, and no results.
    #[track_caller]
    fn fails(self, code: i32, words: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, Some(code), "{stderr}");
        assert!(stderr.contains("error: "), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "no `{word}` in: {stderr}");
        }
        assert_eq!(self.stdout, "", "results of a failure");
    }

    /// It is done and has printed one JSON object and nothing else.
    #[track_caller]
    fn json(self) -> Value {
        let done = self.ok();
        let value: Value =
            serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout));
        assert!(value.is_object() && done.stdout.ends_with("}\n"), "{}", done.stdout);
        value
    }
}

/// A copy of a folder, as of a tool that follows links.
fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).follow_links(true) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(place).unwrap();
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
