//! `score` and `rank`, and what `eval` writes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{self, Fixture, scratch, write};
use crate::run;

/// The numbers of a `.npy` file.
fn array(path: &Path) -> Vec<f32> {
    npyz::NpyFile::new(&fs::read(path).unwrap()[..]).unwrap().into_vec().unwrap()
}

fn close(a: &Value, b: f64) {
    let a = a.as_f64().unwrap();
    // Files stand in batches of other shapes, whose float32 sums are in another order.
    assert!((a - b).abs() <= 5e-6 * b.abs(), "{a} is not {b}");
}

#[test]
fn the_scores_of_a_file_add_up_to_what_eval_says() {
    for (Fixture { run, file, .. }, name) in
        [(fixture::text(), "text"), (fixture::image(), "image"), (fixture::audio(), "audio")]
    {
        let folder = scratch(&format!("score-{name}"));
        let (out, show) = (folder.join("scores.npy"), folder.join("shown"));
        let found =
            run!("score", "--model", run, file, "--out", out, "--show", show, "--json", "--device", "cpu").json();
        let line = &found["files"][0];
        let eval = run!("eval", "--model", run, "--data", file, "--json", "--device", "cpu").json();
        let (nats, scores) = (eval["nats"].as_f64().unwrap(), array(&out));
        assert_eq!(line["bytes"], scores.len() as u64);
        close(&line["nats"], nats);
        close(&line["bits_per_byte"], eval["bits_per_byte"].as_f64().unwrap());
        let sum: f64 = scores.iter().map(|&nats| f64::from(nats)).sum();
        close(&eval["nats"], sum + line["end_nats"].as_f64().unwrap());
        assert_eq!(line["end_nats"].as_f64().unwrap() > 0.0, name == "text");
        let shown = fs::read(show).unwrap();
        match name {
            "image" => assert!(image::load_from_memory(&shown).unwrap().width() > 300),
            _ => assert!(String::from_utf8(shown).unwrap().starts_with("<!DOCTYPE html>")),
        }
        // Nothing is replaced unasked.
        run!("score", "--model", run, file, "--out", out, "--device", "cpu").fails(1, &["scores.npy", "--force"]);
        run!("score", "--model", run, file, "--out", out, "--force", "--device", "cpu").ok();
    }
}

