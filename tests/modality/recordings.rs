//! Recordings that lose something in coding: how long they are, what of them is sound, and what is said where some of it
//! is lost. The files were made for this by FFmpeg; what stands beside them is every 16th sample as FFmpeg reads them.

use std::io::Cursor;

use megabyte::modality::{Description, describe};

/// Frames of MPEG-2 layer III of 576 samples, loud ones first, without a frame of information.
const MP3: &[u8] = include_bytes!("files/loud_then_quiet.mp3");
const MP3_LEN: usize = 81_216;
const MP3_SAMPLES: &[u8] = include_bytes!("files/loud_then_quiet.every16");
/// 33 packets of AAC of 1,024 samples, of which the edit list leaves out the first and a part of the last.
const M4A: &[u8] = include_bytes!("files/edit_list.m4a");
const M4A_LEN: usize = 32_000;
const M4A_SAMPLES: &[u8] = include_bytes!("files/edit_list.every16");
/// The same packets in ADTS.
const AAC: &[u8] = include_bytes!("files/edit_list.aac");
/// The same packets of Vorbis, whose last page's number, and whose last block's padding, says where the sound ends.
const OGG: &[u8] = include_bytes!("files/vorbis.ogg");
const WEBM: &[u8] = include_bytes!("files/vorbis.webm");

/// The samples of a file at 16 kHz, and the warnings.
fn read(content: &[u8]) -> megabyte::Result<(Vec<i16>, Vec<String>)> {
    crate::samples(16_000, content)
}

/// The samples of a file that is whole.
fn whole(content: &[u8]) -> Vec<i16> {
    let (samples, warnings) = read(content).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    samples
}

/// The warnings of a file that isn't.
fn warned(content: &[u8]) -> (usize, String) {
    let (samples, warnings) = read(content).unwrap();
    (samples.len(), warnings.join("; "))
}

/// The number of samples that a warning says are lost.
fn number(warning: &str) -> usize {
    warning.split(" samples").next().unwrap().replace(',', "").trim_start_matches("about ").parse().unwrap()
}

fn refused(content: &[u8]) -> String {
    read(content).unwrap_err().to_string()
}

/// Whether samples are those of which `expected` has every 16th.
fn agree(samples: &[i16], expected: &[u8]) {
    let every16 = samples.iter().step_by(16);
    let expected = expected.as_chunks::<2>().0.iter().map(|&bytes| i16::from_le_bytes(bytes));
    assert!(every16.zip(expected).all(|(a, b)| (i32::from(*a) - i32::from(b)).abs() <= 1));
}

fn seconds(content: &[u8]) -> Option<f64> {
    let Some(Description::Sound { seconds, .. }) = describe(&mut Cursor::new(content)) else { panic!() };
    seconds
}

/// Tags as they stand in front of sound and behind it.
fn tags() -> (Vec<u8>, Vec<Vec<u8>>) {
    let id3v2 = [b"ID3\x04\0\0\0\0\x04\x00", &[7; 512][..]].concat();
    let id3v1 = [&b"TAG"[..], &[b' '; 125]].concat();
    let extended = [&b"TAG+"[..], &[b' '; 223], &id3v1].concat();
    let ape = |flags: u32| {
        let numbers = [2_000, 12 + 32, 1, flags].map(u32::to_le_bytes).concat();
        [b"APETAGEX", &numbers[..], &[0; 8]].concat()
    };
    let item = b"\x03\0\0\0\0\0\0\0\0\xff\xfb\x90";
    let ape = [&ape(0xa000_0000)[..], item, &ape(0x8000_0000)].concat();
    let lyrics = b"LYRICSBEGININD0000200000021LYRICS200";
    let behind = [
        id3v1.clone(),
        extended,
        ape.clone(),
        [&ape[..], &id3v1].concat(),
        [&lyrics[..], &id3v1].concat(),
        [b"LYRICSBEGIN la la LYRICSEND", &id3v1[..]].concat(),
    ];
    (id3v2, behind.to_vec())
}

