//! Every key that a configuration can have, as the types of its sections and their doc comments say. The checks of what
//! was typed, `inspect --keys`, docs/configuration.md and configs/schema.json all come from here.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::schema_for;
use serde::Serialize;
use serde_json::{Value, json};

use super::RunConfig;
use crate::modality::{AudioLayout, BytesLayout, ImageLayout, Modality, TextLayout};

/// A key of a configuration.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Its name in its section.
    pub name: String,
    /// What it is for, in a line.
    pub about: String,
    /// Its value where nobody sets it; none for what is required, for sections and for what is unset by default.
    pub default: Option<Value>,
    /// Whether a configuration has to have it.
    pub required: bool,
    /// What it can be.
    pub kind: Kind,
}

/// What the value of a key can be.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `[section]`.
    Section(Vec<Key>),
    /// `[[section]]`, any number of them.
    Sections(Vec<Key>),
    /// A whole number within bounds.
    Whole(i64, i64),
    /// Any number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A string.
    Text,
    /// One of these strings, each with what it stands for.
    Choice(Vec<(String, String)>),
    /// A list of such values, of this length where one is given.
    List(Box<Kind>, Option<usize>),
    /// One of several kinds.
    Either(Vec<Kind>),
    /// A table like that of the data itself: a part of a mixture.
    Data,
    /// What only reading it can judge.
    Any,
}

/// A key as `inspect --keys` and docs/configuration.md list it.
#[derive(Debug, Clone, Serialize)]
pub struct KeyInfo {
    /// Its dotted name: `train.lr`, `model.level.N.unit`.
    pub key: String,
    /// The modality whose layout it belongs to, for keys of layouts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modality: Option<Modality>,
    /// Its type, or the values that it can have.
    pub values: String,
    /// Its value where nobody sets it, as TOML; `required` and `unset` are not values.
    pub default: String,
    /// What it is for.
    pub about: String,
}

/// The modalities, in the order of the documentation.
pub(super) const MODALITIES: [Modality; 4] = [Modality::Text, Modality::Image, Modality::Audio, Modality::Bytes];

/// The sections and keys at the top of a file, without those of layouts.
pub(super) fn root() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| section_of(schema_for!(RunConfig).as_value()));
    &KEYS
}

/// The keys that stand in `[data]` beside the others for this modality.
pub(super) fn layout(modality: Modality) -> &'static [Key] {
    static KEYS: LazyLock<[Vec<Key>; 4]> = LazyLock::new(|| layout_schemas().map(|schema| section_of(&schema)));
    &KEYS[MODALITIES.iter().position(|other| *other == modality).expect("every modality is in the list")]
}

/// The schemas of the layouts, as [`MODALITIES`] are ordered.
fn layout_schemas() -> [Value; 4] {
    [schema_for!(TextLayout), schema_for!(ImageLayout), schema_for!(AudioLayout), schema_for!(BytesLayout)]
        .map(schemars::Schema::to_value)
}

/// Every key, by dotted name: those of `[data]`, of each layout, of `[model]`, of its levels, of `[train]` and of
/// `[sample]`.
pub fn list() -> Vec<KeyInfo> {
    let mut list = Vec::new();
    flatten(root(), "", None, &mut list);
    // The layouts' keys, after the last one of [data].
    let end = list.iter().rposition(|key| key.key.starts_with("data.")).map_or(0, |last| last + 1);
    let mut layouts = Vec::new();
    for modality in MODALITIES {
        flatten(layout(modality), "data.", Some(modality), &mut layouts);
    }
    list.splice(end..end, layouts);
    list
}

fn flatten(keys: &[Key], prefix: &str, modality: Option<Modality>, list: &mut Vec<KeyInfo>) {
    for key in keys {
        let dotted = format!("{prefix}{}", key.name);
        match &key.kind {
            Kind::Section(inner) => flatten(inner, &format!("{dotted}."), modality, list),
            Kind::Sections(inner) => flatten(inner, &format!("{dotted}.N."), modality, list),
            kind => list.push(KeyInfo {
                key: dotted,
                modality,
                values: kind.values(),
                default: match &key.default {
                    _ if key.required => "required".to_owned(),
                    Some(value) => toml_of(value),
                    None => "unset".to_owned(),
                },
                about: match kind {
                    Kind::Choice(choices) if choices.iter().any(|(_, about)| !about.is_empty()) => {
                        let told: Vec<String> =
                            choices.iter().map(|(name, about)| format!("`\"{name}\"`: {}", tail(about))).collect();
                        format!("{} {}.", key.about, told.join("; "))
                    }
                    _ => key.about.clone(),
                },
            }),
        }
    }
}

