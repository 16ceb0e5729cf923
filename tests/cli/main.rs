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
mod names;
mod paths;
mod program;
mod resume;
mod round;
mod score;
mod settings;
mod streams;
mod tensorboard;

use std::path::Path;

use program::{Outcome, command, run};

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
