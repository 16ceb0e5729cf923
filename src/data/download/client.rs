//! Running a registry's own client: quietly, stoppable, and with its last words kept for the error.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Attempt, Failure};
use crate::error::IoContext;
use crate::progress::Progress;

/// How often a running client is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a client to its end. Its output goes to `log`, whose last lines make up the failure.
pub(super) fn run(command: &mut Command, log: &Path, progress: &dyn Progress) -> Attempt<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::create(log).at(log)?;
    let errors = file.try_clone().at(log)?;
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|error| Failure::Source(format!("{program}: {error}")))?;
    let status = loop {
        if let Some(status) = child.try_wait().at(log)? {
            break status;
        }
        if progress.cancelled() {
            // It may have ended on the same Ctrl-C by itself.
            let _ = child.kill();
            child.wait().at(log)?;
            return Err(Failure::Stopped);
        }
        std::thread::sleep(LOOK);
    };
    if progress.cancelled() {
        return Err(Failure::Stopped);
    }
    if status.success() { Ok(()) } else { Err(Failure::Source(format!("{program}: {}", last_words(log, status)))) }
}

/// Whether a program starts and ends well.
pub(super) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The last lines that say something, on one line.
fn last_words(log: &Path, status: std::process::ExitStatus) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(4).collect();
    lines.reverse();
    if lines.is_empty() { status.to_string() } else { lines.join("; ") }
}
