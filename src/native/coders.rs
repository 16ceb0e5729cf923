//! Encoders of pictures and sounds by the libraries that define their formats, libwebp and libFLAC, and the versions of
//! what is linked.

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::slice;

use libwebp_sys::{
    WebPConfig, WebPEncode, WebPGetEncoderVersion, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear,
    WebPMemoryWriterInit, WebPPicture, WebPPictureFree, WebPPictureImportRGB,
};
use megabyte_libflac::{
    FLAC__STREAM_ENCODER_INIT_STATUS_OK, FLAC__STREAM_ENCODER_SEEK_STATUS_ERROR, FLAC__STREAM_ENCODER_SEEK_STATUS_OK,
    FLAC__STREAM_ENCODER_TELL_STATUS_OK, FLAC__STREAM_ENCODER_WRITE_STATUS_FATAL_ERROR,
    FLAC__STREAM_ENCODER_WRITE_STATUS_OK, FLAC__StreamEncoder, FLAC__StreamEncoderSeekStatus,
    FLAC__StreamEncoderTellStatus, FLAC__StreamEncoderWriteStatus, FLAC__VERSION_STRING, FLAC__stream_encoder_delete,
    FLAC__stream_encoder_finish, FLAC__stream_encoder_get_resolved_state_string, FLAC__stream_encoder_init_stream,
    FLAC__stream_encoder_new, FLAC__stream_encoder_process_interleaved, FLAC__stream_encoder_set_bits_per_sample,
    FLAC__stream_encoder_set_channels, FLAC__stream_encoder_set_compression_level,
    FLAC__stream_encoder_set_do_exhaustive_model_search, FLAC__stream_encoder_set_do_qlp_coeff_prec_search,
    FLAC__stream_encoder_set_sample_rate, FLAC__stream_encoder_set_streamable_subset,
    FLAC__stream_encoder_set_total_samples_estimate,
};

use crate::{Error, Result};

/// The version of libwebp, such as `1.6.0`.
pub fn webp_version() -> String {
    // SAFETY: returns a number.
    let version = unsafe { WebPGetEncoderVersion() };
    format!("{}.{}.{}", version >> 16, (version >> 8) & 0xff, version & 0xff)
}

/// The version of libFLAC, such as `1.5.0`.
pub fn flac_version() -> String {
    // SAFETY: a pointer that nobody writes to, to a constant C string.
    unsafe { CStr::from_ptr(FLAC__VERSION_STRING) }.to_string_lossy().into_owned()
}

/// The version of liblzma, such as `5.8.1`.
pub fn lzma_version() -> String {
    // SAFETY: a constant C string.
    unsafe { CStr::from_ptr(liblzma_sys::lzma_version_string()) }.to_string_lossy().into_owned()
}

/// A WebP file without loss of a picture of `width` x `height` pixels, red, green and blue by turns in `rgb`, as
/// `cwebp -lossless -exact -q 100 -m 6` writes it. Fails with [`Error::Content`] where libwebp does: a side above
/// [`WEBP_MAX_SIDE`], or no memory.
pub fn webp_lossless(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    assert_eq!(rgb.len() as u64, 3 * u64::from(width) * u64::from(height), "three bytes a pixel");
    let failed = |what: String| Error::Content(format!("WebP: {what}"));
    if width.max(height) > WEBP_MAX_SIDE {
        return Err(failed(format!("{width} x {height} pixels are more than the format's {WEBP_MAX_SIDE} a side")));
    }
    let other = |()| failed("libwebp is of another version than its declarations".to_owned());
    let mut config = WebPConfig::new().map_err(other)?;
    config.lossless = 1;
    config.quality = 100.0;
    config.method = 6;
    config.exact = 1;
    let mut picture = WebPPicture::new().map_err(other)?;
    picture.use_argb = 1;
    (picture.width, picture.height) = (width as i32, height as i32);
    let mut writer = MaybeUninit::<WebPMemoryWriter>::uninit();
    // SAFETY: `rgb` holds all rows of the picture, which libwebp copies; the writer is initialised before it is used, and
    // lives until the encoder is done; what libwebp allocated is freed by it, once, after the last use.
    unsafe {
        WebPMemoryWriterInit(writer.as_mut_ptr());
        picture.writer = Some(WebPMemoryWrite);
        picture.custom_ptr = writer.as_mut_ptr().cast();
        let done = WebPPictureImportRGB(&mut picture, rgb.as_ptr(), 3 * width as i32) != 0
            && WebPEncode(&config, &mut picture) != 0;
        let mut writer = writer.assume_init();
        let file = if done { slice::from_raw_parts(writer.mem, writer.size).to_vec() } else { Vec::new() };
        WebPMemoryWriterClear(&mut writer);
        WebPPictureFree(&mut picture);
        if done { Ok(file) } else { Err(failed(format!("{:?}", picture.error_code))) }
    }
}

/// The format's greatest width and height.
pub const WEBP_MAX_SIDE: u32 = 16_383;

