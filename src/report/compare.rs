//! Several runs of one modality side by side: their curves, their numbers, and what differs in their configurations.

use std::collections::BTreeMap;

use super::format::{bits, bytes, duration, escape, si, whole};
use super::run::Run;
use super::{curves, section};
use crate::modality::Modality;

/// A comparison for each modality that has two or more runs.
pub(super) fn comparisons(runs: &[Run]) -> String {
    let groups = [Modality::Text, Modality::Image, Modality::Audio, Modality::Bytes].into_iter().map(|modality| {
        let group: Vec<&Run> = runs.iter().filter(|run| run.modality() == Some(modality)).collect();
        if group.len() < 2 {
            return String::new();
        }
        format!(
            "<section id=\"compare-{modality}\"><h2>{} runs compared</h2>{}{}{}</section>",
            match modality {
                Modality::Text => "Text",
                Modality::Image => "Image",
                Modality::Audio => "Audio",
                Modality::Bytes => "Bytes",
            },
            numbers(&group),
            curves::of_runs(&group, &format!("compare-{modality}")),
            differences(&group)
        )
    });
    groups.collect()
}

fn numbers(runs: &[&Run]) -> String {
    let missing = || "–".to_owned();
    let rows: String = runs
        .iter()
        .map(|run| {
            let held_out = run.eval.as_ref().map(|eval| bits(eval.bits_per_byte, eval.std_error));
            let valid = run.valid.iter().rev().find_map(|point| point.bits_per_byte).map(|value| bits(value, None));
            let cells = [
                held_out,
                valid,
                run.train.last().map(|point| bytes(point.bytes as f64)),
                run.speed.last().map(|point| duration(point.seconds)),
                section::median(run, |point| point.bytes_per_second).map(|rate| format!("{}/s", bytes(rate))),
                run.parameters.as_ref().map(|counts| si(counts.iter().sum::<u64>() as f64)),
                run.train.last().and_then(|point| point.skipped).map(whole),
            ];
            let cells: String = cells
                .into_iter()
                .map(|cell| format!("<td class=\"num\">{}</td>", cell.unwrap_or_else(missing)))
                .collect();
            format!("<tr><td class=\"value\">{}</td>{cells}</tr>", escape(&run.name))
        })
        .collect();
    format!(
        "<div class=\"wide\"><table><thead><tr><th>run</th><th class=\"num\">held out, bits per byte</th>\
         <th class=\"num\">last on valid</th><th class=\"num\">bytes seen</th><th class=\"num\">training</th>\
         <th class=\"num\">throughput</th><th class=\"num\">parameters</th>\
         <th class=\"num\">steps skipped</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// The keys whose values aren't the same in all runs that have a readable configuration.
fn differences(runs: &[&Run]) -> String {
    let runs: Vec<&Run> = runs.iter().copied().filter(|run| run.config.is_some()).collect();
    let keys: Vec<BTreeMap<String, String>> = runs.iter().map(|run| flat(&run.config_text)).collect();
    let all: std::collections::BTreeSet<&String> = keys.iter().flat_map(BTreeMap::keys).collect();
    let mut rows = String::new();
    for key in all {
        let values: Vec<Option<&String>> = keys.iter().map(|keys| keys.get(key)).collect();
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            continue;
        }
        let cells: String = values
            .iter()
            .map(|value| format!("<td class=\"value\">{}</td>", value.map_or("–".to_owned(), |value| escape(value))))
            .collect();
        rows += &format!("<tr><td class=\"value\">{}</td>{cells}</tr>", escape(key));
    }
    if rows.is_empty() {
        return if runs.len() > 1 {
            "<p class=\"muted\">Their configurations are the same.</p>".into()
        } else {
            String::new()
        };
    }
    let names: String = runs.iter().map(|run| format!("<th>{}</th>", escape(&run.name))).collect();
    format!(
        "<h3>What differs in their configurations</h3><div class=\"wide\"><table><thead><tr><th>key</th>{names}</tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}

/// A TOML document as dotted keys and values.
fn flat(text: &str) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &toml::Value, keys: &mut BTreeMap<String, String>) {
        let child = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    walk(&child(name), value, keys);
                }
            }
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                for (index, value) in items.iter().enumerate() {
                    walk(&child(&index.to_string()), value, keys);
                }
            }
            value => {
                keys.insert(prefix.to_owned(), value.to_string());
            }
        }
    }
    let mut keys = BTreeMap::new();
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        walk("", &toml::Value::Table(table), &mut keys);
    }
    keys
}
