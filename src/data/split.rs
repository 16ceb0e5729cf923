//! Which content is trained on, and which is held out.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::modality::Layout;
use crate::{Error, Result};

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Held out, to choose settings and checkpoints by.
    Valid,
    /// Held out, looked at once, for the numbers that are reported.
    Test,
}

impl Split {
    /// All splits, in the order in which they stand in files and tables.
    pub const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

    /// The name in files, folders and flags.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }

    /// The split of content with this BLAKE3 hash: 90 % train, 5 % valid, 5 % test. It depends on nothing else, so
    /// content stays where it is when files are added, moved or renamed.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *hash;
        match u64::from_le_bytes([a, b, c, d, e, f, g, h]) % 100 {
            0..90 => Split::Train,
            90..95 => Split::Valid,
            _ => Split::Test,
        }
    }
}

impl Split {
    /// The split that the first folder of a path gives it: `train`, `valid` or `test`, or one of the other names that
    /// data sets use for these, in capitals or not.
    pub(super) fn of_name(path: &str) -> Option<Self> {
        let (first, _) = path.split_once('/')?;
        match first.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "valid" | "validation" | "val" | "dev" => Some(Split::Valid),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| Error::Usage(format!("`{name}` is no split: expected `train`, `valid` or `test`")))
    }
}

/// Cuts a document of `len` bytes, in order, into 90 % train, 5 % valid and 5 % test (the convention of enwik8), where
/// the layout can be cut and the document is longer than `cut_over` (0: never). Pieces without bytes are left out.
///
/// Where documents are so few that some split would have none, `few` has shorter ones cut too, but for those of which some
/// split would have no byte.
pub(super) fn cut(len: u64, layout: &Layout, cut_over: u64, few: bool) -> Option<Vec<(Split, Range<u64>)>> {
    let unit = layout.cut_unit()? as u64;
    if cut_over == 0 || len <= cut_over && !few {
        return None;
    }
    let at = |percent: u128| (u128::from(len) * percent / 100) as u64 / unit * unit;
    let (valid, test) = (at(90), at(95));
    let mut pieces = vec![(Split::Train, 0..valid), (Split::Valid, valid..test), (Split::Test, test..len)];
    pieces.retain(|(_, range)| !range.is_empty());
    (len > cut_over || pieces.len() == Split::ALL.len()).then_some(pieces)
}