/// A FLAC file of whole frames of signed samples, channels by turns, as `flac -8 -e -p` writes it, without padding and
/// seek table. Fails with [`Error::Content`] where libFLAC does: a rate above its limit, or no memory.
pub fn flac(samples: &[i32], channels: u32, bits: u32, rate: u32) -> Result<Vec<u8>> {
    assert!(channels > 0 && samples.len().is_multiple_of(channels as usize), "whole frames");
    let failed = |what: &str| Error::Content(format!("FLAC: {what}"));
    let mut sink = Sink::default();
    // SAFETY: the encoder is used by this function alone, and deleted at its end; the sink outlives it, and is not
    // touched here before; each buffer holds as many frames as are said.
    let done = unsafe {
        let encoder = FLAC__stream_encoder_new();
        if encoder.is_null() {
            return Err(failed("no memory"));
        }
        // What is set beyond the level: its search of all predictors and of their precision. The subset for streaming
        // excludes nothing that level 8 would use, but unusual rates.
        FLAC__stream_encoder_set_streamable_subset(encoder, 0);
        FLAC__stream_encoder_set_compression_level(encoder, 8);
        FLAC__stream_encoder_set_do_exhaustive_model_search(encoder, 1);
        FLAC__stream_encoder_set_do_qlp_coeff_prec_search(encoder, 1);
        FLAC__stream_encoder_set_channels(encoder, channels);
        FLAC__stream_encoder_set_bits_per_sample(encoder, bits);
        FLAC__stream_encoder_set_sample_rate(encoder, rate);
        FLAC__stream_encoder_set_total_samples_estimate(encoder, samples.len() as u64 / u64::from(channels));
        let to = (&raw mut sink).cast();
        let begun = FLAC__stream_encoder_init_stream(encoder, Some(write), Some(seek), Some(tell), None, to)
            == FLAC__STREAM_ENCODER_INIT_STATUS_OK;
        let mut pieces = samples.chunks(FRAMES * channels as usize);
        let fed = begun
            && pieces.all(|piece| {
                let frames = piece.len() as u32 / channels;
                FLAC__stream_encoder_process_interleaved(encoder, piece.as_ptr(), frames) != 0
            });
        let state =
            CStr::from_ptr(FLAC__stream_encoder_get_resolved_state_string(encoder)).to_string_lossy().into_owned();
        let done = if fed && FLAC__stream_encoder_finish(encoder) != 0 { Ok(()) } else { Err(failed(&state)) };
        FLAC__stream_encoder_delete(encoder);
        done
    };
    done.map(|()| sink.file)
}

/// Frames that are given to libFLAC at once.
const FRAMES: usize = 1 << 16;

/// A file in memory, which libFLAC writes to and goes back in, to complete the header.
#[derive(Default)]
struct Sink {
    file: Vec<u8>,
    at: usize,
}

/// libFLAC's callback to write; `sink` is a [`Sink`] that nobody else uses meanwhile.
unsafe extern "C" fn write(
    _: *const FLAC__StreamEncoder,
    buffer: *const u8,
    len: usize,
    _: u32,
    _: u32,
    sink: *mut c_void,
) -> FLAC__StreamEncoderWriteStatus {
    // SAFETY: the sink that `flac` gave, and as many bytes of libFLAC's as it says.
    let (sink, bytes) = unsafe { (&mut *sink.cast::<Sink>(), slice::from_raw_parts(buffer, len)) };
    let over = (sink.file.len() - sink.at).min(len);
    if sink.file.try_reserve(len - over).is_err() {
        return FLAC__STREAM_ENCODER_WRITE_STATUS_FATAL_ERROR;
    }
    sink.file[sink.at..sink.at + over].copy_from_slice(&bytes[..over]);
    sink.file.extend_from_slice(&bytes[over..]);
    sink.at += len;
    FLAC__STREAM_ENCODER_WRITE_STATUS_OK
}

/// libFLAC's callback to go to a place of the file.
unsafe extern "C" fn seek(_: *const FLAC__StreamEncoder, to: u64, sink: *mut c_void) -> FLAC__StreamEncoderSeekStatus {
    // SAFETY: the sink that `flac` gave.
    let sink = unsafe { &mut *sink.cast::<Sink>() };
    if to > sink.file.len() as u64 {
        return FLAC__STREAM_ENCODER_SEEK_STATUS_ERROR;
    }
    sink.at = to as usize;
    FLAC__STREAM_ENCODER_SEEK_STATUS_OK
}

/// libFLAC's callback to learn the place in the file.
unsafe extern "C" fn tell(
    _: *const FLAC__StreamEncoder,
    at: *mut u64,
    sink: *mut c_void,
) -> FLAC__StreamEncoderTellStatus {
    // SAFETY: the sink that `flac` gave, and a number of libFLAC's to be written.
    unsafe { *at = (*sink.cast::<Sink>()).at as u64 };
    FLAC__STREAM_ENCODER_TELL_STATUS_OK
}
