//! Which modality a file is of, by its first bytes.

use crate::modality::Modality;

/// What a file looks like.
pub(super) struct Detected {
    /// For messages: "looks like …".
    pub name: &'static str,
    /// Where it is a picture or a recording.
    pub modality: Option<Modality>,
}

/// Looks at the first bytes of a file.
pub(super) fn detect(head: &[u8]) -> Detected {
    let at = |offset: usize, mark: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(mark));
    let is = |name, modality| Detected { name, modality };
    let image = at(0, b"\x89PNG")
        || at(0, b"\xff\xd8\xff")
        || at(0, b"GIF8")
        || at(0, b"BM") && at(6, b"\0\0\0\0")
        || at(0, b"II*\0")
        || at(0, b"MM\0*")
        || at(0, b"RIFF") && at(8, b"WEBP")
        || matches!(head, [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..]);
    let audio = at(0, b"RIFF") && at(8, b"WAVE")
        || at(0, b"RF64")
        || at(0, b"fLaC")
        || at(0, b"OggS")
        || at(0, b"ID3")
        || at(4, b"ftyp")
        || at(0, b"FORM") && at(8, b"AIF")
        || at(0, b"caff")
        || at(0, b".snd")
        || matches!(head, [0xff, second, ..] if second & 0xf6 == 0xf0 || second & 0xe6 == 0xe2);
    if image {
        is("a picture", Some(Modality::Image))
    } else if audio {
        is("a sound file", Some(Modality::Audio))
    } else if head.is_empty() {
        is("an empty file", None)
    } else if std::str::from_utf8(&head[..head.len().min(64)]).is_ok_and(|start| !start.contains('\0')) {
        is("text", None)
    } else {
        is("no format that is known here", None)
    }
}
