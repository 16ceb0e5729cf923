//! The layouts of text and of files of any kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What happens to the byte order mark that begins some UTF-8 files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bom {
    /// It stays.
    #[default]
    Keep,
    /// It is left out.
    Strip,
}

/// What happens to the ends of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Newlines {
    /// They stay.
    #[default]
    Keep,
    /// CR LF and a CR alone become LF.
    Lf,
}

/// Text. By default its bytes as they are. A document ends with the end-of-sequence symbol where the model has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextLayout {
    /// What happens to a byte order mark.
    pub bom: Bom,
    /// What happens to the ends of lines.
    pub newlines: Newlines,
    /// The encoding that files are in, by a label of the WHATWG Encoding Standard (`windows-1251`, `utf-16le`); they
    /// become UTF-8. Empty: no encoding is assumed.
    pub encoding: String,
}

impl TextLayout {
    pub(in super::super) fn validate(&self) -> Result<()> {
        if self.encoding.is_empty()
            || encoding_rs::Encoding::for_label_no_replacement(self.encoding.as_bytes()).is_some()
        {
            return Ok(());
        }
        let reason = format!(
            "is `{}`, which names no encoding; expected a label such as `utf-8`, `windows-1251` or `utf-16le`",
            self.encoding
        );
        Err(Error::config("data.encoding", reason))
    }
}

/// Any file, as it is. It ends with the end-of-sequence symbol where the model has one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BytesLayout {}