#[test]
fn frames_of_mpeg_audio_are_counted() {
    let samples = whole(MP3);
    assert_eq!(samples.len(), MP3_LEN);
    agree(&samples, MP3_SAMPLES);
    let (front, behind) = tags();
    for tag in &behind {
        assert!(whole(&[MP3, tag].concat()) == samples, "{tag:?}");
        assert!(whole(&[&front, MP3, tag].concat()) == samples, "{tag:?}");
    }
    // Some encoders begin with zeros.
    assert!(whole(&[&[0; 300], MP3].concat()) == samples);
    // What no header says is not made up.
    assert_eq!(seconds(MP3), None);
}

#[test]
fn joined_recordings_give_all_their_sound() {
    let (front, behind) = tags();
    for between in [Vec::new(), front.clone(), behind[0].clone(), [&behind[2][..], &behind[0], &front].concat()] {
        let samples = whole(&[MP3, &between, MP3].concat());
        assert_eq!(samples.len(), 2 * MP3_LEN);
        agree(&samples[..MP3_LEN], MP3_SAMPLES);
        // The first frames of the second are decoded upon what the first left.
        agree(&samples[MP3_LEN + 1_600..], &MP3_SAMPLES[200..]);
    }
    assert_eq!(whole(&[AAC, AAC].concat()).len(), 2 * 33 * 1_024);
    let ogg = whole(OGG);
    assert!(whole(&[OGG, OGG].concat()) == [&ogg[..], &ogg].concat());
}

/// A frame of information before the frames: of how many, and of how many bytes, it tells, and what it has trimmed.
fn informed(frames: Option<u32>, bytes: Option<u32>, delay: u32, padding: u32) -> Vec<u8> {
    // A frame of 576 bytes and of no sound, of the stream's rate.
    let mut frame = [&[0xff, 0xf3, 0xe8, 0xc4][..], &[0; 9], b"Info"].concat();
    let flags = u32::from(frames.is_some()) | u32::from(bytes.is_some()) << 1;
    frame.extend([&flags.to_be_bytes()[..], &frames.map_or(Vec::new(), |n| n.to_be_bytes().to_vec())].concat());
    frame.extend(bytes.map_or(Vec::new(), |n| n.to_be_bytes().to_vec()));
    frame.extend([&b"LAME3.100"[..], &[0; 12], &(delay << 12 | padding).to_be_bytes()[1..]].concat());
    frame.resize(720, 0);
    [&frame, MP3].concat()
}

#[test]
fn what_encoders_add_to_mpeg_audio_is_left_out() {
    let samples = whole(MP3);
    let frames = (MP3_LEN / 576) as u32;
    // The decoder's own delay of 529 is a part of what is left out in front, and none of what is behind.
    let trimmed = whole(&informed(Some(frames), None, 576, 1_000));
    assert!(trimmed == samples[576 + 529..MP3_LEN - (1_000 - 529)]);
    assert_eq!(seconds(&informed(Some(frames), None, 576, 1_000)), Some(trimmed.len() as f64 / 16_000.0));
    // Without a number of frames the padding isn't known to be at the end.
    assert!(whole(&informed(None, None, 576, 1_000)) == samples[1_105..]);
    // A header that knows of fewer frames than there are was joined; padding ends where it says.
    let early = whole(&informed(Some(100), None, 0, 1_000));
    assert!(early == [&samples[529..57_600 - 471], &samples[57_600..]].concat());
    // One that the file outgrew by far doesn't know its end.
    assert!(whole(&informed(Some(100), Some(4_000), 0, 1_000)) == samples[529..]);
    // One that knows of more frames than there are lost some.
    let (len, warning) = warned(&informed(Some(frames + 2), None, 0, 529));
    assert_eq!((len, &warning[..]), (MP3_LEN - 529, "1,152 samples are lost at 5.0 s, where it ends"));
    // Frames of information inside are frames of silence.
    let joined = whole(&[MP3, &informed(Some(1), None, 0, 529)].concat());
    assert_eq!(joined.len(), 2 * MP3_LEN + 576);
}

