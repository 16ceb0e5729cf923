//! A text whose characters are coloured by what they cost.

use super::format::{bytes as size, escape, escape_bytes};
use crate::density::Scores;

/// Bytes that are shown; more would make the page too heavy for a browser.
const SHOWN: usize = 256 << 10;
/// The deepest colour, in bits.
const DEEPEST: f64 = 15.0;

/// The text. Characters have the bits of all their bytes; bytes that are no UTF-8 stand alone, in hexadecimal.
pub(super) fn body(bytes: &[u8], scores: &Scores) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let mut html = String::new();
    let mut at = 0;
    let mut mark = |html: &mut String, of: &[u8], newline: bool| {
        let nats = &scores.bytes[at..at + of.len()];
        at += of.len();
        *html += &character(if newline { "⏎".to_owned() } else { escape_bytes(of) }, nats);
        if newline {
            html.push('\n');
        }
    };
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            mark(&mut html, character.encode_utf8(&mut [0; 4]).as_bytes(), character == '\n');
        }
        chunk.invalid().chunks(1).for_each(|byte| mark(&mut html, byte, false));
    }
    if let Some(end) = scores.end.filter(|_| shown.len() == bytes.len()) {
        html += &character("end".to_owned(), &[end]);
    }
    let more = match bytes.len() - shown.len() {
        0 => String::new(),
        more => format!("<p class=\"small muted\">[… {} more]</p>", escape(&size(more as f64))),
    };
    let scale: String =
        (0..=DEEPEST as usize).step_by(3).map(|bits| format!("<i style=\"--b:{bits}\"> {bits} </i>")).collect();
    format!(
        "<section><p class=\"small muted\">Bits of each character; a pointer over it shows them. \
         <span class=\"scores\">{scale}</span></p><pre class=\"scores\">{html}</pre>{more}</section>"
    )
}

/// A character, or what stands for it, in HTML already.
fn character(html: String, nats: &[f32]) -> String {
    let bits: Vec<f64> = nats.iter().map(|&nats| f64::from(nats) / std::f64::consts::LN_2).collect();
    let sum: f64 = bits.iter().sum();
    let title = match &bits[..] {
        [bits] => format!("{bits:.2} bits"),
        parts => {
            let parts: Vec<String> = parts.iter().map(|bits| format!("{bits:.2}")).collect();
            format!("{} = {sum:.2} bits", parts.join(" + "))
        }
    };
    let depth = sum.round().clamp(0.0, DEEPEST);
    format!("<i style=\"--b:{depth:.0}\" title=\"{title}\">{html}</i>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_the_bits_of_their_bytes_and_do_nothing() {
        let ln2 = std::f32::consts::LN_2;
        let scores = Scores { bytes: vec![ln2, 2.0 * ln2, 3.0 * ln2, 20.0 * ln2, 0.0], end: Some(ln2) };
        let html = body(b"<\xc3\xa9\xff\n", &scores);
        for part in [
            "<i style=\"--b:1\" title=\"1.00 bits\">&lt;</i>",
            "<i style=\"--b:5\" title=\"2.00 + 3.00 = 5.00 bits\">é</i>",
            "<i style=\"--b:15\" title=\"20.00 bits\"><span class=\"byte\">\\xff</span></i>",
            "<i style=\"--b:0\" title=\"0.00 bits\">⏎</i>\n",
            "<i style=\"--b:1\" title=\"1.00 bits\">end</i>",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }
}
