//! Pictures of every format to the layout's size and channels.

use std::io::Cursor;

use base64::Engine as _;
use image::{ImageFormat, Rgb, RgbImage, RgbaImage};
use megabyte::modality::{
    AudioFormat, Channels, Description, Filter, Fit, ImageLayout, Layout, Limits, Scan, describe,
};

use crate::common::{audio, image};
use crate::{file, png};

/// A 2 x 2 RGB layout in raster order.
fn small(fit: Fit) -> ImageLayout {
    ImageLayout { width: 2, height: 2, scan: Scan::Raster, fit, background: [9, 9, 9], ..ImageLayout::default() }
}

#[test]
fn pictures_are_fitted_as_asked() {
    let row = RgbImage::from_fn(4, 2, |x, _| Rgb([x as u8 * 10, 0, 200]));
    let pixels = |fit| image(small(fit)).encode(&png(row.clone())).unwrap();
    // The middle two columns, untouched.
    assert_eq!(pixels(Fit::Crop), [10, 0, 200, 20, 0, 200, 10, 0, 200, 20, 0, 200]);
    // Pairs of columns averaged.
    assert_eq!(pixels(Fit::Stretch), [5, 0, 200, 25, 0, 200, 5, 0, 200, 25, 0, 200]);
    // Two by one pixels above one row of background.
    assert_eq!(pixels(Fit::Pad), [5, 0, 200, 25, 0, 200, 9, 9, 9, 9, 9, 9]);
    for filter in [Filter::Box, Filter::Bilinear, Filter::Lanczos] {
        let flat = RgbImage::from_pixel(50, 37, Rgb([1, 128, 255]));
        let bytes = image(ImageLayout { filter, ..small(Fit::Crop) }).encode(&png(flat)).unwrap();
        assert_eq!(bytes, [1, 128, 255].repeat(4), "{filter:?}");
    }
}

#[test]
fn alpha_gray_and_16_bits_become_the_layouts_channels() {
    let clear = RgbaImage::from_fn(2, 2, |x, y| image::Rgba([100, 50, 0, [0, 51, 255, 255][(x + 2 * y) as usize]]));
    let expected = [9, 9, 9, 27, 17, 7, 100, 50, 0, 100, 50, 0];
    assert_eq!(image(small(Fit::Crop)).encode(&png(clear)).unwrap(), expected);

    let gray = ImageLayout { channels: Channels::Gray, ..small(Fit::Crop) };
    let levels = image::GrayImage::from_raw(2, 2, vec![0, 7, 200, 255]).unwrap();
    assert_eq!(image(gray.clone()).encode(&png(levels.clone())).unwrap(), [0, 7, 200, 255]);
    assert_eq!(image(small(Fit::Crop)).encode(&png(levels)).unwrap(), [0, 0, 0, 7, 7, 7, 200, 200, 200, 255, 255, 255]);
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 2, vec![0, 257 * 7, 257 * 200, 65_535]).unwrap();
    assert_eq!(image(gray).encode(&png(deep)).unwrap(), [0, 7, 200, 255]);
}

#[test]
fn exif_orientation_is_applied() {
    let (black, white) = (Rgb([0, 0, 0]), Rgb([255, 255, 255]));
    let picture = RgbImage::from_fn(32, 16, |x, _| if x < 16 { black } else { white });
    let mut jpeg = file(picture, ImageFormat::Jpeg);
    // TIFF header, one entry: tag 0x112 (orientation), type 3 (short), count 1, value 6 (turn right).
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [&[0xff, 0xe1, 0, exif.len() as u8 + 2], &exif[..]].concat();
    jpeg.splice(2..2, segment);
    let layout =
        ImageLayout { width: 16, height: 32, channels: Channels::Gray, scan: Scan::Raster, ..small(Fit::Crop) };
    let bytes = image(layout.clone()).encode(&jpeg).unwrap();
    let mean = |half: &[u8]| half.iter().map(|&byte| u32::from(byte)).sum::<u32>() / half.len() as u32;
    assert!(mean(&bytes[..256]) < 5 && mean(&bytes[256..]) > 250, "the left half becomes the upper half");
}

