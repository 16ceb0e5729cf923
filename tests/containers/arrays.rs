use megabyte::data::container::Expanded;
use megabyte::modality::Modality;
use proptest::prelude::*;
use zip::CompressionMethod::{Deflated, Stored};

use crate::{gz, named, open, options, tar, zip};

/// The picture as PNM, from a function of row, column and channel.
fn pnm(width: usize, height: usize, channels: usize, at: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut file = format!("P{}\n{width} {height}\n255\n", if channels == 1 { 5 } else { 6 }).into_bytes();
    for y in 0..height {
        for x in 0..width {
            file.extend((0..channels).map(|c| at(y, x, c)));
        }
    }
    file
}

fn rows(pictures: Vec<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    pictures.into_iter().enumerate().map(|(row, picture)| (format!("row {row}"), picture)).collect()
}

/// An IDX file of unsigned bytes.
pub fn idx(dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend_from_slice(data);
    file
}

/// An `.npy` file, as numpy writes it.
pub fn npy(kind: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend_from_slice(data);
    file
}

/// Bytes that follow no rule a mistake could follow too.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pictures_in_any_order_of_bytes(n in 1..6_usize, h in 1..9_usize, w in 4..9_usize, color: bool) {
        let c = if color { 3 } else { 1 };
        let data = noise(n * h * w * c);
        let interleaved = |i: usize| { let data = data.clone(); move |y: usize, x: usize, k: usize| data[((i * h + y) * w + x) * c + k] };
        let planar = |i: usize| { let data = data.clone(); move |y: usize, x: usize, k: usize| data[((i * c + k) * h + y) * w + x] };
        let last = rows((0..n).map(|i| pnm(w, h, c, interleaved(i))).collect());
        let first = rows((0..n).map(|i| pnm(w, h, c, planar(i))).collect());
        let image = options(Modality::Image);

        let sizes: Vec<u32> = [n, h, w].iter().map(|&size| size as u32).collect();
        let file = if color { idx(&[&sizes[..], &[3]].concat(), &data) } else { idx(&sizes, &data) };
        prop_assert_eq!(open(&file, &image).whole(), last.clone());
        prop_assert_eq!(open(&gz(&file), &image).whole(), last.clone());
        prop_assert_eq!(open(&npy("|u1", false, &format!("({n}, {h}, {w}, {c})"), &data), &image).whole(), last.clone());
        // Heights of 1 and 3 read as channels too, and channels last is tried first.
        prop_assert_eq!(open(&npy("|u1", false, &format!("({n}, {c}, {h}, {w})"), &data), &image).whole(), first);

        // The first index varies fastest: byte n + N * (y + H * (x + W * c)).
        let mut fortran = vec![0; data.len()];
        for (place, &byte) in data.iter().enumerate() {
            let (k, x, y, i) = (place % c, place / c % w, place / c / w % h, place / c / w / h);
            fortran[i + n * (y + h * (x + w * k))] = byte;
        }
        prop_assert_eq!(open(&npy("|u1", true, &format!("({n}, {h}, {w}, {c})"), &fortran), &image).whole(), last);
    }
}

#[test]
fn rows_of_an_array_are_squares() {
    let data = noise(2 * 3 * 16);
    let expected = rows((0..2).map(|i| pnm(4, 4, 3, |y, x, c| data[i * 48 + c * 16 + y * 4 + x])).collect());
    let file = npy("|u1", false, "(2, 48)", &data);
    assert_eq!(open(&file, &options(Modality::Image)).whole(), expected);
    // In a sample of a tar archive, too.
    let found = open(&tar(&[("a.npy", &file)]), &options(Modality::Image)).whole();
    assert_eq!(found[1], ("a.npy/row 1".to_owned(), expected[1].1.clone()));
}

#[test]
fn an_npz_has_one_array_of_pictures() {
    let (small, large) = (noise(2 * 16), noise(3 * 25));
    let image = options(Modality::Image);
    let first = npy("|u1", false, "(2, 4, 4)", &small);
    let second = npy("|u1", false, "(3, 5, 5)", &large);
    let labels = npy("<i8", false, "(3,)", &[0; 24]);
    for method in [Stored, Deflated] {
        let file = zip(&[("labels.npy", &labels), ("data.npy", &second), ("mean.npy", &labels)], method);
        let found = open(&file, &image).whole();
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], ("data/row 2".to_owned(), pnm(5, 5, 1, |y, x, _| large[50 + y * 5 + x])));

        let file = zip(&[("x_test.npy", &first), ("x_train.npy", &second), ("y.npy", &labels)], method);
        let found = open(&file, &image);
        assert_eq!((found.records.len(), found.skipped.len()), (2, 1));
        assert_eq!(found.skipped[0], ("x_train".to_owned(), "is another array: data.column chooses".to_owned()));
        let mut chosen = image.clone();
        chosen.column = Some("x_train".to_owned());
        assert_eq!(open(&file, &chosen).records[2].0, "x_train/row 2");
        chosen.column = Some("z".to_owned());
        let found = open(&file, &chosen);
        assert!(found.broken().contains("`z`") && found.broken().contains("x_train is one"), "{found:?}");
    }
    // As text it is an archive of files.
    assert_eq!(open(&zip(&[("a.npy", &first)], Stored), &options(Modality::Text)).whole()[0].1, first);
}