#[test]
fn what_is_lost_of_mpeg_audio_is_said() {
    let samples = whole(MP3);
    let (len, warning) = warned(&MP3[..MP3.len() - 10]);
    assert_eq!((len, &warning[..]), (MP3_LEN - 576, "576 samples are lost at 5.0 s, where it ends"));
    let mut holed = MP3.to_vec();
    holed[4_000..4_400].fill(0);
    let (read, warnings) = read(&holed).unwrap();
    assert!(warnings.len() == 1 && warnings[0].ends_with(" s") && warnings[0].contains(" samples are lost at "));
    let lost = samples.len() - read.len();
    assert!(lost > 0 && lost.is_multiple_of(576) && lost < 10 * 576, "{lost}");
    let before = read.iter().zip(&samples).take_while(|(a, b)| a == b).count();
    assert!(before > 10_000, "{before}");
    let told = number(&warnings[0]);
    // An estimate, of frames whose lengths differ by far.
    assert!((lost / 2..=lost * 2).contains(&told), "{lost}: {warnings:?}");
    // Even of very little.
    assert!(warned(&MP3[..700]).0 > 0);
    let rest = [MP3, &[b'x'; 5_000]].concat();
    assert_eq!(warned(&rest), (MP3_LEN, "its last 5,000 bytes are no sound".to_owned()));
    assert!(refused(&MP3[..100]).contains("no whole frame"));
    let free = [&[0xff, 0xfb, 0x00, 0x00][..], &[0; 400]].concat().repeat(9);
    assert!(refused(&free).contains("free format"), "{}", refused(&free));
}

/// A bare AAC stream of bits, in ADTS frames.
fn aac(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).map(|bit| bit - b'0').collect();
    let block: Vec<u8> =
        bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (i, bit)| sum | bit << (7 - i))).collect();
    let len = 7 + block.len();
    // LC, 16 kHz, mono.
    let header = [0xff, 0xf1, 0x60, 0x40, (len >> 3) as u8, (len << 5) as u8 | 0x1f, 0xfc];
    [&header[..], &block].concat().repeat(20)
}

#[test]
fn frames_of_aac_are_counted() {
    let samples = whole(AAC);
    assert_eq!(samples.len(), 33 * 1_024);
    agree(&samples[1_024..1_024 + M4A_LEN], M4A_SAMPLES);
    let (front, behind) = tags();
    for tag in &behind {
        assert!(whole(&[&front, AAC, tag].concat()) == samples);
    }
    let (len, warning) = warned(&AAC[..12_334 + 8]);
    assert_eq!((len, &warning[..]), (32 * 1_024, "1,024 samples are lost at 2.0 s, where it ends"));
    // So little of a frame that it isn't known for one.
    assert_eq!(warned(&AAC[..12_334 + 2]), (32 * 1_024, "its last 2 bytes are no sound".to_owned()));
    let mut holed = AAC.to_vec();
    holed[6_000..7_000].fill(0);
    let (len, warning) = warned(&holed);
    let lost = 33 * 1_024 - len;
    assert!(warning.contains(" samples are lost at "));
    assert!(number(&warning).abs_diff(lost) <= 1_024, "{lost}: {warning}");
}

