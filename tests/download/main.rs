//! Data sets: cards, the HTTP source against a local server, and unpacking. Nothing here needs a network.

// Clippy lets tests unwrap, and not the functions beside them.
#![allow(clippy::unwrap_used)]

mod cards;
mod http;
mod server;
mod unpack;

use std::path::Path;

use megabyte::data::download::{Card, download};
use megabyte::progress::Quiet;
use sha2::{Digest, Sha256};

/// Bytes that no test could expect by chance.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A card whose result is one file, with `download` entries as given.
fn card(bytes: u64, sha256: &str, folder: bool, download: &str) -> Card {
    Card::parse(&format!(
        r#"
        name = "data"
        title = "a data set"
        modality = "text"
        what = "bytes"
        items = 1
        bytes = {bytes}
        folder = {folder}
        sha256 = "{sha256}"
        licence = "none"
        attribution = "nobody"
        homepage = "http://127.0.0.1/"
        url = "http://127.0.0.1/"
        split = "none"
        {download}
        "#
    ))
    .unwrap()
}

fn plain(content: &[u8], url: &str) -> Card {
    let digest = sha256(content);
    let download = format!("[[download]]\nurl = \"{url}\"\nfile = \"data.bin\"\nsha256 = \"{digest}\"");
    card(content.len() as u64, &digest, false, &download)
}

fn error(card: &Card, out: &Path) -> String {
    download(card, out, &Quiet).unwrap_err().to_string()
}

/// The manifest digest that a card states, from names and contents.
fn manifest(files: &[(&str, &[u8])]) -> String {
    let sorted: std::collections::BTreeMap<_, _> = files.iter().copied().collect();
    let lines: String = sorted.iter().map(|(name, content)| format!("{}  {name}\n", sha256(content))).collect();
    sha256(lines.as_bytes())
}
