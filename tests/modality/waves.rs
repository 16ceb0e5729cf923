//! Recordings that lose nothing in coding, with headers and surroundings as programs leave them.

/// The samples of a file at 8 kHz, and the warnings.
fn read(content: &[u8]) -> megabyte::Result<(Vec<i16>, Vec<String>)> {
    crate::samples(8_000, content)
}

/// The samples of a file about which there is nothing to say.
fn whole(content: &[u8]) -> Vec<i16> {
    let (samples, warnings) = read(content).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    samples
}

fn refused(content: &[u8]) -> String {
    read(content).unwrap_err().to_string()
}

/// A WAV file of a `fmt ` chunk and samples.
fn wav(fmt: &[u8], samples: &[u8]) -> Vec<u8> {
    let mut file = [&b"RIFF"[..], &(20 + fmt.len() as u32 + samples.len() as u32).to_le_bytes(), b"WAVEfmt "].concat();
    file.extend(
        [&(fmt.len() as u32).to_le_bytes(), fmt, b"data", &(samples.len() as u32).to_le_bytes(), samples].concat(),
    );
    file
}

/// The plain form's fields: kind, channels, bytes of a frame, bits.
fn plain(kind: u16, channels: u16, frame: u16, bits: u16) -> Vec<u8> {
    let rate = 8_000 * u32::from(frame);
    let fields = [kind, channels, 8_000, 0, rate as u16, (rate >> 16) as u16, frame, bits];
    fields.into_iter().flat_map(u16::to_le_bytes).collect()
}

/// The extensible form's, of integers in a container.
fn extensible(container: u16, valid: u16) -> Vec<u8> {
    let mut fmt = plain(0xfffe, 1, container / 8, container);
    fmt.extend([22, valid, 0, 0, 1].into_iter().flat_map(u16::to_le_bytes));
    fmt.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    fmt
}

fn pcm16() -> (Vec<i16>, Vec<u8>) {
    let samples: Vec<i16> = (0..5_000i32).map(|i| (i * i % 40_009 - 20_000) as i16).collect();
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    (samples, bytes)
}

#[test]
fn samples_of_fewer_bits_than_their_container() {
    for (container, valid) in [(32, 24), (24, 20), (32, 16), (32, 20), (16, 12), (24, 17), (32, 31), (16, 9)] {
        let width = usize::from(container / 8);
        let pad = u32::from(container - valid);
        // Of all values that there are, from the largest to silence.
        let range = 1i64 << (valid - 1);
        let values: Vec<i64> = (0..4_001i64).map(|i| ((i * 7_919 % 4_001 - 2_000) * range) / 2_001).collect();
        let to_16 = |value: i64| ((value << (32 - valid)) as f32 / 65_536.0).round() as i16;
        let expected: Vec<i16> = values.iter().map(|&value| to_16(value)).collect();
        let file = |values: &mut dyn Iterator<Item = i64>| {
            let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()[..width].to_vec()).collect();
            wav(&extensible(container, valid), &bytes)
        };
        // As the specification has it, and as others write it.
        assert_eq!(whole(&file(&mut values.iter().map(|&v| v << pad))), expected, "{valid} of {container}, left");
        assert_eq!(whole(&file(&mut values.iter().copied())), expected, "{valid} of {container}, right");
        // More bits than are said to be used, in the upper ones.
        let finer: Vec<i16> = whole(&file(&mut values.iter().map(|&value| (value << pad) + 1)));
        assert!(finer.iter().zip(&expected).all(|(a, b)| (i32::from(*a) - i32::from(*b)).abs() <= 1));
        // What fits both is taken as specified.
        let quiet = whole(&file(&mut [0, 1 << pad, -(1 << pad), 0].into_iter()));
        assert_eq!(quiet, [0, to_16(1), to_16(-1), 0], "{valid} of {container}");
    }
    // In the plain form, too.
    let samples: Vec<u8> =
        [-(1 << 19), 12_345, 0].iter().flat_map(|&v: &i32| (v << 4).to_le_bytes()[..3].to_vec()).collect();
    assert_eq!(whole(&wav(&plain(1, 1, 3, 20), &samples)), [-32_768, 772, 0]);
    // A file without any that are used says nothing.
    assert_eq!(whole(&wav(&extensible(16, 0), &[1, 2])), [513]);
    assert!(refused(&wav(&plain(1, 1, 5, 40), &[0; 10])).contains("40 bits"));
    assert!(refused(&wav(&plain(1, 0, 0, 16), &[0; 10])).contains("0 channels"));
}