#[test]
fn kinds_of_aac_that_are_not_decoded_are_named() {
    let silence = "000 0000 00000000 0 00 0 000000 0 0 0 0";
    assert_eq!(whole(&aac(&format!("{silence} 111"))).len(), 20 * 1_024);
    assert_eq!(whole(&aac(&format!("{silence} 110 0010 0000 000000000000 111"))).len(), 20 * 1_024);
    // Half the band, which would be played at half the rate.
    let replicated = aac(&format!("{silence} 110 0010 1101 000000000000 111"));
    assert!(refused(&replicated).contains("HE-AAC"), "{}", refused(&replicated));
    assert!(refused(&replicated[..replicated.len() / 4]).contains("HE-AAC"));
    let mut main = AAC.to_vec();
    let mut at = 0;
    while at < main.len() {
        main[at + 2] &= 0x3f;
        at += usize::from(main[at + 3] & 3) << 11 | usize::from(main[at + 4]) << 3 | usize::from(main[at + 5] >> 5);
    }
    assert!(refused(&main).contains("AAC Main"));
}

/// The file with the contents of a box replaced, in length.
fn patched(name: &[u8; 4], patch: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut file = M4A.to_vec();
    let at = file.windows(4).rposition(|found| found == name).unwrap();
    patch(&mut file[at..]);
    file
}