/// What is read of a file, with its warnings.
fn warned(layout: &ImageLayout, file: &[u8]) -> megabyte::Result<(Vec<u8>, Vec<String>)> {
    let mut bytes = Vec::new();
    let warnings = image(layout.clone()).encode_to(&mut Cursor::new(file), &mut bytes)?;
    Ok((bytes, warnings))
}

/// Where the rows begin that a warning says are lost.
fn lost(warnings: &[String], height: usize) -> usize {
    let [warning] = warnings else { panic!("{warnings:?}") };
    let rows =
        warning.strip_prefix("the lower ").and_then(|rest| rest.split_once(&format!(" of {height} rows are lost")));
    height - rows.unwrap_or_else(|| panic!("{warning}")).0.parse::<usize>().unwrap()
}

fn noisy(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x * 7_919 + y * 104_729).wrapping_mul(2_654_435_761) >> 27;
        Rgb([(x * 3) as u8 ^ noise as u8, (y * 2) as u8, (x + y) as u8 ^ noise as u8])
    })
}

/// However much of a JPEG is there, its whole rows are those of the whole file, and the others are said to be lost.
#[test]
fn a_cut_jpeg_is_read_as_far_as_it_goes() {
    let (width, height) = (80, 100);
    let layout = ImageLayout { width, height, scan: Scan::Raster, ..ImageLayout::default() };
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&noisy(80, 100)).unwrap();
    let (whole, none) = warned(&layout, &jpeg).unwrap();
    assert_eq!(none, [""; 0]);
    // Without the mark of its end nothing lacks.
    assert_eq!(warned(&layout, &jpeg[..jpeg.len() - 2]).unwrap(), (whole.clone(), Vec::new()));
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    let mut before = 0;
    for twentieth in 1..20 {
        let cut = &jpeg[..scan + (jpeg.len() - scan) * twentieth / 20];
        // With a mark of the end, as tools that copy parts of files leave it, too.
        for file in [cut.to_vec(), [cut, &[0xff, 0xd9]].concat()] {
            let Ok((bytes, warnings)) = warned(&layout, &file) else {
                assert!(twentieth < 3, "{twentieth} twentieths");
                continue;
            };
            let row = lost(&warnings, height);
            assert!(row.is_multiple_of(8) && row >= before && row.abs_diff(height * twentieth / 20) <= 16, "{row}");
            // The row above what is lost may be mixed with it where chroma is made larger.
            assert!(
                bytes[..row.saturating_sub(1) * width * 3] == whole[..row.saturating_sub(1) * width * 3],
                "{twentieth}"
            );
            assert!(bytes[row * width * 3..].iter().all(|&byte| byte == 128), "{twentieth}");
            before = row;
        }
    }
    let error = image(layout).encode(&jpeg[..scan + 3]).unwrap_err().to_string();
    assert!(error.contains("a JPEG image") && error.contains("ends before"), "{error}");
}

/// A stretch of a scan becomes zeros: its codes then end too early or too late, or lie behind the last coefficient.
#[test]
fn a_jpeg_that_is_damaged_in_the_middle_is_not_taken_for_whole() {
    let (width, height) = (80, 100);
    let layout = ImageLayout { width, height, scan: Scan::Raster, ..ImageLayout::default() };
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&noisy(80, 100)).unwrap();
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    for tenth in 1..9 {
        let mut damaged = jpeg.clone();
        let at = scan + (jpeg.len() - scan) * tenth / 10;
        damaged[at..at + 200].fill(0);
        if let Ok((_, warnings)) = warned(&layout, &damaged) {
            let told = warnings.len() == 1 && warnings[0].contains("left over");
            assert!(told || lost(&warnings, height) < height, "{tenth} tenths: {warnings:?}");
        }
    }
    // Bytes behind the last unit that no code explains: the picture is what it was.
    let behind = [&jpeg[..jpeg.len() - 2], &[0x12, 0x34], &jpeg[jpeg.len() - 2..]].concat();
    let (same, told) = warned(&layout, &behind).unwrap();
    assert!(same == warned(&layout, &jpeg).unwrap().0 && told.len() == 1 && told[0].contains("left over"), "{told:?}");
    // Filling is none.
    let filled = [&jpeg[..jpeg.len() - 2], &[0, 0, 0], &jpeg[jpeg.len() - 2..]].concat();
    assert_eq!(warned(&layout, &filled).unwrap().1, [""; 0]);
    // A second frame component without a scan: the first scan is said to be of one component.
    let mut alone = jpeg[..jpeg.len() - 2].to_vec();
    let head = scan - 14;
    alone.splice(head..scan, [0xff, 0xda, 0, 8, 1, alone[head + 5], 0, 0, 63, 0]);
    alone.extend([0xff, 0xd9]);
    assert!(image(layout).encode(&alone).is_err());
}

