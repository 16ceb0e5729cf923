//! WAV files through hound: the integer and float PCM of most corpora, read exactly, and everything that is written.

use std::io::{BufReader, Chain, Cursor, Read, SeekFrom, Take};

use hound::{Sample, SampleFormat, WavReader, WavSpec, WavWriter};

use super::super::content::damaged;
use super::super::{AudioFormat, AudioLayout, Input, unreadable};
use super::riff::Riff;
use super::sample;
use super::source::{Block, Header, Source};
use crate::{Error, Result};

/// A WAV file of integer PCM of 8 to 32 bits or 32-bit float, of any number of channels and any length.
///
/// hound knows files of up to 4 GiB whose lengths are all filled in. So it is given the samples in sections, each below
/// a header of its own that repeats the file's description of them.
pub(super) struct Wav<'a> {
    /// The section that is read; always there between calls.
    section: Option<WavReader<Section<'a>>>,
    riff: Riff,
    spec: WavSpec,
    /// Bytes of the sections after the present one.
    left: u64,
    name: &'static str,
}

/// A header, then a part of the file.
type Section<'a> = BufReader<Chain<Cursor<Vec<u8>>, Take<&'a mut dyn Input>>>;

/// Bytes of samples in a section, about.
const SECTION: u64 = 1 << 24;
/// Samples of a block, about.
const SAMPLES: usize = 16_384;

/// A file's description of its samples below a header of hound's liking, for `len` bytes of samples to follow.
fn header(riff: &Riff, len: u64) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(b"RIFF");
    header.extend((20 + riff.fmt.len() as u32 + len as u32).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend((riff.fmt.len() as u32).to_le_bytes());
    header.extend(&riff.fmt);
    header.extend(b"data");
    header.extend((len as u32).to_le_bytes());
    header
}

impl<'a> Wav<'a> {
    /// What hound says of the samples; `None` where they are of a kind it doesn't know (mu-law, ADPCM, 64-bit float).
    pub fn spec(riff: &Riff) -> Option<WavSpec> {
        WavReader::new(&header(riff, 0)[..]).ok().map(|reader| reader.spec())
    }

    /// Begins to read samples that hound knows.
    pub fn new(spec: WavSpec, riff: Riff, input: &'a mut dyn Input, name: &'static str) -> Result<Self> {
        input.seek(SeekFrom::Start(riff.start)).map_err(unreadable)?;
        let mut wav = Wav { section: None, spec, left: riff.len, riff, name };
        wav.begin(input)?;
        Ok(wav)
    }

    /// Begins the next section.
    fn begin(&mut self, input: &'a mut dyn Input) -> Result<()> {
        let len = self.left.min(SECTION - SECTION % self.riff.frame());
        self.left -= len;
        let section = Cursor::new(header(&self.riff, len)).chain(input.take(len));
        self.section = Some(WavReader::new(BufReader::new(section)).map_err(|error| damaged(self.name, error))?);
        Ok(())
    }
}

impl Source for Wav<'_> {
    fn header(&self) -> Header {
        let WavSpec { sample_rate, channels, .. } = self.spec;
        let frames = self.riff.len / self.riff.frame();
        Header { rate: Some(sample_rate), channels: Some(channels.into()), frames: Some(frames) }
    }

    fn read(&mut self, block: &mut Block) -> Result<bool> {
        let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = self.spec;
        (block.rate, block.channels) = (sample_rate, channels.into());
        block.samples.clear();
        let most = SAMPLES.next_multiple_of(channels.into());
        loop {
            let Some(section) = &mut self.section else { return Ok(false) };
            match sample_format {
                SampleFormat::Int => {
                    let full_scale = (1u64 << (bits_per_sample - 1)) as f32;
                    fill(section, most, block, |sample: i32| sample as f32 / full_scale)
                }
                SampleFormat::Float => fill(section, most, block, |sample: f32| sample),
            }
            .map_err(|error| damaged(self.name, error))?;
            if !block.samples.is_empty() {
                return Ok(true);
            }
            let Some(section) = self.section.take().filter(|_| self.left > 0) else { return Ok(false) };
            let (_header, samples) = section.into_inner().into_inner().into_inner();
            self.begin(samples.into_inner())?;
        }
    }
}

/// Appends up to `most` samples.
fn fill<S: Sample>(
    section: &mut WavReader<Section>,
    most: usize,
    block: &mut Block,
    convert: impl Fn(S) -> f32,
) -> hound::Result<()> {
    for sample in section.samples::<S>().take(most) {
        block.samples.push(convert(sample?));
    }
    Ok(())
}

/// A WAV file of the layout's rate and channels. Fails only on more bytes than a WAV file can hold (4 GiB).
pub(super) fn write(bytes: &[u8], layout: &AudioLayout) -> Result<Vec<u8>> {
    let bits = if layout.format == AudioFormat::Pcm8 { 8 } else { 16 };
    let whole = &bytes[..bytes.len() - bytes.len() % layout.bytes_per_frame()];
    if (whole.len() / layout.bytes_per_sample()) as u64 * u64::from(bits / 8) > u64::from(u32::MAX) - 128 {
        return Err(Error::Content("a WAV file holds at most 4 GiB; decode fewer bytes".to_owned()));
    }
    let refused = |error| Error::Content(format!("can't be written as WAV: {error}"));
    let spec = WavSpec {
        channels: layout.channels.count() as u16,
        sample_rate: layout.rate,
        bits_per_sample: bits,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).map_err(refused)?;
    match layout.format {
        // hound's 8-bit samples are signed, a WAV file's aren't.
        AudioFormat::Pcm8 => whole.iter().try_for_each(|&sample| writer.write_sample((sample ^ 0x80) as i8)),
        format => sample::from_bytes(whole, format).try_for_each(|sample| writer.write_sample(sample)),
    }
    .map_err(refused)?;
    writer.finalize().map_err(refused)?;
    Ok(file.into_inner())
}
