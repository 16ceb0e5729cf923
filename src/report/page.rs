//! The page: one HTML file that needs nothing else, neither network nor script.
//!
//! It is written as XML, too (every element closed, every attribute quoted), so that any parser can check it.

use super::coders::{against, best_baseline};
use super::compare;
use super::format::{bits, escape};
use super::run::Run;
use super::section::section;

const STYLE: &str = include_str!("style.css");

/// The page about `runs`, in their order, and what could not be read or shown, a line each.
pub fn page(title: &str, runs: &[Run]) -> (String, Vec<String>) {
    let title = escape(title);
    let tiles: String = runs.iter().enumerate().map(|(index, run)| tile(run, &id(index))).collect();
    let (sections, problems): (Vec<String>, Vec<Vec<String>>) =
        runs.iter().enumerate().map(|(index, run)| section(run, &id(index))).unzip();
    let header = format!("<h1>{title}</h1>{INTRODUCTION}");
    let main = format!("<nav class=\"tiles\">{tiles}</nav>\n{}{}", compare::comparisons(runs), sections.concat());
    (shell(&title, &header, &main), problems.concat())
}

/// A page that needs nothing else, around what is HTML already.
pub(super) fn shell(title: &str, header: &str, main: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <meta name=\"generator\" content=\"megabyte {version}\"/>\
         <link rel=\"icon\" href=\"data:,\"/><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><header>{header}</header>\n\
         <main>{main}</main>\n\
         <footer><p>Written by megabyte {version}. The model: Yu et al., MEGABYTE: Predicting Million-byte Sequences with \
         Multiscale Transformers, 2023.</p></footer></body></html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

const INTRODUCTION: &str = "<p>Each run below trained a MEGABYTE model: a hierarchy of transformers that reads a file as \
    plain bytes, whatever they mean, and learns to predict the next one. The same program learns text, pictures and \
    sound; only the bytes differ.</p><p><b>Bits per byte</b> is how many bits the model needs on average to tell what the \
    next byte is. 8 is no better than storing the file as it is; lower is better. Whoever predicts well compresses well, \
    which is why compressors stand beside the models here.</p>";

fn id(index: usize) -> String {
    format!("run-{}", index + 1)
}

/// A run at a glance, and the way to its section.
fn tile(run: &Run, id: &str) -> String {
    let modality =
        run.modality().map(|modality| format!(" <span class=\"muted\">{modality}</span>")).unwrap_or_default();
    let last_valid = || run.valid.iter().rev().find_map(|point| point.bits_per_byte);
    let (value, note) = match (&run.eval, last_valid()) {
        (Some(eval), _) => {
            let compared = best_baseline(&eval.baselines).map(|best| against(eval.bits_per_byte, best));
            (Some(eval.bits_per_byte), compared.unwrap_or_else(|| format!("on the {} split", escape(&eval.split))))
        }
        (None, Some(value)) => (Some(value), "on the valid split, so far".to_owned()),
        (None, None) => (None, "not evaluated".to_owned()),
    };
    let value = value.map_or("–".to_owned(), |value| bits(value, None));
    format!(
        "<a class=\"tile\" href=\"#{id}\"><span class=\"name\">{}</span>{modality}\
         <span class=\"big\">{value} <small>bits per byte</small></span><span class=\"small muted\">{note}</span></a>",
        escape(&run.name)
    )
}
