//! Bits per byte on held-out data, in a sentence, and beside what classical coders make of the same bytes.

use super::format::{bits, bytes, duration, escape, whole};
use super::run::{Eval, Run};
use crate::density::Baseline;
use crate::modality::Modality;

/// The classical coder that needs least.
pub(super) fn best_baseline(baselines: &[Baseline]) -> Option<&Baseline> {
    baselines.iter().min_by(|a, b| a.bits_per_byte.total_cmp(&b.bits_per_byte))
}

/// The model's size over a coder's, less one, in words.
pub(super) fn against(model: f64, baseline: &Baseline) -> String {
    let percent = 100.0 * (model / baseline.bits_per_byte - 1.0);
    let name = escape(&baseline.name);
    match percent {
        percent if percent <= -0.05 => format!("{:.1}\u{202f}% less than {name}", -percent),
        percent if percent >= 0.05 => format!("{percent:.1}\u{202f}% more than {name}"),
        _ => format!("as much as {name}"),
    }
}

/// The sentence at the top of a run, as a paragraph.
pub(super) fn headline(run: &Run) -> String {
    if let Some(eval) = &run.eval {
        let thing = match eval.modality {
            Modality::Text => "text",
            Modality::Image => "pictures",
            Modality::Audio => "sound",
            Modality::Bytes => "files",
        };
        let where_from = match eval.split.as_str() {
            "test" | "valid" => format!("On held-out {thing}"),
            "train" => format!("On {thing} of its own training data"),
            _ => format!("On the {thing} it was given"),
        };
        let compared = best_baseline(&eval.baselines).map(|best| {
            format!(
                " The best of the coders below needs {:.3}: the model needs <b>{}</b>.",
                best.bits_per_byte,
                against(eval.bits_per_byte, best)
            )
        });
        return format!(
            "<p class=\"lead\">{where_from} ({}) the model needs <b class=\"num\">{} bits per byte</b>.{}</p>",
            bytes(eval.bytes as f64),
            bits(eval.bits_per_byte, eval.std_error),
            compared.unwrap_or_default()
        );
    }
    match run.valid.iter().rev().find_map(|point| Some((point, point.bits_per_byte?))) {
        Some((point, value)) => format!(
            "<p class=\"lead\">At step {} the model needed <b class=\"num\">{} bits per byte</b> on the valid split, which it \
             does not train on. It has not been evaluated on the test split.</p>",
            whole(point.step),
            bits(value, point.std_error)
        ),
        None => "<p class=\"lead\">This run has not been evaluated on held-out data.</p>".to_owned(),
    }
}

/// The model and the coders, the fewest bits first, each with a bar; or nothing.
pub(super) fn table(eval: &Eval) -> String {
    if eval.baselines.is_empty() {
        return format!("<p class=\"small muted\">{}</p>", method(eval));
    }
    let model = Baseline {
        name: "this model".into(),
        version: String::new(),
        setting: String::new(),
        bytes: (eval.bits_per_byte * eval.bytes as f64 / 8.0).round() as u64,
        bits_per_byte: eval.bits_per_byte,
    };
    let mut rows: Vec<(&Baseline, &str)> = eval.baselines.iter().map(|baseline| (baseline, "")).collect();
    rows.push((&model, " class=\"model\""));
    rows.sort_by(|a, b| a.0.bits_per_byte.total_cmp(&b.0.bits_per_byte));
    // The whole track is 8 bits per byte, unless a coder makes the data larger.
    let scale = rows.iter().map(|row| row.0.bits_per_byte).fold(8.0, f64::max);
    let body: String = rows
        .iter()
        .map(|(coder, class)| {
            format!(
                "<tr{class}><td>{}</td><td class=\"bar\"><svg aria-hidden=\"true\">\
                 <rect class=\"track\" width=\"100%\" height=\"100%\" rx=\"3\"/>\
                 <rect class=\"value\" width=\"{:.2}%\" height=\"100%\" rx=\"3\"/></svg></td>\
                 <td class=\"num\">{:.3}</td><td class=\"num extra\">{}</td><td class=\"num extra\">{:.2} : 1</td></tr>",
                escape(&coder.name),
                100.0 * coder.bits_per_byte / scale,
                coder.bits_per_byte,
                bytes(coder.bytes as f64),
                8.0 / coder.bits_per_byte,
            )
        })
        .collect();
    format!(
        "<table class=\"coders\"><thead><tr><th>coder</th><th class=\"bar\">the full width is {scale:.0} bits per byte{}</th>\
         <th class=\"num\">bits per byte</th><th class=\"num extra\">size</th><th class=\"num extra\">ratio</th></tr></thead>\
         <tbody>{body}</tbody></table><p class=\"small muted\">{} {}</p>",
        if scale == 8.0 { ": no compression" } else { "" },
        method(eval),
        coders(eval),
    )
}

/// How the model's number came about.
fn method(eval: &Eval) -> String {
    let mut text = format!(
        "The model's number is the length of an ideal code for the {} sequences of the {} split, from its probabilities; \
         the size of the model itself is not in it.",
        whole(eval.sequences),
        escape(&eval.split)
    );
    if let Some(inference) = &eval.inference {
        let context = eval.context.map(|context| format!(", context {} bytes", whole(context))).unwrap_or_default();
        let time = eval.seconds.map(|seconds| format!(", {}", duration(seconds))).unwrap_or_default();
        text += &format!(" Inference: {}{context}{time}.", escape(inference));
    }
    if let Some(perplexity) = eval.word_perplexity {
        text += &format!(" Perplexity per word: {perplexity:.1}.");
    }
    text
}

/// What the coders were given, and which libraries they are, as far as the evaluation says.
fn coders(eval: &Eval) -> String {
    let given = match eval.modality {
        Modality::Image => {
            "PNG and WebP store each picture as a file, headers included; PPMd, xz, zstd and gzip see all pictures' bytes as \
             one file."
        }
        Modality::Audio => {
            "FLAC stores each sequence as a file, headers included; PPMd, xz, zstd and gzip see all bytes as one file."
        }
        Modality::Text => "PPMd, xz, zstd and gzip see all of the text as one file.",
        Modality::Bytes => "PPMd, xz, zstd and gzip see all bytes as one file.",
    };
    let known = eval.baselines.iter().filter(|baseline| !baseline.version.is_empty());
    let known: Vec<String> = known.map(|baseline| escape(&baseline.described())).collect();
    if known.is_empty() { given.to_owned() } else { format!("{given} {}.", known.join("; ")) }
}
