//! Compressed sound and the containers around it: packets from symphonia's readers of containers, or from frames that
//! stand one after another, through symphonia's decoders.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Refusal;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::{MetadataOptions, RawValue};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use super::super::Input;
use super::super::content::damaged;
use super::adpcm::QuickTime;
use super::adts::{self, Replication};
use super::flac;
use super::frames::{self, Frame, Frames};
use super::losses::Losses;
use super::matroska::Trims;
use super::mp4;
use super::mpeg::{self, Info};
use super::sound::Sound;
use super::source::{Block, CONVERT, Header, Source};
use crate::shown::thousands;
use crate::{Error, Result};

/// Bytes that are read otherwise than the file has them, and where they are.
pub(super) type Patch = (u64, Vec<u8>);

/// A part of an input with its length, as symphonia wants it.
struct Media<'a> {
    input: &'a mut dyn Input,
    part: Range<u64>,
    at: u64,
    /// Lengths of what the file ends in, as long as that is: its readers refuse a whole for what isn't there.
    patches: Vec<Patch>,
}

impl Read for Media<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.part.end.saturating_sub(self.at);
        let most = bytes.len().min(left.try_into().unwrap_or(usize::MAX));
        let read = self.input.read(&mut bytes[..most])?;
        let (start, end) = (self.at, self.at + read as u64);
        for (at, patch) in &self.patches {
            let both = (*at).max(start)..(at + patch.len() as u64).min(end);
            for place in both {
                bytes[(place - start) as usize] = patch[(place - at) as usize];
            }
        }
        self.at = end;
        Ok(read)
    }
}

impl Seek for Media<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => self.part.start.checked_add(at),
            SeekFrom::End(by) => self.part.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let to = to.filter(|&to| to >= self.part.start).ok_or(std::io::ErrorKind::InvalidInput)?;
        self.at = self.input.seek(SeekFrom::Start(to))?;
        Ok(self.at - self.part.start)
    }
}

impl MediaSource for Media<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.part.end - self.part.start)
    }
}

/// Where packets come from.
enum Packets<'a> {
    Container(Box<dyn FormatReader + 'a>),
    Frames(Box<Frames<'a>>),
}

/// The decoder of a file's default track of sound.
///
/// A file with loss is used as far as it goes, and what is lost is said: packets that fail are left out, as FFmpeg leaves
/// them out, so that what comes after is earlier. A file without loss that isn't whole is refused.
pub(super) struct Any<'a> {
    packets: Packets<'a>,
    track: Track,
    name: &'static str,
    /// Frames decoded, and how many of them were sound.
    found: u64,
    kept: u64,
    sound: Sound,
    /// How far the rounding of times may have moved the end of the sound.
    rounding: u64,
    trims: Trims,
    /// Packets of the track so far.
    count: u64,
    losses: Losses,
    /// Whether packets say with which frame they begin, and that which the next one has to begin with.
    timed: bool,
    clock: Option<i64>,
    replication: Replication,
    /// Whether the container claims more than there is.
    cut: bool,
    /// Bytes and samples of frames so far.
    framed: (u64, u64),
    /// A frame that was read to see what it is.
    first: Option<Frame>,
    warnings: Vec<String>,
}

/// Samples that a decoder makes room for before it has seen any.
const MAX_SAMPLES: u64 = 1 << 22;

/// What turns packets into samples.
enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    QuickTime(QuickTime),
}

/// The track that is decoded.
struct Track {
    id: u32,
    codec: AudioCodecId,
    decoder: Codec,
    header: Header,
    time_base: Option<TimeBase>,
}

/// What a container is, as far as its reader leaves something to be read here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Container {
    Mp4,
    Matroska,
    Flac,
    Ogg,
    Other,
}