/// A sentence as a part of another one.
fn tail(sentence: &str) -> String {
    let sentence = sentence.strip_suffix('.').unwrap_or(sentence);
    let mut letters = sentence.chars();
    match (letters.next(), letters.clone().next()) {
        // Not of names and symbols: RGB, x Φ(x).
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(letters).collect(),
        _ => sentence.to_owned(),
    }
}

fn toml_of(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| shown(&value))
}

/// A value as TOML; small numbers as people write them, 1e-8.
pub(super) fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(number) => format!("{number:?}"),
        other => other.to_string(),
    }
}

impl Kind {
    /// What a value can be, in words.
    pub(super) fn values(&self) -> String {
        match self {
            Kind::Section(_) => "a section".to_owned(),
            Kind::Sections(_) => "tables in double brackets".to_owned(),
            // What the type alone allows says less than the text.
            Kind::Whole(..=0, most) if *most >= u32::MAX.into() => "a whole number".to_owned(),
            Kind::Whole(least, i64::MAX) => format!("a whole number, {least} or more"),
            Kind::Whole(least, most) => format!("a whole number, {least} to {most}"),
            Kind::Number => "a number".to_owned(),
            Kind::Switch => "`true` or `false`".to_owned(),
            Kind::Text => "a string".to_owned(),
            Kind::Choice(choices) => {
                let names: Vec<String> = choices.iter().map(|(name, _)| format!("`\"{name}\"`")).collect();
                any_of(&names)
            }
            Kind::List(inner, Some(count)) => format!("a list of {count}, each {}", inner.values()),
            Kind::List(inner, None) => format!("a list, each {}", inner.values()),
            Kind::Either(kinds) => any_of(&kinds.iter().map(Kind::values).collect::<Vec<_>>()),
            Kind::Data => "tables of the keys of `[data]`".to_owned(),
            Kind::Any => "see the text".to_owned(),
        }
    }

    /// What stands in for a default that is left out of files because it says nothing.
    fn nothing(&self) -> Option<Value> {
        match self {
            Kind::Whole(..) => Some(json!(0)),
            Kind::Switch => Some(json!(false)),
            Kind::List(_, None) | Kind::Data => Some(json!([])),
            _ => None,
        }
    }
}

/// `a, b or c`.
pub(super) fn any_of(names: &[String]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// The keys of a type, from its JSON schema: what is required first, sections last, else by name.
fn section_of(schema: &Value) -> Vec<Key> {
    keys_of(schema, &schema["$defs"])
}

fn keys_of(schema: &Value, types: &Value) -> Vec<Key> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    let mut keys: Vec<Key> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let (kind, optional) = kind_of(property, types);
            let default = property.get("default").filter(|default| !default.is_null()).cloned();
            let default = if optional { None } else { default.or_else(|| kind.nothing()) };
            let required = required.contains(&name.as_str());
            Key { name: name.clone(), about: text_of(property), default, required, kind }
        })
        .collect();
    keys.sort_by_key(|key| (matches!(key.kind, Kind::Section(_) | Kind::Sections(_) | Kind::Data), !key.required));
    keys
}

