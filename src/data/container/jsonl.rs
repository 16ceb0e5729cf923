//! JSON lines: a document a line, under a key of the line's object. The key of a nested object is dotted.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::fence::{Step, broken};
use super::walk::{Place, Walk};

/// A longer line is a mistake.
const LONGEST: u64 = 64 << 20;

pub(super) fn expand(walk: &mut Walk<'_>, reader: &mut dyn Read, place: &Place) -> Step {
    let Some(key) = walk.options.column.clone() else { return broken("no column was asked for") };
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let (mut missing, mut malformed) = (Lines::default(), Lines::default());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
            return broken(format!("line {number} is longer than {} MiB", LONGEST >> 20));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match text(&line, &key) {
            Ok(Some(text)) => walk.record_bytes(place.join(&format!("line {number}")), text.into_bytes())?,
            Ok(None) => missing.add(number),
            Err(_) => malformed.add(number),
        }
    }
    let told = [(malformed, "are no JSON objects".to_owned()), (missing, format!("have no text `{key}`"))];
    for (lines, what) in told {
        if lines.count > 0 {
            let Lines { count, first } = lines;
            walk.skip(place.name.clone(), format!("{count} lines {what}, the first is line {first}"))?;
        }
    }
    Ok(())
}

/// Lines of one fate.
#[derive(Default)]
struct Lines {
    count: u64,
    first: u64,
}

impl Lines {
    fn add(&mut self, number: u64) {
        if self.count == 0 {
            self.first = number;
        }
        self.count += 1;
    }
}

/// The string under `key`, if there is one; fails where the line is no object.
fn text(line: &[u8], key: &str) -> serde_json::Result<Option<String>> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let found = reader.deserialize_map(Object(key))?;
    reader.end()?;
    Ok(found)
}

/// An object that may have the key.
struct Object<'a>(&'a str);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match self.0.strip_prefix(key.as_str()) {
                Some("") => found = map.next_value_seed(Value(None))?.or(found),
                Some(rest) if rest.starts_with('.') => found = map.next_value_seed(Value(Some(&rest[1..])))?.or(found),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// The value of the key, or of an object that may have the rest of it.
struct Value<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Anything may stand there; only a string, or an object on the way to one, is of interest.
impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_none().then(|| text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match self.0 {
            Some(rest) => Object(rest).visit_map(map),
            None => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(None)
            }
        }
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn finds_the_string_under_a_dotted_key() {
        let found = |line: &str, key| text(line.as_bytes(), key).ok();
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(found(r#"{"a": 1, "text": "x\n\u00e9", "b": [1, {"text": 2}]}"#, "text"), some("x\né"));
        assert_eq!(found(r#"{"a": {"b": {"c": "deep"}}}"#, "a.b.c"), some("deep"));
        assert_eq!(found(r#"{"a.b": "literal"}"#, "a.b"), some("literal"));
        for line in ["{}", r#"{"a": null}"#, r#"{"a": [1]}"#, r#"{"a": {"b": "c"}}"#, r#"{"a": 1.5, "ab": "c"}"#] {
            assert_eq!(found(line, "a"), Some(None), "{line}");
        }
        for line in ["[]", "1", "{", r#"{"a": "b"} x"#, r#"{"a": "b}"#] {
            assert_eq!(found(line, "a"), None, "{line}");
        }
    }
}
