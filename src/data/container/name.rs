//! Names of members. They are shown and matched, and never used as paths on disk.

/// A name as it is shown: `/` between its parts, none of which is empty, `.` or `..`; without control characters.
pub(super) fn clean(raw: &str) -> String {
    let parts: Vec<&str> = raw.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | "..")).collect();
    parts.join("/").replace(char::is_control, "\u{fffd}")
}

/// Whether nobody means the file as content: hidden files, and what macOS leaves in archives.
pub(super) fn hidden(name: &str) -> bool {
    name.is_empty() || name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// The name of a member of what is called `outer`, where that has a name.
pub(super) fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", name) | (name, "") => name.to_owned(),
        _ => format!("{outer}/{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        assert_eq!(clean("../../etc/passwd"), "etc/passwd");
        assert_eq!(clean("/a//b/./c.txt"), "a/b/c.txt");
        assert_eq!(clean("a\\b.txt"), "a/b.txt");
        assert_eq!(clean("a\x1b[31m"), "a\u{fffd}[31m");
        assert!(hidden("a/.DS_Store") && hidden("__MACOSX/a") && hidden(&clean("..")));
        assert!(!hidden("a/b.c"));
        assert_eq!([join("", "b"), join("a", ""), join("a", "b")], ["b", "a", "a/b"]);
    }
}
