//! `environment.json`: what each start of a run's program ran on.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::format::escape;
use super::run::{Run, read_json};

/// What is known of a start, by name.
pub type Start = BTreeMap<String, Value>;

/// What is shown, by key and in words.
const COLUMNS: [(&str, &str); 8] = [
    ("started", "started"),
    ("step", "from step"),
    ("megabyte", "megabyte"),
    ("commit", "commit"),
    ("libtorch", "libtorch"),
    ("device", "device"),
    ("cpu", "processor"),
    ("threads", "threads"),
];

/// The starts of a run, in order; none where nothing is known of them.
pub(super) fn read(run: &Path, problems: &mut Vec<String>) -> Vec<Start> {
    read_json(&run.join("environment.json"), problems).unwrap_or_default()
}

/// A row a start, or nothing.
pub(super) fn table(run: &Run) -> String {
    let columns: Vec<_> =
        COLUMNS.into_iter().filter(|(key, _)| run.starts.iter().any(|start| start.contains_key(*key))).collect();
    if columns.is_empty() {
        return String::new();
    }
    let row = |start: &Start| {
        let cell = |value: Option<&Value>| match value {
            Some(Value::String(text)) => escape(text),
            Some(Value::Null) | None => "–".to_owned(),
            Some(other) => escape(&other.to_string()),
        };
        let cells: String =
            columns.iter().map(|(key, _)| format!("<td class=\"value\">{}</td>", cell(start.get(*key)))).collect();
        format!("<tr>{cells}</tr>")
    };
    let head: String = columns.iter().map(|(_, title)| format!("<th>{title}</th>")).collect();
    let rows: String = run.starts.iter().map(row).collect();
    format!(
        "<h3>Where it ran</h3><div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}
