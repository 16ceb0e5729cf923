//! Compressed sound and the containers around it, through symphonia.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecId, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Refusal;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use super::super::Input;
use super::super::content::damaged;
use super::source::{Block, CONVERT, Header, Source};
use crate::{Error, Result};

/// An input with its length, as symphonia wants it.
struct Media<'a> {
    input: &'a mut dyn Input,
    len: u64,
}

impl Read for Media<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(bytes)
    }
}

impl Seek for Media<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.input.seek(to)
    }
}

impl MediaSource for Media<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// The decoder of a file's default track of sound. Packets that fail are left out, as players do, unless they are more
/// than a tenth.
pub(super) struct Any<'a> {
    format: Box<dyn FormatReader + 'a>,
    track: Track,
    name: &'static str,
    /// Packets decoded, and packets that failed.
    good: u64,
    bad: u64,
    /// Frames decoded.
    found: u64,
}

/// Samples that a decoder makes room for before it has seen any.
const MAX_SAMPLES: u64 = 1 << 22;

/// The track that is decoded.
struct Track {
    id: u32,
    decoder: Box<dyn AudioDecoder>,
    header: Header,
}

impl<'a> Any<'a> {
    /// Opens a file of `len` bytes.
    pub fn new(input: &'a mut dyn Input, len: u64, name: &'static str) -> Result<Self> {
        let stream = MediaSourceStream::new(Box::new(Media { input, len }), Default::default());
        let format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|refusal| refused(name, refusal))?;
        let track = Track::open(format.as_ref(), name)?;
        Ok(Any { format, track, name, good: 0, bad: 0, found: 0 })
    }

    /// What is wrong with a file that has been read to its end.
    fn check(&self) -> Result<bool> {
        let Any { name, good, bad, found, .. } = *self;
        if bad * 10 > good {
            return Err(damaged(name, format!("{bad} of its {} packets are damaged", good + bad)));
        }
        if found == 0 {
            return Err(damaged(name, "it holds no sound"));
        }
        // Some containers only estimate their length, so a little less is no sign of damage.
        let expected = self.track.header.frames.unwrap_or(0);
        if found.saturating_mul(10) < expected.saturating_mul(9) {
            return Err(damaged(name, format!("it ends after {found} of {expected} samples")));
        }
        Ok(false)
    }
}

impl Track {
    fn open(format: &dyn FormatReader, name: &'static str) -> Result<Self> {
        let missing = || damaged(name, "it has no track of sound that is read here");
        let track = format.default_track(TrackType::Audio).ok_or_else(missing)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(missing)?;
        let header = Header {
            rate: params.sample_rate,
            channels: params.channels.as_ref().map(|channels| channels.count()),
            frames: track.num_frames,
        };
        // Decoders make room for what a header promises, and a damaged one promises gigabytes.
        let mut params = params.clone();
        let room = MAX_SAMPLES / header.channels.unwrap_or(1).max(1) as u64;
        params.max_frames_per_packet = params.max_frames_per_packet.filter(|&frames| frames <= room);
        let options = AudioDecoderOptions::default();
        let decoder = symphonia::default::get_codecs().make_audio_decoder(&params, &options).map_err(|refusal| {
            match unread(params.codec) {
                Some(codec) => {
                    Error::Content(format!("looks like {name}, but holds {codec}, which isn't read here; {CONVERT}"))
                }
                None => refused(name, refusal),
            }
        })?;
        Ok(Track { id: track.id, decoder, header })
    }
}

impl Source for Any<'_> {
    fn header(&self) -> Header {
        self.track.header
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.check(),
                // A chained stream: another begins here, of the same rate or refused.
                Err(Refusal::ResetRequired) => {
                    self.track = Track::open(self.format.as_ref(), self.name)?;
                    continue;
                }
                Err(refusal) => return Err(refused(self.name, refusal)),
            };
            if packet.track_id != self.track.id {
                continue;
            }
            match self.track.decoder.decode(&packet) {
                Ok(buffer) => {
                    self.good += 1;
                    if buffer.num_planes() == 0 || buffer.is_empty() {
                        continue;
                    }
                    buffer.copy_to_vec_interleaved(&mut block.samples);
                    (block.rate, block.channels) = (buffer.spec().rate(), buffer.num_planes());
                    self.found += buffer.frames() as u64;
                    return Ok(true);
                }
                Err(Refusal::DecodeError(_) | Refusal::IoError(_)) => self.bad += 1,
                Err(refusal) => return Err(refused(self.name, refusal)),
            }
        }
    }
}

fn refused(name: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unsupported(reason) => damaged(name, format!("{reason}; if it is whole, {CONVERT}")),
        refusal => damaged(name, refusal),
    }
}

/// The names of codecs that files hold and nobody here decodes.
fn unread(id: AudioCodecId) -> Option<&'static str> {
    let names = [
        (codec::CODEC_ID_OPUS, "Opus"),
        (codec::CODEC_ID_SPEEX, "Speex"),
        (codec::CODEC_ID_AC3, "AC-3"),
        (codec::CODEC_ID_EAC3, "E-AC-3"),
        (codec::CODEC_ID_AC4, "AC-4"),
        (codec::CODEC_ID_DCA, "DTS"),
        (codec::CODEC_ID_TRUEHD, "TrueHD"),
        (codec::CODEC_ID_WMA, "Windows Media Audio"),
        (codec::CODEC_ID_WAVPACK, "WavPack"),
        (codec::CODEC_ID_TTA, "True Audio"),
        (codec::CODEC_ID_MUSEPACK, "Musepack"),
        (codec::CODEC_ID_MONKEYS_AUDIO, "Monkey's Audio"),
        (codec::CODEC_ID_ADPCM_G722, "G.722"),
        (codec::CODEC_ID_ADPCM_G726, "G.726"),
    ];
    names.into_iter().find(|&(codec, _)| codec == id).map(|(_, name)| name)
}
