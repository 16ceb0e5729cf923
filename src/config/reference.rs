//! docs/configuration.md: every key, from the code.

use std::fmt::Write as _;

use super::keys::{KeyInfo, MODALITIES, list};

/// The file's text: a table a section.
pub fn markdown() -> String {
    let keys = list();
    let mut text = String::from(
        "# Every key of a configuration\n\n\
         Made from the code by `make docs`; `megabyte inspect --keys [PREFIX]` prints the same in a terminal. A configuration is a TOML\n\
         file with these sections. [README.md](../README.md#configuration) says how files extend each other, what `--set` does and\n\
         which keys go together. The defaults of `[model]` and `[train]` are the paper's, where it says what it used.\n",
    );
    let of = |section: &str| {
        let keys = keys.iter().filter(move |key| key.modality.is_none() && section_of(&key.key) == section);
        keys.collect::<Vec<_>>()
    };
    table(&mut text, "The top of the file", &of(""));
    table(&mut text, "`[data]`", &of("data"));
    for modality in MODALITIES {
        let of_layout: Vec<&KeyInfo> = keys.iter().filter(|key| key.modality == Some(modality)).collect();
        table(&mut text, &format!("`[data]` where `modality = \"{modality}\"`"), &of_layout);
    }
    table(&mut text, "`[data.limits]`", &of("data.limits"));
    table(&mut text, "`[model]`", &of("model"));
    table(&mut text, "`[[model.level]]`", &of("model.level.N"));
    table(&mut text, "`[train]`", &of("train"));
    table(&mut text, "`[sample]`", &of("sample"));
    // Sections that have no place above.
    let placed = ["", "data", "data.limits", "model", "model.level.N", "train", "sample"];
    let mut others: Vec<&str> = keys.iter().map(|key| section_of(&key.key)).collect();
    others.retain(|section| !placed.contains(section));
    others.dedup();
    for section in others {
        let name = section.strip_suffix(".N").map_or(format!("`[{section}]`"), |list| format!("`[[{list}]]`"));
        table(&mut text, &name, &of(section));
    }
    text
}

/// The dotted name of the section that a key stands in.
fn section_of(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(section, _)| section)
}

fn table(text: &mut String, title: &str, keys: &[&KeyInfo]) {
    if keys.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title}\n\n| key | values | default | what |\n|---|---|---|---|\n");
    for KeyInfo { key, values, default, about, .. } in keys {
        let default = match default.as_str() {
            "required" | "unset" => default.clone(),
            value => format!("`{value}`"),
        };
        let _ = writeln!(text, "| `{key}` | {} | {default} | {} |", cell(values), cell(about));
    }
}

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
