//! The `megabyte` command: parse, dispatch, exit code (0 done, 1 failed, 2 wrong use).

// Both panic where nobody reads: results leave through `commands::output`, the rest through `commands::terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;

use std::io::ErrorKind;
use std::panic;
use std::process::ExitCode;

use clap::Parser;
use commands::terminal::say;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    megabyte::native::keep_freed_memory();
    megabyte::native::ignore_file_size_signal();
    commands::terminal::catch_ctrl_c();
    // A panic is a defect of this program; a backtrace would tell its user nothing.
    panic::set_hook(Box::new(|info| {
        if megabyte::modality::decoding() {
            return;
        }
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("of unknown cause");
        if megabyte::train::shortage::catches(message) {
            return;
        }
        match message.split_once("Torch(\"") {
            // tch panics where libtorch refuses, as a rule because memory is not to be had.
            Some((_, cause)) => {
                let line = cause.split("\\n").next().unwrap_or(cause);
                say(&format!(
                    "error: libtorch: {line}; where memory is short, lower --batch, --count or train.micro_batch"
                ));
            }
            None => say(&format!("error: internal: {message}{place}")),
        }
    }));
    match panic::catch_unwind(|| commands::run(cli.verb)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            say(&format!("error: {error:#}"));
            exit_code(&error)
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn reader_is_gone(error: &anyhow::Error) -> bool {
    let pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(pipe)
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    use megabyte::Error;
    match error.downcast_ref::<Error>() {
        Some(Error::Config { .. } | Error::ConfigFile { .. } | Error::Usage(_)) => ExitCode::from(2),
        Some(Error::Interrupted) => ExitCode::from(130),
        _ => ExitCode::FAILURE,
    }
}
