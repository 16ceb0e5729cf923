//! The page: well formed, self-contained, safe, and with every part.

use std::fs;
use std::path::Path;

use base64::Engine;
use megabyte::report;
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::json;

use crate::folder;

/// Writes the page about `runs` and returns it.
pub fn page(root: &Path, runs: &[std::path::PathBuf]) -> (String, Vec<String>) {
    let out = root.join("report.html");
    let problems = report::write(runs, "A <title> & more", &out, true).unwrap();
    (fs::read_to_string(out).unwrap(), problems)
}

/// The page as XML, which it is written to be.
pub fn parse(html: &str) -> Document<'_> {
    Document::parse_with_options(html, ParsingOptions { allow_dtd: true, ..Default::default() }).unwrap()
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| if node.is_text() { node.text() } else { None }).collect()
}

fn with_class<'a>(node: Node<'a, 'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let has = |node: &Node<'a, 'a>| node.attribute("class").is_some_and(|all| all.split(' ').any(|one| one == class));
    node.descendants().filter(has).collect()
}

/// The section about a run.
fn section<'a>(document: &'a Document<'a>, run: &str) -> Node<'a, 'a> {
    let heading = |node: &Node<'a, 'a>| node.has_tag_name("h2") && text(*node) == run;
    document.descendants().find(heading).unwrap_or_else(|| panic!("no section {run}")).parent().unwrap()
}

/// Content of the `data:` URIs of elements with a name.
fn data(node: Node<'_, '_>, name: &str, mime: &str) -> Vec<Vec<u8>> {
    let sources = node.descendants().filter(|node| node.has_tag_name(name)).map(|node| node.attribute("src").unwrap());
    let decode = |source: &str| {
        let content = source.strip_prefix(&format!("data:{mime};base64,")).unwrap();
        base64::engine::general_purpose::STANDARD.decode(content).unwrap()
    };
    sources.map(decode).collect()
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let root = tempfile::tempdir().unwrap();
    let (html, problems) = page(root.path(), &folder::runs(root.path()));
    assert_eq!(problems, [""; 0]);
    let document = parse(&html);
    for node in document.descendants().filter(Node::is_element) {
        assert!(!["script", "iframe", "object", "embed", "base"].contains(&node.tag_name().name()), "{node:?}");
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
            if ["src", "href", "poster", "action"].contains(&attribute.name()) {
                let value = attribute.value();
                assert!(value.starts_with("data:") || value.starts_with('#'), "{value}");
            }
        }
    }
    let style = text(document.descendants().find(|node| node.has_tag_name("style")).unwrap());
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert!(style.contains("prefers-color-scheme: dark") && style.contains("@media print"));
}

#[test]
fn every_link_on_the_page_has_its_target() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    let links: Vec<&str> =
        document.descendants().filter_map(|node| node.attribute("href")?.strip_prefix('#')).collect();
    assert_eq!(links.len(), 4, "a tile a run");
    assert!(links.iter().all(|link| ids.contains(link)), "{links:?} in {ids:?}");
}

#[test]
fn pictures_are_embedded_byte_for_byte_and_enlarged() {
    let root = tempfile::tempdir().unwrap();
    let runs = folder::runs(root.path());
    let (html, _) = page(root.path(), &runs);
    let document = parse(&html);
    let section = section(&document, "pictures");
    let completion = with_class(section, "completion")[0];
    assert_eq!(
        data(completion, "img", "image/png"),
        vec![fs::read(runs[0].join("completions/face/000.png")).unwrap(); 4]
    );
    let image = completion.descendants().find(|node| node.has_tag_name("img")).unwrap();
    assert_eq!((image.attribute("width"), image.attribute("height")), (Some("160"), Some("160")));
    assert!(text(completion).contains("first 384 bytes (50\u{202f}%)"), "{}", text(completion));
    let samples = text(with_class(section, "steps")[0]);
    assert_eq!(samples, "step 100step 200step 300");
}

#[test]
fn sounds_have_players_and_marked_waveforms() {
    let root = tempfile::tempdir().unwrap();
    let runs = folder::runs(root.path());
    let (html, _) = page(root.path(), &runs);
    let document = parse(&html);
    let completion = with_class(section(&document, "speech"), "completion")[0];
    let dir = runs[1].join("completions/sentence");
    let expected = ["original.wav", "000.wav"].map(|name| fs::read(dir.join(name)).unwrap());
    assert_eq!(data(completion, "audio", "audio/wav"), expected);
    let edges: Vec<_> = with_class(completion, "edge").iter().map(|edge| edge.attribute("d").unwrap()).collect();
    assert_eq!(edges, ["M90.0 0V56"; 2], "a quarter of the width");
}

