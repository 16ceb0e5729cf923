//! Files that were cut off or changed: whatever is found before the damage was in the whole file, and nothing panics.

use megabyte::data::container::{Expanded, Options};
use megabyte::modality::Modality;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use zip::CompressionMethod::Deflated;

use crate::arrays::{idx, noise, npy};
use crate::tables::parquet;
use crate::{gz, open, options, png, tar, zip};

/// A small file of every kind.
fn files() -> Vec<(&'static str, Vec<u8>, Options)> {
    let text = options(Modality::Text);
    let image = options(Modality::Image);
    let lines = Options { column: Some("text".to_owned()), ..text.clone() };
    let members: [(&str, &[u8]); 3] = [("a", b"one"), ("b", b"two two two"), ("c/d", b"three")];
    let pictures = noise(4 * 25);
    let array = npy("|u1", false, "(4, 5, 5)", &pictures);
    let cifar: Vec<u8> = (0..2).flat_map(|_| [vec![3], noise(3072)].concat()).collect();
    let rows: Vec<Option<&[u8]>> = vec![Some(b"one"), None, Some(b"two"), Some(b"three")];
    let schema = "message schema { optional binary text (UTF8); }";
    let zst = zstd::encode_all(&b"{\"text\": \"one\"}\n{\"text\": \"two\"}\n"[..], 3).unwrap();
    vec![
        ("gz", gz(b"a document"), text.clone()),
        ("tar", tar(&members), text.clone()),
        ("tar.gz", gz(&tar(&members)), text.clone()),
        ("zip", zip(&members, Deflated), text.clone()),
        ("zip in tar", tar(&[("a", b"1"), ("b.zip", &zip(&members, Deflated))]), text.clone()),
        ("samples", tar(&[("a.png", &png(b"1")), ("a.cls", b"2"), ("b.png", &png(b"3"))]), image.clone()),
        ("idx", idx(&[4, 5, 5], &pictures), image.clone()),
        ("npy", array.clone(), image.clone()),
        ("npy in Fortran order", npy("|u1", true, "(4, 5, 5)", &pictures), image.clone()),
        ("npz", zip(&[("data.npy", &array)], Deflated), image.clone()),
        ("cifar", cifar, image),
        ("parquet", parquet(schema, &[&rows], 2, WriterProperties::default()), text.clone()),
        ("jsonl.zst", zst, lines),
    ]
}

#[test]
fn cut_at_every_length() {
    for (kind, file, options) in files() {
        let whole = open(&file, &options);
        assert_eq!(whole.end, Expanded::Done, "{kind}");
        assert!(!whole.records.is_empty(), "{kind}");
        for len in 0..file.len() {
            let cut = open(&file[..len], &options);
            assert!(whole.records.starts_with(&cut.records), "{kind} cut to {len}: {:?}", cut.records);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn changed_anywhere(which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        thread_local!(static FILES: Vec<(&'static str, Vec<u8>, Options)> = files());
        FILES.with(|files| {
            let (_, file, options) = which.get(files);
            let mut file = file.clone();
            for (place, byte) in changes {
                let place = place.index(file.len());
                file[place] = byte;
            }
            // Whatever it says, it ends, and without a panic that leaves it.
            open(&file, options);
        });
    }
}
