//! Sounds of every kind that FFmpeg and libsndfile write, as these and libFLAC read them: the same number of samples,
//! the same samples where nothing is lost in coding, and else such as differ by no more than rounding.
//! `scripts/decoders.sh` installs the programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use megabyte::modality::{AudioChannels, AudioFormat, AudioLayout};

use crate::common::sound;
use crate::{Done, Lack, lacks};

/// How far the samples of a codec with loss may be apart, in steps of 16 bits: its decoders compute in floats, in an order
/// of their own.
const ROUNDING: i32 = 1;

/// Fails with what is wrong with any of a matrix's cases.
fn none_wrong(tried: usize, wrong: &[String]) -> Done {
    println!("{tried} cases");
    assert!(tried > 0 && wrong.is_empty(), "{} of {tried} cases:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// A program of this name.
fn program(name: &str) -> Result<Command, Lack> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&places).any(|place| place.join(name).is_file()) {
        Ok(Command::new(name))
    } else {
        lacks(&format!("{name}: scripts/decoders.sh installs it"))
    }
}

fn ffmpeg() -> Result<Command, Lack> {
    let mut command = program("ffmpeg")?;
    command.args(["-v", "error", "-nostdin", "-y"]);
    Ok(command)
}

/// The interleaved samples of a file as FFmpeg reads them, full scale at 1.
fn by_ffmpeg(path: &Path) -> Result<Vec<f32>, Lack> {
    let mut command = ffmpeg()?;
    command.arg("-i").arg(path).args(["-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le", "-"]);
    let output = command.output().unwrap();
    Ok(output.stdout.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// Channels and rate of a file as FFmpeg reads it: its encoders don't take all.
fn spec(path: &Path) -> Result<(usize, u32), Lack> {
    let mut command = program("ffprobe")?;
    command.args(["-v", "error", "-select_streams", "a:0", "-show_entries", "stream=sample_rate,channels"]);
    let fields = command.args(["-of", "default=nokey=1:noprint_wrappers=1"]).arg(path).output().unwrap().stdout;
    // The rate comes first.
    let fields: Vec<u32> = String::from_utf8(fields).unwrap().lines().map(|field| field.parse().unwrap()).collect();
    Ok((fields[1] as usize, fields[0]))
}

/// As libsndfile does, floats or what is no more than 32 bits; `None` where it can't.
fn by_libsndfile(path: &Path, floats: bool) -> Result<Option<Vec<f32>>, Lack> {
    let out = path.with_extension("sndfile.wav");
    let mut command = program("sndfile-convert")?;
    // Made of whole numbers, its floats would be as loud as can be.
    command
        .arg(if floats { "-float32" } else { "-pcm32" })
        .arg(path)
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !command.status().unwrap().success() {
        return Ok(None);
    }
    let file = hound::WavReader::open(&out).unwrap();
    let scaled = |sample: Result<i32, _>| sample.unwrap() as f32 / 2_147_483_648.0;
    Ok(Some(match file.spec().sample_format {
        hound::SampleFormat::Float => file.into_samples().map(Result::unwrap).collect(),
        hound::SampleFormat::Int => file.into_samples().map(scaled).collect(),
    }))
}

/// As libFLAC does, of up to 24 bits.
fn by_libflac(path: &Path, bits: u32) -> Result<Vec<f32>, Lack> {
    let mut command = program("flac")?;
    command.args(["--decode", "--silent", "--stdout", "--force-raw-format", "--endian=little", "--sign=signed"]);
    let bytes = command.arg(path).output().unwrap().stdout;
    let scale = (1u64 << (bits - 1)) as f32;
    let sample = |bytes: &[u8]| {
        let top = bytes.iter().rev().fold((0, 24), |(top, at), &byte| (top | i32::from(byte) << at, at - 8)).0;
        (top >> (32 - bits)) as f32 / scale
    };
    Ok(bytes.chunks_exact(bits as usize / 8).map(sample).collect())
}

/// What this project makes of samples in the order of WAV files.
fn mixed(samples: &[f32], channels: usize, stereo: bool) -> Vec<i16> {
    let int = |sample: f32| (sample * 32_768.0).round() as i16;
    let frames = samples.chunks_exact(channels);
    match (stereo, channels) {
        (false, n) => frames.map(|frame| int(frame.iter().sum::<f32>() / n as f32)).collect(),
        (true, 1) => samples.iter().flat_map(|&sample| [int(sample); 2]).collect(),
        (true, 2) => samples.iter().map(|&sample| int(sample)).collect(),
        (true, n) => frames
            .flat_map(|frame| {
                let rest: f32 = frame[2..].iter().sum();
                [frame[0], frame[1]].map(|side| int((side + rest) / (n - 1) as f32))
            })
            .collect(),
    }
}

/// What is wrong with how a file is read, compared with samples of another decoder.
fn differs(path: &Path, rate: u32, channels: usize, theirs: &[f32], within: i32) -> Option<String> {
    let content = std::fs::read(path).unwrap();
    for (stereo, layout) in [(false, AudioChannels::Mono), (true, AudioChannels::Stereo)] {
        let layout = AudioLayout { rate, channels: layout, format: AudioFormat::Pcm16le, ..AudioLayout::default() };
        let mut bytes = Vec::new();
        let warnings = match sound(layout).encode_to(&mut std::io::Cursor::new(&content), &mut bytes) {
            Ok(warnings) => warnings,
            Err(error) => return Some(format!("refused: {error}")),
        };
        let ours: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect();
        let theirs = mixed(theirs, channels, stereo);
        let apart = |(a, b): (&i16, &i16)| (i32::from(*a) - i32::from(*b)).abs();
        let worst = ours.iter().zip(&theirs).map(apart).max().unwrap_or(0);
        if ours.len() != theirs.len() || worst > within || !warnings.is_empty() {
            let sides = 1 + usize::from(stereo);
            let (ours, theirs) = (ours.len() / sides, theirs.len() / sides);
            return Some(format!("{ours} of {theirs} samples, off by {worst}, {warnings:?}"));
        }
    }
    None
}

/// A WAV file of tones and noise, another in each channel, in 32-bit floats.
fn source(folder: &Path, rate: u32, channels: usize, frames: usize) -> PathBuf {
    let path = folder.join(format!("source-{rate}-{channels}-{frames}.wav"));
    if path.exists() {
        return path;
    }
    let mut samples = Vec::new();
    let mut noise = 1u32;
    for frame in 0..frames {
        for channel in 0..channels {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let angle = frame as f32 * (0.02 + 0.011 * channel as f32);
            // Loud and quiet by turns.
            let level = if frame / 2_000 % 3 == 2 { 0.02 } else { 0.6 };
            samples.extend((level * (0.7 * angle.sin() + 0.3 * hiss)).to_le_bytes());
        }
    }
    // Without a map of channels, of which encoders know few.
    let (block, len) = (4 * channels as u16, samples.len() as u32);
    let mut header = [&b"RIFF"[..], &(36 + len).to_le_bytes(), b"WAVEfmt \x10\0\0\0\x03\0"].concat();
    header.extend([&(channels as u16).to_le_bytes()[..], &rate.to_le_bytes()].concat());
    header.extend([&(rate * u32::from(block)).to_le_bytes()[..], &block.to_le_bytes(), b"\x20\0data"].concat());
    header.extend(len.to_le_bytes());
    std::fs::write(&path, [header, samples].concat()).unwrap();
    path
}

/// A family of files.
struct Family {
    /// The name's ending.
    ending: &'static str,
    /// Settings of FFmpeg, words apart.
    settings: &'static [&'static str],
    channels: &'static [usize],
    rates: &'static [u32],
    within: i32,
    by: By,
}

/// What to compare with.
#[derive(Clone, Copy, PartialEq)]
enum By {
    FFmpeg,
    Libsndfile,
    /// As FFmpeg; but the length is the source's, since FFmpeg before 9 leaves the padding behind the sound of MP4 files.
    FFmpegAndSource,
}

const ALL: &[usize] = &[1, 2, 3, 4, 5, 6, 7, 8];
const FEW: &[usize] = &[1, 2];
const RATES: &[u32] = &[44_100, 8_000, 11_025, 48_000, 96_000, 192_000];
/// A second or so that is no whole number of any codec's frames.
const FRAMES: usize = 12_345;

/// Writes each family's files by FFmpeg, and compares how they are read.
fn matrix(families: &[Family]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    for family in families {
        for setting in family.settings {
            let all = family.channels.iter().map(|&channels| (channels, family.rates[0]));
            let cases = all.chain(family.rates[1..].iter().map(|&rate| (family.channels[0], rate)));
            for (channels, rate) in cases {
                let source = source(folder.path(), rate, channels, FRAMES);
                let path = folder.path().join(format!("{tried}.{}", family.ending));
                let mut command = ffmpeg()?;
                command.arg("-i").arg(source).args(setting.split_whitespace()).arg(&path);
                let output = command.output().unwrap();
                let case = format!("{setting} in {}, {channels} channels at {rate}", family.ending);
                tried += 1;
                if !output.status.success() {
                    wrong.push(format!("{case}: not written, {}", String::from_utf8_lossy(&output.stderr)));
                    continue;
                }
                let (channels, rate) = spec(&path)?;
                let mut theirs = match family.by {
                    By::Libsndfile => by_libsndfile(&path, family.within > 0)?.unwrap_or_default(),
                    _ => by_ffmpeg(&path)?,
                };
                if family.by == By::FFmpegAndSource {
                    theirs.truncate(FRAMES * channels);
                }
                if let Some(reason) = differs(&path, rate, channels, &theirs, family.within) {
                    wrong.push(format!("{case}: {reason}"));
                }
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    none_wrong(tried, &wrong)
}

pub fn plain_samples_in_every_header() -> Done {
    let family =
        |ending, settings, channels| Family { ending, settings, channels, rates: RATES, within: 0, by: By::FFmpeg };
    matrix(&[
        family(
            "wav",
            &[
                "-c:a pcm_u8",
                "-c:a pcm_s16le",
                "-c:a pcm_s24le",
                "-c:a pcm_s32le",
                "-c:a pcm_f32le",
                "-c:a pcm_f64le",
                "-c:a pcm_mulaw",
                "-c:a pcm_alaw",
                "-c:a pcm_s16le -rf64 always",
                "-c:a pcm_s24le -rf64 always",
            ],
            ALL,
        ),
        family("w64", &["-c:a pcm_s16le", "-c:a pcm_s24le", "-c:a pcm_f32le"], ALL),
        family(
            "au",
            &[
                "-c:a pcm_s8",
                "-c:a pcm_s16be",
                "-c:a pcm_s24be",
                "-c:a pcm_s32be",
                "-c:a pcm_f32be",
                "-c:a pcm_f64be",
                "-c:a pcm_mulaw",
                "-c:a pcm_alaw",
            ],
            ALL,
        ),
        family("aiff", &["-c:a pcm_s16be", "-c:a pcm_s24be", "-c:a pcm_s32be"], ALL),
        family("aiff", &["-c:a pcm_f32be", "-c:a pcm_f64be", "-c:a pcm_mulaw", "-c:a pcm_alaw", "-c:a pcm_s16le"], ALL),
        family(
            "caf",
            &[
                "-c:a pcm_s16le",
                "-c:a pcm_s16be",
                "-c:a pcm_s24le",
                "-c:a pcm_s24be",
                "-c:a pcm_s32be",
                "-c:a pcm_f32le",
                "-c:a pcm_f64be",
                "-c:a pcm_mulaw",
                "-c:a pcm_alaw",
            ],
            ALL,
        ),
        family("mov", &["-c:a pcm_s16le", "-c:a pcm_s16be", "-c:a pcm_s24le", "-c:a pcm_f32le"], FEW),
        family("mkv", &["-c:a pcm_s16le", "-c:a pcm_s24le", "-c:a pcm_f32le"], ALL),
    ])
}

pub fn lossless_codecs_in_every_container() -> Done {
    let family =
        |ending, settings, channels| Family { ending, settings, channels, rates: RATES, within: 0, by: By::FFmpeg };
    let flac = &[
        "-c:a flac -sample_fmt s16",
        "-c:a flac -sample_fmt s16 -compression_level 0",
        "-c:a flac -sample_fmt s16 -compression_level 12",
        "-c:a flac -sample_fmt s32",
    ];
    matrix(&[
        family("flac", flac, ALL),
        family("oga", &["-c:a flac -sample_fmt s16"], ALL),
        family("mkv", &["-c:a flac -sample_fmt s16"], ALL),
        family("mp4", &["-c:a flac -sample_fmt s16 -strict -2"], FEW),
        family("m4a", &["-c:a alac -sample_fmt s16p", "-c:a alac -sample_fmt s32p"], ALL),
        family("caf", &["-c:a alac -sample_fmt s16p"], FEW),
        family("mkv", &["-c:a alac -sample_fmt s16p"], FEW),
    ])
}

pub fn adpcm_in_whole_numbers() -> Done {
    let family = |ending, settings, by| Family { ending, settings, channels: FEW, rates: RATES, within: 0, by };
    matrix(&[
        family("wav", &["-c:a adpcm_ms"], By::FFmpeg),
        family("caf", &["-c:a adpcm_ima_qt"], By::FFmpeg),
        // Where the specification adds rounded terms, FFmpeg before 7 multiplies. libsndfile has limits of its own at
        // high rates.
        Family {
            rates: &[44_100, 8_000, 11_025, 48_000],
            ..family("wav", &["-c:a adpcm_ima_wav", "-c:a adpcm_ima_wav -block_size 256"], By::Libsndfile)
        },
    ])
}

pub fn mpeg_audio_in_every_container() -> Done {
    // At 24 kHz FFmpeg parts one band at 330 of 576 lines, where the standard, encoders and this project do at 332.
    let rates = &[44_100, 8_000, 11_025, 12_000, 16_000, 22_050, 32_000, 48_000];
    let family = |ending, settings| Family { ending, settings, channels: FEW, rates, within: ROUNDING, by: By::FFmpeg };
    matrix(&[
        family(
            "mp3",
            &[
                "-c:a libmp3lame -b:a 64k",
                "-c:a libmp3lame -q:a 4",
                "-c:a libmp3lame -b:a 64k -write_xing 0",
                "-c:a libmp3lame -q:a 4 -write_xing 0",
                "-c:a libmp3lame -q:a 0 -write_id3v1 1",
                "-c:a libmp3lame -b:a 64k -reservoir 0 -joint_stereo 0",
                "-c:a libmp3lame -b:a 64k -write_xing 0 -write_id3v1 1 -metadata title=title",
            ],
        ),
        family("mkv", &["-c:a libmp3lame -q:a 4"]),
        Family {
            ending: "mp2",
            settings: &["-c:a mp2 -b:a 96k"],
            channels: FEW,
            rates: &[44_100, 16_000, 22_050, 24_000, 32_000, 48_000],
            within: ROUNDING,
            by: By::FFmpeg,
        },
    ])
}

pub fn aac_in_every_container() -> Done {
    let rates = &[44_100, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 48_000, 96_000];
    // Noise that a decoder makes up for itself is left out.
    let family = |ending, settings, by| Family { ending, settings, channels: FEW, rates, within: ROUNDING, by };
    matrix(&[
        family(
            "m4a",
            &["-c:a aac -aac_pns 0", "-c:a aac -aac_pns 0 -b:a 48k -movflags +faststart"],
            By::FFmpegAndSource,
        ),
        // Without an edit list.
        family("m4a", &["-c:a aac -aac_pns 0 -aac_coder fast -movflags +frag_keyframe+empty_moov"], By::FFmpeg),
        family("mov", &["-c:a aac -aac_pns 0"], By::FFmpegAndSource),
        family("aac", &["-c:a aac -aac_pns 0", "-c:a aac -aac_pns 0 -write_id3v2 1"], By::FFmpeg),
        family("mkv", &["-c:a aac -aac_pns 0"], By::FFmpeg),
    ])
}

pub fn vorbis_in_every_container() -> Done {
    let family = |ending, settings, by| Family { ending, settings, channels: FEW, rates: RATES, within: ROUNDING, by };
    matrix(&[
        // FFmpeg before 7 leaves some of the padding of Ogg files.
        family("ogg", &["-c:a libvorbis -q:a 4", "-c:a libvorbis -q:a 0"], By::Libsndfile),
        family("webm", &["-c:a libvorbis -q:a 4"], By::FFmpeg),
        family("mkv", &["-c:a libvorbis -q:a 4"], By::FFmpeg),
    ])
}

/// The same by the two other libraries, of their formats.
pub fn libsndfile_and_libflac_agree() -> Done {
    let folder = tempfile::tempdir().unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    let plain = ["wav", "w64", "rf64", "au", "aiff", "caf"];
    let endings = ["-pcm16", "-pcm24", "-pcm32", "-float32", "-float64", "-ulaw", "-alaw"];
    let cases = plain.iter().flat_map(|&ending| endings.map(|kind| (ending, kind))).chain([
        ("wav", "-pcmu8"),
        ("wav", "-ima-adpcm"),
        ("wav", "-ms-adpcm"),
        ("flac", "-pcm16"),
        ("flac", "-pcm24"),
        ("oga", "-vorbis"),
    ]);
    for (ending, kind) in cases {
        // Of Vorbis two channels are read. Of two channels of Microsoft's ADPCM libsndfile makes something else than FFmpeg
        // and the specification do.
        let most = match (ending, kind) {
            ("oga", _) => 2,
            (_, "-ms-adpcm") => 1,
            _ => 8,
        };
        for channels in 1..=most {
            let source = source(folder.path(), 44_100, channels, FRAMES);
            let path = folder.path().join(format!("{tried}.{ending}"));
            let mut command = program("sndfile-convert")?;
            command.arg(kind).arg(source).arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
            // Not every kind is in every header, nor with many channels.
            if !command.status().unwrap().success() {
                continue;
            }
            tried += 1;
            let case = format!("{kind} in {ending}, {channels} channels");
            let within = if ending == "oga" { ROUNDING } else { 0 };
            match by_libsndfile(&path, kind.starts_with("-float") || kind == "-vorbis")? {
                Some(theirs) => {
                    if let Some(reason) = differs(&path, 44_100, channels, &theirs, within) {
                        wrong.push(format!("{case}: libsndfile, {reason}"));
                    }
                }
                None => wrong.push(format!("{case}: libsndfile doesn't read what it wrote")),
            }
            if ending == "flac" {
                let theirs = by_libflac(&path, if kind == "-pcm16" { 16 } else { 24 })?;
                if let Some(reason) = differs(&path, 44_100, channels, &theirs, 0) {
                    wrong.push(format!("{case}: libFLAC, {reason}"));
                }
            }
        }
    }
    none_wrong(tried, &wrong)
}

/// Recordings that were cut, damaged or joined: about as many samples as FFmpeg finds, and a word about what is lost.
pub fn damaged_recordings_are_as_long_as_elsewhere() -> Done {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), 44_100, 1, 60_000);
    let (mut tried, mut wrong) = (0, Vec::new());
    for (ending, setting) in [
        ("mp3", "-c:a libmp3lame -b:a 64k"),
        ("mp3", "-c:a libmp3lame -q:a 4 -write_xing 0"),
        ("aac", "-c:a aac -aac_pns 0"),
        ("ogg", "-c:a libvorbis -q:a 4 -page_duration 100000"),
        ("mkv", "-c:a libmp3lame -b:a 64k"),
        ("m4a", "-c:a aac -aac_pns 0 -movflags +faststart"),
    ] {
        let whole = folder.path().join(format!("whole.{ending}"));
        let mut command = ffmpeg()?;
        command.arg("-i").arg(&source).args(setting.split_whitespace()).arg(&whole);
        assert!(command.status().unwrap().success(), "{setting}");
        let content = std::fs::read(&whole).unwrap();
        let cut = content[..content.len() * 2 / 3].to_vec();
        let mut holed = content.clone();
        holed[content.len() / 2..][..3_000].fill(0);
        let tagged = [&content[..], b"TAG", &[b' '; 125]].concat();
        let joined = [&content[..], &content].concat();
        let joined_tagged = [&tagged[..], &tagged].concat();
        for (name, bytes) in
            [("cut", cut), ("holed", holed), ("tagged", tagged), ("joined", joined), ("joined, tagged", joined_tagged)]
        {
            // Of containers, only chained Ogg files are joined, and nothing is behind them.
            let framed = matches!(ending, "mp3" | "aac");
            if !framed && (name.contains("tagged") || name == "joined" && ending != "ogg") {
                continue;
            }
            let path = folder.path().join(format!("{tried}.{ending}"));
            std::fs::write(&path, &bytes).unwrap();
            tried += 1;
            let theirs = by_ffmpeg(&path)?.len();
            let layout = AudioLayout { rate: 44_100, format: AudioFormat::Pcm8, ..AudioLayout::default() };
            let mut ours = Vec::new();
            let warnings = sound(layout).encode_to(&mut std::io::Cursor::new(&bytes), &mut ours);
            let warned = !warnings.as_ref().is_ok_and(Vec::is_empty);
            // What FFmpeg does at the edges differs by up to two frames: behind what is no frame it waits for a second one,
            // and it decodes what is there of a cut one.
            let apart = ours.len().abs_diff(theirs);
            if apart > 2 * 1_152 || warned != matches!(name, "cut" | "holed") {
                wrong.push(format!("{ending}, {setting}, {name}: {} of {theirs} samples, {warnings:?}", ours.len()));
            }
        }
    }
    none_wrong(tried, &wrong)
}
