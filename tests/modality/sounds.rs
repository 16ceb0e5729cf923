//! Sound of every kind to the layout's rate, channels and format.

use std::io::Cursor;

use megabyte::modality::{AudioChannels, AudioFormat, AudioLayout, Description, describe};

use crate::common::{audio, sound};

/// A WAV file of whatever spec, its samples given by their index.
fn wav(channels: u16, rate: u32, bits: u16, samples: impl Iterator<Item = i32>) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: hound::SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    samples.for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

#[test]
fn wav_samples_are_exact_and_channels_averaged() {
    let pcm16 = audio(8_000, AudioFormat::Pcm16le);
    let all: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    assert_eq!(pcm16.encode(&wav(1, 8_000, 16, -32_768..32_768)).unwrap(), all);
    assert_eq!(pcm16.encode(&wav(1, 8_000, 24, (-32_768..32_768).map(|s| s << 8))).unwrap(), all);
    assert_eq!(pcm16.encode(&wav(1, 8_000, 32, (-32_768..32_768).map(|s| s << 16))).unwrap(), all);
    let stereo = wav(2, 8_000, 16, [100, 200, -5, 5, 32_767, 32_767].into_iter());
    assert_eq!(pcm16.encode(&stereo).unwrap(), [150i16, 0, 32_767].map(i16::to_le_bytes).concat());
    // A live recording leaves the lengths open.
    let mut open = wav(1, 8_000, 16, 0..1_000);
    for unknown in [0xff, 0] {
        open[4..8].fill(unknown);
        open[40..44].fill(unknown);
        assert_eq!(pcm16.encode(&open).unwrap().len(), 2_000);
    }
    assert!(pcm16.encode(&wav(1, 8_000, 16, 0..0)).unwrap().is_empty());
}

#[test]
fn all_256_mulaw_codes_come_back() {
    let codes: Vec<u8> = (0..=255).collect();
    let adapter = audio(8_000, AudioFormat::Mulaw8);
    let wav = adapter.decode(&codes).unwrap();
    assert_eq!(adapter.encode(&wav).unwrap(), codes);
    let samples: Vec<i16> = hound::WavReader::new(&wav[..]).unwrap().into_samples().map(|s| s.unwrap()).collect();
    assert_eq!((samples[0x00], samples[0x80], samples[0xff], samples[0x7f]), (-32_124, 32_124, 0, -1));
}