impl<'a> Any<'a> {
    /// Opens the container in a part of the input.
    pub fn container(
        input: &'a mut dyn Input,
        mut part: Range<u64>,
        kind: Container,
        name: &'static str,
    ) -> Result<Self> {
        let (mut edits, mut trims, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        match kind {
            Container::Mp4 => {
                if mp4::is_big_endian(&mut *input, part.clone())? {
                    let what = "big-endian PCM of 24 or 32 bits or floats";
                    return Err(Error::Content(format!(
                        "looks like {name}, but holds {what}, which isn't read here; {CONVERT}"
                    )));
                }
                (edits, patches) = mp4::edits(&mut *input, part.clone())?;
            }
            Container::Matroska => (trims, patches) = super::matroska::trims(&mut *input, part.clone())?,
            Container::Flac => match flac::end(&mut *input, part.clone())? {
                flac::End::Whole(end) => part.end = end,
                flac::End::Cut => return Err(damaged(name, "it ends inside a frame")),
                flac::End::Unknown => {}
            },
            Container::Ogg | Container::Other => {}
        }
        let cut = !patches.is_empty();
        let mut media = Media { at: part.start, input, part, patches };
        media.rewind().map_err(super::super::unreadable)?;
        let stream = MediaSourceStream::new(Box::new(media), Default::default());
        let mut format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|refusal| refused(name, refusal))?;
        let (track, rate) = Track::open(format.as_ref(), name)?;
        let delay = format
            .default_track(TrackType::Audio)
            .map_or((0, 0), |track| (u64::from(track.delay.unwrap_or(0)), u64::from(track.padding.unwrap_or(0))));
        let itunes = (kind == Container::Mp4).then(|| itunes(format.as_mut())).flatten();
        let mut any = Any::new(Packets::Container(format), track, name);
        any.cut = cut;
        match kind {
            Container::Mp4 => {
                let edits = edits.into_iter().find(|edits| edits.track == any.track.id);
                if edits.as_ref().is_some_and(|edits| edits.dwells) {
                    return Err(damaged(name, format!("its edit list plays parts at other speeds; {CONVERT}")));
                }
                let rounding = edits.as_ref().map_or(0, |edits| edits.rounding(rate));
                // Where packets' durations tell samples, the end is exact.
                if any.track.header.frames.is_none_or(|told| told == 0) {
                    any.rounding = edits.as_ref().map_or(0, |edits| rounding + edits.media_rounding(rate));
                }
                let ranges = edits.map(|edits| edits.samples(rate)).or(itunes.map(|range| vec![range]));
                if let Some(mut ranges) = ranges {
                    // An edit's length is rounded to the units of the movie, and the durations of packets aren't.
                    if let Some(told) = any.track.header.frames.filter(|&told| told > 0) {
                        if let Some(last) = ranges.last_mut().filter(|last| last.end.abs_diff(told) <= rounding) {
                            last.end = told;
                        }
                        ranges.retain_mut(|range| {
                            range.end = range.end.min(told);
                            !range.is_empty()
                        });
                    }
                    let reason = || damaged(name, format!("its edit list plays parts twice or backwards; {CONVERT}"));
                    any.sound = Sound::ranges(ranges).ok_or_else(reason)?;
                }
            }
            Container::Matroska => {
                any.trims = trims.into_iter().find(|trims| trims.track == u64::from(any.track.id)).unwrap_or_default();
                // A decoder of Vorbis gives nothing for the first packet, which is what the delay says of it.
                if any.track.codec != codec::CODEC_ID_VORBIS && any.trims.delay > 0 {
                    let delay = mp4::rescale(any.trims.delay, rate.into(), NANOSECONDS);
                    any.sound = Sound::part(delay..u64::MAX);
                }
            }
            Container::Other if delay != (0, 0) => {
                let end = any.track.header.frames.map_or(u64::MAX, |frames| delay.0.saturating_add(frames));
                any.sound = Sound::part(delay.0..end);
                let both = delay.0 + delay.1;
                any.track.header.frames = any.track.header.frames.map(|frames| frames.saturating_add(both));
            }
            // The last packet of this codec says itself how much of it there is, and writers count whole packets.
            Container::Other if any.track.codec == codec::CODEC_ID_ALAC => any.track.header.frames = None,
            Container::Flac | Container::Ogg => any.timed = true,
            Container::Other => {}
        }
        Ok(any)
    }

