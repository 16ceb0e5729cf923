//! One file of a modality as HTML: a picture, a sound with its waveform, a text. A file that can't be shown becomes a
//! problem that the page names.

use std::io::Cursor;
use std::path::Path;

use super::format::{bytes, data_uri, escape, escape_bytes};
use super::run::read_file;
use crate::Error;

/// Larger files would make the page too heavy for a browser.
pub(super) const LARGEST: usize = 16 << 20;
/// A picture is enlarged by a whole number to at most this many pixels.
const PICTURE: u32 = 160;
/// Bytes of a prompt's end and of a continuation's beginning that are shown.
const PROMPT: usize = 1_500;
const CONTINUATION: usize = 4_000;
/// Size of a waveform in its own units.
pub(super) const COLUMNS: usize = 360;
const HEIGHT: f64 = 56.0;

fn damaged(path: &Path, reason: impl ToString) -> String {
    Error::file(path, reason).to_string()
}

/// A file to show; none, and a problem, where it is missing or too large.
pub(super) fn load(path: &Path, problems: &mut Vec<String>) -> Option<Vec<u8>> {
    let before = problems.len();
    let content = read_file(path, problems);
    match &content {
        None if problems.len() == before => problems.push(damaged(path, "is missing")),
        Some(content) if content.len() > LARGEST => {
            problems.push(damaged(path, format!("is {}, too large for this page", bytes(content.len() as f64))));
            return None;
        }
        _ => {}
    }
    content
}

/// A PNG, its pixels enlarged to at most [`PICTURE`] times `scale`; `class` is added to the figure's.
pub(super) fn picture(path: &Path, caption: &str, class: &str, scale: f64, problems: &mut Vec<String>) -> String {
    let Some(content) = load(path, problems) else { return String::new() };
    let image = match image::load_from_memory_with_format(&content, image::ImageFormat::Png) {
        Ok(image) => image,
        Err(error) => {
            problems.push(damaged(path, format!("can't be shown: {error}")));
            return String::new();
        }
    };
    let times = ((f64::from(PICTURE) * scale / f64::from(image.width().max(1))) as u32).max(1);
    let caption =
        if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>", escape(caption)) };
    format!(
        "<figure class=\"{class}\"><img class=\"pixels\" src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\"/>{caption}</figure>",
        data_uri("image/png", &content),
        image.width() * times,
        image.height() * times,
        escape(&path.file_name().unwrap_or_default().to_string_lossy()),
    )
}

/// A WAV with a player and a waveform, the first `kept` samples (all channels together) marked.
pub(super) fn sound(path: &Path, caption: &str, kept: usize, problems: &mut Vec<String>) -> String {
    let Some(content) = load(path, problems) else { return String::new() };
    let samples = match samples(&content) {
        Ok(samples) => samples,
        Err(error) => {
            problems.push(damaged(path, format!("can't be shown: {error}")));
            return String::new();
        }
    };
    format!(
        "<figure>{}<audio controls=\"\" preload=\"metadata\" src=\"{}\"></audio><figcaption>{}</figcaption></figure>",
        waveform(&samples, kept),
        data_uri("audio/wav", &content),
        escape(caption),
    )
}

/// Samples of a WAV file, all channels, from -1 to 1.
pub(super) fn samples(wav: &[u8]) -> Result<Vec<f32>, hound::Error> {
    let mut reader = hound::WavReader::new(Cursor::new(wav))?;
    let spec = reader.spec();
    match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect(),
        hound::SampleFormat::Int => {
            let full = (1u64 << (spec.bits_per_sample - 1)) as f32;
            reader.samples::<i32>().map(|sample| Ok(sample? as f32 / full)).collect()
        }
    }
}

/// Samples of the WAV file at `path`, where it can be read: how much of a sound a prompt was.
pub(super) fn sample_count(path: &Path) -> Option<usize> {
    hound::WavReader::open(path).ok().map(|reader| reader.len() as usize)
}

