//! numpy's `.npz`: a zip archive of nothing but `.npy` files, one of which holds the pictures.

use super::{Array, LONGEST_HEADER, header_len};
use crate::data::container::content::Source;
use crate::data::container::fence::{Step, broken, fenced};
use crate::data::container::walk::{Place, Walk};
use crate::data::container::zip::{self, Archive};

/// The name of the array of pictures in ImageNet's files.
const USUAL: &str = "data";

/// Whether an archive holds nothing but arrays.
pub(in crate::data::container) fn is_npz(archive: &Archive<'_>) -> bool {
    !archive.is_empty() && archive.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy")))
}

/// Visits the pictures of one array of an `.npz` file: the one of the column's name, else `data`, else the first.
pub(in crate::data::container) fn expand(walk: &mut Walk<'_>, archive: &mut Archive<'_>, place: &Place) -> Step {
    let mut usable = Vec::new();
    let mut others = Vec::new();
    for index in 0..archive.len() {
        let Some(entry) = fenced(|| zip::describe(archive, index))? else { continue };
        let name = entry.name.trim_end_matches(".npy").to_owned();
        let head = zip::start(archive, index, LONGEST_HEADER as u64)?;
        let len = header_len(&head).map_err(|_| "no array".to_owned());
        let parsed = len.and_then(|len| match head.get(..len) {
            Some(header) => Array::parse(header).map_err(|stop| stop.reason()),
            None => Err("its header is cut off".to_owned()),
        });
        match parsed {
            Ok(_) => usable.push((index, name)),
            Err(reason) => others.push(format!("{name} {reason}")),
        }
    }
    let named = |wanted: &str| usable.iter().position(|(_, name)| name == wanted);
    let chosen = match &walk.options.column {
        Some(column) => named(column),
        None => named(USUAL).or((!usable.is_empty()).then_some(0)),
    };
    let Some(chosen) = chosen else {
        let names: Vec<String> = usable.into_iter().map(|(_, name)| format!("{name} is one")).chain(others).collect();
        let which = walk.options.column.as_ref().map_or(String::new(), |column| format!(" `{column}`"));
        return broken(format!("has no array of pictures{which}: {}", names.join("; ")));
    };
    let (index, name) = usable.remove(chosen);
    for (_, name) in usable {
        walk.skip(place.join(&name), "is another array: data.column chooses")?;
    }
    let budget = walk.budget;
    let mut entry = budget.meter(fenced(|| Ok(archive.by_index(index)?))?);
    let inside = place.inner(&name);
    super::expand(walk, Source::stream(&mut entry, None), &inside)
}