    /// Opens a stream of frames in a part of the input: of MPEG audio, or of AAC.
    pub fn frames(input: &'a mut dyn Input, part: Range<u64>, aac: bool, name: &'static str) -> Result<Self> {
        let parse = if aac { adts::header } else { mpeg::header };
        let free = !aac && mpeg::is_free_format(&super::tags::read(&mut *input, part.start, 4)?);
        let mut frames = Frames::new(input, part, parse)?;
        let left = frames.left();
        let Some(mut first) = frames.next()? else {
            let free =
                if free { format!("it is of a free format, which isn't read here; {CONVERT}") } else { String::new() };
            return Err(damaged(name, if free.is_empty() { "it holds no whole frame of sound" } else { &free }));
        };
        let track = Track::of_frames(&first, name)?;
        let mut strange = first.strange();
        let mut any = Any::new(Packets::Frames(Box::new(frames)), track, name);
        if let Some(info) = Info::read(&first.bytes, &first.header) {
            any.inform(&info, &first.header, left);
            // It holds no sound, but a decoder would make silence of it.
            let Packets::Frames(frames) = &mut any.packets else { return Ok(any) };
            match frames.next()? {
                Some(next) => {
                    strange += next.strange();
                    first = next;
                }
                None => return Ok(any),
            }
        }
        // How much sound these were isn't known before a frame was seen.
        if strange > 0 {
            any.warnings.push(format!("its first {} bytes are no sound", thousands(strange)));
        }
        first.skipped = 0;
        any.first = Some(first);
        Ok(any)
    }

    fn new(packets: Packets<'a>, track: Track, name: &'static str) -> Self {
        Any {
            packets,
            track,
            name,
            found: 0,
            kept: 0,
            sound: Sound::all(),
            rounding: 0,
            trims: Trims::default(),
            count: 0,
            losses: Losses::default(),
            timed: false,
            clock: None,
            replication: Replication::default(),
            cut: false,
            framed: (0, 0),
            first: None,
            warnings: Vec::new(),
        }
    }

    /// Takes over what the frame of information says, with `left` bytes of the file from it on.
    ///
    /// As in FFmpeg, padding is cut where the frames that are told end, and what follows, of a file that was joined to
    /// it, is sound; and a file that is much longer than it says was joined, so that it doesn't know its end.
    fn inform(&mut self, info: &Info, header: &frames::Header, left: u64) {
        let joined = info.bytes.is_some_and(|bytes| left > bytes && left - bytes > bytes >> 4);
        let frames = info.frames.filter(|_| !joined).map(|frames| frames.saturating_mul(header.samples.into()));
        self.track.header.frames = frames;
        let all = Sound::part(info.delay..u64::MAX);
        self.sound = match frames {
            Some(end) if info.padding > 0 && info.delay + info.padding < end => {
                Sound::ranges(vec![info.delay..end - info.padding, end..u64::MAX]).unwrap_or(all)
            }
            _ => all,
        };
    }

    /// Whether the sound has to be whole.
    fn lossless(&self) -> bool {
        !LOSSY.contains(&self.track.codec)
    }

    fn rate(&self) -> u32 {
        self.track.header.rate.unwrap_or(1)
    }

    /// The error for a sound without loss that has lost something.
    fn incomplete(&self, reason: impl std::fmt::Display) -> Error {
        let seconds = self.found as f64 / f64::from(self.rate().max(1));
        damaged(self.name, format!("{reason} at {seconds:.1} s"))
    }

