//! FLAC files of samples, for comparison.

use flacenc::component::BitRepr;
use flacenc::error::Verify;

use super::classical::failed;
use crate::Result;
use crate::modality::{AudioFormat, AudioLayout};

/// A FLAC file of one item: the smallest of several block sizes and predictors, which suit speech (short blocks) or
/// music (long ones). The encoder is weaker than libFLAC. Bytes after the last whole frame are
/// counted as they are.
pub(super) fn flac(layout: &AudioLayout, item: &[u8]) -> Result<Vec<u8>> {
    let (whole, rest) = item.split_at(item.len() - item.len() % layout.bytes_per_frame());
    let samples = samples(layout.format, whole);
    let mut best: Option<Vec<u8>> = None;
    for block_size in [1024, 2048, 4096] {
        for lpc_order in [12, 24] {
            let file = flac_with(layout, &samples, block_size, lpc_order)?;
            if best.as_ref().is_none_or(|best| file.len() < best.len()) {
                best = Some(file);
            }
        }
    }
    let mut file = best.unwrap_or_default();
    file.extend(rest);
    Ok(file)
}

fn flac_with(layout: &AudioLayout, samples: &[i32], block_size: usize, lpc_order: usize) -> Result<Vec<u8>> {
    let mut config = flacenc::config::Encoder::default();
    config.multithread = false; // items are spread over the threads already
    config.block_size = block_size;
    config.subframe_coding.qlpc.lpc_order = lpc_order;
    config.subframe_coding.qlpc.quant_precision = 12;
    let config = config.into_verified().map_err(|(_, error)| failed("FLAC")(error))?;
    let bits = 8 * layout.bytes_per_sample();
    let source = flacenc::source::MemSource::from_samples(samples, layout.channels.count(), bits, layout.rate as usize);
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, block_size).map_err(failed("FLAC"))?;
    // The header's block sizes leave out the last block (RFC 9639, 8.2); flacenc counts it.
    stream.stream_info_mut().set_block_sizes(block_size, block_size).map_err(failed("FLAC"))?;
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).map_err(failed("FLAC"))?;
    Ok(sink.into_inner())
}

/// The signed samples of whole frames, channels by turns.
fn samples(format: AudioFormat, frames: &[u8]) -> Vec<i32> {
    let pairs = frames.as_chunks::<2>().0.iter();
    match format {
        AudioFormat::Pcm16le => pairs.map(|&pair| i16::from_le_bytes(pair).into()).collect(),
        AudioFormat::Pcm16be => pairs.map(|&pair| i32::from(u16::from_be_bytes(pair)) - 32_768).collect(),
        AudioFormat::Pcm8 => frames.iter().map(|&byte| i32::from(byte) - 128).collect(),
        AudioFormat::Mulaw8 => frames.iter().map(|&code| mulaw_rank(code)).collect(),
    }
}

