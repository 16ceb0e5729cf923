//! Event files, read back by TensorBoard's own reader (`tests/reference/events.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use megabyte::report::EventWriter;
use serde_json::{Value, json};

use crate::fixture::{self, Fixture, scratch};

/// What the event files in a folder hold.
pub fn events(folder: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), ".venv is absent: make setup creates it");
    let output = Command::new(python).arg(root.join("tests/reference/events.py")).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The steps of a list of [step, …].
pub fn steps(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|event| event[0].as_u64().unwrap()).collect()
}

#[test]
fn what_the_writer_writes_is_what_tensorboard_reads() {
    let folder = scratch("events");
    fixture::png(&folder.join("a.png"), 3);
    fixture::wav(&folder.join("a.wav"), 250, 440.0);
    let [png, wav] = ["a.png", "a.wav"].map(|name| fs::read(folder.join(name)).unwrap());
    let events_of = |name: &str| {
        let folder = folder.join(name);
        (EventWriter::create(&folder).unwrap(), folder)
    };
    let (mut writer, place) = events_of("run");
    for step in 1..=2000 {
        writer.scalar("train/loss", step, 1.0 / step as f64).unwrap();
    }
    for step in [5, 1 << 40] {
        writer.sample("picture", step, "png", &png).unwrap();
        writer.sample("sound", step, "wav", &wav).unwrap();
        writer.sample("text", step, "txt", "héllo\n*there*".as_bytes()).unwrap();
        writer.histogram("level.0/gradients", step, &[[-1.5, 0.0, 3.0], [0.0, 1.5, 16_777_217.0]]).unwrap();
    }
    drop(writer);

    let found = events(&place);
    let scalars = found["scalars"]["train/loss"].as_array().unwrap();
    assert_eq!(scalars.len(), 2000, "TensorBoard keeps all where it is asked to");
    for (i, event) in scalars.iter().enumerate() {
        let step = i as u64 + 1;
        assert_eq!(*event, json!([step, f64::from((1.0 / step as f64) as f32)]));
    }
    let twice = |rest: Value| -> Value {
        let event = |step: u64| Value::Array([&[json!(step)], &rest.as_array().unwrap()[..]].concat());
        json!([event(5), event(1 << 40)])
    };
    assert_eq!(found["images"], json!({"picture": twice(json!([4, 4, 4, 4]))}));
    assert_eq!(found["audio"], json!({"sound": twice(json!([8000.0, 250, 8000, 1, 250]))}));
    assert_eq!(found["texts"], json!({"text": twice(json!(["    héllo\n    *there*"]))}));
    let buckets = json!([[[-1.5, 0.0, 3.0], [0.0, 1.5, 16_777_217.0]]]);
    assert_eq!(found["histograms"], json!({"level.0/gradients": twice(buckets)}));

    // A run that is interrupted and goes on from step 3, twice in the same second.
    let (mut first, place) = events_of("restarted");
    (1..=5).for_each(|step| first.scalar("a", step, 1.0).unwrap());
    drop(first);
    for (restart, value) in [(4, 2.0), (6, 3.0)] {
        let mut writer = EventWriter::create(&place).unwrap();
        writer.restart(restart).unwrap();
        (restart..=restart + 3).for_each(|step| writer.scalar("a", step, value).unwrap());
    }
    let values: Vec<f64> = [[1.0; 3].as_slice(), &[2.0; 2], &[3.0; 4]].concat();
    let expected: Vec<Value> = values.iter().zip(1..).map(|(value, step)| json!([step, value])).collect();
    assert_eq!(events(&place)["scalars"]["a"], Value::Array(expected));
}

#[test]
fn tensorboard_shows_a_run_as_its_metrics_and_samples_are() {
    for Fixture { run, .. } in [fixture::text(), fixture::image(), fixture::audio()] {
        let found = events(run);
        let (mut expected, mut lines) = (BTreeMap::<String, Vec<Value>>::new(), 0);
        for line in fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let mut add = |tag: String, value: &Value| {
                expected.entry(tag).or_default().push(json!([line["step"], f64::from(value.as_f64().unwrap() as f32)]));
            };
            let kind = line["kind"].as_str().unwrap();
            add(format!("{kind}/bits_per_byte"), &line["bits_per_byte"]);
            if kind == "train" {
                add("train/lr".into(), &line["lr"]);
                add("train/grad_norm".into(), &line["grad_norm"]);
                for (l, level) in line["levels"].as_array().unwrap().iter().enumerate() {
                    for key in ["grad_norm", "weight_norm"] {
                        add(format!("level.{l}/{key}"), &level[key]);
                    }
                }
            }
            lines += 1;
        }
        assert_eq!(lines, 5, "three lines of training and two evaluations");
        for (tag, values) in expected {
            assert_eq!(found["scalars"][&tag], Value::Array(values), "{tag} of {}", run.display());
        }

        // Of every level, at each evaluation, all its parameters.
        let weights = tch::Tensor::read_safetensors(run.join("checkpoints/latest/model.safetensors")).unwrap();
        let levels = found["histograms"].as_object().unwrap();
        for (tag, list) in levels {
            assert_eq!(steps(list), [3, 6], "{tag}");
            let level = tag.strip_suffix("gradients").unwrap().replace('/', ".");
            let parameters: usize =
                weights.iter().filter(|(name, _)| name.starts_with(&level)).map(|(_, tensor)| tensor.numel()).sum();
            for event in list.as_array().unwrap() {
                let buckets = event[1].as_array().unwrap();
                let count: f64 = buckets.iter().map(|bucket| bucket[2].as_f64().unwrap()).sum();
                assert_eq!((buckets.len(), count), (64, parameters as f64), "{tag}");
                assert!(buckets.windows(2).all(|pair| pair[0][1] == pair[1][0]), "{tag} has gaps");
            }
        }
        let units = fs::read_to_string(run.join("config.toml")).unwrap().matches("[[model.level]]").count();
        assert_eq!(levels.len(), units);
    }
    let sample = |step: &str, name: &str, run: &Path| fs::read(run.join("samples").join(step).join(name)).unwrap();
    let text = events(&fixture::text().run);
    for (i, step) in ["step_00000003", "step_00000006"].into_iter().enumerate() {
        let content = sample(step, "000.txt", &fixture::text().run);
        let shown = text["texts"]["sample/0"][i][1].as_str().unwrap().lines().map(|line| &line[4..]);
        assert!(shown.eq(String::from_utf8_lossy(&content).lines()));
    }
    assert_eq!(events(&fixture::image().run)["images"]["sample/1"], json!([[3, 4, 4, 4, 4], [6, 4, 4, 4, 4]]));
    let audio = events(&fixture::audio().run);
    for event in audio["audio"]["sample/1"].as_array().unwrap() {
        assert!(event[2].as_u64() > Some(0) && event[2] == event[5] && event[1] == 8000.0, "{event}");
    }
}
