//! How results leave: standard output, and files that replace nothing unasked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use megabyte::Error;
use serde::Serialize;

/// Prints a line of results. A reader that has gone away is an error that `main` takes for success.
pub fn print(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Prints one JSON object.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Refuses a path that something stands at, unless forced.
pub fn check_free(path: &Path, force: bool) -> anyhow::Result<()> {
    if !force && path.exists() && fs::read_dir(path).map_or(true, |mut entries| entries.next().is_some()) {
        bail!("{}: is there already; choose another path or add --force", path.display());
    }
    Ok(())
}

/// Refuses to write two results to one file, or one to a file that is read; each path has the name of its flag.
pub fn check_distinct(results: &[(&str, Option<&Path>)], inputs: &[(&str, &[PathBuf])]) -> anyhow::Result<()> {
    let results = results.iter().filter_map(|&(flag, path)| Some((flag, path?)));
    let inputs = inputs.iter().flat_map(|&(flag, paths)| paths.iter().map(move |path| (flag, path.as_path())));
    let mut known: Vec<_> = inputs.map(|(flag, path)| (flag, whole(path))).collect();
    for (flag, path) in results {
        let place = whole(path);
        if let Some((other, _)) = known.iter().find(|(_, known)| *known == place) {
            bail!(Error::Usage(format!("{flag} {}: is the path of {other} too", path.display())));
        }
        known.push((flag, place));
    }
    Ok(())
}

/// A path without links and dots, also where no file is there yet.
pub fn whole(path: &Path) -> PathBuf {
    let folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(folder).or_else(|| std::path::absolute(path).ok()).unwrap_or(path.to_owned())
}

/// Writes a file beside and renames it into place.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("{}", folder.display()))?;
    let context = || format!("{}", path.display());
    file.write_all(content).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    // A temporary file is private; what a user asked for has the usual mode.
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).with_context(context)?;
    file.persist(path).map_err(|error| error.error).with_context(context)?;
    Ok(())
}

/// A rate for people: 12.3 kB/s.
pub fn rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        rate if rate >= 1e6 => format!("{:.2} MB/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} kB/s", rate / 1e3),
        rate => format!("{rate:.0} B/s"),
    }
}