    /// The next packet of the track; `None` at the end.
    fn next(&mut self) -> Result<Option<Packet>> {
        loop {
            let packet = match &mut self.packets {
                Packets::Container(format) => match format.next_packet() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => return Ok(None),
                    // A chained stream: another begins here, of the same rate or refused.
                    Err(Refusal::ResetRequired) => {
                        self.chain()?;
                        continue;
                    }
                    Err(refusal) if self.found == 0 || self.lossless() => return Err(refused(self.name, refusal)),
                    Err(_) => {
                        self.losses.open(self.kept);
                        return Ok(None);
                    }
                },
                Packets::Frames(frames) => {
                    let Some(frame) = self.first.take().map_or_else(|| frames.next(), |frame| Ok(Some(frame)))? else {
                        return Ok(None);
                    };
                    return self.packet(frame).map(Some);
                }
            };
            if packet.track_id == self.track.id {
                return Ok(Some(packet));
            }
        }
    }

    /// Begins the next stream of a chain.
    fn chain(&mut self) -> Result<()> {
        self.end_stream()?;
        let Packets::Container(format) = &mut self.packets else { return Ok(()) };
        let (track, _) = Track::open(format.as_ref(), self.name)?;
        self.track = track;
        self.clock = None;
        self.found = 0;
        Ok(())
    }

    /// The packet of a frame.
    fn packet(&mut self, frame: Frame) -> Result<Packet> {
        let Frame { header, bytes, skipped, zeros } = frame;
        // As many frames of the average length as fit into what was skipped are lost.
        let (length, samples) = self.framed;
        if skipped > 0 && length > 0 {
            self.losses.add_about(self.kept, mp4::rescale(skipped, samples, length));
        }
        self.framed = (length + header.len as u64, samples + u64::from(header.samples));
        let same = (Some(header.rate), Some(usize::from(header.channels)));
        if (self.track.header.rate, self.track.header.channels) != same || header.codec != self.track.codec {
            let frames = self.track.header.frames;
            self.track = Track::of_frames(&Frame { header, bytes: bytes.clone(), skipped, zeros }, self.name)?;
            self.track.header.frames = frames;
        }
        if header.codec == codec::CODEC_ID_AAC
            && let Some(kind) = adts::unread(&bytes)
        {
            return Err(unread_codec(self.name, kind));
        }
        let duration = Duration::new(header.samples.into());
        Ok(Packet::new(0, Timestamp::ZERO, duration, &bytes[header.prefix..]))
    }

    /// Frames of a packet that can't be decoded.
    fn frames_of(&self, packet: &Packet) -> u64 {
        let duration = packet.dur.get();
        match self.track.time_base {
            Some(base) => {
                let (number, of) = (u64::from(base.numer.get()), u64::from(base.denom.get()));
                mp4::rescale(duration, number.saturating_mul(self.rate().into()), of)
            }
            None => duration,
        }
    }

    /// Looks whether a packet begins where the one before ended.
    fn check_time(&mut self, packet: &Packet) -> Result<()> {
        if !self.timed {
            return Ok(());
        }
        let start = packet.pts.get();
        // A stream may begin late, as a part of a longer one does.
        let gap = self.clock.map_or(0, |expected| start.saturating_sub(expected));
        self.clock = Some(start.saturating_add_unsigned(packet.block_dur().get()));
        if gap > 0 && self.lossless() {
            return Err(self.incomplete(format!("{} samples are missing", thousands(gap.unsigned_abs()))));
        }
        self.losses.add(self.kept, gap.max(0).unsigned_abs());
        Ok(())
    }

    /// What is wrong with a stream that has been read to its end.
    fn end_stream(&mut self) -> Result<()> {
        if self.replication.found() {
            return Err(unread_codec(self.name, "HE-AAC"));
        }
        // What is sound ends at the latest where the frames that are told do, or, with a clock, where that says.
        let told = self.track.header.frames.unwrap_or(u64::MAX);
        let (expected, found) = match self.clock {
            Some(clock) => (told, clock.max(0).unsigned_abs()),
            None => (told.min(self.sound.end()), self.found.saturating_add(self.losses.total())),
        };
        let known = expected != u64::MAX;
        if self.cut && self.lossless() {
            return Err(self.incomplete("it is cut"));
        }
        if self.cut {
            self.losses.open(self.kept);
        }
        if known && self.found > 0 {
            self.losses.close();
        }
        let missing = expected.saturating_sub(found);
        if known && missing > self.slack().max(self.rounding) {
            if self.lossless() {
                let (found, expected) = (thousands(found), thousands(expected));
                return Err(damaged(self.name, format!("it ends after {found} of {expected} samples")));
            }
            self.losses.add(self.kept, missing);
        }
        if let Packets::Frames(frames) = &self.packets {
            if let Some(cut) = frames.cut().filter(|_| !known || missing == 0) {
                self.losses.add(self.kept, cut.samples.into());
            }
            if frames.rest() > 0 && self.framed.0 > 0 {
                let bytes = thousands(frames.rest());
                self.warnings.push(format!("its last {bytes} bytes are no sound"));
            }
        }
        Ok(())
    }

    /// Frames that may be missing because times are rounded.
    fn slack(&self) -> u64 {
        match self.track.time_base {
            Some(base) if !self.lossless() => {
                let unit = u64::from(self.rate()) * u64::from(base.numer.get()) / u64::from(base.denom.get());
                if unit > 1 { unit } else { 0 }
            }
            _ => 0,
        }
    }

    /// What is wrong with a file that has been read to its end.
    fn end(&mut self) -> Result<bool> {
        self.end_stream()?;
        if self.kept == 0 {
            return Err(damaged(self.name, "it holds no sound"));
        }
        Ok(false)
    }
}

