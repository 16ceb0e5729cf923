//! Real files, the same content in many encodings, and broken files through the adapters.

use std::time::{Duration, Instant};

use megabyte::modality::{AudioFormat, Description, Fit, ImageLayout, Scan, describe};

use crate::common::{audio, image};
use crate::{Done, files, shared};

const FORMATS: [AudioFormat; 4] = [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8];

pub fn real_encodings_of_one_clip_agree() -> Done {
    let folder = shared("data/audio/formats")?;
    let adapter = audio(22_050, AudioFormat::Pcm16le);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let samples = |name: &str| -> Vec<f64> {
        let bytes = adapter.encode(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        bytes.as_chunks::<2>().0.iter().map(|&pair| f64::from(i16::from_le_bytes(pair))).collect()
    };
    // Without loss: a mono and a stereo form of the clip.
    for (original, names) in [
        ("lj2_pcm_16.wav", &["lj2_float.wav", "lj2_double.wav", "lj2_pcm_24.wav", "lj2_pcm_32.wav"][..]),
        (
            "lj2_stereo16.wav",
            &["lj2.aiff", "lj2.caf", "lj2.alac.m4a", "lj2.wavex16.wav", "lj2.rf64.wav", "lj2.w64", "lj2.au"],
        ),
        ("lj2.wavex24.wav", &["lj2.24.flac"]),
    ] {
        let original = samples(original);
        for name in names {
            let other = samples(name);
            let worst = original.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(other.len() == original.len() && worst == 0.0, "{name}: {} samples, off by {worst}", other.len());
        }
    }
    // With loss: the power of the signal against the error's, in decibels.
    for (original, name, at_least) in [
        ("lj2_pcm_16.wav", "lj2_pcm_u8.wav", 20.0),
        ("lj2_pcm_16.wav", "lj2_ulaw.wav", 30.0),
        ("lj2_pcm_16.wav", "lj2_alaw.wav", 30.0),
        ("lj2_pcm_16.wav", "lj2_ima_adpcm.wav", 15.0),
        ("lj2_pcm_16.wav", "lj2_ms_adpcm.wav", 15.0),
        ("lj2_stereo16.wav", "lj2.96k.wav", 30.0),
        ("lj2_stereo16.wav", "lj2.ulaw.au", 30.0),
        // These hold the clip before it was rounded to 16 bits, or another rounding of it.
        ("lj2_stereo16.wav", "lj2.flac", 40.0),
        ("lj2_stereo16.wav", "lj2.wavex24.wav", 40.0),
        ("lj2_stereo16.wav", "lj2.wavexf32.wav", 40.0),
        ("lj2_stereo16.wav", "lj2.mp3", 8.0),
        ("lj2_stereo16.wav", "lj2.vbr.mp3", 8.0),
        ("lj2_stereo16.wav", "lj2.vorbis.ogg", 8.0),
    ] {
        let (original, other) = (samples(original), samples(name));
        let error: f64 = original.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum();
        let signal: f64 = original.iter().map(|a| a * a).sum();
        let decibels = 10.0 * (signal / error).log10();
        println!("{name}: {} of {} samples, {decibels:.1} dB", other.len(), original.len());
        assert!(other.len() >= original.len() && decibels > at_least, "{name}: {decibels:.1} dB");
    }
    // An independent mu-law encoder. G.711 speaks of 14-bit samples, which agree exactly; encoders round the two bits
    // below that differently, which moves samples at the edge of an interval to its neighbour.
    let codes = audio(22_050, AudioFormat::Mulaw8).encode(&read("lj2_pcm_16.wav")).unwrap();
    let file = read("lj2_ulaw.wav");
    let start = file.windows(4).position(|mark| mark == b"data").unwrap() + 8;
    for ((&ours, &theirs), sample) in codes.iter().zip(&file[start..]).zip(samples("lj2_pcm_16.wav")) {
        let apart = ours.abs_diff(theirs);
        assert!(apart == 0 || apart == 1 && sample % 4.0 != 0.0, "{sample}: {ours:#x}, theirs {theirs:#x}");
    }
    Ok(())
}

pub fn flac_and_wav_of_one_clip_give_identical_bytes() -> Done {
    let folder = shared("data/audio/ljspeech")?;
    for format in FORMATS {
        for clip in ["LJ001-0001", "LJ001-0002", "LJ001-0003"] {
            let bytes = ["wav", "flac"].map(|extension| {
                let file = std::fs::read(folder.join(clip).with_extension(extension)).unwrap();
                audio(22_050, format).encode(&file).unwrap()
            });
            assert!(bytes[0].len() > 20_000 && bytes[0] == bytes[1], "{clip} as {format:?}");
        }
    }
    Ok(())
}

pub fn real_files_encode_and_come_back() -> Done {
    let sound = audio(16_000, AudioFormat::Pcm16le);
    let folders = ["data/audio/ljspeech", "data/audio/piano_notes_ogg", "data/audio/sonic_pi_flac"];
    for path in files(&folders)? {
        let bytes = sound.encode(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(bytes.len() > 8_000, "{}", path.display());
        assert!(bytes.iter().any(|&byte| byte != 0), "{}", path.display());
        assert_eq!(sound.encode(&sound.decode(&bytes).unwrap()).unwrap(), bytes, "{}", path.display());
    }
    let picture = image(ImageLayout::default());
    for path in files(&["data/images/imagenet_originals"])? {
        let bytes =
            picture.encode(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(picture.encode(&picture.decode(&bytes).unwrap()).unwrap(), bytes, "{}", path.display());
    }
    Ok(())
}

pub fn photos_are_reduced_like_another_program_reduces_them() -> Done {
    let reduced = shared("data/images/imagenet64_png")?;
    let adapter = image(ImageLayout { scan: Scan::Raster, ..ImageLayout::default() });
    for path in files(&["data/images/imagenet_originals"])? {
        let ours = adapter.encode(&std::fs::read(&path).unwrap()).unwrap();
        let theirs = reduced.join(path.file_stem().unwrap()).with_extension("png");
        let theirs = image::open(theirs).unwrap().into_rgb8().into_raw();
        let apart: u32 = ours.iter().zip(&theirs).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let mean = f64::from(apart) / ours.len() as f64;
        println!("{}: {mean:.3}", path.display());
        assert!(mean < 1.0, "{}: {mean}", path.display());
    }
    Ok(())
}

/// Size, sum of all bytes, and sum of all bytes times their index modulo 9,973 plus one, of RGB on white, as Pillow
/// 13.0.0 reads the files (`ImageOps.exif_transpose`, compositing rounded to the nearest).
pub fn odd_but_valid_pictures_agree_with_another_program() -> Done {
    let folder = shared("data/bad")?;
    for (name, width, height, sum, weighted) in [
        // Of 1 bit, interlaced.
        ("image-png-bugfixes/large-text-chunks-issue#337.png", 32, 32, 382_500, 439_612_605),
        ("image-png-bugfixes/invalid_palette_index.png", 10, 10, 0, 0),
        ("image-png-bugfixes/issue#403.png", 100, 50, 1_275_000, 5_300_876_760),
        ("image-png-bugfixes/F-exif-chunk-early.png", 400, 400, 115_380_726, 573_742_723_729),
        ("image-png-bugfixes/gama-srgb-order-issue#304.png", 320, 480, 51_930_472, 258_664_145_411),
        ("image-png-bugfixes/issue#202.png", 100, 100, 7_071_368, 35_046_972_667),
        ("image-rs-regression/image/resize-with-alpha-original.png", 129, 66, 3_031_102, 12_345_051_220),
        ("image-rs-regression/webp/panic.webp", 100, 30, 1_735_785, 7_793_798_580),
        ("pillow/apng/split_fdat_zero_chunk.png", 128, 64, 2_088_960, 9_366_728_850),
        ("pillow/eps/non_zero_bb.png", 360, 252, 67_245_540, 332_270_817_825),
        ("pillow/hopper_zero_comment_subblocks.gif", 128, 128, 4_343_952, 20_997_692_455),
        ("pillow/decompression_bomb_extents.gif", 100, 100, 2_550_000, 12_682_789_905),
        ("pillow/bmp/b/badfilesize.bmp", 127, 64, 1_836_000, 7_730_150_580),
        ("pillow/bmp/b/pal8badindex.bmp", 127, 64, 575_542, 2_572_930_705),
        // Upright only after a turn.
        ("pillow/truncated_exif_dpi.jpg", 480, 640, 235_008_000, 1_168_918_434_810),
    ] {
        let layout = ImageLayout { width, height, scan: Scan::Raster, fit: Fit::Stretch, ..ImageLayout::default() };
        let bytes = image(layout).encode(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let weigh = |(i, &byte): (usize, &u8)| (i as u64 % 9_973 + 1) * u64::from(byte);
        assert_eq!(bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), sum, "{name}");
        assert_eq!(bytes.iter().enumerate().map(weigh).sum::<u64>(), weighted, "{name}");
    }
    Ok(())
}

/// Files of every kind, each cut or with some bytes replaced in several ways: bytes or an error, and soon.
pub fn mutilated_files_are_quick_errors_or_bytes() -> Done {
    let adapters = [image(ImageLayout::default()), audio(16_000, AudioFormat::Pcm16le)];
    let mut noise = 1u64;
    let mut random = |below: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) as usize % below.max(1)
    };
    for path in files(&["data/audio/formats", "data/bad/pillow", "data/bad/image-png-bugfixes"])? {
        let whole = std::fs::read(&path).unwrap();
        for round in 0..6 {
            let mut file = whole.clone();
            match round {
                0 => file.truncate(random(whole.len())),
                // Headers are where damage does harm.
                _ => (0..4).for_each(|_| {
                    let at = random(if round % 2 == 0 { file.len() } else { file.len().min(200) });
                    if let Some(byte) = file.get_mut(at) {
                        *byte = [0, 0xff, 0x7f, random(256) as u8][random(4)];
                    }
                }),
            }
            for adapter in &adapters {
                let start = Instant::now();
                let _ = adapter.encode(&file);
                let _ = describe(&mut std::io::Cursor::new(&file));
                assert!(start.elapsed() < Duration::from_secs(10), "{}, {round}", path.display());
            }
        }
    }
    Ok(())
}

/// Kinds that nothing here decodes say which they are, and how to convert them.
pub fn sounds_that_are_not_read_are_named() -> Done {
    let folder = shared("data/audio/formats")?;
    for (file, name) in [
        ("lj2.opus", "Opus"),
        ("lj2.webm", "Opus"),
        ("lj2.ac3", "AC-3"),
        ("lj2.wma", "Windows Media"),
        ("lj2.wv", "WavPack"),
        ("lj2_gsm610.wav", "GSM 6.10"),
    ] {
        let content = std::fs::read(folder.join(file)).unwrap();
        let error = audio(16_000, AudioFormat::Pcm16le).encode(&content).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("ffmpeg"), "{file}: {error}");
    }
    Ok(())
}

