//! Keys of configurations, with what they can be and what they are for.

use megabyte::Error;
use megabyte::config::{self, KeyInfo};
use serde_json::json;

use crate::commands::output::{print, print_json};

/// Columns of a line of text.
const WIDTH: usize = 100;

/// Prints the keys that begin with `prefix`, or whose last name it is.
pub(super) fn list(prefix: &str, json: bool) -> anyhow::Result<()> {
    let mut keys = config::list();
    keys.retain(|KeyInfo { key, .. }| key.starts_with(prefix) || key.rsplit('.').next() == Some(prefix));
    if keys.is_empty() {
        let reason = format!("--keys {prefix}: no key begins so or is named so; without a word, all are listed");
        return Err(Error::Usage(reason).into());
    }
    if json {
        return print_json(&json!({ "keys": keys }));
    }
    let paragraphs: Vec<String> = keys.iter().map(paragraph).collect();
    print(&paragraphs.join("\n"))
}

fn paragraph(key: &KeyInfo) -> String {
    let KeyInfo { key, modality, values, default, about } = key;
    let default = match default.as_str() {
        "required" | "unset" => format!("  ({default})"),
        value => format!(" = {value}"),
    };
    let of = modality.map_or(String::new(), |modality| format!("   of {modality}"));
    let mut text = format!("{key}{default}{of}\n");
    // The values of choices are told one by one in the text.
    let about = if about.contains("`\"") { about.clone() } else { format!("{about} ({values})") };
    let mut line = String::from("   ");
    for word in about.replace('`', "").split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(word);
    }
    text + &line
}
