//! What is written as JSON and TOML: manifests, and the folders they are of; cards, configurations, layouts. The first
//! byte chooses which, the rest is the text.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use megabyte::data::download::card::Card;
use megabyte::data::{Dataset, Existing, Manifest, Split, prepare};
use megabyte::modality::{Layout, Modality};
use megabyte::progress::Quiet;
use megabyte::{RunConfig, config::DataConfig};
use megabyte_fuzz::{file, folder, init};

/// A prepared folder's files, by name.
fn prepared() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let place = tempfile::tempdir_in(folder()).expect("there is room for a folder");
        let (source, out) = (place.path().join("a.txt"), place.path().join("out"));
        std::fs::write(&source, "some text\n".repeat(40)).expect("there is room for a file");
        prepare(&[source], &DataConfig::new(Modality::Text), &out, Existing::Add, &Quiet).expect("it is a text");
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("it was written").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
            (name, std::fs::read(path).expect("it was written"))
        };
        std::fs::read_dir(&out).expect("it was written").map(read).collect()
    })
}

/// A prepared folder in which one file has another content.
fn with(name: &str, content: &[u8], then: impl FnOnce(&Path)) {
    let place = tempfile::tempdir_in(folder()).expect("there is room for a folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).expect("there is room");
    prepared().iter().for_each(|(name, bytes)| write(name, bytes));
    write(name, content);
    then(place.path());
}

fn open(folder: &Path) {
    if let Ok(manifest) = Manifest::load(folder) {
        let _ = (manifest.total(), manifest.layout().adapter().patch_size());
    }
    for split in [None, Some(Split::Train), Some(Split::Test)] {
        let Ok(data) = Dataset::open(folder, split) else { continue };
        let bytes: u64 = (0..data.len()).map(|i| data.item(i).bytes.len() as u64).sum();
        assert_eq!(bytes, data.bytes());
    }
}

fn add(folder: &Path) {
    let source = folder.join("b.txt");
    std::fs::write(&source, "other text\n").expect("there is room for a file");
    if prepare(&[source], &DataConfig::new(Modality::Text), folder, Existing::Add, &Quiet).is_ok() {
        Dataset::open(folder, None).expect("what was prepared can be opened");
    }
}

fn configuration(text: &[u8]) {
    let Ok(config) = RunConfig::load(&file(text).1, &[]) else { return };
    let model = &config.model;
    let _ = (config.train.rows(model), config.train.micro_batches(model), model.training_flops_per_byte());
    let _: u64 = (0..model.levels.len()).map(|level| model.block_parameters(level)).max().unwrap_or(0);
    let again = RunConfig::load(&file(config.to_toml().as_bytes()).1, &[]).expect("what was written is read");
    assert_eq!(again, config);
}

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((&choice, content)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(content);
    match choice % 16 {
        0..=4 => with("manifest.json", content, open),
        5 => with("manifest.json", content, add),
        6 => with("preparing.json", content, add),
        7 => {
            let list = prepared().iter().find(|(name, _)| name.starts_with(".sources"));
            with(list.map_or(".sources", |(name, _)| name.as_str()), content, add);
        }
        8 | 9 => drop(Card::parse(&text)),
        10 => {
            if let Ok(layout) = serde_json::from_str::<Layout>(&text) {
                let _ = layout.validate().map(|()| layout.adapter().patch_size());
            }
        }
        11 => {
            // The last line is what was typed behind --set.
            let (text, setting) = text.rsplit_once('\n').unwrap_or(("", &text));
            drop(RunConfig::load(&file(text.as_bytes()).1, &[setting.to_owned()]));
        }
        _ => configuration(content),
    }
});
