//! What of a configuration may change while a run goes on.

use toml::{Table, Value};

use super::RunConfig;
use super::keys::shown;

/// A key that two configurations have different values of.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// Its value in the first, if it has one.
    pub from: Option<Value>,
    /// Its value in the second, if it has one.
    pub to: Option<Value>,
    /// Whether batches are drawn from several data sets, `[[data.mix]]`.
    mixed: bool,
}

/// The keys whose values differ, in the order of their names.
pub fn changes(from: &RunConfig, to: &RunConfig) -> Vec<Change> {
    let mut changes = Vec::new();
    let table = |config: &RunConfig| Table::try_from(config).ok().map(Value::Table);
    compare(String::new(), table(from).as_ref(), table(to).as_ref(), &mut changes);
    let mixed = !from.data.mix.is_empty();
    changes.into_iter().map(|change| Change { mixed, ..change }).collect()
}

fn compare(key: String, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    if from == to {
        return;
    }
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    let tables = |value: Option<&Value>| match value {
        Some(Value::Array(items)) => items.first().is_some_and(Value::is_table),
        other => other.is_none_or(Value::is_table),
    };
    match (from, to) {
        (Some(Value::Table(_)), _) | (_, Some(Value::Table(_))) if tables(from) && tables(to) => {
            let names = |value: Option<&Value>| value.and_then(Value::as_table).cloned().unwrap_or_default();
            let mut all = names(from);
            all.extend(names(to));
            for name in all.keys() {
                let of = |value: Option<&Value>| value.and_then(|value| value.get(name)).cloned();
                compare(inner(name), of(from).as_ref(), of(to).as_ref(), changes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if tables(from) && tables(to) => {
            for index in 0..a.len().max(b.len()) {
                compare(inner(&index.to_string()), a.get(index), b.get(index), changes);
            }
        }
        _ => changes.push(Change { key, from: from.cloned(), to: to.cloned(), mixed: false }),
    }
}

impl Change {
    /// Why a run can't go on with this change, where it can't.
    pub fn refused(&self) -> Option<&'static str> {
        let parts: Vec<&str> = self.key.split('.').collect();
        match parts[..] {
            ["model", "dropout"] => None,
            ["model", ..] => Some("the tensors of the checkpoint are of this model"),
            ["data", "sources"] | ["data", "mix", _, "sources"] => None,
            ["data", "limits", ..] | ["data", "mix", _, "limits", ..] => None,
            ["data", ..] => Some("the checkpoint names a place in the data as it is with this"),
            ["train", "seed"] => Some("it decides the order of the data"),
            ["train", "bytes_per_step"] => Some("the checkpoint names a place in the data by steps of this size"),
            ["train", "micro_batch"] if self.mixed => {
                Some("each batch of this size is from one of the data sets of data.mix")
            }
            ["train", "optimizer"] => Some("the checkpoint has the state of the other optimizer"),
            ["train", "init_from"] => Some("it says what the run began with"),
            ["train", "freeze_levels"] => Some("the checkpoint has an optimizer's state for the levels that learn"),
            // The decay may change, but an average can't begin on the way, nor end.
            ["train", "ema"] if is_off(self.from.as_ref()) != is_off(self.to.as_ref()) => {
                Some("the checkpoint has an average of the weights only where the run began with one")
            }
            _ => None,
        }
    }
}

fn is_off(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Float(number)) => *number == 0.0,
        Some(Value::Integer(number)) => *number == 0,
        Some(Value::Boolean(on)) => !on,
        other => other.is_none(),
    }
}

impl std::fmt::Display for Change {
    /// `train.lr: 0.001 -> 0.0005`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |value: &Option<Value>| value.as_ref().map_or("unset".to_owned(), shown);
        write!(f, "{}: {} -> {}", self.key, said(&self.from), said(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn config(more: &str) -> RunConfig {
        let text = "[data]\nmodality = \"image\"\n[model]\ncontext = 12288\n";
        let levels = "[[model.level]]\nunit = 48\nn_embd = 96\nn_layer = 1\nn_head = 2\n[[model.level]]\nunit = 1\nn_embd = 16\nn_layer = 1\nn_head = 2\n";
        let mut config: Table = toml::from_str(&format!("{text}{levels}")).unwrap();
        let more: Table = toml::from_str(more).unwrap();
        for (section, keys) in more {
            let place = config.entry(section).or_insert_with(|| Value::Table(Table::new()));
            place.as_table_mut().unwrap().extend(keys.as_table().unwrap().clone());
        }
        RunConfig::deserialize(config).unwrap()
    }

    #[test]
    fn differences_are_told_key_by_key() {
        let from = config("[train]\nlr = 0.001\n");
        let mut to = config("[train]\nlr = 0.0005\nbetas = [0.9, 0.95]\n[data]\nwidth = 32\ncolumn = \"a\"\n");
        to.model.levels[1].n_layer = 2;
        to.model.levels.push(to.model.levels[0].clone());
        let told: Vec<String> = changes(&from, &to).iter().map(Change::to_string).collect();
        let expected = [
            "data.column: unset -> \"a\"",
            "data.width: unset -> 32",
            "model.level.1.n_layer: 1 -> 2",
            "model.level.2.n_embd: unset -> 96",
            "model.level.2.n_head: unset -> 2",
            "model.level.2.n_layer: unset -> 1",
            "model.level.2.unit: unset -> 48",
            "train.betas: [0.9, 0.98] -> [0.9, 0.95]",
            "train.lr: 0.001 -> 0.0005",
        ];
        assert_eq!(told, expected);
        assert!(changes(&from, &from).is_empty());
    }

    #[test]
    fn what_a_checkpoint_is_made_of_can_not_change() {
        let change = |key: &str, from: Option<Value>, to: Option<Value>| {
            Change { key: key.to_owned(), from, to, mixed: false }.refused().is_some()
        };
        let any = |key: &str| change(key, Some(1.into()), Some(2.into()));
        for key in [
            "model.level.0.unit",
            "model.context",
            "model.norm_eps",
            "data.modality",
            "data.width",
            "data.cut_over",
            "data.mix.0.rate",
            "train.seed",
            "train.bytes_per_step",
            "train.optimizer",
            "train.freeze_levels",
            "train.init_from",
        ] {
            assert!(any(key), "{key}");
        }
        for key in [
            "model.dropout",
            "data.sources",
            "data.mix.0.sources",
            "data.limits.max_pixels",
            "train.lr",
            "train.micro_batch",
        ] {
            assert!(!any(key), "{key}");
        }
        // A batch of several data sets' is of one of them, whatever its size.
        let mix = "[data]\nwidth = 64\n[[data.mix]]\nmodality = \"image\"\n";
        for (more, refused) in [("", false), (mix, true)] {
            let from = config(more);
            let mut to = from.clone();
            to.train.micro_batch = 2;
            let [change] = &changes(&from, &to)[..] else { panic!("one key differs") };
            assert_eq!((change.key.as_str(), change.refused().is_some()), ("train.micro_batch", refused));
        }
        let number = |value: f64| Some(Value::Float(value));
        assert!(change("train.ema", number(0.0), number(0.99)) && change("train.ema", number(0.99), None));
        assert!(!change("train.ema", number(0.9), number(0.99)) && !change("train.ema", None, number(0.0)));
    }
}