#[test]
fn arrays_that_are_no_pictures_are_refused_by_name() {
    let cases = [
        ("<f4", "(2, 4, 4)", "'<f4', not unsigned bytes"),
        ("|i1", "(2, 4, 4)", "'|i1', not"),
        ("|u1", "(7,)", "shape [7]"),
        ("|u1", "(2, 4, 4, 2)", "shape [2, 4, 4, 2]"),
        ("|u1", "()", "shape []"),
        ("|u1", "(1, 99999999999, 99999999999)", "shape"),
        ("|u1", "(99999999999999999999999, 2, 2)", "u64"),
        ("|O", "(2, 4, 4)", "'|O'"),
    ];
    for (kind, shape, reason) in cases {
        let found = open(&npy(kind, false, shape, &[0; 64]), &options(Modality::Image));
        assert!(found.broken().contains(reason), "{kind} {shape}: {found:?}");
        assert_eq!(found.records, []);
    }
}

#[test]
fn labels_of_idx_are_known_and_not_used() {
    let found = open(&gz(&idx(&[5], &[1, 2, 3, 4, 5])), &options(Modality::Image));
    assert_eq!(found.end, Expanded::Done);
    assert_eq!(found.skipped, [(String::new(), "holds labels, not pictures".to_owned())]);
    // The same bytes as text are a document.
    assert_eq!(open(&idx(&[1], b"a"), &options(Modality::Text)).end, Expanded::NotAContainer);
}

#[test]
fn cifar_is_known_by_its_labels() {
    let image = options(Modality::Image);
    for labels in [&[9][..], &[19, 99]] {
        let pictures: Vec<Vec<u8>> = (0..3).map(|i| noise(3072 + i)[i..].to_vec()).collect();
        let file: Vec<u8> = pictures.iter().flat_map(|picture| [labels, picture.as_slice()].concat()).collect();
        let at = |i: usize| {
            let picture = pictures[i].clone();
            move |y: usize, x: usize, c: usize| picture[c * 1024 + y * 32 + x]
        };
        let expected = rows((0..3).map(|i| pnm(32, 32, 3, at(i))).collect());
        assert_eq!(open(&file, &image).whole(), expected);
        let found = open(&gz(&tar(&[("b/data_1.bin", &file), ("b/batches.meta.txt", b"cat\n")])), &image);
        assert_eq!(found.records[2], ("b/data_1.bin/row 2".to_owned(), expected[2].1.clone()));
        assert_eq!(found.skipped.len(), 1);

        let mut other = file.clone();
        other[2 * (labels.len() + 3072)] = labels[0] + 1;
        assert_eq!(open(&other, &image).end, Expanded::NotAContainer);
        assert_eq!(open(&file[1..], &image).end, Expanded::NotAContainer);
    }
}

#[test]
fn a_sheet_has_a_picture_in_each_row() {
    let mut image = options(Modality::Image);
    image.sheet = Some((4, 3));
    let data = noise(12 * 5 * 3);
    let mut png = Vec::new();
    let sheet = image::RgbImage::from_raw(12, 5, data.clone()).unwrap();
    sheet.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    let expected = rows((0..5).map(|i| pnm(4, 3, 3, |y, x, c| data[(i * 12 + y * 4 + x) * 3 + c])).collect());
    assert_eq!(open(&png, &image).whole(), expected);
    assert_eq!(open(&tar(&[("a.png", &png)]), &image).whole()[4].0, "a.png/row 4");
    // No picture lies in a row of no pixels.
    image.sheet = Some((0, 4));
    assert_eq!(open(b"P5\n0 2\n255\n", &image).end, Expanded::NotAContainer);
    // Pictures of another width are pictures.
    image.sheet = Some((4, 4));
    assert_eq!(open(&png, &image).end, Expanded::NotAContainer);
    assert_eq!(open(&tar(&[("a.png", &png)]), &image).whole(), named(&[("a.png", &png)]));
}
