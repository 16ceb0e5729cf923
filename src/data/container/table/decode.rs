//! Tables in other encodings than UTF-8: decoded first, parsed then.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::super::content::Content;
use super::super::fence::{Step, broken};

/// Bytes that are decoded at once.
const BLOCK: usize = 64 << 10;

/// The encoding of a table: that of its byte order mark, else the one that was named, else UTF-8.
///
/// JSON in UTF-8 is that whatever was named (RFC 8259, section 8.1), unless any bytes could be of what was named.
pub(super) fn encoding(head: &[u8], content: &mut Content, named: &str) -> Step<&'static Encoding> {
    if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
        return broken("is text in UTF-32, of which no tables are read: convert it to UTF-8 first");
    }
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return Ok(encoding);
    }
    let named = Encoding::for_label_no_replacement(named.as_bytes()).unwrap_or(UTF_8);
    let json = head.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'[' | b'#' | b'/'));
    let utf8 = named != UTF_8 && json && named.is_ascii_compatible() && is_utf8(&mut content.reader()?)?;
    if named == UTF_8 && head.iter().take(4).any(|&byte| byte == 0) {
        return broken("begins with NUL bytes: where it is UTF-16, `data.encoding` has to say so");
    }
    Ok(if utf8 { UTF_8 } else { named })
}

/// The content in UTF-8, without its mark. What claims to be UTF-8 is given as it is.
pub(super) fn decoded<'a>(content: impl Read + 'a, encoding: &'static Encoding) -> Box<dyn Read + 'a> {
    if encoding == UTF_8 {
        return Box::new(Unmarked { inner: content, start: None });
    }
    let text = vec![0; encoding.new_decoder().max_utf8_buffer_length_without_replacement(BLOCK).unwrap_or(4 * BLOCK)];
    Box::new(Decoded {
        inner: content,
        decoder: encoding.new_decoder_with_bom_removal(),
        raw: vec![0; BLOCK],
        text,
        rest: 0..0,
        position: 0,
        ended: false,
    })
}

/// Whether all of it is valid UTF-8.
fn is_utf8(reader: &mut dyn Read) -> io::Result<bool> {
    let mut block = vec![0; BLOCK];
    let mut held = 0;
    loop {
        let read = reader.read(&mut block[held..])?;
        if read == 0 {
            return Ok(held == 0);
        }
        let filled = held + read;
        held = match std::str::from_utf8(&block[..filled]) {
            Ok(_) => 0,
            // A character that goes on in the next block.
            Err(error) if error.error_len().is_none() => {
                block.copy_within(error.valid_up_to()..filled, 0);
                filled - error.valid_up_to()
            }
            Err(_) => return Ok(false),
        };
    }
}

/// UTF-8 without its mark.
struct Unmarked<R> {
    inner: R,
    /// What was read to see whether it is the mark, and how much of it is given.
    start: Option<(Vec<u8>, usize)>,
}

impl<R: Read> Read for Unmarked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (start, given) = match &mut self.start {
            Some(start) => start,
            None => {
                let mut start = Vec::new();
                self.inner.by_ref().take(3).read_to_end(&mut start)?;
                let given = if start == b"\xef\xbb\xbf" { 3 } else { 0 };
                self.start.insert((start, given))
            }
        };
        if *given < start.len() {
            let len = buffer.len().min(start.len() - *given);
            buffer[..len].copy_from_slice(&start[*given..*given + len]);
            *given += len;
            return Ok(len);
        }
        self.inner.read(buffer)
    }
}

/// UTF-8 of another encoding.
struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// What of `text` is not given yet.
    rest: std::ops::Range<usize>,
    /// Bytes that were decoded.
    position: u64,
    ended: bool,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            let read = self.inner.read(&mut self.raw)?;
            self.ended = read == 0;
            let block = &self.raw[..read];
            let (result, used, written) =
                self.decoder.decode_to_utf8_without_replacement(block, &mut self.text, self.ended);
            self.position += used as u64;
            if let DecoderResult::Malformed(len, after) = result {
                let (name, at) = (self.decoder.encoding().name(), self.position);
                let at = at.saturating_sub(u64::from(len) + u64::from(after));
                return Err(io::Error::other(format!("isn't valid {name}: malformed at byte {at}")));
            }
            self.rest = 0..written;
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.text[self.rest.start..self.rest.start + len]);
        self.rest.start += len;
        Ok(len)
    }
}
