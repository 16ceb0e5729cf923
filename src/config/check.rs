//! What was typed against the keys that there are: names, types, and what is missing. What the values mean together is
//! checked where they are used.

use toml::{Table, Value};

use super::keys::{Key, Kind, MODALITIES, any_of, layout, root};
use crate::{Error, Result};

/// How alike (Jaro-Winkler) a name has to be to be meant: in its own section, and in another one.
const ALIKE: f64 = 0.8;
const ALIKE_ELSEWHERE: f64 = 0.9;

/// What other programs call some of the keys.
const KNOWN_AS: [(&str, &[&str]); 12] = [
    ("lr", &["learning_rate", "max_lr", "base_lr"]),
    ("max_steps", &["steps", "iterations", "max_iters", "num_steps", "train_steps", "epochs"]),
    ("warmup_steps", &["warmup", "warmup_iters"]),
    ("bytes_per_step", &["batch_size", "global_batch_size", "batch", "tokens_per_step"]),
    ("micro_batch", &["micro_batch_size", "device_batch_size", "gradient_accumulation_steps"]),
    ("clip", &["grad_clip", "gradient_clip", "max_grad_norm"]),
    ("dtype", &["precision", "amp"]),
    ("context", &["seq_len", "sequence_length", "block_size", "max_seq_len", "context_length"]),
    ("unit", &["patch_size", "patch"]),
    ("n_embd", &["dim", "d_model", "hidden_size", "width"]),
    ("n_layer", &["depth", "layers", "num_layers"]),
    ("n_head", &["heads", "num_heads"]),
];

/// Checks a configuration; the error names the first dotted key that can't be read, and what may have been meant.
pub(super) fn whole(table: &Table) -> Result<()> {
    section(table, &root().iter().collect::<Vec<_>>(), "")
}

/// Checks a table with the keys of `[data]`, among them those of its modality's layout, which stands at `path`.
pub(super) fn data(value: &Value, path: &str) -> Result<()> {
    let Value::Table(table) = value else {
        return Err(Error::config(path, format!("is {value}, expected a section")));
    };
    let mut keys: Vec<&Key> = data_keys().iter().collect();
    // First the modality, which says what the other keys can be.
    if let Some(key) = keys.iter().find(|key| key.name == "modality") {
        let name = format!("{path}.modality");
        let modality = table.get("modality").ok_or_else(|| missing(&name, key))?;
        check(modality, &key.kind, &name)?;
        let modality = MODALITIES.into_iter().find(|other| modality.as_str() == Some(other.name()));
        keys.extend(modality.map_or(&[][..], layout));
    }
    section(table, &keys, path)
}

fn data_keys() -> &'static [Key] {
    match root().iter().find(|key| key.name == "data") {
        Some(Key { kind: Kind::Section(keys), .. }) => keys,
        _ => &[],
    }
}

fn section(table: &Table, keys: &[&Key], path: &str) -> Result<()> {
    let dotted = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    // Names before values: a value may be wrong because of a name.
    if let Some(name) = table.keys().find(|name| keys.iter().all(|key| key.name != **name)) {
        return Err(unknown(name, &dotted(name), table, keys, path));
    }
    for key in keys {
        match table.get(&key.name) {
            Some(value) => check(value, &key.kind, &dotted(&key.name))?,
            None if key.required => return Err(missing(&dotted(&key.name), key)),
            None => {}
        }
    }
    Ok(())
}

fn missing(path: &str, key: &Key) -> Error {
    let about = if key.about.is_empty() { key.kind.values() } else { key.about.clone() };
    Error::config(path, format!("is missing. {about}"))
}

