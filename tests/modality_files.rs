//! Real files, the same content in many encodings, and broken files through the adapters. Without the shared
//! development data these tests have nothing to do and say so.

// The lint allows unwrap in test functions, not in their helpers.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use megabyte::modality::{AudioFormat, ImageLayout, Scan};

use common::{audio, files, image, shared};

const FORMATS: [AudioFormat; 4] = [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8];

#[test]
fn real_encodings_of_one_clip_agree() {
    let Some(folder) = shared("data/audio/formats") else { return };
    let adapter = audio(22_050, AudioFormat::Pcm16le);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let samples = |name: &str| -> Vec<f64> {
        let bytes = adapter.encode(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        bytes.as_chunks::<2>().0.iter().map(|&pair| f64::from(i16::from_le_bytes(pair))).collect()
    };
    // Without loss: a mono and a stereo form of the clip.
    for (original, names) in [
        ("lj2_pcm_16.wav", &["lj2_float.wav", "lj2_double.wav", "lj2_pcm_24.wav", "lj2_pcm_32.wav"][..]),
        ("lj2_stereo16.wav", &["lj2.aiff", "lj2.caf", "lj2.alac.m4a", "lj2.wavex16.wav"]),
        ("lj2_ulaw.wav", &["lj2.ulaw.au"]),
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
}

#[test]
fn flac_and_wav_of_one_clip_give_identical_bytes() {
    let Some(folder) = shared("data/audio/ljspeech") else { return };
    for format in FORMATS {
        for clip in ["LJ001-0001", "LJ001-0002", "LJ001-0003"] {
            let bytes = ["wav", "flac"].map(|extension| {
                let file = std::fs::read(folder.join(clip).with_extension(extension)).unwrap();
                audio(22_050, format).encode(&file).unwrap()
            });
            assert!(bytes[0].len() > 20_000 && bytes[0] == bytes[1], "{clip} as {format:?}");
        }
    }
}

#[test]
fn real_files_encode_and_come_back() {
    let sound = audio(16_000, AudioFormat::Pcm16le);
    let folders = ["data/audio/ljspeech", "data/audio/piano_notes_ogg", "data/audio/sonic_pi_flac"];
    for path in folders.iter().flat_map(|folder| files(folder)) {
        let bytes = sound.encode(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(bytes.len() > 8_000, "{}", path.display());
        assert!(bytes.iter().any(|&byte| byte != 0), "{}", path.display());
        assert_eq!(sound.encode(&sound.decode(&bytes).unwrap()).unwrap(), bytes, "{}", path.display());
    }
    let picture = image(ImageLayout::default());
    for path in files("data/images/imagenet_originals") {
        let bytes =
            picture.encode(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(picture.encode(&picture.decode(&bytes).unwrap()).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn photos_are_reduced_like_another_program_reduces_them() {
    let Some(reduced) = shared("data/images/imagenet64_png") else { return };
    let adapter = image(ImageLayout { scan: Scan::Raster, ..ImageLayout::default() });
    for path in files("data/images/imagenet_originals") {
        let ours = adapter.encode(&std::fs::read(&path).unwrap()).unwrap();
        let theirs = reduced.join(path.file_stem().unwrap()).with_extension("png");
        let theirs = image::open(theirs).unwrap().into_rgb8().into_raw();
        let apart: u32 = ours.iter().zip(&theirs).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let mean = f64::from(apart) / ours.len() as f64;
        println!("{}: {mean:.3}", path.display());
        assert!(mean < 1.0, "{}: {mean}", path.display());
    }
}

#[test]
fn broken_and_odd_files_are_quick_errors_or_bytes() {
    let adapters = [image(ImageLayout::default()), audio(16_000, AudioFormat::Pcm16le)];
    for path in files("data/bad").into_iter().chain(files("data/audio/formats")) {
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
                assert!(
                    error.starts_with("looks like ") && !error.contains("can't handle"),
                    "{}: {error}",
                    path.display()
                );
            }
        }
    }
}