#[test]
fn channels_are_mixed_doubled_or_kept() {
    let layout = |channels| AudioLayout { rate: 8_000, channels, ..AudioLayout::default() };
    let (mono, stereo) = (sound(layout(AudioChannels::Mono)), sound(layout(AudioChannels::Stereo)));
    let bytes = |samples: &[i16]| samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>();
    let two = wav(2, 8_000, 16, [100, 200, -300, 32_767].into_iter());
    assert_eq!(stereo.encode(&two).unwrap(), bytes(&[100, 200, -300, 32_767]));
    assert_eq!(stereo.encode(&wav(1, 8_000, 16, [5, -7].into_iter())).unwrap(), bytes(&[5, 5, -7, -7]));
    // Left, right, centre: each side with the centre.
    let three = wav(3, 8_000, 16, [100, 200, 300].into_iter());
    assert_eq!(stereo.encode(&three).unwrap(), bytes(&[200, 250]));
    assert_eq!(mono.encode(&three).unwrap(), bytes(&[200]));
    assert_eq!(stereo.encode(&wav(6, 8_000, 16, [32_767; 12].into_iter())).unwrap(), bytes(&[32_767; 4]));
    // What is written has the channels, and a part of a frame is dropped.
    let file = stereo.decode(&bytes(&[1, 2, 3])).unwrap();
    let mut reader = hound::WavReader::new(&file[..]).unwrap();
    assert_eq!(reader.spec().channels, 2);
    assert_eq!(reader.samples::<i16>().map(|s| s.unwrap()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn big_endian_samples_are_unsigned_and_say_most_first() {
    let adapter = audio(8_000, AudioFormat::Pcm16be);
    let bytes = adapter.encode(&wav(1, 8_000, 16, [-32_768, -1, 0, 1, 32_767].into_iter())).unwrap();
    assert_eq!(bytes, [0, 0, 0x7f, 0xff, 0x80, 0, 0x80, 1, 0xff, 0xff]);
}

#[test]
fn silence_at_both_ends_is_trimmed() {
    for (format, channels) in [
        (AudioFormat::Pcm16le, AudioChannels::Mono),
        (AudioFormat::Pcm16le, AudioChannels::Stereo),
        (AudioFormat::Pcm16be, AudioChannels::Mono),
        (AudioFormat::Pcm8, AudioChannels::Mono),
        (AudioFormat::Mulaw8, AudioChannels::Mono),
    ] {
        let layout = AudioLayout { rate: 8_000, channels, format, trim_db: 0.0 };
        let (all, trimmed) = (sound(layout.clone()), sound(AudioLayout { trim_db: -40.0, ..layout.clone() }));
        // -40 dB is 327.68, between which and 400 eight bits are too coarse to tell. Quiet parts inside stay.
        let edge = if layout.bytes_per_sample() == 2 { -328 } else { -400 };
        let level = |i: i32| match i {
            20_000..20_100 | 40_000..40_100 => 5_000,
            19_990 => edge,
            _ => i % 300,
        };
        let file = wav(1, 8_000, 16, (0..60_000).map(level));
        let (whole, part) = (all.encode(&file).unwrap(), trimmed.encode(&file).unwrap());
        let frame = layout.bytes_per_frame();
        assert_eq!(part, whole[19_990 * frame..40_100 * frame], "{layout:?}");
        assert_eq!(trimmed.encode(&trimmed.decode(&part).unwrap()).unwrap(), part);
        assert!(trimmed.encode(&wav(1, 8_000, 16, (0..9_000).map(|i| i % 300))).unwrap().is_empty());
    }
}

/// The samples of a 16-bit WAV file in the headers of other formats.
#[test]
fn other_headers_around_the_same_samples() {
    let adapter = audio(8_000, AudioFormat::Pcm16le);
    let plain = wav(1, 8_000, 16, (0..1_001).map(|i| i * 31 - 16_000));
    let expected = adapter.encode(&plain).unwrap();
    let (fmt, samples) = (&plain[20..36], &plain[44..]);
    let size = samples.len() as u64;

    let mut rf64 = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    rf64.extend([(72 + size).to_le_bytes(), size.to_le_bytes(), (size / 2).to_le_bytes()].concat());
    rf64.extend(b"\0\0\0\0fmt \x10\0\0\0");
    rf64.extend(fmt);
    rf64.extend(b"data\xff\xff\xff\xff");
    rf64.extend(samples);
    // Something after the samples, which is none.
    rf64.extend(b"LIST\x04\0\0\0abcd");

    let guid = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
    let mut wave64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
    wave64.extend((40 + 24 + 16 + 24 + size).to_le_bytes());
    wave64.extend([b"wave", &guid[..], b"fmt ", guid].concat());
    wave64.extend(40u64.to_le_bytes());
    wave64.extend(fmt);
    wave64.extend([b"data", &guid[..]].concat());
    wave64.extend((24 + size).to_le_bytes());
    wave64.extend(samples);

    let au = |encoding: u32, len: u32, samples: &[u8]| {
        let numbers = [28, len, encoding, 8_000, 1, 0].map(u32::to_be_bytes).concat();
        [b".snd", &numbers[..], samples].concat()
    };
    let swapped: Vec<u8> = samples.as_chunks::<2>().0.iter().flat_map(|&[low, high]| [high, low]).collect();
    let floats: Vec<u8> = samples
        .as_chunks::<2>()
        .0
        .iter()
        .flat_map(|&sample| (f32::from(i16::from_le_bytes(sample)) / 32_768.0).to_be_bytes())
        .collect();
    for (name, content) in [
        ("an RF64 WAV file", rf64),
        ("a Wave64 file", wave64),
        ("a Sun AU file", au(3, size as u32, &swapped)),
        ("a Sun AU file", au(3, u32::MAX, &swapped)),
        ("a Sun AU file", au(6, 2 * size as u32, &floats)),
    ] {
        assert!(adapter.encode(&content).unwrap() == expected, "{name}");
        let described = describe(&mut Cursor::new(&content));
        let seconds = Some(1_001.0 / 8_000.0);
        assert_eq!(described, Some(Description::Sound { format: name, rate: 8_000, channels: 1, seconds }));
        let error = adapter.encode(&content[..content.len() - 100]).err().map(|error| error.to_string());
        let open = content[8..12] == [0xff; 4] || name != "a Sun AU file";
        assert!(open || error.is_some_and(|error| error.contains("ends before")), "{name}");
    }
    let codes: Vec<u8> = (0..=255).collect();
    let decoded = audio(8_000, AudioFormat::Mulaw8).encode(&au(1, 256, &codes)).unwrap();
    // The second zero of mu-law is the first to every other decoder.
    assert!(codes.iter().zip(&decoded).all(|(&code, &back)| code == back || code == 0x7f));
    let error = adapter.encode(&au(23, 4, b"abcd")).unwrap_err().to_string();
    assert!(error.contains("23") && error.contains("ffmpeg"), "{error}");
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let adapter = audio(8_000, AudioFormat::Pcm16le);
    let mut gsm = wav(1, 8_000, 16, 0..650);
    gsm[20] = 0x31;
    for (content, name) in [
        (&b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01"[..], "Opus"),
        (b"\x0b\x77\x12\x34", "AC-3"),
        (b"wvpk\0\0\0\0", "WavPack"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (&gsm, "GSM"),
    ] {
        let error = adapter.encode(content).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("ffmpeg"), "{error}");
    }
}

/// Rates without a common divisor need the longest filters.
#[test]
fn odd_rates_are_read_soon() {
    for (from, to) in [(1_535_999, 383_999), (101, 384_000), (100, 384_000), (1_535_989, 1_000)] {
        let start = std::time::Instant::now();
        let samples = audio(to, AudioFormat::Pcm8).encode(&wav(1, from, 16, (0..2_000).map(|i| i % 7))).unwrap();
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{from} to {to}: {:?}", start.elapsed());
        let expected = 2_000.0 * f64::from(to) / f64::from(from);
        assert!((samples.len() as f64 - expected).abs() < 1.0, "{from} to {to}: {}", samples.len());
    }
    let error = audio(16_000, AudioFormat::Pcm8).encode(&wav(1, 1_536_001, 16, 0..9)).unwrap_err().to_string();
    assert!(error.contains("1536001"), "{error}");
    assert!(audio(16_000, AudioFormat::Pcm8).encode(&wav(1, 1, 16, 0..9)).is_err());
}
