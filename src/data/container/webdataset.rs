//! WebDataset: consecutive members of a tar archive whose paths are the same up to the first dot of the file name are
//! one sample, as in `17.jpg`, `17.cls`, `17.json`. The parts that are of the modality, by content, are records; the
//! others are about them. An archive of plain pictures is the same, with samples of one part.

use super::fence::Step;
use super::walk::{Opened, Place, Walk};

/// The sample that is being read.
#[derive(Default)]
pub(super) struct Samples {
    key: String,
    /// Whether a part was used, or nobody asked for the sample.
    settled: bool,
    /// The first part that is not of the modality, with what it looks like.
    foreign: Option<(String, String)>,
}

impl Samples {
    /// A member comes: where it belongs to another sample, the one before is over.
    pub(super) fn begin(&mut self, walk: &mut Walk<'_>, name: &str, place: &Place) -> Step {
        let key = key(name);
        if key != self.key {
            self.end(walk, place)?;
            self.key = key.to_owned();
        }
        Ok(())
    }

    /// What became of the member.
    pub(super) fn add(&mut self, name: &str, opened: Opened) {
        match opened {
            Opened::Foreign(looks) if self.foreign.is_none() => self.foreign = Some((name.to_owned(), looks)),
            Opened::Used => self.settled = true,
            _ => {}
        }
    }

    /// No more members of this sample come: it is told where nothing of it could be used.
    pub(super) fn end(&mut self, walk: &mut Walk<'_>, place: &Place) -> Step {
        let sample = std::mem::take(self);
        let Some((name, looks)) = sample.foreign.filter(|_| !sample.settled) else { return Ok(()) };
        let modality = walk.options.modality;
        let file = name.rsplit('/').next().unwrap_or(&name);
        walk.skip(place.join(&sample.key), format!("holds no {modality}: {file} {looks}"))
    }
}

/// The path up to the first dot of the file name.
fn key(name: &str) -> &str {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    name[file..].find('.').map_or(name, |dot| &name[..file + dot])
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_sample_is_named_up_to_the_first_dot() {
        assert_eq!(key("a.b/17.seg.png"), "a.b/17");
        assert_eq!(key("17.cls"), "17");
        assert_eq!(key("a.b/17"), "a.b/17");
    }
}
