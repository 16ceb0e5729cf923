//! The page about one evaluation: the number, how it came about, and where the bits go.

use super::bars;
use super::coders;
use super::format::{bits, bytes, escape, whole};
use super::page::shell;
use super::run::Eval;
use crate::density::{Baseline, Curve, Examined, FileCost, SourceCost};
use crate::modality::Layout;

/// How many of the dearest and of the cheapest files are listed.
const LISTED: usize = 10;
/// How many sources are listed.
const SOURCES: usize = 200;

/// The page about an evaluation; `model` and `split` say of what. It needs neither network nor script.
pub fn evaluation_page(model: &str, split: &str, examined: &Examined, baselines: &[Baseline]) -> String {
    let evaluation = &examined.evaluation;
    let eval = Eval {
        modality: evaluation.layout.modality(),
        split: split.to_owned(),
        sequences: evaluation.sequences,
        bytes: evaluation.bytes,
        bits_per_byte: evaluation.bits_per_byte,
        std_error: Some(evaluation.std_error),
        inference: Some(evaluation.protocol.inference.name().to_owned()),
        seconds: Some(evaluation.seconds),
        context: Some(evaluation.protocol.context as u64),
        word_perplexity: evaluation.word_perplexity,
        baselines: baselines.to_vec(),
    };
    let charts: String = examined.curves.iter().map(|curve| chart(curve, evaluation.bits_per_byte)).collect();
    let header = format!("<h1>What a model makes of its data</h1><p>{}, {} split.</p>", escape(model), escape(split));
    let main = format!(
        "{}{}<h3>Where the bits go</h3><p>Bits per byte of bytes that have something in common. The dashed line is \
         that of all.</p><div class=\"charts\">{charts}</div>{}{}{}",
        tiles(examined),
        coders::table(&eval),
        sources(&examined.sources),
        files(&examined.files),
        protocol(examined),
    );
    shell(&format!("Evaluation of {}", escape(model)), &header, &main)
}

fn tiles(examined: &Examined) -> String {
    let evaluation = &examined.evaluation;
    let mut tiles = vec![(bits(evaluation.bits_per_byte, Some(evaluation.std_error)), "bits per byte")];
    tiles.extend(evaluation.bits_per_dimension.map(|value| (bits(value, None), "bits per dimension")));
    tiles.extend(evaluation.bits_per_sample.map(|value| (bits(value, None), "bits per sample")));
    tiles.extend(evaluation.word_perplexity.map(|value| (format!("{value:.2}"), "perplexity per word")));
    tiles.push((bytes(evaluation.bytes as f64), "scored"));
    tiles.push((whole(evaluation.sequences), "sequences of a context"));
    tiles.push((whole(examined.files.len() as u64), "files"));
    let tile = |(value, label): (String, &str)| {
        format!(
            "<div class=\"tile\"><span class=\"big\">{value}</span><span class=\"small muted\">{label}</span></div>"
        )
    };
    format!("<div class=\"tiles facts\">{}</div>", tiles.into_iter().map(tile).collect::<String>())
}

fn chart(curve: &Curve, all: f64) -> String {
    let (title, x_label, ordered) = match curve.by {
        "place in patch" => ("By place in the patch", "place of the byte in its patch", true),
        "bytes before" => ("By history", "bytes before it in its window", true),
        "row" => ("By row of the picture", "row, from the top", true),
        "channel" => ("By channel", "channel of the pixel", false),
        "sample byte" => ("By byte of the sample", "byte of the sample", false),
        "side" => ("By side", "channel of the sound", false),
        other => (other, other, false),
    };
    bars::curve(curve, title, x_label, all, ordered)
}

/// A table of sources, where there are several.
fn sources(sources: &[SourceCost]) -> String {
    if sources.len() < 2 {
        return String::new();
    }
    let row = |source: &SourceCost| {
        format!(
            "<tr><td class=\"value\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            escape(&source.source),
            bits(source.bits_per_byte, Some(source.std_error)),
            whole(source.files),
            bytes(source.bytes as f64)
        )
    };
    let rows: String = sources.iter().take(SOURCES).map(row).collect();
    let more = match sources.len().saturating_sub(SOURCES) {
        0 => String::new(),
        more => format!("<p class=\"small muted\">and {} more</p>", whole(more as u64)),
    };
    format!("<h3>By source</h3>{}{more}", table(["source", "bits per byte", "files", "bytes"], &rows))
}

/// The dearest files and the cheapest, where there are several.
fn files(files: &[FileCost]) -> String {
    let mut sorted: Vec<&FileCost> = files.iter().filter(|file| file.bits_per_byte.is_finite()).collect();
    if sorted.len() < 2 {
        return String::new();
    }
    sorted.sort_by(|a, b| b.bits_per_byte.total_cmp(&a.bits_per_byte));
    let row = |file: &&FileCost| {
        format!(
            "<tr><td class=\"value\">{}</td><td class=\"num\">{:.3}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            escape(&file.name),
            file.bits_per_byte,
            bytes(file.bytes as f64),
            bytes(file.nats / (8.0 * std::f64::consts::LN_2))
        )
    };
    let head = ["file", "bits per byte", "bytes", "ideal code"];
    let listed = LISTED.min(sorted.len() / 2);
    let dearest: String = sorted[..listed].iter().map(row).collect();
    let cheapest: String = sorted[sorted.len() - listed..].iter().rev().map(row).collect();
    format!("<h3>The dearest files</h3>{}<h3>The cheapest</h3>{}", table(head, &dearest), table(head, &cheapest))
}

fn table(head: [&str; 4], rows: &str) -> String {
    let [name, numbers @ ..] = head;
    let numbers: String = numbers.iter().map(|title| format!("<th class=\"num\">{title}</th>")).collect();
    format!(
        "<div class=\"wide\"><table><thead><tr><th>{name}</th>{numbers}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// What has to be the same for another figure to be compared.
fn protocol(examined: &Examined) -> String {
    let evaluation = &examined.evaluation;
    let protocol = &evaluation.protocol;
    let mut rows = vec![
        ("inference".to_owned(), protocol.inference.name().to_owned()),
        ("context".to_owned(), whole(protocol.context as u64)),
        ("stride".to_owned(), whole(protocol.stride as u64)),
        ("patch".to_owned(), whole(protocol.patch as u64)),
    ];
    rows.extend(protocol.offset.map(|offset| ("second pass from byte".to_owned(), whole(offset as u64))));
    rows.push(("windows".to_owned(), whole(evaluation.windows)));
    rows.push(("modality".to_owned(), evaluation.layout.modality().to_string()));
    let keys = Layout::keys(&evaluation.layout).into_iter();
    rows.extend(keys.map(|(key, value)| (format!("data.{key}"), value.to_string())));
    let row = |(key, value): &(String, String)| {
        format!("<tr><td class=\"name\">{}</td><td class=\"value\">{}</td></tr>", escape(key), escape(value))
    };
    format!(
        "<h3>How it was measured</h3><div class=\"wide\"><table><tbody>{}</tbody></table></div>",
        rows.iter().map(row).collect::<String>()
    )
}