#[test]
fn a_broken_file_among_good_ones_is_skipped_and_listed() {
    let Fixture { run, .. } = fixture::image();
    let folder = scratch("score-broken");
    let files = folder.join("files");
    fixture::png(&files.join("a/good.png"), 3);
    fixture::png(&files.join("good.png"), 4);
    write(&files, "broken.png", b"\x89PNG\r\n\x1a\nnothing");
    let out = folder.join("out");
    let done = run!("score", "--model", run, files, "--out", out, "--show", out, "--json", "--device", "cpu").ok();
    assert!(done.stderr.contains("broken.png"), "{}", done.stderr);
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    let names: Vec<&str> =
        found["files"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a/good.png", "good.png"]);
    assert_eq!(found["skipped_count"], 1);
    assert!(found["skipped"][0]["path"].as_str().unwrap().ends_with("broken.png"));
    for name in ["a/good.png.npy", "good.png.npy"] {
        assert_eq!(array(&out.join(name)).len(), 48);
    }
    assert!(out.join("a/good.png.scores.png").is_file());

    let ranked = run!("rank", "--model", run, "--data", files, "--json", "--device", "cpu").json();
    assert_eq!((&ranked["count"], &ranked["skipped_count"]), (&2.into(), &1.into()));
    let broken = files.join("broken.png");
    run!("score", "--model", run, broken, "--json", "--device", "cpu").fails(1, &["broken.png"]);
    run!("rank", "--model", run, "--data", broken, "--device", "cpu").fails(1, &["broken.png"]);
}

#[test]
fn files_are_ranked_and_the_order_is_judged() {
    let Fixture { run, .. } = fixture::text();
    let files = scratch("rank").join("files");
    for i in 0..6 {
        write(&files, &format!("usual/{i}.txt"), fixture::words(10 + i, 300));
        let noise: Vec<u8> = (0..300_u64).map(|j| b"zqxjvkwZQXJ#@"[(j * (7 + i) * j % 13) as usize]).collect();
        write(&files, &format!("noise/{i}.txt"), noise);
    }
    let rank = |flags: [&str; 2]| {
        run!("rank", "--model", run, "--data", files, flags[0], flags[1], "--json", "--device", "cpu").json()
    };
    let found = rank(["--anomalies", "noise/*"]);
    assert_eq!((&found["auc"], &found["labelled"]), (&1.0.into(), &serde_json::json!([12, 6])));
    let bits: Vec<f64> =
        found["files"].as_array().unwrap().iter().map(|line| line["bits_per_byte"].as_f64().unwrap()).collect();
    assert!(bits.len() == 12 && bits.is_sorted_by(|a, b| a >= b), "{bits:?}");
    let labels = write(files.parent().unwrap(), "labels.tsv", "usual/0.txt\t1\nusual/1.txt\t0\nnoise/0.txt\t0\n");
    let judged = rank(["--labels", labels.to_str().unwrap()]);
    assert_eq!(judged["labelled"], serde_json::json!([3, 1]));
    assert!(judged["auc"].as_f64().unwrap() <= 0.5);

    let last =
        run!("rank", "--model", run, "--data", files, "--top", "1", "--reverse", "--json", "--device", "cpu").json();
    assert_eq!(last["files"].as_array().unwrap().len(), 1);
    assert!(last["files"][0]["name"].as_str().unwrap().starts_with("usual/"), "{last}");
    let people = run!("rank", "--model", run, "--data", files, "--top", "2", "--device", "cpu").ok();
    assert!(people.stdout.contains("noise/") && people.stdout.contains("and 10 more"), "{}", people.stdout);

    run!("rank", "--model", run, "--data", files, "--anomalies", "nothing/*", "--device", "cpu")
        .fails(2, &["0 anomalies and 12 others"]);
    run!("rank", "--model", run, "--data", files, "--anomalies", "a[b", "--device", "cpu").fails(2, &["--anomalies"]);
    let wrong = write(files.parent().unwrap(), "wrong.tsv", "usual/0.txt\t1\nusual/1.txt yes\n");
    run!("rank", "--model", run, "--data", files, "--labels", wrong, "--device", "cpu")
        .fails(1, &["wrong.tsv", "line 2"]);
}

#[test]
fn wrong_use_is_said() {
    let Fixture { run, file, files, prepared, .. } = fixture::text();
    let folder = scratch("score-wrong");
    run!("score", "--model", run, file).fails(2, &["--out"]);
    run!("score", "--model", run, file, "--json", "--inference", "magic").fails(2, &["--inference magic"]);
    let missing = folder.join("missing");
    run!("score", "--model", run, missing, "--json").fails(1, &["missing"]);
    run!("score", "--model", missing, file, "--json").fails(1, &["missing"]);
    run!("rank", "--model", run, "--data", missing).fails(1, &["missing"]);
    run!("rank", "--model", run, "--data", prepared).fails(1, &["prepared folder"]);
    let taken = write(&folder, "taken", "mine");
    let twin = write(&folder, "twin/book.txt", "another");
    run!("score", "--model", run, files, twin, "--out", taken, "--force").fails(1, &["book.txt"]);
    let other = write(&folder, "other.txt", "words");
    run!("score", "--model", run, other, file, "--out", taken, "--force").fails(2, &["taken", "folder"]);
    for flag in ["--page", "--per-file"] {
        run!("eval", "--model", run, "--data", file, flag, taken).fails(1, &["taken", "--force"]);
    }
    run!("eval", "--model", run, "--data", file, "--resume-file", taken).fails(1, &["taken", "no journal"]);
    for (first, second) in [("--page", "--per-file"), ("--per-file", "--resume-file"), ("--page", "--resume-file")] {
        run!("eval", "--model", run, "--data", file, first, folder.join("new"), second, folder.join("./new"))
            .fails(2, &[first, second, "new"]);
        run!("eval", "--model", run, "--data", taken, second, taken, "--force").fails(2, &[second, "--data", "taken"]);
    }
    let one = folder.join("one");
    run!("score", "--model", run, file, "--out", one, "--show", one).fails(2, &["--out", "--show"]);
    run!("score", "--model", run, taken, "--out", taken, "--force").fails(2, &["--out", "a file to score"]);
    let many = folder.join("many.tar");
    let mut tar = tar::Builder::new(fs::File::create(&many).unwrap());
    for name in ["a.txt", "b.txt"] {
        tar.append_path_with_name(&other, name).unwrap();
    }
    tar.finish().unwrap();
    run!("score", "--model", run, many, "--out", one).fails(2, &["--out", "several documents", "folder"]);
    assert!(!one.exists(), "nothing is written before");
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
}

#[test]
fn eval_writes_files_and_a_page_and_goes_on() {
    let Fixture { run, prepared, .. } = fixture::image();
    let folder = scratch("eval-parts");
    let (lines, page, journal) = (folder.join("lines.jsonl"), folder.join("page.html"), folder.join("journal"));
    let eval = || {
        let flags = ["--split", "all", "--json", "--force", "--device", "cpu"];
        let [split, all, json, force, device, cpu] = flags;
        run!(
            "eval",
            "--model",
            run,
            "--data",
            prepared,
            "--per-file",
            lines,
            "--page",
            page,
            "--resume-file",
            journal,
            split,
            all,
            json,
            force,
            device,
            cpu
        )
        .json()
    };
    let (mut first, known) = (eval(), fs::read(&journal).unwrap());
    let content = fs::read_to_string(&lines).unwrap();
    let files: Vec<Value> = content.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(files.len(), 18);
    let sum = |key: &str| files.iter().map(|file| file[key].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("bytes"), first["bytes"].as_f64().unwrap());
    assert_eq!(sum("sequences"), first["sequences"].as_f64().unwrap());
    close(&first["nats"], sum("nats"));
    assert_eq!(first["bits_per_dimension"], first["bits_per_byte"]);
    assert_eq!(first["layout"]["width"], 4);
    let by: Vec<&str> = first["curves"].as_array().unwrap().iter().map(|curve| curve["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["place in patch", "bytes before", "channel", "row"]);
    let html = fs::read_to_string(&page).unwrap();
    for word in ["By channel", "By row", "The dearest files", "data.width", "<svg"] {
        assert!(html.contains(word), "no {word}");
    }
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(&html, options).unwrap();

    // Half of the journal is lost, and the same numbers are found again.
    fs::write(&journal, &known[..known.len() / 2]).unwrap();
    let mut second = eval();
    first["seconds"] = Value::Null;
    second["seconds"] = Value::Null;
    close(&second["nats"], first["nats"].as_f64().unwrap());
    assert_eq!(second["windows"], first["windows"]);
    run!("eval", "--model", run, "--data", prepared, "--split", "test", "--resume-file", journal, "--device", "cpu")
        .fails(1, &["another data"]);

    let shard = prepared.join("test-00000.shard");
    let one = run!("eval", "--model", run, "--data", shard, "--json", "--device", "cpu").json();
    assert_eq!((&one["sequences"], &one["split"]), (&1.into(), &"all".into()));
    run!("eval", "--model", run, "--data", shard, "--split", "test", "--device", "cpu").fails(2, &["--split"]);
}

#[test]
fn sources_are_told_apart() {
    let Fixture { run, .. } = fixture::text();
    let folder = scratch("eval-sources");
    let paths = [("a", 1), ("b", 2), ("b", 3)]
        .map(|(source, i)| write(&folder, &format!("{source}/{i}.txt"), fixture::words(i, 200)));
    let found =
        run!("eval", "--model", run, "--data", paths[0], paths[1], paths[2], "--json", "--device", "cpu").json();
    let sources = found["sources"].as_array().unwrap();
    assert_eq!(sources.iter().map(|source| source["files"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert!(sources[1]["source"].as_str().unwrap().ends_with("/b"));
    let one = run!("eval", "--model", run, "--data", paths[0], "--json", "--device", "cpu").json();
    assert!(one.get("sources").is_none(), "{one}");
    // Of a folder, by the folders in it.
    let all = run!("eval", "--model", run, "--data", folder, "--split", "all", "--json", "--device", "cpu").json();
    let names: Vec<&str> =
        all["sources"].as_array().unwrap().iter().map(|source| source["source"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    close(&all["nats"], found["nats"].as_f64().unwrap());
}
