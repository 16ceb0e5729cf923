//! A full disk.

/// A run whose folder is on a file system of 300 kB that only the program sees, so that nothing is left mounted.
/// What is there at the end is copied out.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=300k tmpfs "$DISK" || exit 77
"$PROGRAM" train --config "$CONFIG" --data "$DATA" --out "$DISK/run" --device cpu \
    --set train.max_steps=30 --set train.keep_checkpoints=100 --set train.sample_every=0
status=$?
cp -a "$DISK/run" "$COPY"
exit $status
"#;

pub mod slow {
    use std::fs;
    use std::process::Command;

    use super::SCRIPT;
    use crate::fixture::{self, Fixture, scratch};
    use crate::{Done, Outcome, lacks, run};

    pub fn a_full_disk_costs_no_earlier_checkpoint() -> Done {
        let Fixture { config, prepared, file, .. } = fixture::text();
        let folder = scratch("full");
        let (disk, copy) = (folder.join("disk"), folder.join("copy"));
        fs::create_dir(&disk).unwrap();
        let mut shell = Command::new("unshare");
        shell.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT]).envs(fixture::environment());
        shell.env("PROGRAM", env!("CARGO_BIN_EXE_megabyte")).env("CONFIG", config).env("DATA", prepared);
        let Ok(output) = shell.env("DISK", &disk).env("COPY", &copy).output() else {
            return lacks("unshare");
        };
        if !copy.exists() {
            let why = String::from_utf8_lossy(&output.stderr);
            return lacks(&format!("leave to mount a file system in a namespace of its own: {}", why.trim()));
        }

        let ended = Outcome::from(output);
        assert!(ended.stderr.contains("warning: no checkpoint at step"), "the run goes on: {}", ended.stderr);
        ended.fails(1, &["No space left on device", "checkpoints"]);
        let mut whole = 0;
        for entry in fs::read_dir(copy.join("checkpoints")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!name.contains("tmp"), "{name} was left on a full disk");
            run!("eval", "--model", path, "--data", file, "--limit-bytes", "64", "--device", "cpu").ok();
            whole += usize::from(name.starts_with("step_"));
        }
        assert!(whole > 1, "the disk was full too early");
        // With room, the run goes on.
        run!(
            "train",
            "--out",
            copy,
            "--resume",
            "--allow-config-change",
            "--set",
            "train.keep_checkpoints=1",
            "--device",
            "cpu"
        )
        .ok();
        Ok(())
    }
}