#[test]
fn edit_lists_say_what_is_sound() {
    let samples = whole(M4A);
    assert_eq!((samples.len(), seconds(M4A)), (M4A_LEN, Some(2.0)));
    agree(&samples, M4A_SAMPLES);
    let edited = |duration: u32, start: u32| {
        patched(b"elst", |list| {
            list[12..16].copy_from_slice(&duration.to_be_bytes());
            list[16..20].copy_from_slice(&start.to_be_bytes());
        })
    };
    // Times in the movie's units, which are 16,000 a second here, and in the media's.
    assert!(whole(&edited(16_000, 1_024)) == samples[..16_000]);
    assert!(whole(&edited(160, 2_000)) == samples[976..1_136]);
    // What is damaged behind the sound isn't looked at.
    let mut behind = edited(160, 2_000);
    let movie = behind.windows(4).rposition(|name| name == b"moov").unwrap() - 4;
    behind[movie - 4_000..movie].fill(0xff);
    assert!(whole(&behind) == samples[976..1_136]);
    // To the end, of a file whose length wasn't known; and no further than the durations of its packets.
    assert!(whole(&edited(0, 1_024)) == samples);
    assert!(whole(&edited(32_003, 1_024)) == samples);
    // Without a list all of it, and with iTunes' comment what that says.
    let bare = patched(b"elst", |list| list[..4].copy_from_slice(b"free"));
    assert_eq!(whole(&bare).len(), 33 * 1_024);
    let part =
        |name: &[u8; 4], content: &[u8]| [&(8 + content.len() as u32).to_be_bytes(), &name[..], content].concat();
    let comment = b" 00000000 00000400 00000200 0000000000007D00 00000000 00000000";
    let item = [
        part(b"mean", b"\0\0\0\0com.apple.iTunes"),
        part(b"name", b"\0\0\0\0iTunSMPB"),
        part(b"data", &[b"\0\0\0\x01\0\0\0\0", &comment[..]].concat()),
    ];
    let handler = part(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0");
    let list = part(b"ilst", &part(b"----", &item.concat()));
    let data = part(b"udta", &part(b"meta", &[&[0; 4][..], &handler, &list].concat()));
    let movie = bare.windows(4).rposition(|name| name == b"moov").unwrap() - 4;
    // The movie is the last box.
    let len = u32::from_be_bytes(*bare[movie..].first_chunk().unwrap()) + data.len() as u32;
    let old = bare.windows(4).rposition(|name| name == b"udta").map(|at| at - 4);
    let mut commented = bare.clone();
    if let Some(old) = old {
        commented[old + 4..old + 8].copy_from_slice(b"free");
    }
    commented[movie..movie + 4].copy_from_slice(&len.to_be_bytes());
    commented.extend(data);
    assert!(whole(&commented) == samples);
}

#[test]
fn vorbis_is_as_long_in_matroska_as_in_ogg() {
    let (ogg, webm) = (whole(OGG), whole(WEBM));
    assert_eq!((ogg.len(), webm.len()), (16_000, 16_000));
    assert!(ogg == webm);
}

#[test]
fn what_is_lost_of_vorbis_is_said() {
    // The last page holds the end, of little over a packet.
    let (len, warning) = warned(&OGG[..OGG.len() - 100]);
    assert!(len > 15_000 && warning.contains("is cut at 1.0 s"), "{len}, {warning}");
    let (len, warning) = warned(&WEBM[..WEBM.len() - 1_000]);
    assert!(len > 10_000 && len < 16_000 && !warning.is_empty(), "{len}, {warning}");
    // A page whose checksum is wrong is no page.
    let mut holed = OGG.to_vec();
    holed[OGG.len() - 50] ^= 1;
    let (len, warning) = warned(&holed);
    assert!(len > 15_000 && len < 16_000 && warning.contains("is cut at 1.0 s"), "{len}, {warning}");
}

#[test]
fn what_is_no_sound_in_front_is_said() {
    let (front, _) = tags();
    let mut damaged = MP3.to_vec();
    damaged[..6_000].fill(0x55);
    let (len, warning) = warned(&[&front, &damaged[..]].concat());
    assert!(len > 0 && len < MP3_LEN, "{len}");
    let told = warning.strip_prefix("its first ").and_then(|rest| rest.split_once(" bytes are no sound"));
    let told: usize = told.unwrap_or_else(|| panic!("{warning}")).0.replace(',', "").parse().unwrap();
    assert!((6_000..7_500).contains(&told), "{warning}");
    // A tag that claims more than there is hides nothing that follows.
    let lie = b"ID3\x04\0\0\x7f\x7f\x7f\x7f";
    let (len, warning) = warned(&[MP3, lie, MP3].concat());
    assert!(len >= 2 * MP3_LEN && warning.contains("lost"), "{len}, {warning}");
}

#[test]
fn masters_and_tracks_without_end_are_read_soon() {
    let segment = WEBM.windows(4).position(|id| id == [0x18, 0x53, 0x80, 0x67]).unwrap();
    let header = [&WEBM[..segment], &[0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
    let cluster = [0x1f, 0x43, 0xb6, 0x75, 0x01, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let start = std::time::Instant::now();
    for element in [&cluster[..], &[0xae, 0x80]] {
        let hostile = [&header[..], &element.repeat((4 << 20) / element.len())].concat();
        assert!(read(&hostile).is_err());
    }
    // All of a file behind them, with as many patches looked at for each read of it.
    let hostile = [WEBM, &cluster.repeat((4 << 20) / cluster.len())].concat();
    let _ = read(&hostile);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn ends_that_are_rounded_lose_nothing() {
    let mut file = M4A.to_vec();
    let patch = |file: &mut [u8], name: &[u8; 4], at: usize, number: u32| {
        let start = file.windows(4).rposition(|found| found == name).unwrap() + at;
        file[start..start + 4].copy_from_slice(&number.to_be_bytes());
    };
    // Milliseconds of the movie, and media time of two samples a unit.
    patch(&mut file, b"mvhd", 16, 1_000);
    patch(&mut file, b"mdhd", 16, 8_000);
    patch(&mut file, b"mdhd", 20, 33 * 512);
    patch(&mut file, b"stts", 8, 1);
    patch(&mut file, b"stts", 12, 33);
    patch(&mut file, b"stts", 16, 512);
    patch(&mut file, b"elst", 16, 512);
    // To the last of the samples, to the next millisecond, and to one that isn't there.
    for (milliseconds, lost) in [(2_048, ""), (2_049, ""), (2_060, "192 samples are lost at 2.0 s, where it ends")] {
        patch(&mut file, b"elst", 12, milliseconds);
        assert_eq!(warned(&file), (32 * 1_024, lost.to_owned()), "{milliseconds}");
    }
}
