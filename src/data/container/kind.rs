//! What a content is, by its first bytes: names lie.

use super::Options;
use super::compressed::Codec;
use super::{idx, tar};
use crate::modality::Modality;

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Compressed(Codec),
    Tar,
    Zip,
    Parquet,
    Idx,
    Npy,
    Table,
}

impl Kind {
    /// The kind that a content begins like, of those that can hold what is asked for.
    pub(super) fn of(head: &[u8], options: &Options) -> Option<Kind> {
        let image = options.modality == Modality::Image;
        if let Some(codec) = Codec::of(head) {
            return Some(Kind::Compressed(codec));
        }
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
            [b'P', b'A', b'R', b'1', ..] => Some(Kind::Parquet),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] if image => Some(Kind::Npy),
            _ if image && idx::begins(head) => Some(Kind::Idx),
            _ if tar::begins(head) => Some(Kind::Tar),
            // Once a column is asked for, nothing is a text by itself.
            [_, ..] if options.modality == Modality::Text && options.column.is_some() => Some(Kind::Table),
            _ => None,
        }
    }

    /// Whether it holds files with names, which `include` and `exclude` are about.
    pub(super) fn holds_files(self) -> bool {
        matches!(self, Kind::Compressed(_) | Kind::Tar | Kind::Zip)
    }
}