/// The rank of a mu-law code among all 256 in the order of their levels, from -128: a prediction of ranks is then a
/// prediction of levels, and nothing is lost. Codes count down in size, negative ones from 0x00, positive from 0x80.
fn mulaw_rank(code: u8) -> i32 {
    if code < 0x80 { i32::from(code) - 128 } else { 255 - i32::from(code) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use symphonia::core::audio::{Audio, GenericAudioBufferRef};
    use symphonia::core::codecs::audio::AudioDecoderOptions;
    use symphonia::core::formats::{FormatOptions, TrackType, probe::Hint};
    use symphonia::core::io::MediaSourceStream;
    use symphonia::core::meta::MetadataOptions;

    use super::*;
    use crate::modality::AudioChannels;

    /// The samples of a FLAC file by a decoder of other people.
    fn unflac(file: Vec<u8>, bits: u32) -> Vec<i32> {
        let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
        let mut hint = Hint::new();
        hint.with_extension("flac");
        let mut format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .unwrap();
        let track = format.default_track(TrackType::Audio).unwrap();
        let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
        let mut decoder =
            symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default()).unwrap();
        let mut samples = Vec::new();
        while let Some(packet) = format.next_packet().unwrap() {
            match decoder.decode(&packet).unwrap() {
                // Samples are left-aligned in 32 bits.
                GenericAudioBufferRef::S32(buffer) => {
                    samples.extend(buffer.iter_interleaved().map(|sample| sample >> (32 - bits)))
                }
                other => panic!("unexpected samples: {}", other.num_planes()),
            }
        }
        samples
    }

    /// A decaying tone with noise, as bytes of 16-bit samples.
    fn tone(samples: usize) -> Vec<u8> {
        let mut noise = 1u32;
        let sample = |t: usize| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let tone = (t as f64 * 0.05).sin() * 12_000.0 * (-(t as f64) / 20_000.0).exp();
            (tone + f64::from(noise >> 24)) as i16
        };
        (0..samples).map(sample).flat_map(i16::to_le_bytes).collect()
    }

    #[test]
    fn flac_of_sixteen_bits_is_lossless_and_smaller() {
        let layout = AudioLayout { format: AudioFormat::Pcm16le, ..AudioLayout::default() };
        let bytes = tone(30_000);
        let file = flac(&layout, &bytes).unwrap();
        assert!(file.len() < bytes.len() * 8 / 10, "{} of {}", file.len(), bytes.len());
        let decoded: Vec<u8> = unflac(file, 16).into_iter().flat_map(|s| (s as i16).to_le_bytes()).collect();
        assert!(decoded == bytes);
    }

    #[test]
    fn flac_is_lossless_for_every_short_length_and_format() {
        for format in [AudioFormat::Pcm16le, AudioFormat::Pcm16be, AudioFormat::Pcm8, AudioFormat::Mulaw8] {
            let layout = AudioLayout { rate: 8_000, format, ..AudioLayout::default() };
            let bits = 8 * layout.bytes_per_sample() as u32;
            for length in (1..150).chain([4095 * 2, 4096 * 2, 4097 * 2, 8200]) {
                let bytes = &tone(length)[..length * layout.bytes_per_sample()];
                let file = flac(&layout, bytes).unwrap();
                assert_eq!(unflac(file, bits), samples(format, bytes), "{format:?}, {length} samples");
            }
        }
    }

    #[test]
    fn flac_of_stereo_keeps_its_channels() {
        let layout = AudioLayout { channels: AudioChannels::Stereo, ..AudioLayout::default() };
        let bytes = tone(10_001);
        // The last sample has no partner.
        let file = flac(&layout, &bytes).unwrap();
        assert_eq!(file[file.len() - 2..], bytes[20_000..]);
        assert_eq!(unflac(file[..file.len() - 2].to_vec(), 16), samples(AudioFormat::Pcm16le, &bytes[..20_000]));
    }

    #[test]
    fn a_half_sample_at_the_end_is_counted() {
        let layout = AudioLayout { rate: 8_000, ..AudioLayout::default() };
        let whole = tone(100);
        let more = [&whole[..], &[7]].concat();
        assert_eq!(flac(&layout, &more).unwrap().len(), flac(&layout, &whole).unwrap().len() + 1);
    }

    #[test]
    fn ranks_of_mu_law_codes_rise_with_their_levels() {
        // Levels of ITU-T G.711: the code's bits are inverted; sign, 3 bits of exponent, 4 of fraction.
        let level = |code: u8| {
            let bits = i32::from(!code);
            let size = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
            if bits & 128 != 0 { -size } else { size }
        };
        let mut codes: Vec<u8> = (0..=255).collect();
        codes.sort_by_key(|&code| mulaw_rank(code));
        assert!(codes.windows(2).all(|pair| level(pair[0]) <= level(pair[1])));
        assert_eq!((mulaw_rank(codes[0]), mulaw_rank(codes[255])), (-128, 127));
    }
}
