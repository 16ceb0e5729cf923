//! The verbs from outside.

use std::path::Path;
use std::process::Command;

use megabyte::modality::{Layout, TextLayout};
use megabyte::model::folder;
use serde_json::Value;

use super::{config, containers, model, random};

/// How a call ended: exit code, standard output, standard error.
fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> (i32, String, String) {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "300", env!("CARGO_BIN_EXE_megabyte")]).args(arguments);
    let output = command.env("OMP_NUM_THREADS", "1").output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!error.contains("internal:"), "{error}");
    (output.status.code().unwrap(), out, error)
}

fn text_model(place: &Path) -> std::path::PathBuf {
    let model_folder = place.join("model");
    std::fs::create_dir(&model_folder).unwrap();
    folder::save(&model_folder, &Layout::Text(TextLayout::default()), &model(&config(), 5)).unwrap();
    model_folder
}

#[test]
fn one_file_goes_there_and_back() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [file, archive, back] = ["a.txt", "a.mbz", "b.txt"].map(|name| place.path().join(name));
    let text = "some words, and some other words. ".repeat(40);
    std::fs::write(&file, &text).unwrap();
    let (code, out, error) = run(&[&"compress", &"--model", &model, &file, &"--out", &archive]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("verified"), "{out}");
    let made = std::fs::metadata(&archive).unwrap().modified().unwrap();
    let (code, _, error) = run(&[&"compress", &"--model", &model, &file, &"--out", &archive]);
    assert!(code == 0 && error.contains("1 of 1 archives are there already"), "{error}");
    assert_eq!(std::fs::metadata(&archive).unwrap().modified().unwrap(), made, "nothing is replaced");
    let (code, _, error) = run(&[&"decompress", &"--model", &model, &archive, &"--out", &back]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(std::fs::read_to_string(&back).unwrap(), text);

    let forced: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"compress", &"--model", &model, &file, &"--out", &archive, &"--force", &"--json"];
    let (code, out, error) = run(&forced);
    assert_eq!(code, 0, "{error}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["bytes"], text.len());
    assert_eq!(found["archive_bytes"], std::fs::metadata(&archive).unwrap().len());
    let names: Vec<&str> = found["baselines"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["PPMd", "xz -9e", "zstd -22", "gzip -9"]);
    assert!(found["ratio"].as_f64().unwrap() > 0.5 && found["bits_per_byte"].as_f64().unwrap() < 16.0);
}

#[test]
fn folders_go_there_and_back_as_one_batch() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [files, archives, back] = ["files", "archives", "back"].map(|name| place.path().join(name));
    std::fs::create_dir_all(files.join("deeper")).unwrap();
    let names = ["a", "b.txt", "deeper/c", "empty"];
    for (i, name) in names.iter().enumerate() {
        std::fs::write(files.join(name), random(100 * (3 - i), i as u64)).unwrap();
    }
    let (code, out, error) = run(&[&"compress", &"--model", &model, &files, &"--out", &archives]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("4 files"), "{out}");
    assert!(archives.join("deeper/c.mbz").is_file());
    // One that is broken spoils no other.
    std::fs::write(archives.join("x.mbz"), b"nonsense").unwrap();
    let (code, _, error) = run(&[&"decompress", &"--model", &model, &archives, &"--out", &back, &"--threads", &"3"]);
    assert_eq!(code, 1);
    assert!(error.contains("x.mbz: is no archive") && error.contains("1 of 5 archives"), "{error}");
    for name in names {
        assert_eq!(std::fs::read(back.join(name)).unwrap(), std::fs::read(files.join(name)).unwrap(), "{name}");
    }
    assert!(!back.join("x").exists());
}

