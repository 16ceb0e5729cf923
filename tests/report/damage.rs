//! What is missing is left out, what is damaged is named, and nothing that is there is replaced unasked.

use std::fs;

use megabyte::report;

use crate::folder::{self, put};
use crate::page::{page, parse};

#[test]
fn a_run_that_has_only_begun_has_a_page() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("new");
    folder::trained(&run, "modality = \"text\"\n", 1024, 1e-3);
    for part in ["metrics.jsonl", "speed.jsonl"] {
        fs::remove_file(run.join(part)).unwrap();
    }
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let (html, problems) = page(root.path(), &[run]);
    assert_eq!(problems, [""; 0]);
    parse(&html);
    assert!(html.contains("has not been evaluated on held-out data"));
    assert!(!html.contains("<figure") && !html.contains("<h3>Speed"));
}

#[test]
fn damaged_files_are_named_and_the_rest_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let runs = folder::runs(root.path());
    let [image, audio, text, text2] = [0, 1, 2, 3].map(|index| &runs[index]);
    let truncated = fs::read(image.join("completions/face/000.png")).unwrap();
    put(image.join("completions/face/000.png"), &truncated[..truncated.len() / 2]);
    fs::remove_file(image.join("completions/face/001.png")).unwrap();
    put(audio.join("completions/sentence/000.wav"), "RIFF");
    put(text.join("eval.json"), "{\"modality\": \"text\"");
    let metrics = fs::read_to_string(text.join("metrics.jsonl")).unwrap();
    put(text.join("metrics.jsonl"), metrics.replacen("\"kind\"", "\"ki", 1) + "{\"kind\":\"other\",\"step\":1}\n");
    put(text.join("completions/escape/generate.json"), "{\"modality\":\"text\",\"files\":[\"../../config.toml\"]}");
    put(text2.join("config.toml"), "[data]\nmodality = \"smell\"\n");
    put(text2.join("checkpoints/step_00000600/model.safetensors"), [255; 32]);

    let (html, problems) = page(root.path(), &runs);
    let expected = [
        "face/000.png: can't be shown",
        "face/001.png: is missing",
        "sentence/000.wav: can't be shown",
        "metrics.jsonl: 1 of 67 lines can't be read; line 1",
        "eval.json: ",
        "names `../../config.toml`",
        "config.toml: ",
        "model.safetensors: is not a safetensors file",
    ];
    for expected in expected {
        assert_eq!(
            problems.iter().filter(|problem| problem.contains(expected)).count(),
            1,
            "{expected} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    let document = parse(&html);
    let named = document.descendants().filter(|node| node.attribute("class") == Some("problems")).count();
    assert_eq!(named, 4, "each run names its own");
    assert_eq!(html.matches("<img").count(), 2 + 3, "the other pictures are there");
    assert!(html.contains("smell"), "a configuration that can't be read is shown as it stands");
}

#[test]
fn numbers_that_are_none_break_nothing() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("diverged");
    folder::trained(&run, "modality = \"text\"\n", 1024, 1e-3);
    let line = |step: u64, bits: &str| {
        format!("{{\"kind\":\"train\",\"step\":{step},\"bytes\":{step},\"loss\":{bits},\"bits_per_byte\":{bits}}}\n")
    };
    put(run.join("metrics.jsonl"), line(1, "8.0") + &line(2, "null") + &line(3, "7.5"));
    put(run.join("speed.jsonl"), "{\"step\":3,\"seconds\":0.0,\"bytes_per_second\":null,\"mfu\":null}\n");
    let (html, problems) = page(root.path(), &[run]);
    assert_eq!(problems, [""; 0]);
    parse(&html);
    assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
}

#[test]
fn steps_that_were_done_again_count_once() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("resumed");
    folder::trained(&run, "modality = \"text\"\n", 1024, 1e-3);
    let line = |step: u64, bits: f64| {
        format!("{{\"kind\":\"train\",\"step\":{step},\"bytes\":{step},\"loss\":1.0,\"bits_per_byte\":{bits}}}\n")
    };
    put(run.join("metrics.jsonl"), line(1, 8.0) + &line(2, 7.0) + &line(3, 6.0) + &line(2, 5.0) + &line(3, 4.0));
    let read = report::Run::read(&run).unwrap();
    let points: Vec<_> = read.train.iter().map(|point| (point.step, point.bits_per_byte)).collect();
    assert_eq!(points, [(1, Some(8.0)), (2, Some(5.0)), (3, Some(4.0))]);
}

#[test]
fn minutes_are_read_between_the_lines_of_the_speed_log() {
    let speed =
        |step: u64, seconds| report::SpeedPoint { step, seconds, bytes_per_second: None, mfu: None, data_wait: None };
    let run = report::Run { speed: vec![speed(10, 60.0), speed(20, 180.0)], ..report::Run::default() };
    assert_eq!(
        [5, 10, 15, 20, 21].map(|step| run.minutes_at(step)),
        [Some(0.5), Some(1.0), Some(2.0), Some(3.0), None]
    );
}

#[test]
fn a_page_that_is_there_is_kept_without_force() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    folder::trained(&run, "modality = \"text\"\n", 1024, 1e-3);
    let out = root.path().join("pages/report.html");
    report::write(std::slice::from_ref(&run), "t", &out, false).unwrap();
    put(out.clone(), "mine");
    let error = report::write(std::slice::from_ref(&run), "t", &out, false).unwrap_err().to_string();
    assert!(error.contains("report.html") && error.contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    report::write(std::slice::from_ref(&run), "t", &out, true).unwrap();
    assert!(fs::read_to_string(&out).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o444, 0o444, "others may read it");
    }
}

#[test]
fn a_folder_without_a_configuration_is_refused_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("report.html");
    let error = report::write(&[root.path().to_owned()], "t", &out, false).unwrap_err().to_string();
    assert!(error.contains("is not a run folder"), "{error}");
    assert!(!out.exists());
}
