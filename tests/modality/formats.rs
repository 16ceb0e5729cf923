//! Every format of pictures that is read, written by another encoder or by hand, and read back.

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use megabyte::modality::{Channels, Description, Fit, ImageLayout, Modality, Scan, describe, detect};

use crate::common::image;
use crate::file;

/// The raster bytes of a picture of 8 x 6 pixels.
fn pixels(channels: Channels, content: &[u8]) -> megabyte::Result<Vec<u8>> {
    let layout =
        ImageLayout { width: 8, height: 6, channels, scan: Scan::Raster, fit: Fit::Crop, ..Default::default() };
    image(layout).encode(content)
}

fn noise(seed: u32) -> impl Iterator<Item = u8> {
    (0u32..).map(move |i| ((i ^ seed).wrapping_mul(2_654_435_761).rotate_left(11) >> 9) as u8)
}

#[test]
fn what_other_encoders_write_is_read_back() {
    let rgb = RgbImage::from_raw(8, 6, noise(1).take(8 * 6 * 3).collect()).unwrap();
    let gray = GrayImage::from_raw(8, 6, noise(2).take(8 * 6).collect()).unwrap();
    let rgba = RgbaImage::from_fn(8, 6, |x, y| {
        let Rgb([r, g, b]) = *rgb.get_pixel(x, y);
        image::Rgba([r, g, b, if (x + y) % 2 == 0 { 255 } else { 0 }])
    });
    let on_white: Vec<u8> =
        rgba.pixels().flat_map(|p| if p.0[3] == 255 { [p.0[0], p.0[1], p.0[2]] } else { [255; 3] }).collect();
    let wide = |channels: usize| noise(3).take(48 * channels).map(|b| u16::from(b) * 257).collect::<Vec<u16>>();
    for (format, name) in [
        (ImageFormat::Png, "a PNG image"),
        (ImageFormat::WebP, "a WebP image"),
        (ImageFormat::Gif, "a GIF image"),
        (ImageFormat::Bmp, "a BMP image"),
        (ImageFormat::Tiff, "a TIFF image"),
        (ImageFormat::Pnm, "a PNM image"),
        (ImageFormat::Qoi, "a QOI image"),
        (ImageFormat::Tga, "a TGA image"),
        (ImageFormat::Ico, "an ICO image"),
    ] {
        let check = |picture: DynamicImage, channels, expected: &[u8]| {
            let content = file(picture, format);
            assert_eq!(pixels(channels, &content).unwrap(), expected, "{name}");
            let described = describe(&mut std::io::Cursor::new(&content)).unwrap();
            let Description::Picture { format, width, height, bits, .. } = described else { panic!("{described:?}") };
            assert_eq!((format, width, height), (name, 8, 6));
            assert!(matches!(bits, 8 | 16), "{name}: {bits}");
            if name != "a TGA image" {
                let detected = detect(&content[..content.len().min(512)]);
                assert_eq!((detected.name, detected.modality), (name, Some(Modality::Image)));
            }
        };
        // Of colours and transparency, what the format can hold.
        if format != ImageFormat::Gif {
            check(rgb.clone().into(), Channels::Rgb, &rgb);
        }
        if !matches!(format, ImageFormat::Pnm) {
            check(rgba.clone().into(), Channels::Rgb, &on_white);
        }
        if !matches!(format, ImageFormat::Gif | ImageFormat::Qoi | ImageFormat::WebP) {
            check(gray.clone().into(), Channels::Gray, &gray);
        }
        if matches!(format, ImageFormat::Png | ImageFormat::Tiff | ImageFormat::Pnm) {
            let expected: Vec<u8> = wide(3).iter().map(|value| (value / 257) as u8).collect();
            let picture = image::ImageBuffer::<Rgb<u16>, _>::from_raw(8, 6, wide(3)).unwrap();
            check(picture.into(), Channels::Rgb, &expected);
        }
    }
    let float = image::Rgb32FImage::from_fn(8, 6, |x, y| Rgb([x as f32 / 7.0, y as f32 / 5.0, 1.0]));
    let expected: Vec<u8> = float.iter().map(|value| (value * 255.0).round() as u8).collect();
    assert_eq!(pixels(Channels::Rgb, &file(float, ImageFormat::Tiff)).unwrap(), expected);
}