const PROGRESSIVE: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYV\
    pQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wgARCAAY\
    ACgDASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAAMEBf/EABYBAQEBAAAAAAAAAAAAAAAAAAIEBv/aAAwDAQACEAMQAAAB4FNNQMtdNX\
    TmbSqlUizlKDqsFV//xAAXEAADAQAAAAAAAAAAAAAAAAAAAQIS/9oACAEBAAEFAsikUmTJkUikUmTIpFIpMn//xAAXEQEBAQEAAAAAAAAAAAAA\
    AAACAAED/9oACAEDAQE/AR1h1j1gtgtse3//xAAZEQACAwEAAAAAAAAAAAAAAAAAAQIQERL/2gAIAQIBAT8BUhSOjTa//8QAFBABAAAAAAAAAA\
    AAAAAAAAAAMP/aAAgBAQAGPwJ//8QAGBAAAwEBAAAAAAAAAAAAAAAAAAEhEDH/2gAIAQEAAT8hWzUCsW1iKzrViI//2gAMAwEAAgADAAAAECIz\
    /wD4L//EABgRAQADAQAAAAAAAAAAAAAAAAABECER/9oACAEDAQE/ENGCF0UIj//EABgRAQEBAQEAAAAAAAAAAAAAAAEAERAh/9oACAECAQE/EO\
    KbPYWMLclW/8QAGRAAAwEBAQAAAAAAAAAAAAAAAREhAEEx/9oACAEBAAE/EEEBa8GgSqc8JnAVSc0grUM5mOTIGaRDuEgB3V8yAZmgxMgib//Z";

/// A progressive JPEG of 40 x 24 pixels by Pillow 13.0.0, of which a part is there, with a mark of its end behind it.
#[test]
fn a_progressive_jpeg_that_lacks_scans_is_not_taken_for_whole() {
    let layout = ImageLayout { width: 40, height: 24, scan: Scan::Raster, ..ImageLayout::default() };
    let jpeg = base64::engine::general_purpose::STANDARD.decode(PROGRESSIVE).unwrap();
    let (whole, none) = warned(&layout, &jpeg).unwrap();
    assert_eq!(none, [""; 0]);
    let scans: Vec<_> = (0..jpeg.len() - 1).filter(|&at| jpeg[at..at + 2] == [0xff, 0xda]).collect();
    assert_eq!(scans.len(), 10);
    // Inside of every scan but the last: that one is found by its end alone.
    for (number, &scan) in (1..10).zip(&scans) {
        let codes = scan + 2 + usize::from(jpeg[scan + 3]);
        let marker = |pair: &[u8]| pair[0] == 0xff && pair[1] != 0;
        let len = jpeg[codes..].windows(2).position(marker).unwrap();
        let cut = [&jpeg[..codes + len / 2], &[0xff, 0xd9]].concat();
        match warned(&layout, &cut) {
            Ok((bytes, warnings)) if number > 1 => {
                assert!(warnings[0].contains(&format!("before scan {number} does")), "{number}: {warnings:?}");
                assert_ne!(bytes, whole);
            }
            Ok((_, warnings)) => assert!(lost(&warnings, 24) < 24, "{warnings:?}"),
            Err(error) => assert!(number == 1, "{number}: {error}"),
        }
    }
}