#[test]
fn lengths_that_a_pipe_left_open_reach_to_the_end() {
    let (samples, bytes) = pcm16();
    let file = wav(&plain(1, 1, 2, 16), &bytes);
    let opened = |claimed: u32, riff: u32| {
        let mut file = file.clone();
        file[4..8].copy_from_slice(&riff.to_le_bytes());
        file[40..44].copy_from_slice(&claimed.to_le_bytes());
        file
    };
    for claimed in [0x7fff_f000, 0x7fff_ffff, 0x7fff_ffdb, 0x8000_0000, 0xffff_ff00, 0xffff_ffff, 0] {
        let (found, warnings) = read(&opened(claimed, claimed.wrapping_add(36))).unwrap();
        assert!(found == samples, "{claimed:#x}: {}", found.len());
        assert!(warnings.len() == 1 && warnings[0].contains("end of the file"), "{claimed:#x}: {warnings:?}");
        // Whole frames.
        let odd = [&opened(claimed, 0)[..], &[1]].concat();
        assert!(read(&odd).unwrap().0 == samples);
    }
    // No sound at all is another thing.
    assert!(whole(&wav(&plain(1, 1, 2, 16), &[])).is_empty());
    // A length that a file could have.
    let (found, warnings) = read(&opened(18_192, 18_228)).unwrap();
    assert_eq!(
        (found == samples, &warnings[..]),
        (true, &["4,096 samples are lost at 0.6 s, where it ends".to_owned()][..])
    );
    let (found, warnings) = read(&file[..file.len() - 1_001]).unwrap();
    assert_eq!((found == samples[..4_499], &warnings[0][..]), (true, "501 samples are lost at 0.6 s, where it ends"));

    // The larger relatives, whose lengths are of 64 bits.
    for claimed in [0u64, 0x7fff_f000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX, i64::MAX as u64] {
        let mut rf64 = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
        rf64.extend([claimed.to_le_bytes(), claimed.to_le_bytes(), [0; 8]].concat());
        rf64.extend([b"\0\0\0\0fmt \x10\0\0\0", &plain(1, 1, 2, 16)[..], b"data\xff\xff\xff\xff", &bytes].concat());
        let guid = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
        let mut wave64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
        wave64.extend([&claimed.to_le_bytes()[..], b"wave", guid, b"fmt ", guid, &40u64.to_le_bytes()].concat());
        wave64.extend([&plain(1, 1, 2, 16), &b"data"[..], guid, &claimed.to_le_bytes(), &bytes].concat());
        for file in [rf64, wave64] {
            let (found, warnings) = read(&file).unwrap();
            assert!(found == samples && warnings.len() == 1, "{claimed:#x}: {} {warnings:?}", found.len());
        }
    }
}

/// The specification's decoder in its own words, for blocks of one channel.
fn ima(block: &[u8]) -> Vec<i16> {
    let mut predicted = i32::from(i16::from_le_bytes([block[0], block[1]]));
    let mut index = i32::from(block[2]);
    // The specification's table.
    let steps: Vec<i32> = include_str!("files/ima_steps.txt").split_whitespace().map(|n| n.parse().unwrap()).collect();
    let mut samples = vec![predicted as i16];
    for code in block[4..].iter().flat_map(|byte| [byte & 15, byte >> 4]) {
        let step = steps[index as usize];
        let mut difference = 0;
        if code & 4 != 0 {
            difference += step;
        }
        if code & 2 != 0 {
            difference += step >> 1;
        }
        if code & 1 != 0 {
            difference += step >> 2;
        }
        difference += step >> 3;
        predicted += if code & 8 != 0 { -difference } else { difference };
        predicted = predicted.clamp(-32_768, 32_767);
        index = (index + [-1, -1, -1, -1, 2, 4, 6, 8][usize::from(code & 7)]).clamp(0, 88);
        samples.push(predicted as i16);
    }
    samples
}

