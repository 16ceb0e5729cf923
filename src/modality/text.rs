//! Text: a file's bytes as they are, or brought to UTF-8 with uniform ends of lines.

use std::io::Write;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::bytes::{BLOCK, blocks};
use super::{Adapter, Bom, Input, Newlines, TextLayout, content, unwritable};
use crate::{Error, Result};

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Text as bytes. Without an encoding in the layout nothing is assumed about one: files that aren't valid UTF-8 pass
/// unchanged, and marks and ends of lines are those of ASCII and UTF-8. With an encoding, files become UTF-8, and one
/// that has malformed parts is refused. What is decoded is UTF-8 in any case.
#[derive(Debug)]
pub struct TextAdapter {
    layout: TextLayout,
}

impl TextAdapter {
    /// An adapter for a validated layout.
    pub fn new(layout: TextLayout) -> Self {
        TextAdapter { layout }
    }
}

impl Adapter for TextAdapter {
    fn encode_to(&self, input: &mut dyn Input, out: &mut dyn Write) -> Result<Vec<String>> {
        let mut cleaner = Cleaner::new(&self.layout, out);
        let mut transcoder = Transcoder::new(&self.layout.encoding);
        if let Some(transcoder) = &transcoder {
            transcoder.check_mark(&content::head(input)?)?;
        }
        blocks(input, |block| match &mut transcoder {
            Some(transcoder) => transcoder.push(block, false, &mut |text| cleaner.push(text)),
            None => cleaner.push(block),
        })?;
        if let Some(transcoder) = &mut transcoder {
            transcoder.push(&[], true, &mut |text| cleaner.push(text))?;
        }
        cleaner.finish()?;
        Ok(Vec::new())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }

    fn extension(&self) -> &'static str {
        "txt"
    }

    fn patch_size(&self) -> usize {
        8
    }

    fn sequence_len(&self) -> Option<usize> {
        None
    }

    fn bytes_per_second(&self) -> Option<f64> {
        None
    }

    fn ends_with_symbol(&self) -> bool {
        true
    }
}

/// From a named encoding to UTF-8, block by block.
struct Transcoder {
    decoder: Decoder,
    /// Bytes that went before the block.
    position: u64,
    text: Vec<u8>,
}

impl Transcoder {
    /// `None` where no encoding is named.
    fn new(label: &str) -> Option<Self> {
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
        // The mark stays here: whether it goes is another key's business.
        let decoder = encoding.new_decoder_without_bom_handling();
        Some(Transcoder { decoder, position: 0, text: vec![0; 2 * BLOCK] })
    }

    /// Refuses text with the mark of another Unicode encoding: UTF-16 in the wrong order is valid and nonsense.
    fn check_mark(&self, head: &[u8]) -> Result<()> {
        let named = self.decoder.encoding();
        match Encoding::for_bom(head) {
            Some((marked, _)) if marked != named && [UTF_8, UTF_16LE, UTF_16BE].contains(&named) => {
                let (marked, named) = (marked.name(), named.name());
                Err(Error::Content(format!("begins with the mark of {marked}, but `data.encoding` names {named}")))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, mut block: &[u8], last: bool, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(block, &mut self.text, last);
            take(&self.text[..written])?;
            self.position += read as u64;
            block = &block[read..];
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(len, after) => {
                    let at = self.position.saturating_sub(u64::from(len) + u64::from(after));
                    let name = self.decoder.encoding().name();
                    return Err(Error::Content(format!(
                        "isn't valid {name}, which `data.encoding` names: malformed at byte {at}"
                    )));
                }
            }
        }
    }
}

/// Marks and ends of lines as the layout wants them, block by block.
struct Cleaner<'a> {
    out: &'a mut dyn Write,
    newlines: Newlines,
    /// What may be the beginning of a mark that is to be left out; `None` once that is decided.
    start: Option<Vec<u8>>,
    /// Whether the last byte was a CR, for which LF was written.
    after_cr: bool,
    cleaned: Vec<u8>,
}

impl<'a> Cleaner<'a> {
    fn new(layout: &TextLayout, out: &'a mut dyn Write) -> Self {
        let start = (layout.bom == Bom::Strip).then(Vec::new);
        Cleaner { out, newlines: layout.newlines, start, after_cr: false, cleaned: Vec::new() }
    }

    fn push(&mut self, block: &[u8]) -> Result<()> {
        let Some(mut start) = self.start.take() else { return self.write(block) };
        start.extend_from_slice(block);
        if start.len() < MARK.len() && MARK.starts_with(&start) {
            self.start = Some(start);
            return Ok(());
        }
        self.write(start.strip_prefix(MARK).unwrap_or(&start))
    }

    fn write(&mut self, block: &[u8]) -> Result<()> {
        if self.newlines == Newlines::Keep {
            return self.out.write_all(block).map_err(unwritable);
        }
        self.cleaned.clear();
        for &byte in block {
            if byte == b'\r' {
                self.cleaned.push(b'\n');
            } else if byte != b'\n' || !self.after_cr {
                self.cleaned.push(byte);
            }
            self.after_cr = byte == b'\r';
        }
        self.out.write_all(&self.cleaned).map_err(unwritable)
    }

    /// Writes what was held back: a file that ends inside what began like a mark.
    fn finish(mut self) -> Result<()> {
        let held = self.start.take().unwrap_or_default();
        self.write(&held)
    }
}