const WEBP: &str = "UklGRvACAABXRUJQVlA4IOQCAACQDgCdASowAEAAPsFQnUunpSKhtVgN+PAYCWwArlAYQJ+u04iLJ+w+8WrMCHe6efHsT/istiIPyFFZU9T3\
    pP57/8cCxbGsifbpgou60IOu69dNt9Y07nWhAQ7Zl2NkDzXVkFM7nOVyh5sM9DKTCRiDvqMZqMm6OBaYgu6ggAD+7Urua0BJ1gEPyt3C6Ld9\
    SAXRbGSoOh2u7MMGId5vbeG7nF/y9uu3kh74BAfHXOYM2EmtTd/9ukH9QCL/GXd/qNI36E+KUVOz3CQ2eWt93TRmXH81EUxRwtxEIXHmpIgQ\
    A/DmT9l3tRzsO0Ms6aW1AtkHZ/A8UuUCTf6bpcn9352qevKNDw+LbffF2jwlNauEW/BjoVkykzXr2Z/hTkWv61VmZ/4gh6fxn7GoCHpnJyDh\
    VTPv5G6XSjQODmCxExG+x2q5r3+oWaVIqKXfcHQlrdBE8zd53iiko8WiZsqR2lj+hX4kgbQ2eeJsPMGGU+UJ+dZNXWqFZJuRPPKm+Rh+4aTp\
    RVkVT6MLmn4UVlUp2VyTmNiuzyPSWat+jZhwjLYTpycLoAQ5/wQKxsf2bLbiLMfeQu+hF8Jdb7hYK4igsSH2w2C6hUFzYby+O6D3hu5iLhOG\
    dFsJbGnLZeSEdwHC0GfPVk/k7gyJtuGn6eha6lTGS4eU5mwnhpCMKX2gC5pyhDQ7hsun/hXsolOZVQtnH2APT7FELZf/7gKyy8lpbG+jDKGQ\
    /GjYlSO4yk0y447iizp9jxlzmm7EZ3DW+9tKplFvcVeR4kTiqj+fKCZ6efTwBxoD8qZZ82dH+7nW0VIIUEguEqy7kNDzi5IJ3cf7FLJztONZ\
    f+0Rsf5aX6U+NT4vRKN5mbqD+V+oFLSLEuQyeHGjWmf87BaH0BBOE9s6jfCD9ac3jNbazpp0ha8gb28Rh1Y2yDHGmLV1enoHZgo4LmRBcb05\
    z52vZKEiHgr2+uqHcXBkWygD67IZgIxhwp7G/g9wAA==";

/// A lossy WebP of 48 x 64 pixels by libwebp 1.6, of which a part is there.
#[test]
fn a_cut_webp_is_read_as_far_as_it_goes() {
    let (width, height) = (48, 64);
    let layout = ImageLayout { width, height, scan: Scan::Raster, ..ImageLayout::default() };
    let webp = base64::engine::general_purpose::STANDARD.decode(WEBP).unwrap();
    let (whole, none) = warned(&layout, &webp).unwrap();
    assert_eq!(none, [""; 0]);
    for percent in [50, 70, 90] {
        let (bytes, warnings) = warned(&layout, &webp[..webp.len() * percent / 100]).unwrap();
        let row = lost(&warnings, height);
        assert!((4..height).contains(&row), "{percent}: {row}");
        let apart = bytes[..row * width * 3].iter().zip(&whole).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(2), "{percent}: {apart:?}");
        assert!(bytes[row * width * 3..].iter().all(|&byte| byte == 128), "{percent}");
    }
    assert!(image(layout.clone()).encode(&webp[..60]).is_err());
    // Of what is lossless nothing is made up.
    let lossless = file(noisy(48, 64), ImageFormat::WebP);
    assert!(image(layout).encode(&lossless[..lossless.len() / 2]).is_err());
}