#[test]
fn ima_adpcm_is_the_specifications() {
    let blocks: Vec<u8> = (0..40u32)
        .flat_map(|block| {
            let head = [(block * 777) as u8, (block * 5) as u8, (block * 11 % 89) as u8, 0];
            let codes = (0..252u32).map(move |i| ((i + block * 252).wrapping_mul(2_654_435_761) >> 21) as u8);
            head.into_iter().chain(codes).collect::<Vec<u8>>()
        })
        .collect();
    let mut fmt = plain(0x11, 1, 256, 4);
    fmt.extend([2, 0, 505u16 as u8, (505u16 >> 8) as u8]);
    let expected: Vec<i16> = blocks.chunks(256).flat_map(ima).collect();
    assert!(whole(&wav(&fmt, &blocks)) == expected);
    // The last block may be short.
    let short = whole(&wav(&fmt, &blocks[..300]));
    assert!(short == [&expected[..505], &ima(&blocks[256..300])].concat());
}

/// A FLAC file of one channel of 16 bits, in frames of 1,000 samples that are stored as they are.
fn flac(samples: &[i16], told: bool) -> Vec<u8> {
    let crc = |bytes: &[u8], width: u32, polynomial: u32| {
        bytes.iter().fold(0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << (width - 8), |crc, _| {
                let carried = crc >> (width - 1) & 1 == 1;
                (crc << 1 ^ if carried { polynomial } else { 0 }) & ((1u64 << width) - 1) as u32
            })
        })
    };
    let total = if told { samples.len() as u64 } else { 0 };
    let mut file = b"fLaC\x80\0\0\x22\x03\xe8\x03\xe8\0\0\0\0\0\0".to_vec();
    file.extend((8_000u64 << 44 | 15 << 36 | total).to_be_bytes());
    file.extend([0; 16]);
    for (number, block) in samples.chunks(1_000).enumerate() {
        let mut frame = vec![0xff, 0xf8, 0x74, 0x08, number as u8];
        frame.extend((block.len() as u16 - 1).to_be_bytes());
        frame.push(crc(&frame, 8, 0x07) as u8);
        frame.push(2);
        frame.extend(block.iter().flat_map(|sample| sample.to_be_bytes()));
        frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
        file.extend(frame);
    }
    file
}

#[test]
fn what_stands_around_flac_is_no_sound() {
    let (samples, _) = pcm16();
    let samples = &samples[..4_321];
    let tag = [&b"TAG"[..], &[b' '; 125]].concat();
    let ape = {
        let numbers = [2_000u32, 32 + 9, 1, 0x8000_0000].map(u32::to_le_bytes).concat();
        [
            &b"APETAGEX"[..],
            &[2_000u32, 41, 1, 0xa000_0000].map(u32::to_le_bytes).concat(),
            &[0; 8],
            b"\0\0\0\0\0\0\0\0a",
            b"APETAGEX",
            &numbers,
            &[0; 8],
        ]
        .concat()
    };
    let id3v2 = [&b"ID3\x03\0\0\0\0\x08\0"[..], &[0; 1_024]].concat();
    let noise: Vec<u8> = (0..3_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for told in [true, false] {
        let file = flac(samples, told);
        assert!(whole(&file) == samples);
        for behind in [&tag, &ape, &[&ape[..], &tag].concat(), &vec![0; 4_096], &noise, &b"junk".to_vec()] {
            assert!(whole(&[&file[..], behind].concat()) == samples, "{told}");
            assert!(whole(&[&id3v2, &file[..], behind].concat()) == samples, "{told}");
        }
        // Nothing of a file without loss may be missing.
        for cut in [1, 3, 100, 650, 700, 2_000] {
            let reason = refused(&file[..file.len() - cut]);
            assert!(reason.contains("a FLAC file"), "{told}, {cut}: {reason}");
        }
        let mut holed = file.clone();
        holed[5_000] ^= 1;
        assert!(refused(&holed).contains("1,000 samples are missing at 0."), "{}", refused(&holed));
    }
}