/// What is described is what is decoded.
pub fn descriptions_of_sounds_agree_with_their_samples() -> Done {
    for path in files(&["data/audio/formats", "data/audio/piano_notes_ogg"])? {
        let mut file = std::fs::File::open(&path).unwrap();
        let mut bytes = Vec::new();
        let described = describe(&mut file);
        if audio(16_000, AudioFormat::Pcm8).encode_to(&mut file, &mut bytes).is_err() {
            continue;
        }
        let Some(Description::Sound { rate, channels, seconds, .. }) = described else {
            panic!("{}: {described:?}", path.display());
        };
        assert!((8_000..=96_000).contains(&rate) && (1..=6).contains(&channels), "{}", path.display());
        if let Some(seconds) = seconds {
            let found = bytes.len() as f64 / 16_000.0;
            assert!((found - seconds).abs() < 0.1, "{}: {found} of {seconds} seconds", path.display());
        }
    }
    Ok(())
}

pub fn broken_and_odd_files_are_quick_errors_or_bytes() -> Done {
    let adapters = [image(ImageLayout::default()), audio(16_000, AudioFormat::Pcm16le)];
    for path in files(&["data/bad", "data/audio/formats"])? {
        let file = std::fs::read(&path).unwrap();
        for adapter in &adapters {
            let start = Instant::now();
            let result = adapter.encode(&file);
            assert!(start.elapsed() < Duration::from_secs(10), "{}: {:?}", path.display(), start.elapsed());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // These names mark pictures that must not be read.
            assert!(!(name.starts_with("x_") && result.is_ok()), "{}", path.display());
            if let Err(error) = result {
                let error = error.to_string();
                // A decoder that had to be stopped by force would be news.
                let says_why =
                    ["looks like ", "has ", "needs ", "claims "].iter().any(|start| error.starts_with(start));
                assert!(says_why && !error.contains("can't handle"), "{}: {error}", path.display());
            }
        }
    }
    Ok(())
}