const NANOSECONDS: u64 = 1_000_000_000;

/// Codecs with loss: what is lost of a file in them is no more than that.
const LOSSY: [AudioCodecId; 6] = [
    codec::CODEC_ID_MP1,
    codec::CODEC_ID_MP2,
    codec::CODEC_ID_MP3,
    codec::CODEC_ID_AAC,
    codec::CODEC_ID_VORBIS,
    codec::CODEC_ID_ADPCM_IMA_QT,
];

/// The part that iTunes' comment of a file says is sound.
fn itunes(format: &mut dyn FormatReader) -> Option<Range<u64>> {
    let mut metadata = format.metadata();
    let revision = metadata.skip_to_latest()?;
    let tags = revision.media.tags.iter().filter(|tag| tag.raw.key.ends_with("iTunSMPB"));
    tags.filter_map(|tag| if let RawValue::String(text) = &tag.raw.value { mp4::itunes(text) } else { None }).next()
}

fn decoder(params: &AudioCodecParameters, name: &'static str) -> Result<Box<dyn AudioDecoder>> {
    let options = AudioDecoderOptions::default();
    symphonia::default::get_codecs().make_audio_decoder(params, &options).map_err(|refusal| {
        match unread(params.codec) {
            Some(codec) => unread_codec(name, codec),
            None => refused(name, refusal),
        }
    })
}

impl Track {
    /// The default track of a container, and its rate.
    fn open(format: &dyn FormatReader, name: &'static str) -> Result<(Self, u32)> {
        let missing = || damaged(name, "it has no track of sound that is read here");
        let track = format.default_track(TrackType::Audio).ok_or_else(missing)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(missing)?;
        // Decoders make room for what a header promises, and a damaged one promises gigabytes.
        let mut params = params.clone();
        let channels = params.channels.as_ref().map_or(1, |channels| channels.count()).max(1);
        let room = MAX_SAMPLES / channels as u64;
        params.max_frames_per_packet = params.max_frames_per_packet.filter(|&frames| frames <= room);
        let decoder = match params.codec {
            codec::CODEC_ID_ADPCM_IMA_QT => Codec::QuickTime(QuickTime::new(channels)),
            _ => Codec::Symphonia(decoder(&params, name)?),
        };
        // What is coded knows better than the container, whose fields are too small for some rates.
        let known = if let Codec::Symphonia(decoder) = &decoder { decoder.codec_params() } else { &params };
        let rate = known.sample_rate.filter(|&rate| rate > 0).or(params.sample_rate);
        let channels = known.channels.as_ref().or(params.channels.as_ref()).map(|channels| channels.count());
        // Its decoder gives other samples than all others do.
        if params.codec == codec::CODEC_ID_VORBIS && channels.is_some_and(|channels| channels > 2) {
            return Err(unread_codec(name, "Vorbis of more than two channels"));
        }
        // Durations in samples are told exactly.
        let unit = track.time_base.map(|base| (base.numer.get(), base.denom.get()));
        let exact = unit.is_some() && unit == rate.map(|rate| (1, rate));
        let duration = track.duration.filter(|_| exact).map(|duration| duration.get());
        let header = Header { rate, channels, frames: track.num_frames.or(duration) };
        let rate = rate.unwrap_or(0);
        Ok((Track { id: track.id, codec: params.codec, decoder, header, time_base: track.time_base }, rate))
    }

