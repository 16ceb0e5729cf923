//! `scripts/gpu.sh`, rehearsed: what is to run on a machine with a GPU runs on the CPU with a tiny model, from the same
//! tarballs.
#![allow(clippy::unwrap_used)] // a failure is what a test is for

mod slow {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::Value;

    /// The newest program of a test.
    fn program(test: &str) -> PathBuf {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let of_test = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.rsplit_once('-').is_some_and(|(stem, hash)| stem == test && !hash.contains('.'))
        };
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let newest = paths.filter(of_test).max_by_key(|path| path.metadata().unwrap().modified().unwrap());
        newest.unwrap_or_else(|| panic!("{test} is not built: `cargo test --release --no-run` builds all"))
    }

    fn succeeds(command: &mut Command) {
        let done = command.output().unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(done.status.success(), "{command:?}: {}\n{}", said[0], said[1]);
    }

    /// The parts that the script names, in its order.
    fn parts(script: &str) -> Vec<String> {
        let lines = script.lines().filter_map(|line| line.strip_prefix("parts "));
        lines.flat_map(|line| line.split(' ').skip(2).map(str::to_owned)).collect()
    }

    #[test]
    fn every_part_of_the_gpus_script_has_a_result() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = tempfile::tempdir().unwrap();
        let [programs, packed, out] = ["programs", "packed", "out"].map(|name| place.path().join(name));
        fs::create_dir(&programs).unwrap();
        let script = fs::read_to_string(root.join("scripts/gpu.sh")).unwrap();
        let wanted = fs::read_to_string(root.join("scripts/dist-gpu.sh")).unwrap();
        let wanted = wanted.lines().find_map(|line| line.strip_prefix("wanted=(")?.strip_suffix(')')).unwrap();
        for test in wanted.split(' ') {
            std::os::unix::fs::symlink(program(test), programs.join(test)).unwrap();
        }
        let run = |name: &str| {
            let mut command = Command::new(root.join("scripts").join(name));
            command.env("DIST", &packed).env("BINARY", env!("CARGO_BIN_EXE_megabyte"));
            command
        };
        succeeds(&mut run("dist.sh"));
        succeeds(run("dist-gpu.sh").arg(&programs));
        let mut tarballs: Vec<PathBuf> = fs::read_dir(&packed).unwrap().map(|entry| entry.unwrap().path()).collect();
        tarballs.sort(); // megabyte-0… and megabyte-checks-…
        assert_eq!(tarballs.len(), 2, "{tarballs:?}");
        let mut rehearsal = run("gpu.sh");
        rehearsal
            .args(&tarballs)
            .current_dir(place.path())
            .env("OUT", &out)
            .env("PYTHON", root.join(".venv/bin/python"));
        succeeds(rehearsal.env("DEVICE", "cpu").env("SIZE", "tiny").env("PATIENCE", "5"));

        let lines = fs::read_to_string(out.join("summary.jsonl")).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<&str> = lines.iter().map(|line| line["part"].as_str().unwrap()).collect();
        assert_eq!(found, parts(&script));
        let found: BTreeMap<&str, &Value> = found.into_iter().zip(&lines).collect();
        for (part, line) in &found {
            // Other implementations are not packed here.
            let lacks = part.starts_with("MEGABYTE");
            assert_eq!(line["state"], if lacks { "skipped" } else { "done" }, "{line}");
            let measured =
                ["train-", "reference-", "generate-", "compress-"].iter().any(|start| part.starts_with(start));
            assert_eq!(line["result"]["bytes_per_second"].as_f64().is_some_and(|rate| rate > 0.0), measured, "{line}");
        }
        let table = fs::read_to_string(out.join("summary.md")).unwrap();
        assert!(found.keys().all(|part| table.contains(&format!("| {part} | "))), "{table}");
        // Nine files are more than may come back from some machines.
        assert!(fs::read_dir(&out).unwrap().count() <= 8);
    }

    #[test]
    fn what_it_can_not_run_is_said_at_once() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu.sh");
        let place = tempfile::tempdir().unwrap();
        let done = Command::new(&script).current_dir(place.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(2) && said.contains("make dist-gpu"), "{said}");
    }
}
