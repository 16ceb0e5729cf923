//! Numbers as a person reads them, and text as HTML shows it safely.

use crate::shown::is_hidden;
pub(super) use crate::shown::thousands as whole;

/// A number with three significant digits and a decimal prefix: 12.3 k, 4.56 M.
pub(super) fn si(value: f64) -> String {
    let (scaled, prefix) = match value.abs() {
        size if size >= 999.5e9 => (value / 1e12, "T"),
        size if size >= 999.5e6 => (value / 1e9, "G"),
        size if size >= 999.5e3 => (value / 1e6, "M"),
        size if size >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 || scaled == scaled.round() => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    // A narrow no-break space keeps number and prefix together.
    if prefix.is_empty() { format!("{scaled:.digits$}") } else { format!("{scaled:.digits$}\u{202f}{prefix}") }
}

/// As [`si`], without zeros after the point: for numbers that are exact.
pub(super) fn si_exact(value: f64) -> String {
    let number = si(value);
    let (digits, prefix) =
        number.split_once('\u{202f}').map_or((number.as_str(), ""), |(digits, prefix)| (digits, prefix));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    if prefix.is_empty() { digits.to_owned() } else { format!("{digits}\u{202f}{prefix}") }
}

/// A measured value: 2.714, 0.051, 3.20e-4, 12.3 k.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 9999.5 => si(value),
        size if size >= 0.01 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

/// A number of bytes: 12.3 kB.
pub(super) fn bytes(value: f64) -> String {
    let number = si(value);
    if number.ends_with(|last: char| last.is_ascii_digit()) { format!("{number}\u{202f}B") } else { number + "B" }
}

/// A duration: 42 s, 3 min 05 s, 2 h 14 min.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 59.95 {
        let digits = if seconds < 9.95 { 1 } else { 0 };
        return format!("{seconds:.digits$}\u{202f}s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{}\u{202f}min {:02}\u{202f}s", whole / 60, whole % 60);
    }
    format!("{}\u{202f}h {:02}\u{202f}min", whole / 3600, whole % 3600 / 60)
}

/// Bits per byte, to the digits that mean something where the standard error is known.
pub(super) fn bits(value: f64, std_error: Option<f64>) -> String {
    match std_error {
        Some(error) if error.is_finite() && error > 0.0 => format!("{value:.3} ± {error:.3}"),
        _ => format!("{value:.3}"),
    }
}

/// Text in HTML, in attributes too. Characters that can't be shown, or that turn the text around them, become their
/// escapes.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(character),
            _ if is_hidden(character) => html.push_str(&character.escape_unicode().to_string()),
            _ => html.push(character),
        }
    }
    html
}

/// Bytes as text in HTML: what is UTF-8 as it is, every other byte and control character as a marked `\x..`.
pub(super) fn escape_bytes(bytes: &[u8]) -> String {
    let mut html = String::with_capacity(bytes.len());
    let mark = |html: &mut String, bytes: &[u8]| {
        let codes: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        html.push_str(&format!("<span class=\"byte\">{codes}</span>"));
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character != '\n' && character != '\t' && is_hidden(character) {
                mark(&mut html, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                html.push_str(&escape(character.encode_utf8(&mut [0; 4])));
            }
        }
        if !chunk.invalid().is_empty() {
            mark(&mut html, chunk.invalid());
        }
    }
    html
}

/// A `data:` URI.
pub(super) fn data_uri(mime: &str, content: &[u8]) -> String {
    use base64::Engine;
    format!("data:{mime};base64,{}", base64::engine::general_purpose::STANDARD.encode(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [(0.0, "0"), (7.0, "7"), (2.71449, "2.71"), (27.1449, "27.1"), (999.0, "999"), (1000.0, "1 k")];
        for (value, expected) in cases {
            assert_eq!(si(value).replace('\u{202f}', " "), expected);
        }
        assert_eq!(si(999_700.0), "1.00\u{202f}M");
        assert_eq!(
            (si_exact(1.5e6), si_exact(0.5), si_exact(200.0)),
            ("1.5\u{202f}M".into(), "0.5".into(), "200".into())
        );
        assert_eq!([2.71449, 0.0, 3.2e-4, -0.051].map(short), ["2.714", "0.000", "3.20e-4", "-0.051"]);
        assert_eq!(short(12_345.0), "12.3\u{202f}k");
        assert_eq!(bytes(12_345.0), "12.3\u{202f}kB");
        assert_eq!(bytes(12.0), "12\u{202f}B");
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(whole(123), "123");
        assert_eq!(duration(59.96), "1\u{202f}min 00\u{202f}s");
        assert_eq!(duration(8040.0), "2\u{202f}h 14\u{202f}min");
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        assert_eq!(escape("a\u{202e}b\0"), "a\\u{202e}b\\u{0}");
        assert_eq!(
            escape_bytes(b"a\xff\xfe<\n"),
            "a<span class=\"byte\">\\xff</span><span class=\"byte\">\\xfe</span>&lt;\n"
        );
        assert_eq!(escape_bytes("é\u{0}".as_bytes()), "é<span class=\"byte\">\\x00</span>");
    }
}