#[test]
fn a_folder_is_compressed_in_place_and_again() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let folder = place.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in [("a.txt", "words and words ".repeat(9)), ("fake.mbz", "no archive, by its content".to_owned())]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let (code, _, error) = run(&[&"compress", &"--model", &model, &folder, &"--out", &folder]);
    assert_eq!(code, 0, "{error}");
    let names = || {
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        std::collections::BTreeSet::from_iter(names)
    };
    let there = names();
    assert_eq!(there, ["a.txt", "a.txt.mbz", "fake.mbz", "fake.mbz.mbz"].map(str::to_owned).into());
    for _ in 0..2 {
        let (code, _, error) = run(&[&"compress", &"--model", &model, &folder, &"--out", &folder]);
        assert!(code == 0 && error.contains("2 archives of this program skipped"), "{error}");
        assert_eq!(names(), there);
    }
    std::fs::write(folder.join("b.txt"), "more").unwrap();
    let (code, _, error) = run(&[&"compress", &"--model", &model, &folder, &"--out", &folder]);
    assert!(code == 0 && folder.join("b.txt.mbz").is_file(), "{error}");

    // And back: what is no archive by name or content is left out.
    std::fs::remove_file(folder.join("fake.mbz")).unwrap();
    let back = place.path().join("back");
    let (code, _, error) = run(&[&"decompress", &"--model", &model, &folder, &"--out", &back]);
    assert!(code == 0 && error.contains("2 files that are no archive skipped"), "{error}");
    for name in ["a.txt", "b.txt"] {
        assert_eq!(std::fs::read(back.join(name)).unwrap(), std::fs::read(folder.join(name)).unwrap());
    }
    assert_eq!(std::fs::read(back.join("fake.mbz")).unwrap(), b"no archive, by its content");
}

#[test]
fn what_is_left_of_a_damaged_archive_is_written_when_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [file, archive, back] = ["a", "a.mbz", "back"].map(|name| place.path().join(name));
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    // The model knows nothing of it, so it is stored, in blocks of a MiB.
    let options: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"compress", &"--model", &model, &"--payload-only", &"--no-verify", &file, &"--out", &archive];
    std::fs::write(&file, random(2000, 3)).unwrap();
    let (code, _, error) = run(&options);
    assert_eq!(code, 0, "{error}");
    let mut bytes = std::fs::read(&archive).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let (code, out, error) = run(&[&"decompress", &"--model", &model, &archive, &"--out", &back]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("of the content") && error.contains("--recover"), "{error}");
    assert!(!back.exists());
    let (code, _, error) = run(&[&"decompress", &"--model", &model, &archive, &"--out", &back, &"--recover"]);
    assert_eq!(code, 1, "{error}");
    assert_eq!(std::fs::read(&back).unwrap().len(), 2000);
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [file, out] = ["a", "out"].map(|name| place.path().join(name));
    std::fs::write(&file, b"abc").unwrap();
    let cases: [(&[&dyn AsRef<std::ffi::OsStr>], i32, &str); 8] = [
        (&[&"compress", &"--model", &model, &file, &"--out", &file, &"--force"], 2, "is one of the files to read"),
        (&[&"decompress", &file, &"--out", &out], 1, "a: is no archive of `megabyte compress`"),
        (&[&"compress", &"--model", &model, &place.path().join("none"), &"--out", &out], 1, "none: "),
        (&[&"compress", &"--model", &place.path(), &file, &"--out", &out], 1, "holds no model"),
        (
            &[&"compress", &"--model", &model, &file, &"--out", &out, &"--modality", &"image"],
            2,
            "expected bytes, or text",
        ),
        (&[&"compress", &"--model", &model, &file, &"--out", &out, &"--threads", &"0"], 2, "--threads 0"),
        (&[&"compress", &"--model", &model, &file, &"--out", &out, &"--lanes", &"100000"], 2, "100000 lanes"),
        (&[&"decompress", &"--model", &model, &file, &"--out", &out], 1, "a: is no archive of `megabyte compress`"),
    ];
    for (arguments, expected, message) in cases {
        let (code, printed, error) = run(arguments);
        assert_eq!(code, expected, "{error}");
        assert!(error.contains(message), "{error}");
        assert!(!out.exists() && !printed.contains('{'));
    }
}

