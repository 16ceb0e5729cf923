//! One object of JSON: the string under a key, which is dotted where objects are nested.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// The string under `key`, if there is one; fails where this is no object. The numbers that JSON lacks and others write,
/// NaN, Infinity and -Infinity, are read.
pub(super) fn text(object: &[u8], key: &str) -> serde_json::Result<Option<String>> {
    strict(object, key).or_else(|error| match finite(object) {
        Some(object) => strict(&object, key),
        None => Err(error),
    })
}

fn strict(object: &[u8], key: &str) -> serde_json::Result<Option<String>> {
    let mut reader = serde_json::Deserializer::from_slice(object);
    let found = reader.deserialize_map(Object(key))?;
    reader.end()?;
    Ok(found)
}

/// The same with 0 for every number that is not finite: they are no text, whatever they are. Nothing where there is none.
fn finite(object: &[u8]) -> Option<Vec<u8>> {
    let mut finite = object.to_vec();
    let (mut at, mut found, mut quoted) = (0, false, false);
    while at < object.len() {
        let rest = &object[at..];
        let name = ["NaN", "Infinity"].into_iter().find(|name| !quoted && rest.starts_with(name.as_bytes()));
        at += match (name, rest[0]) {
            (Some(name), _) => {
                finite[at..at + name.len()].fill(b' ');
                finite[at] = b'0';
                found = true;
                name.len()
            }
            (None, b'\\') if quoted => 2,
            (None, byte) => {
                quoted ^= byte == b'"';
                1
            }
        };
    }
    found.then_some(finite)
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
        assert_eq!(
            found(r#"{"x": NaN, "y": [-Infinity, Infinity], "a": "NaN, \" Infinity"}"#, "a"),
            some("NaN, \" Infinity")
        );
        assert_eq!(found(r#"{"a": NaN}"#, "a"), Some(None));
        for line in ["[]", "1", "{", r#"{"a": "b"} x"#, r#"{"a": Nan}"#, r#"{"a": "b}"#] {
            assert_eq!(found(line, "a"), None, "{line}");
        }
    }
}
