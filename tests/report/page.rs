//! The page: well formed, self-contained, safe, and with every part.

use std::fs;
use std::path::Path;

use base64::Engine;
use megabyte::report;
use roxmltree::{Document, Node, ParsingOptions};

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
    let charts = with_class(section, "chart");
    let titles: Vec<_> =
        charts.iter().map(|chart| text(chart.descendants().find(|node| node.has_tag_name("b")).unwrap())).collect();
    assert_eq!(titles, ["Loss over bytes seen", "Loss over minutes of training"]);
    for (chart, unit) in charts.iter().zip(["bytes seen", "minutes of training"]) {
        assert_eq!(chart.descendants().filter(|node| node.has_tag_name("circle")).count(), 6, "evaluations");
        assert!(text(*chart).contains("PNG, test split: 3.90") && text(*chart).contains(unit));
        assert!(!html.contains("NaN") && !html.contains("inf "));
    }
    // 600 steps at 0.3 s are 3 minutes.
    let ticks: Vec<_> = with_class(charts[1], "tick").iter().map(|tick| text(*tick)).collect();
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

#[test]
fn runs_of_one_modality_are_compared() {
    let root = tempfile::tempdir().unwrap();
    let (html, _) = page(root.path(), &folder::runs(root.path()));
    let document = parse(&html);
    let comparison = section(&document, "Text runs compared");
    assert_eq!(with_class(comparison, "chart").len(), 2);
    assert!(text(comparison).contains("train.lr0.0010.0003"), "{}", text(comparison));
    assert!(!text(comparison).contains("n_embd"), "only what differs");
    assert!(!html.contains("Image runs compared"));
}
