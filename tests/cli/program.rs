//! The program as it is called from a shell.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program with arguments, strings and paths, to its end.
macro_rules! run {
    ($($arg:expr),+ $(,)?) => {
        $crate::Outcome::of($crate::command().args([$(std::ffi::OsStr::new(&$arg)),+]))
    };
}
pub(crate) use run;

/// The program, with a cache of its own for prepared data. It has to end in some minutes.
pub fn command() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "300", env!("CARGO_BIN_EXE_megabyte")]).envs(crate::fixture::environment());
    command
}

/// How the program ended, and what it printed.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// With this on its standard input.
    pub fn given(input: &str, command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Self::from(child.wait_with_output().unwrap())
    }

    /// Whatever happens, nobody is shown the program's inside.
    pub fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let outcome = Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for word in ["panicked", "RUST_BACKTRACE", "internal:"] {
            assert!(!outcome.stderr.contains(word), "{}", outcome.stderr);
        }
        outcome
    }

    /// It is done.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It ended with this code and an error that has all the words, and no results.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) {
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
    pub fn json(self) -> Value {
        let done = self.ok();
        let value: Value =
            serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout));
        assert!(value.is_object() && done.stdout.ends_with("}\n"), "{}", done.stdout);
        value
    }
}
