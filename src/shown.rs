//! Names and numbers as they are shown: on a terminal, where some characters are commands, and in reports.

use std::borrow::Cow;
use std::ffi::OsStr;

/// A path or a name with its control characters, and those that turn the text around them, as escapes; what is not UTF-8
/// is replaced.
pub fn shown(name: impl AsRef<OsStr>) -> String {
    escaped(&name.as_ref().to_string_lossy(), |_| false).into_owned()
}

/// Lines for a terminal: as [`shown`], with ends of lines and tabs as they are.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let does = |character: char| is_hidden(character) && !stays(character);
    if !text.contains(does) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if does(character) { escaped.extend(character.escape_default()) } else { escaped.push(character) }
    }
    Cow::Owned(escaped)
}

/// Controls, directions of writing, and what no document may contain.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        let shown = [0, 12, 999, 1000, 123_456, 1_234_567].map(thousands);
        assert_eq!(shown, ["0", "12", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(shown("plain ä 名.txt"), "plain ä 名.txt");
        assert_eq!(shown("a\x1b[31m\nb\r\t\u{9b}\u{202e}c"), "a\\u{1b}[31m\\nb\\r\\t\\u{9b}\\u{202e}c");
        assert_eq!(shown_lines("a\nb\t\x07"), "a\nb\t\\u{7}");
    }
}