/// Lowest and highest sample of each column, what was kept and what came after in their own colours.
pub(super) fn waveform(samples: &[f32], kept: usize) -> String {
    let middle = HEIGHT / 2.0;
    let columns = COLUMNS.min(samples.len().max(1));
    let mut parts = [String::new(), String::new()];
    for column in 0..columns {
        let (from, to) = (column * samples.len() / columns, (column + 1) * samples.len() / columns);
        let chunk = &samples[from..to];
        let (low, high) = chunk.iter().fold((1f32, -1f32), |(low, high), &sample| (low.min(sample), high.max(sample)));
        if chunk.is_empty() {
            continue;
        }
        // At least a hair, so that silence is a line.
        let top = middle - f64::from(high).clamp(-1.0, 1.0) * middle - 0.4;
        let height = f64::from(high - low).clamp(0.0, 2.0) * middle + 0.8;
        let x = column as f64 * COLUMNS as f64 / columns as f64;
        let width = COLUMNS as f64 / columns as f64;
        parts[usize::from(to > kept)].push_str(&format!("M{x:.1} {top:.1}h{width:.1}v{height:.1}h-{width:.1}z"));
    }
    let edge = if kept > 0 && kept < samples.len() {
        let x = kept as f64 / samples.len() as f64 * COLUMNS as f64;
        format!("<path class=\"edge\" d=\"M{x:.1} 0V{HEIGHT}\"/>")
    } else {
        String::new()
    };
    let [given, made] = parts;
    format!(
        "<svg class=\"wave\" viewBox=\"0 0 {COLUMNS} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"kept\" d=\"{given}\"/><path d=\"{made}\"/>{edge}</svg>"
    )
}

/// A text whose first `kept` bytes were given and whose others were generated; long ones are cut at both ends.
pub(super) fn text(content: &[u8], kept: usize, caption: &str) -> String {
    let edge = char_boundary(content, kept.min(content.len()));
    let (prompt, made) = content.split_at(edge);
    let start = char_boundary(prompt, prompt.len().saturating_sub(PROMPT));
    let end = char_boundary(made, made.len().min(CONTINUATION));
    let before = if start > 0 { omitted(start, "before") } else { String::new() };
    let after = if end < made.len() { omitted(made.len() - end, "more") } else { String::new() };
    let prompt = match &prompt[start..] {
        [] => String::new(),
        prompt => format!("<span class=\"prompt\">{}</span>", escape_bytes(prompt)),
    };
    let class = if made.is_empty() { "text given" } else { "text" };
    let caption =
        if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>", escape(caption)) };
    format!(
        "<figure>{caption}<pre class=\"{class}\">{before}{prompt}{}{after}</pre></figure>",
        escape_bytes(&made[..end])
    )
}

fn omitted(count: usize, what: &str) -> String {
    format!("<span class=\"muted\">[… {} {what}]</span>", bytes(count as f64))
}

/// The first place from `at` on that isn't inside a UTF-8 character, so that a cut doesn't break one.
fn char_boundary(content: &[u8], at: usize) -> usize {
    let inside = content[at..].iter().take(3).take_while(|&&byte| byte & 0xc0 == 0x80).count();
    at + inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_inside_a_character_moves_behind_it() {
        let html = text("aé b".as_bytes(), 2, "");
        assert!(html.contains("<span class=\"prompt\">aé</span> b"), "{html}");
    }

    #[test]
    fn waveform_marks_what_was_kept() {
        let svg = waveform(&[0.5; 720], 360);
        let columns = |from: &str| svg.split(from).nth(1).unwrap().split("\"/>").next().unwrap().matches('M').count();
        assert_eq!((columns("class=\"kept\" d=\""), columns("/><path d=\"")), (180, 180));
        assert!(svg.contains("class=\"edge\" d=\"M180.0 0V56\""), "{svg}");
        assert!(!waveform(&[], 0).contains("NaN"));
    }
}
