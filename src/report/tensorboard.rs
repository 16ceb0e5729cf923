//! TensorBoard event files: one record after another, each a protobuf `Event`, so that `tensorboard --logdir RUN`
//! shows a run while it trains.
//!
//! A record is the payload's length (u64, little endian), the masked CRC-32C of those eight bytes, the payload, and
//! the masked CRC-32C of the payload (the TFRecord format of TensorFlow). The messages are TensorFlow's
//! `event.proto` and `summary.proto`; the few fields that are written are named where they are written.

use std::fs::OpenOptions;
use std::io::Cursor;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::protobuf::Message;
use crate::append::Append;
use crate::error::IoContext;
use crate::{Error, Result};

/// Bytes of a record that is written at once.
const LARGE: usize = 1 << 16;

/// Writes one event file. What is written is on disk after [`EventWriter::flush`], or when the writer is dropped. An event
/// that can't be written is kept and tried again with the next ones.
#[derive(Debug)]
pub struct EventWriter(Append);

impl EventWriter {
    /// Creates a new `events.out.tfevents.…` in `dir`, and `dir` where it is missing. Files that are there stay:
    /// TensorBoard reads all of a folder, in the order of their names, which begin with the time.
    pub fn create(dir: &Path) -> Result<EventWriter> {
        std::fs::create_dir_all(dir).at(dir)?;
        let seconds = now() as u64;
        let process = std::process::id();
        let mut n = 0;
        let (path, file) = loop {
            let path = dir.join(format!("events.out.tfevents.{seconds:010}.{process:07}.{n}"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(error) => return Err(Error::io(path, error)),
            }
        };
        let mut writer = EventWriter(Append::new(&path, file)?);
        // Event.file_version = 3
        writer.event(0, |event| event.bytes(3, b"brain.Event:2"))?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Says that a run continues at `step`: TensorBoard then drops what an interrupted run logged at or after it.
    pub fn restart(&mut self, step: u64) -> Result<()> {
        // Event.session_log = 7: SessionLog.status = 1 (START = 1)
        self.event(step, |event| event.message(7, |log| log.varint(1, 1)))
    }

    /// A number at a step.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        // Summary.Value.simple_value = 2, a float
        self.value(tag, step, |summary| summary.float(2, value as f32))
    }

    /// A picture of `width` x `height` pixels and `channels` bytes a pixel (1 gray, 3 RGB, 4 RGBA), as a PNG file.
    pub fn image(
        &mut self,
        tag: &str,
        step: u64,
        png: &[u8],
        width: usize,
        height: usize,
        channels: usize,
    ) -> Result<()> {
        // Summary.Value.image = 4: height = 1, width = 2, colorspace = 3, encoded_image_string = 4
        self.value(tag, step, |summary| {
            summary.message(4, |image| {
                image.varint(1, height as u64);
                image.varint(2, width as u64);
                image.varint(3, channels as u64);
                image.bytes(4, png);
            });
        })
    }

    /// A sound of `frames` samples a channel at `rate` a second, as a WAV file.
    pub fn audio(&mut self, tag: &str, step: u64, wav: &[u8], rate: u32, channels: usize, frames: u64) -> Result<()> {
        // Summary.Value.audio = 6: sample_rate = 1 (float), num_channels = 2, length_frames = 3,
        // encoded_audio_string = 4, content_type = 5
        self.value(tag, step, |summary| {
            summary.message(6, |audio| {
                audio.float(1, rate as f32);
                audio.varint(2, channels as u64);
                audio.varint(3, frames);
                audio.bytes(4, wav);
                audio.bytes(5, b"audio/wav");
            });
        })
    }

    /// A text, which TensorBoard shows as Markdown.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        self.value(tag, step, |summary| {
            // Summary.Value.tensor = 8: dtype = 1 (DT_STRING = 7), tensor_shape = 2 (dim = 2: size = 1), string_val = 8
            summary.message(8, |tensor| {
                tensor.varint(1, 7);
                tensor.message(2, |shape| shape.message(2, |dim| dim.varint(1, 1)));
                tensor.bytes(8, text.as_bytes());
            });
            // Summary.Value.metadata = 9: plugin_data = 1 (plugin_name = 1), data_class = 4 (DATA_CLASS_TENSOR = 2)
            summary.message(9, |metadata| {
                metadata.message(1, |plugin| plugin.bytes(1, b"text"));
                metadata.varint(4, 2);
            });
        })
    }

    /// How many values lie in each of some buckets (left, right, count), from left to right.
    pub fn histogram(&mut self, tag: &str, step: u64, buckets: &[[f64; 3]]) -> Result<()> {
        self.value(tag, step, |summary| {
            // Summary.Value.tensor = 8: dtype = 1 (DT_DOUBLE = 2), tensor_shape = 2 (dim = 2: size = 1), tensor_content = 4
            summary.message(8, |tensor| {
                tensor.varint(1, 2);
                tensor.message(2, |shape| {
                    shape.message(2, |dim| dim.varint(1, buckets.len() as u64));
                    shape.message(2, |dim| dim.varint(1, 3));
                });
                let content: Vec<u8> = buckets.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
                tensor.bytes(4, &content);
            });
            // Summary.Value.metadata = 9: plugin_data = 1 (plugin_name = 1), data_class = 4 (DATA_CLASS_TENSOR = 2)
            summary.message(9, |metadata| {
                metadata.message(1, |plugin| plugin.bytes(1, b"histograms"));
                metadata.varint(4, 2);
            });
        })
    }

    /// A file that an adapter made: a PNG as a picture, a WAV as a sound, anything else as text that is shown as it
    /// is. `extension` is the adapter's. Fails with [`Error::Content`] where the content isn't what the extension says.
    pub fn sample(&mut self, tag: &str, step: u64, extension: &str, content: &[u8]) -> Result<()> {
        match extension {
            "png" => {
                let image = image::load_from_memory_with_format(content, image::ImageFormat::Png)
                    .map_err(|error| Error::Content(format!("{tag}: not a PNG file: {error}")))?;
                let (width, height) = (image.width() as usize, image.height() as usize);
                self.image(tag, step, content, width, height, image.color().channel_count() as usize)
            }
            "wav" => {
                let wav = hound::WavReader::new(Cursor::new(content))
                    .map_err(|error| Error::Content(format!("{tag}: not a WAV file: {error}")))?;
                let spec = wav.spec();
                self.audio(tag, step, content, spec.sample_rate, spec.channels as usize, wav.duration() as u64)
            }
            _ => {
                // Indented by four spaces, Markdown is a block that is shown letter by letter.
                let lines: Vec<String> =
                    String::from_utf8_lossy(content).lines().map(|line| format!("    {line}")).collect();
                self.text(tag, step, &lines.join("\n"))
            }
        }
    }

    /// Hands everything written so far to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }

    /// An event with a summary of one value, which `fill` completes.
    fn value(&mut self, tag: &str, step: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        // Event.summary = 5: value = 1: tag = 1
        self.event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |value| {
                    value.bytes(1, tag.as_bytes());
                    fill(value);
                });
            });
        })
    }

    /// One record: an event at `step`, which `fill` completes.
    fn event(&mut self, step: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        // Event.wall_time = 1 (double), Event.step = 2
        let mut event = Message::default();
        event.double(1, now());
        event.varint(2, step);
        fill(&mut event);
        let payload = event.as_bytes();
        let length = (payload.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(payload.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(payload);
        record.extend(masked_crc(payload).to_le_bytes());
        self.0.push(&record);
        // A picture need not wait in memory for the next ones.
        if record.len() > LARGE { self.flush() } else { Ok(()) }
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// CRC-32C (Castagnoli), rotated and offset so that the checksum of data with checksums in it is sound.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs_f64()).unwrap_or(0.0)
}
