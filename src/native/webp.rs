//! WebP files that end early, by libwebp: it alone says how many rows it could decode.

use libwebp_sys::{VP8StatusCode, WEBP_CSP_MODE, WebPGetInfo, WebPIDecGetRGB, WebPIDelete, WebPINewRGB, WebPIUpdate};

/// Width and height of a WebP picture, where its header is whole.
pub fn size(file: &[u8]) -> Option<(u32, u32)> {
    let (mut width, mut height) = (0, 0);
    // SAFETY: as many bytes as are said, and two numbers to be written.
    let known = unsafe { WebPGetInfo(file.as_ptr(), file.len(), &mut width, &mut height) } != 0;
    (known && width > 0 && height > 0).then_some((width as u32, height as u32))
}

/// Decodes as far as a file goes: how many rows from the top are whole, and the pixels of all rows, red, green, blue and
/// alpha by turns, where those that are not whole may hold anything. Nothing where none is.
pub fn rows(file: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (width, height) = size(file)?;
    let stride = 4 * width as usize;
    let mut pixels = vec![0; stride * height as usize];
    let mut rows = 0;
    // SAFETY: the decoder is used here alone and deleted at the end, while the file and the pixels, which it keeps pointers
    // to, are there and are not touched; the buffer has room for all rows of the size that the same library reads.
    let ended = unsafe {
        let decoder =
            WebPINewRGB(WEBP_CSP_MODE::MODE_RGBA, pixels.as_mut_ptr(), pixels.len(), stride as core::ffi::c_int);
        if decoder.is_null() {
            return None;
        }
        let status = WebPIUpdate(decoder, file.as_ptr(), file.len());
        let none = std::ptr::null_mut();
        if WebPIDecGetRGB(decoder, &mut rows, none, none, none).is_null() {
            rows = 0;
        }
        WebPIDelete(decoder);
        status
    };
    let usable = matches!(
        ended,
        VP8StatusCode::VP8_STATUS_OK | VP8StatusCode::VP8_STATUS_SUSPENDED | VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA
    );
    (usable && rows > 0).then_some((rows.min(height as core::ffi::c_int) as u32, pixels))
}
