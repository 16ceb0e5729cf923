//! Files of every supported kind to mono samples: WAV through hound, the rest through symphonia.

use std::io::Cursor;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Refusal;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::super::content::{self, Reader};
use super::wav::{self, Wav};
use super::{Mono, Samples};
use crate::Result;

const SUPPORTED: &str = "WAV, FLAC, MP3, AAC, ALAC, AIFF and Vorbis";
const CONVERT: &str = "convert it first, for instance with `ffmpeg -i FILE out.flac`";

/// The most samples that one file may decode to. Silence compresses without bound; this is 2 GiB of samples, more than
/// three hours at 44,100 a second.
const MAX_FRAMES: usize = 1 << 29;

/// Reads a sound file of a kind told by its content.
pub(super) fn read(file: &[u8]) -> Result<Mono> {
    let mono = match content::kind(file).reader {
        Reader::Wav => {
            let file = wav::closed(file);
            match wav::read(&file) {
                Wav::Read(mono) => mono,
                Wav::Damaged(reason) => return Err(content::damaged(&file, reason)),
                Wav::Refused => read_any(&file)?,
            }
        }
        Reader::Audio => read_any(file)?,
        _ => return Err(content::unsupported(file, SUPPORTED, CONVERT)),
    };
    match &mono.samples {
        Samples::Float(samples) if !samples.iter().all(|sample| sample.is_finite()) => {
            Err(content::damaged(file, "it has samples that aren't finite numbers"))
        }
        _ => Ok(mono),
    }
}

fn read_any(file: &[u8]) -> Result<Mono> {
    decode(file).map_err(|stop| match stop {
        Stop::Refused(Refusal::Unsupported(reason)) => {
            content::damaged(file, format!("{reason}; if it is whole, {CONVERT}"))
        }
        Stop::Refused(refusal) => content::damaged(file, refusal),
        Stop::Reason(reason) => content::damaged(file, reason),
    })
}

/// Why decoding ended early.
enum Stop {
    Refused(Refusal),
    Reason(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// Decodes the default track. Packets that fail are left out, as players do, unless they are more than a tenth.
fn decode(file: &[u8]) -> Result<Mono, Stop> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
    let mut format = symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )?;
    let mut track = Track::open(format.as_ref())?;
    let expected = track.frames;
    let mut mix = Mix::default();
    let (mut good, mut bad) = (0, 0);
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // A chained stream: another begins here, of the same rate or refused by the mix.
            Err(Refusal::ResetRequired) => {
                track = Track::open(format.as_ref())?;
                continue;
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if packet.track_id != track.id {
            continue;
        }
        match track.decoder.decode(&packet) {
            Ok(buffer) => {
                mix.add(&buffer)?;
                good += 1;
            }
            Err(Refusal::DecodeError(_) | Refusal::IoError(_)) => bad += 1,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    if bad * 10 > good {
        return Err(Stop::Reason(format!("{bad} of its {} packets are damaged", good + bad)));
    }
    mix.finish(expected)
}

/// The track that is decoded.
struct Track {
    id: u32,
    decoder: Box<dyn AudioDecoder>,
    /// The number of frames the header promises.
    frames: Option<u64>,
}

impl Track {
    fn open(format: &dyn FormatReader) -> Result<Self, Stop> {
        let missing = || Stop::Reason("it has no track of sound".to_owned());
        let track = format.default_track(TrackType::Audio).ok_or_else(missing)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(missing)?;
        let options = AudioDecoderOptions::default();
        let decoder = symphonia::default::get_codecs().make_audio_decoder(params, &options)?;
        Ok(Track { id: track.id, decoder, frames: track.num_frames })
    }
}

/// Decoded packets, mixed to mono as they come.
#[derive(Default)]
struct Mix {
    rate: u32,
    samples: Vec<f32>,
    interleaved: Vec<f32>,
}

impl Mix {
    fn add(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<(), Stop> {
        let channels = buffer.num_planes();
        if channels == 0 || buffer.is_empty() {
            return Ok(());
        }
        let rate = buffer.spec().rate();
        if self.samples.is_empty() {
            self.rate = rate;
        } else if self.rate != rate {
            let before = self.rate;
            return Err(Stop::Reason(format!("its sample rate changes from {before} to {rate}; split it")));
        }
        if self.samples.len() + buffer.frames() > MAX_FRAMES {
            return Err(Stop::Reason(format!("it holds more than {MAX_FRAMES} samples; split it")));
        }
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        self.samples.extend(wav::mean(&self.interleaved, channels));
        Ok(())
    }

    fn finish(self, expected: Option<u64>) -> Result<Mono, Stop> {
        if self.samples.is_empty() {
            return Err(Stop::Reason("it holds no sound".to_owned()));
        }
        // Some containers only estimate their length, so a little less is no sign of damage.
        let (found, expected) = (self.samples.len() as u64, expected.unwrap_or(0));
        if found.saturating_mul(10) < expected.saturating_mul(9) {
            return Err(Stop::Reason(format!("it ends after {found} of {expected} samples")));
        }
        Ok(Mono { rate: self.rate, samples: Samples::Float(self.samples) })
    }
}