fn check(value: &Value, kind: &Kind, path: &str) -> Result<()> {
    let fits = match (kind, value) {
        (Kind::Section(_), _) if path == "data" => return data(value, path),
        (Kind::Section(keys), Value::Table(table)) => return section(table, &keys.iter().collect::<Vec<_>>(), path),
        (Kind::Sections(_) | Kind::Data, Value::Array(items)) if items.iter().all(Value::is_table) => {
            return items.iter().enumerate().try_for_each(|(index, item)| {
                let path = format!("{path}.{index}");
                match (kind, item) {
                    (Kind::Sections(keys), Value::Table(table)) => {
                        section(table, &keys.iter().collect::<Vec<_>>(), &path)
                    }
                    _ => data(item, &path),
                }
            });
        }
        (Kind::Sections(_) | Kind::Data, _) => {
            return Err(Error::config(path, format!("is no list of tables: write [[{path}]] above each")));
        }
        (Kind::Whole(least, most), Value::Integer(number)) => (least..=most).contains(&number),
        (Kind::Number, Value::Float(_) | Value::Integer(_)) => true,
        (Kind::Switch, Value::Boolean(_)) => true,
        (Kind::Text, Value::String(_)) => true,
        (Kind::Choice(choices), Value::String(name)) => choices.iter().any(|(choice, _)| choice == name),
        (Kind::List(inner, count), Value::Array(items)) if count.is_none_or(|count| items.len() == count) => {
            let mut items = items.iter().enumerate();
            return items.try_for_each(|(index, item)| check(item, inner, &format!("{path}.{index}")));
        }
        (Kind::Either(kinds), _) => kinds.iter().any(|kind| check(value, kind, path).is_ok()),
        (Kind::Any, _) => true,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let mut reason = match (kind, value) {
        (Kind::Whole(least, i64::MAX), Value::Integer(_)) => format!("is {value}, allowed is {least} or more"),
        (Kind::Whole(least, most), Value::Integer(_)) => format!("is {value}, allowed is {least} to {most}"),
        _ => format!("is {value}, expected {}", kind.values().replace('`', "")),
    };
    if let (Kind::Choice(choices), Value::String(name)) = (kind, value)
        && let Some(near) = nearest(name, choices.iter().map(|(choice, _)| choice.as_str()), ALIKE)
    {
        reason.push_str(&format!("; did you mean \"{near}\"?"));
    }
    Err(Error::config(path, reason))
}

/// The error of a name that is none of the keys of its section.
fn unknown(name: &str, dotted: &str, table: &Table, keys: &[&Key], path: &str) -> Error {
    let place = match path {
        "" => "the top of a configuration".to_owned(),
        // An item of a list of tables.
        _ => match path.rsplit_once('.').filter(|(_, last)| last.parse::<usize>().is_ok()) {
            Some((list, _)) => format!("[[{list}]]"),
            None => format!("[{path}]"),
        },
    };
    let said = format!("is no key of {place}");
    // The right name in the wrong place.
    let modality = table.get("modality").and_then(Value::as_str);
    let of_layouts: Vec<String> = MODALITIES
        .into_iter()
        .filter(|other| modality.is_some() && layout(*other).iter().any(|key| key.name == name))
        .map(|other| format!("\"{other}\""))
        .collect();
    if let (false, Some(modality)) = (of_layouts.is_empty(), modality) {
        let others = any_of(&of_layouts);
        return Error::config(dotted, format!("is a key of {others}, and the modality here is \"{modality}\""));
    }
    let everywhere = everywhere();
    let ends_so = |key: &&String| key.rsplit('.').next() == Some(name);
    let exactly: Vec<String> = everywhere.iter().filter(ends_so).map(|key| format!("`{key}`")).collect();
    if !exactly.is_empty() {
        return Error::config(dotted, format!("{said}; it belongs elsewhere: {}", any_of(&exactly)));
    }
    // The name that it has elsewhere, or a wrong name, in the right place or in another one.
    let known_as = KNOWN_AS.iter().find(|(_, others)| others.contains(&name)).and_then(|(key, _)| {
        let here = keys.iter().any(|other| other.name == *key && !path.is_empty()).then(|| format!("{path}.{key}"));
        here.or_else(|| everywhere.iter().find(|dotted| dotted.rsplit('.').next() == Some(key)).cloned())
    });
    let near = nearest(name, keys.iter().map(|key| key.name.as_str()), ALIKE).map(|near| match path {
        "" => near.to_owned(),
        _ => format!("{path}.{near}"),
    });
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = everywhere.iter().map(|key| last(key)).collect();
    let near = known_as.or(near).or_else(|| {
        let near = nearest(name, lasts.iter().map(String::as_str), ALIKE_ELSEWHERE)?;
        everywhere.iter().find(|key| last(key) == near).cloned()
    });
    if let Some(near) = near {
        return Error::config(dotted, format!("{said}; did you mean `{near}`?"));
    }
    let names: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
    Error::config(dotted, format!("{said}, which has {}", names.join(", ")))
}

/// The dotted names of all keys and sections.
fn everywhere() -> Vec<String> {
    fn walk(keys: &[Key], prefix: &str, names: &mut Vec<String>) {
        for key in keys {
            let dotted = format!("{prefix}{}", key.name);
            match &key.kind {
                Kind::Section(inner) => walk(inner, &format!("{dotted}."), names),
                Kind::Sections(inner) => walk(inner, &format!("{dotted}.N."), names),
                _ => {}
            }
            names.push(dotted);
        }
    }
    let mut names = Vec::new();
    walk(root(), "", &mut names);
    for modality in MODALITIES {
        walk(layout(modality), "data.", &mut names);
    }
    names.sort();
    names.dedup();
    names
}

/// The most alike of some names, if any is alike enough.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>, least: f64) -> Option<&'a str> {
    let alike = names.map(|other| (strsim::jaro_winkler(name, other), other)).filter(|(alike, _)| *alike >= least);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other)
}
