//! Pictures of every format, bit depth, kind of colour and way of storage, as Pillow or the format's definition has them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use megabyte::modality::{Fit, ImageLayout, Scan};
use serde::Deserialize;

use crate::common::image;
use crate::{Done, lacks};

/// A file that `pictures.py` wrote.
#[derive(Deserialize)]
struct Case {
    name: String,
    width: usize,
    height: usize,
    most: u8,
    mean: f64,
}

pub fn all_kinds_agree_with_pillow() -> Done {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    let has = |module| Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if !has("PIL, numpy").is_ok_and(|outcome| outcome.status.success()) {
        return lacks("Pillow and NumPy in .venv, which `make setup` installs");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(&python);
    command.args(["-W", "ignore"]).arg(root.join("tests/outside/pictures.py")).arg(folder.path());
    let outcome = command.output().unwrap();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    let index = std::fs::read_to_string(folder.path().join("index.jsonl")).unwrap();
    let mut wrong = Vec::new();
    let mut kinds = BTreeMap::<String, usize>::new();
    for line in index.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        *kinds.entry(case.name.rsplit('.').next().unwrap().to_owned()).or_default() += 1;
        if let Err(reason) = check(folder.path(), &case) {
            wrong.push(format!("{}: {reason}", case.name));
        }
    }
    println!("{kinds:?}");
    assert!(kinds.values().sum::<usize>() > 1_000, "{kinds:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), index.lines().count(), wrong.join("\n"));
    Ok(())
}

fn check(folder: &Path, case: &Case) -> Result<(), String> {
    let (width, height) = (case.width, case.height);
    // Sizes are equal: another one would be scaled, which no tolerance allows.
    let layout = ImageLayout { width, height, scan: Scan::Raster, fit: Fit::Stretch, ..ImageLayout::default() };
    let file = std::fs::read(folder.join(&case.name)).unwrap();
    let expected = std::fs::read(folder.join(format!("{}.rgb", case.name))).unwrap();
    let mut ours = Vec::new();
    let warnings = image(layout).encode_to(&mut std::io::Cursor::new(file), &mut ours).map_err(|e| e.to_string())?;
    let apart = || ours.iter().zip(&expected).map(|(ours, theirs)| ours.abs_diff(*theirs));
    let most = apart().max().unwrap_or(0);
    let mean = apart().map(f64::from).sum::<f64>() / ours.len() as f64;
    match () {
        () if !warnings.is_empty() => Err(format!("{warnings:?}")),
        () if ours.len() != expected.len() => Err(format!("{} bytes, not {}", ours.len(), expected.len())),
        () if most > case.most || mean > case.mean => Err(format!("off by {most} at most, {mean:.3} on average")),
        () => Ok(()),
    }
}