/// A doc comment as one line.
fn text_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a schema accepts, and whether it may be absent.
fn kind_of(schema: &Value, types: &Value) -> (Kind, bool) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        // The only type that holds itself: a mixture has parts like it.
        return if name == "DataConfig" && types[name]["visited"] == true {
            (Kind::Data, false)
        } else {
            let mut types = types.clone();
            types[name]["visited"] = json!(true);
            kind_of(&types[name].clone(), &types)
        };
    }
    for name in ["anyOf", "oneOf"] {
        let Some(all) = schema[name].as_array() else { continue };
        if all.iter().all(|one| one["const"].is_string() || one["enum"].is_array()) {
            let choices = all.iter().flat_map(|one| match one["const"].as_str() {
                Some(choice) => vec![(choice.to_owned(), text_of(one))],
                None => names_of(one),
            });
            return (Kind::Choice(choices.collect()), false);
        }
        let mut kinds: Vec<Kind> =
            all.iter().filter(|one| one["type"] != "null").map(|one| kind_of(one, types).0).collect();
        let optional = kinds.len() < all.len();
        return (if kinds.len() == 1 { kinds.remove(0) } else { Kind::Either(kinds) }, optional);
    }
    if schema["enum"].is_array() {
        return (Kind::Choice(names_of(schema)), false);
    }
    let names = schema["type"].as_array();
    let optional = names.is_some_and(|names| names.contains(&json!("null")));
    let name = match names {
        Some(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        None => schema["type"].as_str(),
    };
    let kind = match name {
        Some("integer") => {
            let of_type = match schema["format"].as_str() {
                Some("uint8") => u8::MAX.into(),
                Some("uint32") => u32::MAX.into(),
                _ => i64::MAX,
            };
            let most = schema["maximum"].as_i64().unwrap_or(of_type);
            Kind::Whole(schema["minimum"].as_i64().unwrap_or(i64::MIN), most)
        }
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Switch,
        Some("string") => Kind::Text,
        Some("object") if schema["properties"].is_object() => Kind::Section(keys_of(schema, types)),
        Some("array") => {
            let count = schema["minItems"].as_u64().filter(|least| schema["maxItems"] == *least);
            match kind_of(&schema["items"], types).0 {
                Kind::Section(keys) => Kind::Sections(keys),
                Kind::Data => Kind::Data,
                kind => Kind::List(Box::new(kind), count.map(|count| count as usize)),
            }
        }
        _ => Kind::Any,
    };
    (kind, optional)
}

fn names_of(schema: &Value) -> Vec<(String, String)> {
    let names = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), String::new())).collect()
}

/// The JSON schema (draft 7) of configuration files, for editors. The keys of all layouts are allowed in `[data]`: a
/// schema can't say well which of them belong to the modality.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<RunConfig>().to_value();
    let mut keys = serde_json::Map::new();
    let mut types = serde_json::Map::new();
    let generators = [
        SchemaSettings::draft07().into_generator().into_root_schema_for::<TextLayout>(),
        SchemaSettings::draft07().into_generator().into_root_schema_for::<ImageLayout>(),
        SchemaSettings::draft07().into_generator().into_root_schema_for::<AudioLayout>(),
    ];
    for (mut layout, modality) in generators.map(schemars::Schema::to_value).into_iter().zip(MODALITIES) {
        if let Some(definitions) = layout["definitions"].as_object_mut() {
            types.append(definitions);
        }
        for (name, property) in layout["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            property["description"] = json!(format!("{modality}: {}", text_of(&property)));
            match keys.get_mut(name) {
                // Pictures and sound both have channels, not the same ones.
                Some(other) => *other = json!({ "anyOf": [other.take(), property] }),
                None => drop(keys.insert(name.clone(), property)),
            }
        }
    }
    let data = &mut schema["definitions"]["DataConfig"];
    data["additionalProperties"] = json!(false);
    // What a file has to have may stand in the one that it extends.
    data["required"] = json!([]);
    schema["definitions"]["ModelConfig"]["required"] = json!([]);
    schema["required"] = json!([]);
    for (name, property) in keys {
        schema["definitions"]["DataConfig"]["properties"][name] = property;
    }
    for (name, definition) in types {
        schema["definitions"][name] = definition;
    }
    schema
}

/// `extends` is a key of files and of no configuration: [`super::Source`] resolves it.
pub(super) fn add_extends(schema: &mut schemars::Schema) {
    schema.ensure_object()["properties"]["extends"] = json!({
        "type": ["string", "null"],
        "description": "Another configuration, as a path from the folder of this one, whose keys stand where this one \
                        has none. Tables are merged key by key; values and lists replace those of the base.",
    });
}
