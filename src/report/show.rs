//! What a model made, shown: completions beside their prompts, and samples drawn while it trained.

use std::path::{Path, PathBuf};

use super::completion::{Completion, Request};
use super::format::{bytes, duration, escape, whole};
use super::media::{load, picture, sample_count, sound, text};
use super::run::{Run, StepSamples};
use crate::modality::{Layout, Modality};

/// Results of one completion that are shown.
const MOST_FILES: usize = 8;
/// Steps whose samples are shown, from the first to the last, and files of each.
const MOST_STEPS: usize = 8;
const MOST_STEP_FILES: usize = 4;

/// Every completion, or nothing.
pub(super) fn completions(run: &Run, problems: &mut Vec<String>) -> String {
    let blocks: Vec<String> = run.completions.iter().map(|one| completion(run, one, problems)).collect();
    if blocks.is_empty() { String::new() } else { format!("<h3>Prompts and completions</h3>{}", blocks.concat()) }
}

fn completion(run: &Run, completion: &Completion, problems: &mut Vec<String>) -> String {
    let request = &completion.request;
    let mut file = |name: &String| {
        let path = completion.file(name);
        if path.is_none() {
            problems.push(format!(
                "{}: names `{name}`, which is not a file beside it",
                completion.dir.join("generate.json").display()
            ));
        }
        path
    };
    let original = request.original.as_ref().and_then(&mut file);
    let kept = request.kept.as_ref().and_then(&mut file);
    let files: Vec<PathBuf> = request.files.iter().take(MOST_FILES).filter_map(&mut file).collect();
    let body = match request.modality {
        Modality::Image => pictures(request, original, kept, &files, problems),
        Modality::Audio => sounds(run, request, original, kept, &files, problems),
        Modality::Text | Modality::Bytes => texts(request, original, kept, &files, problems),
    };
    let more = match request.files.len().saturating_sub(MOST_FILES) {
        0 => String::new(),
        more => {
            format!("<p class=\"small muted\">{more} more in {}</p>", escape(&completion.dir.display().to_string()))
        }
    };
    format!(
        "<div class=\"completion\"><h4>{}</h4><p class=\"small muted\">{}</p>{body}{more}</div>",
        escape(&completion.name),
        escape(&asked(request))
    )
}

/// What was asked for, in words.
fn asked(request: &Request) -> String {
    let mut parts = Vec::new();
    if request.prompt.is_some() && request.kept_bytes > 0 {
        let share = match request.prompt_bytes {
            0 => String::new(),
            all => format!(" ({:.0}\u{202f}%)", 100.0 * request.kept_bytes as f64 / all as f64),
        };
        parts.push(format!("The model saw the first {} bytes{share} and wrote the rest", whole(request.kept_bytes)));
    } else {
        parts.push("Written from nothing".to_owned());
    }
    if request.length > 0 {
        parts.push(format!("{} bytes each", whole(request.length)));
    }
    if let Some(settings) = &request.settings {
        parts.push(format!("temperature\u{a0}{}", settings.temperature));
        if settings.top_k > 0 {
            parts.push(format!("top\u{2011}k\u{a0}{}", settings.top_k));
        }
        if settings.top_p < 1.0 {
            parts.push(format!("top\u{2011}p\u{a0}{}", settings.top_p));
        }
        if settings.min_p > 0.0 {
            parts.push(format!("min\u{2011}p\u{a0}{}", settings.min_p));
        }
        parts.push(format!("seed\u{a0}{}", settings.seed));
    }
    let speed = request.bytes_per_second.map(|rate| format!(" ({}/s)", bytes(rate))).unwrap_or_default();
    if let Some(seconds) = request.seconds {
        parts.push(format!("{}{speed}", duration(seconds)));
    }
    parts.join(" · ")
}

fn numbered(index: usize, count: usize) -> String {
    if count == 1 { "completion".to_owned() } else { format!("completion {}", index + 1) }
}

