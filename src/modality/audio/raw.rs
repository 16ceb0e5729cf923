//! Samples one after another, without packets: Sun AU files, and those in WAV headers that `wav` doesn't read.

use std::io::SeekFrom;

use symphonia::core::audio::layouts;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::content::damaged;
use super::super::{Input, unreadable};
use super::source::{Block, CONVERT, Header, Source};
use crate::Result;

/// Where samples are and how they are stored.
#[derive(Debug)]
pub(super) struct Format {
    pub codec: AudioCodecId,
    /// Bytes of a sample.
    pub bytes: u64,
    /// Frames a second.
    pub rate: u32,
    pub channels: u16,
    /// The first byte of the samples.
    pub start: u64,
    /// Bytes of samples.
    pub len: u64,
}

/// Frames of a block.
const FRAMES: u64 = 4_096;
/// More channels than this is a damaged header.
const MAX_CHANNELS: u16 = 256;

/// Reads the header of a Sun AU file of `file_len` bytes: six big-endian numbers (mark, start of the samples, their
/// length or all ones, encoding, rate, channels).
pub(super) fn au(input: &mut dyn Input, file_len: u64) -> Result<Format, String> {
    let mut header = [0; 24];
    input.read_exact(&mut header).map_err(|_| "its header is cut".to_owned())?;
    let [_, start, len, encoding, rate, channels] =
        std::array::from_fn(|i| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[4 * i + byte])));
    let (codec, bytes) = match encoding {
        1 => (codec::CODEC_ID_PCM_MULAW, 1),
        2 => (codec::CODEC_ID_PCM_S8, 1),
        3 => (codec::CODEC_ID_PCM_S16BE, 2),
        4 => (codec::CODEC_ID_PCM_S24BE, 3),
        5 => (codec::CODEC_ID_PCM_S32BE, 4),
        6 => (codec::CODEC_ID_PCM_F32BE, 4),
        7 => (codec::CODEC_ID_PCM_F64BE, 8),
        27 => (codec::CODEC_ID_PCM_ALAW, 1),
        _ => return Err(format!("its encoding, number {encoding}, isn't read here; {CONVERT}")),
    };
    let there = file_len.saturating_sub(start.into());
    let len = if len == u32::MAX { there } else { len.into() };
    if len > there {
        return Err(format!("it ends before its sound does: {there} of {len} bytes are there"));
    }
    let channels = channels.try_into().unwrap_or(u16::MAX);
    Ok(Format { codec, bytes, rate, channels, start: start.into(), len })
}

/// A decoder of plain samples.
pub(super) struct Raw<'a> {
    input: &'a mut dyn Input,
    format: Format,
    decoder: Box<dyn AudioDecoder>,
    /// Bytes of samples still to come.
    left: u64,
    name: &'static str,
}

impl<'a> Raw<'a> {
    pub fn new(format: Format, input: &'a mut dyn Input, name: &'static str) -> Result<Self> {
        let Format { codec, rate, channels, .. } = format;
        if channels == 0 || channels > MAX_CHANNELS || rate == 0 {
            return Err(damaged(name, format!("it claims {channels} channels at {rate} samples a second")));
        }
        let mut params = AudioCodecParameters::new();
        params.for_codec(codec).with_sample_rate(rate);
        params.with_channels(match channels {
            1 => layouts::CHANNEL_LAYOUT_MONO,
            2 => layouts::CHANNEL_LAYOUT_STEREO,
            channels => symphonia::core::audio::Channels::Discrete(channels),
        });
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&params, &AudioDecoderOptions::default())
            .map_err(|error| damaged(name, error))?;
        input.seek(SeekFrom::Start(format.start)).map_err(unreadable)?;
        let left = format.len - format.len % (format.bytes * u64::from(channels));
        Ok(Raw { input, format, decoder, left, name })
    }
}

impl Source for Raw<'_> {
    fn header(&self) -> Header {
        let Format { bytes, rate, channels, len, .. } = self.format;
        let frames = len / (bytes * u64::from(channels));
        Header { rate: Some(rate), channels: Some(channels.into()), frames: Some(frames) }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        let Format { bytes, rate, channels, .. } = self.format;
        let len = self.left.min(FRAMES * bytes * u64::from(channels));
        if len == 0 {
            return Ok(false);
        }
        let mut content = vec![0; len as usize];
        self.input.read_exact(&mut content).map_err(unreadable)?;
        self.left -= len;
        let packet = Packet::new(0, Timestamp::ZERO, Duration::new(FRAMES), content);
        let decoded = self.decoder.decode(&packet).map_err(|error| damaged(self.name, error))?;
        decoded.copy_to_vec_interleaved(&mut block.samples);
        (block.rate, block.channels) = (rate, channels.into());
        Ok(true)
    }
}
