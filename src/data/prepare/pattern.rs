//! Which files are used, by patterns of their names.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{Error, Result};

/// What `data.include` and `data.exclude` say. A pattern without `/` is matched on the last part of a name, any other on
/// the whole of it; `*` stays inside a part, `**` goes through folders.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    /// `None`: everything.
    pub include: Option<GlobSet>,
    pub exclude: Option<GlobSet>,
}

impl Patterns {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        Ok(Patterns { include: set("data.include", include)?, exclude: set("data.exclude", exclude)? })
    }

    /// Whether `exclude` matches.
    pub(super) fn leaves_out(&self, name: &str) -> bool {
        self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
    }

    /// Whether `include` matches, or there is none.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
    }
}

/// Whether a name matches one of the patterns, which are read as those of `data.include`; `key` is for the error.
pub fn matches(key: &str, patterns: &[String]) -> Result<impl Fn(&str) -> bool + use<>> {
    let set = set(key, patterns)?;
    Ok(move |name: &str| set.as_ref().is_some_and(|set| set.is_match(name)))
}

fn set(key: &str, patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let refused = |error: globset::Error| Error::config(key, format!("has a pattern that can't be read: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        set.add(GlobBuilder::new(&anywhere).literal_separator(true).build().map_err(refused)?);
    }
    set.build().map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_or_paths() {
        let patterns = |include: &[&str], exclude: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
            Patterns::new(&owned(include), &owned(exclude))
        };
        let all = patterns(&[], &[]).unwrap();
        assert!(all.takes("a/b.c") && !all.leaves_out("a/b.c"));
        let some = patterns(&["*.txt", "docs/**/*.md"], &["draft*", "old/**"]).unwrap();
        assert!(some.takes("a.txt") && some.takes("deep/er/a.txt") && some.takes("docs/x/y.md"));
        assert!(!some.takes("a.md") && !some.takes("other/docs/x.md"));
        assert!(some.leaves_out("a/draft 1.txt") && some.leaves_out("old/a/b.txt") && !some.leaves_out("a/old/b.txt"));
        let error = patterns(&[], &["a[b"]).unwrap_err().to_string();
        assert!(error.contains("data.exclude") && error.contains("a[b"), "{error}");
    }
}