#[test]
fn wrong_kinds_are_named_and_bombs_refused() {
    let error = image(ImageLayout::default()).encode(b"\0\0\0\x20ftypheic").unwrap_err().to_string();
    assert!(error.contains("a HEIC image") && error.contains("PNG, JPEG"), "{error}");
    let error = audio(16_000, AudioFormat::Pcm8).encode(&png(RgbImage::new(1, 1))).unwrap_err().to_string();
    assert!(error.contains("a PNG image") && error.contains("WAV"), "{error}");
    assert!(audio(16_000, AudioFormat::Pcm8).encode(b"").is_err());
    // The header of a picture of 60,000 x 60,000 pixels, whole but for its pixels.
    let mut bomb = png(RgbImage::new(1, 1));
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let error = image(ImageLayout::default()).encode(&bomb).unwrap_err().to_string();
    assert!(error.contains("limit"), "{error}");
}

/// 8 x 8 pixels of CMYK with Adobe's marker, by Pillow 13.0.0, and seven of the pixels that the same program reads from
/// it: as CMYK, and with the marker's last byte changed to say YCCK.
#[test]
fn cmyk_jpegs_agree_with_another_decoder() {
    let file = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6\
                pseZqKuk/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAMEBf/EAB0QAAECBwAAAAAAAAAAAAAAAAACBAMFFSExQmL/\
                2gAOBEMATQBZAEsAAD8ASfbD1voteO83N6Is/9k=";
    let mut file = base64::engine::general_purpose::STANDARD.decode(file).unwrap();
    let places = [0, 7, 9, 28, 35, 56, 63];
    let cmyk = [
        [240, 249, 252],
        [36, 224, 153],
        [214, 224, 228],
        [115, 149, 154],
        [140, 124, 154],
        [220, 46, 156],
        [32, 41, 72],
    ];
    let ycck = [[0, 143, 0], [136, 227, 0], [0, 143, 0], [58, 154, 54], [36, 121, 74], [0, 15, 134], [206, 130, 206]];
    let layout = ImageLayout { width: 8, height: 8, scan: Scan::Raster, ..ImageLayout::default() };
    for (transform, expected) in [(0, cmyk), (2, ycck)] {
        file[6 + 11] = transform;
        let ours = image(layout.clone()).encode(&file).unwrap();
        for (place, expected) in places.into_iter().zip(expected) {
            let ours = &ours[3 * place..3 * place + 3];
            let apart = ours.iter().zip(expected).map(|(&ours, theirs)| i32::from(ours).abs_diff(theirs)).max();
            assert!(apart <= Some(3), "{transform}, pixel {place}: {ours:?}, not {expected:?}");
        }
    }
    let described = describe(&mut Cursor::new(&file)).unwrap();
    assert_eq!(
        described,
        Description::Picture { format: "a JPEG image", width: 8, height: 8, colour: "CMYK", bits: 8 }
    );
}

#[test]
fn limits_are_the_callers() {
    let layout = Layout::Image(ImageLayout::default());
    let picture = png(RgbImage::new(100, 100));
    let error = layout.adapter_within(&Limits { max_pixels: 9_999, ..Limits::default() }).encode(&picture).unwrap_err();
    assert!(error.to_string().contains("100 x 100") && error.to_string().contains("9999"), "{error}");
    let error = layout.adapter_within(&Limits { max_bytes: 50_000, ..Limits::default() }).encode(&picture).unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
    assert!(layout.adapter_within(&Limits { max_pixels: 10_000, ..Limits::default() }).encode(&picture).is_ok());
}

/// The most memory this process ever had, in MiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Five threads, each with a picture that takes 250 MiB: without a common bound this needs more than a gibibyte.
#[cfg(target_os = "linux")]
#[test]
fn huge_pictures_at_once_stay_below_a_gibibyte() {
    let picture = file(image::GrayImage::from_pixel(9_000, 7_000, image::Luma([128])), ImageFormat::Png);
    let adapter = image(small(Fit::Crop));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| assert_eq!(adapter.encode(&picture).unwrap(), [128; 12]));
        }
    });
    assert!(peak() < 1_024, "{} MiB", peak());
}