#[test]
fn hostile_text_is_shown_and_the_prompt_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let completion = with_class(section(&document, "prose"), "completion")[0];
    let shown = with_class(completion, "text")[0];
    assert_eq!(text(shown), "Once upon a time <script>alert('x')</script> & \\xff\\x00 café");
    assert_eq!(text(with_class(shown, "prompt")[0]), "Once upon a ");
    assert_eq!(with_class(shown, "byte").len(), 2);
    assert_eq!(text(document.descendants().find(|node| node.has_tag_name("h1")).unwrap()), "A <title> & more");
}

#[test]
fn the_headline_and_the_table_are_honest() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let lead = |run| text(with_class(section(&document, run), "lead")[0]);
    assert!(lead("pictures").contains("3.200 ± 0.012 bits per byte"), "{}", lead("pictures"));
    assert!(lead("pictures").contains("17.9\u{202f}% less than PNG"), "{}", lead("pictures"));
    assert!(lead("speech").contains("11.4\u{202f}% more than FLAC 16 bit"), "{}", lead("speech"));
    assert!(lead("prose <2>").contains("valid split"), "{}", lead("prose <2>"));
    let table = with_class(section(&document, "speech"), "coders")[0];
    let body = table.descendants().find(|node| node.has_tag_name("tbody")).unwrap();
    let names: Vec<String> = body.children().map(|row| text(row.first_child().unwrap())).collect();
    assert_eq!(names, ["FLAC 16 bit", "this model", "xz -9e"], "the strongest first");
    let bars: Vec<_> = with_class(body, "value").iter().map(|bar| bar.attribute("width").unwrap().to_owned()).collect();
    assert_eq!(bars, ["55.00%", "61.25%", "80.00%"], "of 8 bits");
}

#[test]
fn curves_speed_levels_and_configuration_are_there() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let section = section(&document, "pictures");
    let units = ["bytes seen", "steps", "minutes of training"];
    let of_each = |title: &str| units.map(|unit| format!("{title} over {unit}"));
    let expected = [of_each("Loss"), of_each("Learning rate"), of_each("Gradient norm")];
    assert_eq!(
        titles(section),
        (0..3).flat_map(|over| expected.iter().map(move |of| of[over].clone())).collect::<Vec<_>>()
    );
    let charts: Vec<_> = with_class(section, "chart").into_iter().step_by(3).collect();
    for (chart, unit) in charts.iter().zip(units) {
        assert_eq!(chart.descendants().filter(|node| node.has_tag_name("circle")).count(), 6, "evaluations");
        assert!(text(*chart).contains("PNG, test split: 3.90") && text(*chart).contains(unit));
        assert!(!html.contains("NaN") && !html.contains("inf "));
    }
    // 600 steps at 0.3 s are 3 minutes.
    let ticks: Vec<_> = with_class(charts[2], "tick").iter().map(|tick| text(*tick)).collect();
    assert!(
        ticks.ends_with(&["0", "0.5", "1", "1.5", "2", "2.5", "3", "minutes of training"].map(String::from)),
        "{ticks:?}"
    );
    let all = text(section);
    for part in [
        "13.7\u{202f}kB/s",
        "42\u{202f}%",
        "3\u{202f}min 00\u{202f}s",
        "modality = \"image\"",
        "6.14\u{202f}k parameters",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    // Block matrices of level 0: 12 · 64².
    assert!(all.contains("1 blocks of width 64, 2 heads49.2\u{202f}k"), "{all}");
}

fn titles(section: Node<'_, '_>) -> Vec<String> {
    let title = |chart: &Node<'_, '_>| text(chart.descendants().find(|node| node.has_tag_name("b")).unwrap());
    with_class(section, "chart").iter().map(title).collect()
}

/// One of the charts is shown without a script: each button shows what stands at its place.
#[test]
fn the_axis_is_chosen_by_buttons_that_the_style_follows() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let style = text(document.descendants().find(|node| node.has_tag_name("style")).unwrap());
    let mut ids = std::collections::BTreeSet::new();
    let switches = with_class(document.root(), "switch");
    assert_eq!(switches.len(), 4 + 1, "of each run and of the comparison");
    for switch in switches {
        let buttons = with_class(switch, "pick");
        assert_eq!(buttons.iter().filter(|button| button.attribute("checked").is_some()).count(), 1);
        let group = buttons[0].attribute("name").unwrap();
        for (n, button) in buttons.iter().enumerate() {
            assert_eq!((button.attribute("type"), button.attribute("name")), (Some("radio"), Some(group)));
            let id = button.attribute("id").unwrap();
            let label = switch.children().find(|node| node.attribute("for") == Some(id)).unwrap();
            let shown = with_class(switch, &format!("v{n}"))[0];
            assert!(titles(shown).iter().all(|title| title.ends_with(&text(label))), "{:?}", titles(shown));
            assert!(button.attribute("class").unwrap().ends_with(&format!("p{n}")));
            assert!(style.contains(&format!(".p{n}:checked ~ .v{n}")));
            assert!(ids.insert(id.to_owned()), "{id} twice");
        }
        assert_eq!(buttons.len(), 3);
    }
}

