//! One file: what it becomes, and whether it comes back.

use std::io::Cursor;
use std::path::Path;

use megabyte::Error;
use megabyte::config::DataConfig;
use megabyte::modality::{self, Layout, Modality, TextLayout};
use megabyte::shown::thousands;
use serde_json::json;

use super::{Report, describe};

/// What a text is made of.
fn findings(report: &mut Report, content: &[u8]) {
    let found = modality::text_findings(content);
    let by = if found.mark { "by its byte order mark" } else { "a guess, without a byte order mark" };
    report.line("encoding", format!("{}, {by}", found.encoding));
    report.set("encoding", found.encoding);
    report.set("byte_order_mark", found.mark);
    let ends = [(found.lf, "LF"), (found.crlf, "CR LF"), (found.cr, "CR")];
    let there = ends.iter().filter(|(count, _)| *count > 0);
    let there: Vec<_> = there.map(|&(count, end)| format!("{} {end}", thousands(count))).collect();
    report.line("line ends", if there.is_empty() { "none".to_owned() } else { there.join(", ") });
    report.set("line_ends", json!({ "lf": found.lf, "crlf": found.crlf, "cr": found.cr }));
    report.line("longest line", format!("{} bytes", thousands(found.longest_line)));
    report.set("longest_line", found.longest_line);
    if found.nul > 0 {
        report.line("NUL", format!("{} characters", thousands(found.nul)));
    }
    report.set("nul", found.nul);
}

pub(super) fn inspect(path: &Path, content: &[u8], data: &DataConfig) -> anyhow::Result<Report> {
    let layout = data.layout()?;
    let adapter = layout.adapter();
    let mut report = Report::new("file", path);
    report.line("size", format!("{} bytes", thousands(content.len() as u64)));
    report.set("size", content.len());
    if let Some(description) = modality::describe(&mut Cursor::new(content)) {
        report.line("is", describe::line(&description));
    }
    report.layout(&layout);

    let mut bytes = Vec::new();
    let warnings =
        adapter.encode_to(&mut Cursor::new(content), &mut bytes).map_err(|error| Error::file(path, error))?;
    for warning in &warnings {
        report.line("warning", warning);
    }
    report.set("warnings", warnings);
    let mut encoded = format!("{} bytes", thousands(bytes.len() as u64));
    if let Some(rate) = adapter.bytes_per_second() {
        let seconds = bytes.len() as f64 / rate;
        encoded.push_str(&format!(", {seconds:.2} seconds"));
        report.set("seconds", seconds);
    }
    if let Some(len) = adapter.sequence_len() {
        encoded.push_str(&format!(", sequences of {}", thousands(len as u64)));
    }
    report.line("encoded", encoded);
    report.set("bytes", bytes.len());
    report.line("patch size", format!("{} bytes, unless a configuration says otherwise", adapter.patch_size()));
    report.set("patch_size", adapter.patch_size());
    if layout.modality() == Modality::Text {
        let valid = std::str::from_utf8(content).is_ok();
        report.line("UTF-8", if valid { "valid" } else { "not valid: any bytes can be learned" });
        report.set("utf8", valid);
        findings(&mut report, content);
    }

    if matches!(&layout, Layout::Text(layout) if *layout != TextLayout::default()) {
        // What was changed on the way in does not come back.
        report.line("round trip", "the text as it was encoded; not the file, which the layout changes");
        return Ok(report);
    }
    let decoded = adapter.decode(&bytes).map_err(|error| Error::file(path, error))?;
    let again = adapter.encode(&decoded).map_err(|error| Error::file(path, error))?;
    let exact = again == bytes;
    let back = format!("{} bytes of {}", thousands(decoded.len() as u64), adapter.extension());
    report.line(
        "round trip",
        if exact {
            format!("exact: decoded to {back}, which encode to the same bytes")
        } else {
            let at = bytes.iter().zip(&again).position(|(a, b)| a != b).unwrap_or(bytes.len().min(again.len()));
            format!("NOT exact: decoded to {back}, which differ from byte {at} on")
        },
    );
    report.set("round_trip", exact);
    Ok(report)
}