#[test]
fn netpbm_files_by_hand() {
    let bits: Vec<u8> = (0..48).map(|i| u8::from(i % 5 < 2)).collect();
    let gray: Vec<u8> = (0..48).map(|i| i * 5).collect();
    let rgb: Vec<u8> = (0..144).collect();
    let digits = |values: &[u8]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
    let black: Vec<u8> = bits.iter().map(|bit| 255 * (1 - bit)).collect();
    let packed: Vec<u8> = bits.chunks(8).map(|row| row.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    let file = |head: &str, body: &[u8]| [head.as_bytes(), body].concat();
    for (content, channels, expected) in [
        (file("P1\n# a comment\n8 6\n", digits(&bits).as_bytes()), Channels::Gray, &black),
        (file("P2\n8 6\n255\n", digits(&gray).as_bytes()), Channels::Gray, &gray),
        (file("P3 8 6 255\n", digits(&rgb).as_bytes()), Channels::Rgb, &rgb),
        (file("P4\n8 6\n", &packed), Channels::Gray, &black),
        (file("P5\n8 6\n255\n", &gray), Channels::Gray, &gray),
        (file("P6\n8\n6\n255\n", &rgb), Channels::Rgb, &rgb),
        (file("P7\nWIDTH 8\nHEIGHT 6\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n", &rgb), Channels::Rgb, &rgb),
    ] {
        assert_eq!(&pixels(channels, &content).unwrap(), expected, "{}", String::from_utf8_lossy(&content[..12]));
    }
    assert!(pixels(Channels::Rgb, &file("P6\n8 6\n255\n", &rgb[1..])).is_err());
    for (head, size) in [("P2\n0 2\n255\n", "has 0 x 2 pixels"), ("P5\n2 0\n255\n", "has 2 x 0 pixels")] {
        let error = pixels(Channels::Gray, &file(head, b"1 2")).unwrap_err().to_string();
        assert!(error.contains(size), "{error}");
    }
}

/// An uncompressed TIFF of one strip. Entries are tag, type (3: 16 bits, 4: 32 bits) and values.
fn tiff(big: bool, entries: &[(u16, Vec<u16>)], strip: &[u8]) -> Vec<u8> {
    let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let four = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    // The last entry of a tag counts.
    let mut entries: Vec<(u16, Vec<u16>)> =
        std::collections::BTreeMap::from_iter(entries.iter().cloned()).into_iter().collect();
    let compression = entries.iter().find(|(tag, _)| *tag == 259).map_or(1, |(_, values)| values[0]);
    entries.retain(|(tag, _)| *tag != 259);
    entries.extend([(256, vec![8]), (257, vec![6]), (259, vec![compression]), (273, vec![8]), (278, vec![6])]);
    entries.push((279, vec![strip.len() as u16]));
    entries.sort();
    // The strip comes first, then long values, then the directory.
    let mut file = [if big { &b"MM"[..] } else { b"II" }, &two(42), &[0; 4], strip].concat();
    let mut directory = two(entries.len() as u16).to_vec();
    for (tag, values) in &entries {
        directory.extend([two(*tag), two(3)].concat());
        directory.extend(four(values.len() as u32));
        let mut bytes: Vec<u8> = values.iter().flat_map(|&value| two(value)).collect();
        if bytes.len() > 4 {
            directory.extend(four(file.len() as u32));
            file.append(&mut bytes);
        } else {
            bytes.resize(4, 0);
            directory.append(&mut bytes);
        }
    }
    let start = four(file.len() as u32);
    file[4..8].copy_from_slice(&start);
    [file, directory, vec![0; 4]].concat()
}

/// A pixel of each kind that stands for it: what is read, or why it is refused. The values are those of Pillow, or follow
/// from TIFF 6.0.
#[test]
fn what_samples_of_tiff_files_mean() {
    let gray = |bits: u16| vec![(258, vec![bits]), (262, vec![1]), (277, vec![1])];
    let rgb = |samples: usize| vec![(258, vec![8; samples]), (262, vec![2]), (277, vec![samples as u16])];
    let with = |mut entries: Vec<(u16, Vec<u16>)>, more: &[(u16, Vec<u16>)]| {
        entries.extend_from_slice(more);
        entries
    };
    let ycbcr =
        |across: u16, down: u16| vec![(258, vec![8; 3]), (262, vec![6]), (277, vec![3]), (530, vec![across, down])];
    // Brightness of two rows of pixels, then one value each of blue and red chroma.
    let blocks = [10, 20, 30, 40, 90, 240].repeat(12);
    let of_float = |value: f32| value.to_le_bytes().repeat(48);
    for (entries, strip, expected) in [
        // 100, 50, 20 of what is half covered were 199, 99, 39, on white.
        (with(rgb(4), &[(338, vec![1])]), [100, 50, 20, 128].repeat(48), Ok([227, 177, 147])),
        (with(rgb(4), &[(338, vec![2])]), [100, 50, 20, 128].repeat(48), Ok([177, 152, 137])),
        (with(rgb(4), &[(338, vec![0])]), [100, 50, 20, 128].repeat(48), Ok([100, 50, 20])),
        (with(rgb(5), &[(338, vec![0, 1])]), [100, 50, 20, 7, 128].repeat(48), Ok([227, 177, 147])),
        (with(gray(8), &[(277, vec![2]), (338, vec![0])]), [100, 128].repeat(48), Ok([100; 3])),
        (with(gray(8), &[(277, vec![2])]), [100, 128].repeat(48), Ok([100; 3])),
        (with(gray(8), &[(277, vec![3]), (338, vec![0, 0])]), [100, 1, 2].repeat(48), Ok([100; 3])),
        (with(gray(8), &[(277, vec![2]), (338, vec![1])]), [100, 128].repeat(48), Ok([227; 3])),
        (with(gray(8), &[(266, vec![2])]), [0b0001_0110; 48].to_vec(), Ok([0b0110_1000; 3])),
        (with(gray(4), &[(266, vec![2])]), [0b0100_0100; 24].to_vec(), Ok([0x22; 3])),
        (with(gray(16), &[(266, vec![2])]), [0b1000_0000, 0b0000_0001].repeat(48), Ok([0x80; 3])),
        (ycbcr(2, 2), blocks.clone(), Ok([167, 0, 0])),
        (ycbcr(1, 1), [100, 90, 240].repeat(48), Ok([255, 33, 33])),
        (with(gray(32), &[(339, vec![3])]), of_float(0.5), Ok([128; 3])),
        (with(gray(32), &[(339, vec![3])]), of_float(1.5), Err("beyond 0..1 (1.5")),
        (with(gray(32), &[(339, vec![3])]), of_float(-1e-6), Err("beyond 0..1")),
        (with(gray(32), &[(339, vec![3])]), of_float(f32::NAN), Err("beyond 0..1 (NaN")),
        (with(gray(8), &[(339, vec![2])]), vec![1; 48], Err("signed")),
        (with(gray(8), &[(259, vec![6])]), vec![1; 48], Err("JPEG in the old way")),
        (with(gray(8), &[(262, vec![8])]), vec![1; 48], Err("L*a*b*")),
        (with(gray(8), &[]), vec![1; 47], Err("ends before its pixels do")),
    ] {
        let found = pixels(Channels::Rgb, &tiff(false, &entries, &strip));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found[..3], expected, "{entries:?}"),
            (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{entries:?}: {error}"),
            (found, expected) => panic!("{entries:?}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn tiff_files_by_hand() {
    let palette: Vec<u16> = (0..48u16).map(|i| i * 1_111).collect();
    let nibbles: Vec<u8> = noise(9).take(24).collect();
    let values: Vec<u8> = nibbles.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
    let gray: Vec<u8> = values.iter().map(|value| value * 17).collect();
    let white: Vec<u8> = gray.iter().map(|value| 255 - value).collect();
    let colours: Vec<u8> =
        values.iter().flat_map(|&v| [0, 16, 32].map(|plane| (palette[plane + usize::from(v)] >> 8) as u8)).collect();
    let quarters: Vec<u8> =
        nibbles[..12].iter().flat_map(|byte| [6, 4, 2, 0].map(|shift| (byte >> shift & 3) * 85)).collect();
    let cmyk: Vec<u8> = noise(4).take(192).collect();
    let of_cmyk: Vec<f64> = cmyk
        .chunks(4)
        .flat_map(|p| [0, 1, 2].map(|i| (255.0 - f64::from(p[i])) * (255.0 - f64::from(p[3])) / 255.0))
        .collect();
    for big in [false, true] {
        let floats: Vec<u8> = (0..48)
            .map(|i| i as f32 / 47.0)
            .flat_map(|value| if big { value.to_be_bytes() } else { value.to_le_bytes() })
            .collect();
        let of_floats: Vec<u8> = (0..48).map(|i| (f64::from(i as f32 / 47.0) * 255.0).round() as u8).collect();
        let one = |bits: u16, kind: u16| vec![(258, vec![bits]), (262, vec![kind]), (277, vec![1])];
        let with = |mut entries: Vec<_>, more: (u16, Vec<u16>)| {
            entries.push(more);
            entries
        };
        for (entries, strip, channels, expected) in [
            (one(4, 1), &nibbles[..], Channels::Gray, &gray),
            (one(4, 0), &nibbles, Channels::Gray, &white),
            (one(2, 1), &nibbles[..12], Channels::Gray, &quarters),
            (with(one(4, 3), (320, palette.clone())), &nibbles, Channels::Rgb, &colours),
            (with(one(32, 1), (339, vec![3])), &floats, Channels::Gray, &of_floats),
        ] {
            let content = tiff(big, &entries, strip);
            assert_eq!(&pixels(channels, &content).unwrap(), expected, "big {big}, {entries:?}");
            assert!(matches!(
                describe(&mut std::io::Cursor::new(&content)),
                Some(Description::Picture { width: 8, height: 6, .. })
            ));
        }
        let entries = [(258, vec![8; 4]), (262, vec![5]), (277, vec![4])];
        let ours = pixels(Channels::Rgb, &tiff(big, &entries, &cmyk)).unwrap();
        assert!(ours.iter().zip(&of_cmyk).all(|(&ours, exact)| (f64::from(ours) - exact).abs() <= 1.0));
        let alpha = [(258, vec![8; 2]), (262, vec![1]), (277, vec![2]), (338, vec![2])];
        let strip: Vec<u8> = gray.iter().zip(&values).flat_map(|(&gray, v)| [gray, 255 * (v % 2)]).collect();
        let on_white: Vec<u8> =
            gray.iter().zip(&values).map(|(&gray, v)| if v % 2 == 1 { gray } else { 255 }).collect();
        assert_eq!(pixels(Channels::Gray, &tiff(big, &alpha, &strip)).unwrap(), on_white);
    }
}

/// All tiles lie at one place, and nothing says how long they are: each would be read to the end of the file.
#[test]
fn tiles_at_one_place_are_not_read_again_and_again() {
    let side = 512_u32;
    let tile = crate::file(image::GrayImage::new(1, 1), ImageFormat::Jpeg);
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let file = |width: u32, compression: u32, tables: u32| {
        let entries = [
            entry(256, 4, 1, width),
            entry(257, 4, 1, side),
            entry(258, 3, 1, 8),
            entry(259, 3, 1, compression),
            entry(262, 3, 1, 1),
            entry(322, 3, 1, 1),
            entry(323, 3, 1, 1),
            // A byte each.
            entry(324, 1, width * side, 1024),
            entry(347, 7, tables, 256),
        ];
        let mut file = [b"II*\0\x08\0\0\0\x09\0".to_vec(), entries.concat()].concat();
        file.resize(240, 0);
        file.extend(&tile);
        file.resize(1024, 0);
        file.resize(1024 + (width * side) as usize, 240);
        file
    };
    for (width, compression, tables, reason) in [
        (side, 7, 1000, "at the same place"),
        (side, 50_000, 4, "TIFF"),
        (8193, 1, 4, "absurdly many"),
        (side, 7, 100_000, "tables for JPEG"),
        (side, 7, 3 << 20, "absurdly long"),
    ] {
        let error = pixels(Channels::Gray, &file(width, compression, tables)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