    /// The track that a frame is of.
    fn of_frames(frame: &Frame, name: &'static str) -> Result<Self> {
        let frames::Header { codec, rate, channels, .. } = frame.header;
        if codec == codec::CODEC_ID_AAC
            && let Some(kind) = adts::unread(&frame.bytes)
        {
            return Err(unread_codec(name, kind));
        }
        let mut params = AudioCodecParameters::new();
        params.for_codec(codec).with_sample_rate(rate).with_channels(match channels {
            1 => layouts::CHANNEL_LAYOUT_MONO,
            2 => layouts::CHANNEL_LAYOUT_STEREO,
            channels => Channels::Discrete(channels),
        });
        let header = Header { rate: Some(rate), channels: Some(channels.into()), frames: None };
        let decoder = Codec::Symphonia(decoder(&params, name)?);
        Ok(Track { id: 0, codec, decoder, header, time_base: None })
    }
}

impl Source for Any<'_> {
    fn header(&self) -> Header {
        let header = self.track.header;
        // What packets with times are told to be is sound already.
        let frames = if self.timed { header.frames } else { self.sound.frames(header.frames) };
        Header { frames, ..header }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        loop {
            // Nothing behind the sound is decoded.
            if self.found >= self.sound.end() {
                return self.end();
            }
            let Some(packet) = self.next()? else { return self.end() };
            self.count += 1;
            self.check_time(&packet)?;
            if self.track.codec == codec::CODEC_ID_AAC && self.replication.look(&packet.data) {
                return Err(unread_codec(self.name, "HE-AAC"));
            }
            block.samples.clear();
            match &mut self.track.decoder {
                Codec::QuickTime(decoder) => {
                    decoder.decode(&packet.data, &mut block.samples);
                    (block.rate, block.channels) = (self.track.header.rate.unwrap_or(0), decoder.channels());
                }
                Codec::Symphonia(decoder) => match decoder.decode(&packet) {
                    Ok(buffer) => {
                        if buffer.num_planes() > 0 && !buffer.is_empty() {
                            buffer.copy_to_vec_interleaved(&mut block.samples);
                        }
                        (block.rate, block.channels) = (buffer.spec().rate(), buffer.num_planes().max(1));
                    }
                    Err(refusal @ (Refusal::DecodeError(_) | Refusal::IoError(_))) => {
                        if self.lossless() {
                            return Err(self.incomplete(format!("a packet is damaged ({refusal})")));
                        }
                        self.losses.add(self.kept, self.frames_of(&packet));
                        continue;
                    }
                    Err(refusal) => return Err(refused(self.name, refusal)),
                },
            }
            let start = self.found;
            self.found += block.frames() as u64;
            if let Some(&(packet, padding)) = self.trims.padding.front()
                && packet <= self.count
            {
                self.trims.padding.pop_front();
                let padding = mp4::rescale(padding, block.rate.into(), NANOSECONDS);
                let left = (block.frames() as u64).saturating_sub(padding) as usize;
                block.samples.truncate(left * block.channels);
            }
            self.sound.keep(start, block.channels, &mut block.samples);
            if !block.samples.is_empty() {
                self.kept += block.frames() as u64;
                return Ok(true);
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.losses.warnings(self.rate(), self.kept);
        warnings.extend_from_slice(&self.warnings);
        warnings
    }
}

fn refused(name: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unsupported(reason) => damaged(name, format!("{reason}; if it is whole, {CONVERT}")),
        refusal => damaged(name, refusal),
    }
}

fn unread_codec(name: &str, codec: &str) -> Error {
    Error::Content(format!("looks like {name}, but holds {codec}, which isn't read here; {CONVERT}"))
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