#[test]
fn an_interrupted_folder_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [files, archives] = ["files", "archives"].map(|name| place.path().join(name));
    std::fs::create_dir(&files).unwrap();
    for i in 0..3 {
        std::fs::write(files.join(format!("{i}")), random(300, i)).unwrap();
    }
    let compress: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"compress", &"--model", &model, &files, &"--out", &archives, &"--json"];
    assert_eq!(run(&compress).0, 0);
    let archive = archives.join("1.mbz");
    let whole = std::fs::read(&archive).unwrap();
    std::fs::remove_file(&archive).unwrap();
    let (code, out, error) = run(&compress);
    assert!(code == 0 && error.contains("2 of 3 archives are there already"), "{error}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found["already"], found["files"].as_array().unwrap().len()), (&2.into(), 1));
    // What is no whole archive of the file, or is made in another way, is neither kept nor replaced.
    let mut others = vec![whole[..whole.len() - 1].to_vec(), std::fs::read(archives.join("2.mbz")).unwrap()];
    others.push(b"mine".to_vec());
    for other in others {
        std::fs::write(&archive, &other).unwrap();
        let (code, _, error) = run(&compress);
        assert!(code == 1 && error.contains("1.mbz: is there already") && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read(&archive).unwrap(), other);
    }
    std::fs::write(&archive, &whole).unwrap();
    let raw = [&compress[..], &[&"--modality", &"bytes"]].concat();
    let (code, _, error) = run(&raw);
    assert!(code == 1 && error.contains("is there already"), "{error}");
}

#[test]
fn an_error_among_many_files_names_its_own() {
    let place = tempfile::tempdir().unwrap();
    let model_folder = place.path().join("model");
    std::fs::create_dir(&model_folder).unwrap();
    let layout = Layout::Audio(megabyte::modality::AudioLayout { rate: 8000, ..Default::default() });
    folder::save(&model_folder, &layout, &model(&config(), 5)).unwrap();
    let [files, out] = ["files", "out"].map(|name| place.path().join(name));
    std::fs::create_dir(&files).unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(files.join(name), containers::wav(8000, 16, 1, &containers::tone(200), false)).unwrap();
    }
    std::fs::write(files.join("b"), b"no sound").unwrap();
    let (code, _, error) = run(&[&"compress", &"--model", &model_folder, &"--payload-only", &files, &"--out", &out]);
    assert!(code == 1 && error.contains("files/b: "), "{error}");
    assert!(!out.exists());
}

#[test]
fn each_archive_comes_back_in_its_own_way() {
    let place = tempfile::tempdir().unwrap();
    let model = text_model(place.path());
    let [archives, back] = ["archives", "back"].map(|name| place.path().join(name));
    let file = |name: &str| place.path().join(name);
    let compress = |name: &str, content: Vec<u8>, dtype: &str| {
        std::fs::write(file(name), content).unwrap();
        let archive = archives.join(name).with_extension("mbz");
        run(&[&"compress", &"--model", &model, &file(name), &"--out", &archive, &"--dtype", &dtype, &"--payload-only"])
    };
    for (name, dtype) in [("half", "bfloat16"), ("single", "float32"), ("half2", "bfloat16")] {
        let (code, _, error) = compress(name, random(200, 7), dtype);
        assert_eq!(code, 0, "{error}");
    }
    // The model makes it larger, so it is stored.
    std::fs::write(file("stored"), random(500, 8)).unwrap();
    let archive = archives.join("stored.mbz");
    assert_eq!(run(&[&"compress", &"--model", &model, &file("stored"), &"--out", &archive]).0, 0);
    let (code, out, error) = run(&[&"decompress", &"--model", &model, &archives, &"--out", &back, &"--json"]);
    assert_eq!(code, 0, "{error}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let types: Vec<&Value> = found["files"].as_array().unwrap().iter().map(|file| &file["dtype"]).collect();
    assert_eq!(types, [&Value::from("bfloat16"), &"bfloat16".into(), &"float32".into(), &Value::Null]);
    for name in ["half", "half2", "single", "stored"] {
        assert_eq!(std::fs::read(back.join(name)).unwrap(), std::fs::read(file(name)).unwrap(), "{name}");
    }

    // Without a model, what is stored comes back, and what is not says why it doesn't.
    let alone = file("alone");
    let (code, _, error) = run(&[&"decompress", &archive, &"--out", &alone]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(std::fs::read(&alone).unwrap(), random(500, 8));
    let (code, _, error) = run(&[&"decompress", &archives, &"--out", &file("again")]);
    assert!(code == 1 && error.contains("half2.mbz: is coded by a model") && error.contains("3 of 4"), "{error}");
    assert!(file("again").join("stored").is_file());
}