fn pictures(
    request: &Request,
    original: Option<PathBuf>,
    kept: Option<PathBuf>,
    files: &[PathBuf],
    problems: &mut Vec<String>,
) -> String {
    let mut strip = String::new();
    if let Some(path) = original {
        strip += &picture(&path, "original", "", 1.0, problems);
    }
    if let Some(path) = kept {
        strip += &picture(&path, "what the model saw", "given", 1.0, problems);
    }
    for (index, path) in files.iter().enumerate() {
        strip += &picture(path, &numbered(index, request.files.len()), "", 1.0, problems);
    }
    format!("<div class=\"strip\">{strip}</div>")
}

fn sounds(
    run: &Run,
    request: &Request,
    original: Option<PathBuf>,
    kept: Option<PathBuf>,
    files: &[PathBuf],
    problems: &mut Vec<String>,
) -> String {
    let layout = || run.config.as_ref().and_then(|config| config.data.layout().ok());
    let by_bytes = || match layout() {
        Some(Layout::Audio(layout)) => request.kept_bytes as usize / layout.bytes_per_sample(),
        _ => 0,
    };
    let mark = kept.as_deref().and_then(sample_count).unwrap_or_else(by_bytes);
    let mut players = String::new();
    match (original, kept) {
        (Some(path), _) => players += &sound(&path, "original, with what the model heard marked", mark, problems),
        (None, Some(path)) => players += &sound(&path, "what the model heard", mark, problems),
        (None, None) => {}
    }
    for (index, path) in files.iter().enumerate() {
        players += &sound(path, &numbered(index, request.files.len()), mark, problems);
    }
    format!("<div class=\"sounds\">{players}</div>")
}

fn texts(
    request: &Request,
    original: Option<PathBuf>,
    kept: Option<PathBuf>,
    files: &[PathBuf],
    problems: &mut Vec<String>,
) -> String {
    let mut html = String::new();
    let prompt = kept.and_then(|path| load(&path, problems));
    for (index, path) in files.iter().enumerate() {
        let Some(content) = load(path, problems) else { continue };
        // A result repeats what was kept; where it doesn't, all of it was generated.
        let mark = match &prompt {
            Some(prompt) if content.starts_with(prompt) => prompt.len(),
            Some(_) => 0,
            None => request.kept_bytes as usize,
        };
        html += &text(&content, mark, &numbered(index, request.files.len()));
    }
    if let Some(content) = original.and_then(|path| load(&path, problems)) {
        let shown = text(&content, request.kept_bytes as usize, "");
        html += &format!("<details><summary>how the original goes on</summary>{shown}</details>");
    }
    format!("<div class=\"texts\">{html}</div>")
}

/// Samples drawn while training, or nothing.
pub(super) fn samples(run: &Run, problems: &mut Vec<String>) -> String {
    let steps: Vec<&StepSamples> = run.samples.iter().filter(|step| !step.files.is_empty()).collect();
    let Some(last) = steps.len().checked_sub(1) else { return String::new() };
    let shown = steps.len().min(MOST_STEPS);
    let blocks: String = (0..shown)
        .map(|index| {
            let step = steps[if shown == 1 { last } else { index * last / (shown - 1) }];
            let files: String = step.files.iter().take(MOST_STEP_FILES).map(|path| sample(path, problems)).collect();
            format!("<div><h4>step {}</h4><div class=\"strip\">{files}</div></div>", whole(step.step))
        })
        .collect();
    let note = if steps.len() > shown {
        format!(" <span class=\"muted small\">{shown} of {} times</span>", steps.len())
    } else {
        String::new()
    };
    let class = run.modality().map_or("", Modality::name);
    format!(
        "<h3>Samples while it trained{note}</h3><p class=\"small muted\">Drawn from nothing, with the weights of that step.</p>\
         <div class=\"steps {class}\">{blocks}</div>"
    )
}

fn sample(path: &Path, problems: &mut Vec<String>) -> String {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png") => picture(path, "", "", 0.6, problems),
        Some("wav") => sound(path, "", 0, problems),
        Some("txt" | "bin") => {
            load(path, problems).map(|content| text(&content[..content.len().min(600)], 0, "")).unwrap_or_default()
        }
        _ => String::new(),
    }
}