#[test]
fn norms_spikes_skipped_steps_and_machines_are_there() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("new");
    folder::trained(&run, "modality = \"text\"\n", 1024, 1e-3);
    let mut lines: Vec<serde_json::Value> = Vec::new();
    for step in 1..=6 {
        let level = |l: u64| json!({"grad_norm": step + l, "weight_norm": 100 * (l + 1)});
        lines.push(
            json!({"kind": "train", "step": step, "bytes": 10 * step, "loss": 1.0, "bits_per_byte": 4.0, "lr": 1e-5,
            "grad_norm": step, "levels": [level(0), level(1)], "skipped": step / 3}),
        );
    }
    // All steps of an interval were skipped, and the norm of a gradient is no number.
    (lines[2]["loss"], lines[2]["bits_per_byte"], lines[2]["grad_norm"]) = (json!(null), json!(null), json!(null));
    lines[2]["levels"][1]["grad_norm"] = json!(null);
    lines.push(json!({"kind": "valid", "step": 6, "bytes": 60, "bits_per_byte": 3.5, "raw_bits_per_byte": 3.625}));
    for (step, last) in [(3, 31), (5, 50)] {
        let spike =
            json!({"kind": "spike", "step": step, "bits_per_byte": 7.25, "mean": 4.0, "batches": [10 * step, last]});
        lines.insert(lines.len() - 2, spike);
    }
    folder::put(run.join("metrics.jsonl"), lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let start =
        |step: u64| json!({"megabyte": "0.1.0", "commit": "abc<1>", "device": "cpu", "threads": 2, "step": step});
    folder::put(run.join("environment.json"), json!([start(0), start(4)]).to_string());
    let (html, problems) = page(root.path(), &[run]);
    assert_eq!(problems, [""; 0]);
    let document = parse(&html);
    let section = section(&document, "new");
    let charts = with_class(with_class(section, "v1")[0], "chart");
    let keys: Vec<Vec<String>> =
        charts.iter().map(|chart| with_class(*chart, "key").into_iter().map(text).collect()).collect();
    let expected: [&[&str]; 5] = [
        &["train 4.000", "valid, weights as they are 3.625", "valid, averaged weights 3.500"],
        &["of the step 1.00e-5"],
        &["all levels 6.000"],
        &["level 0 6.000", "level 1 7.000"],
        &["level 0 100.000", "level 1 200.000"],
    ];
    assert_eq!(keys, expected);
    let marks: Vec<_> = with_class(charts[0], "mark").into_iter().map(text).collect();
    assert_eq!(marks, ["spike at step 3: 7.250", "spike at step 5: 7.250"]);
    let rows = |node: Node<'_, '_>| -> Vec<Vec<String>> {
        let body = node.descendants().find(|node| node.has_tag_name("tbody")).unwrap();
        body.children().map(|row| row.children().map(text).collect()).collect()
    };
    let spikes = with_class(section, "spikes")[0];
    assert_eq!(rows(spikes), [["3", "7.250", "4.000", "30 to 31"], ["5", "7.250", "4.000", "50"]]);
    assert!(text(section).contains("2steps skipped"), "{}", text(section));
    let heading = section.children().find(|node| text(*node) == "Where it ran").unwrap();
    let machines = heading.next_sibling().unwrap();
    assert_eq!(rows(machines), [["0", "0.1.0", "abc<1>", "cpu", "2"], ["4", "0.1.0", "abc<1>", "cpu", "2"]]);
    assert!(!html.contains("NaN") && !html.contains("null"));
}

#[test]
fn runs_of_one_modality_are_compared() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let comparison = section(&document, "Text runs compared");
    assert_eq!(with_class(comparison, "chart").len(), 3);
    assert!(text(comparison).contains("train.lr0.0010.0003"), "{}", text(comparison));
    assert!(!text(comparison).contains("n_embd"), "only what differs");
    assert!(!html.contains("Image runs compared"));
}
