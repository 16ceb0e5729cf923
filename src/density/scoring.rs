//! The one way to score: windows of documents through the model, and every symbol's nats to whoever counts them.

use super::{Journal, Protocol, Window};
use crate::data::{Batch, Dataset, END, Item, PAD};
use crate::model::{Megabyte, loss};
use crate::progress::Progress;
use crate::{Error, Result};

/// A document, or the part of it that is scored, as the model sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub bytes: &'a [u8],
    /// Whether the symbol of its end is scored.
    pub ends: bool,
}

impl<'a> Document<'a> {
    /// An item, for a vocabulary.
    pub(super) fn new(item: Item<'a>, vocab: usize) -> Self {
        Document { bytes: item.bytes, ends: item.ends && vocab == 257 }
    }

    /// Bytes, and the end where it is scored.
    pub(super) fn symbols(&self) -> usize {
        self.bytes.len() + usize::from(self.ends)
    }
}

/// A symbol and what it cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    /// The number of its document.
    pub document: usize,
    /// Its place in the document.
    pub place: usize,
    /// Its place in the window that scored it: how many symbols the model saw before it.
    pub seen: usize,
    /// Whether it is a byte and no end of a document.
    pub is_byte: bool,
    pub nats: f64,
}

/// The bytes of a data set that an evaluation of about `limit_bytes` reads: whole windows of `context` symbols from
/// the front, 0 for all.
pub fn scored_items(dataset: &Dataset, context: usize, limit_bytes: u64) -> Vec<Item<'_>> {
    let mut left = if limit_bytes == 0 { u64::MAX } else { limit_bytes };
    let mut items = Vec::new();
    for i in 0..dataset.len() {
        if left == 0 {
            break;
        }
        let item = dataset.item(i);
        let windows = left.div_ceil(context as u64).saturating_mul(context as u64);
        if (item.bytes.len() as u64) > windows {
            items.push(Item { bytes: &item.bytes[..windows as usize], ends: false });
            break;
        }
        left = left.saturating_sub(item.bytes.len() as u64);
        items.push(item);
    }
    items
}

/// Scores documents.
pub(super) struct Scorer<'a> {
    pub model: &'a Megabyte,
    /// What the documents are of: asked whether it is still what it was, after each batch is read.
    pub dataset: &'a Dataset,
    pub protocol: Protocol,
    /// Windows scored together.
    pub batch: usize,
    pub progress: &'a dyn Progress,
}

impl Scorer<'_> {
    /// Gives `each` every symbol once, in the order of the windows: that of the documents, and inside one that of
    /// [`Protocol::windows`]. Returns the number of windows. Stops with [`Error::Interrupted`] when progress says so.
    ///
    /// What the journal has is taken from there; what it has not is added.
    pub(super) fn score(
        &self,
        documents: &[Document<'_>],
        mut journal: Option<&mut Journal>,
        each: &mut dyn FnMut(Scored),
    ) -> Result<u64> {
        let _guard = tch::no_grad_guard();
        self.dataset.check()?;
        let mut count = 0;
        let mut windows = documents.iter().enumerate().flat_map(|(number, document)| {
            let shown = move |window| Shown { number, document: *document, window };
            self.protocol.windows(document.symbols()).into_iter().map(shown)
        });
        if let Some(journal) = &mut journal {
            count += self.replay(journal, &mut windows, each)?;
        }
        loop {
            let group: Vec<Shown<'_>> = windows.by_ref().take(self.batch.max(1)).collect();
            if group.is_empty() {
                return Ok(count);
            }
            if self.progress.cancelled() {
                return Err(Error::Interrupted);
            }
            let batch = to_batch(&group, self.protocol.patch);
            self.dataset.check()?;
            let nats = loss::each_nats(self.model, &loss::to_device(&batch, self.model.device())?)?;
            let nats = Vec::<f64>::try_from(nats.to_kind(tch::Kind::Double).view(-1))?;
            let of_window = |(row, shown): (&[f64], &Shown<'_>)| {
                let start = shown.window.start;
                shown.window.scored().map(|place| row[place - start]).collect::<Vec<_>>()
            };
            let nats: Vec<f64> = nats.chunks(batch.cols).zip(&group).flat_map(of_window).collect();
            if let Some(journal) = &mut journal {
                journal.append(&nats)?;
            }
            let mut rest = nats.into_iter();
            let bytes: u64 = group.iter().filter_map(|shown| shown.tell(&mut rest, each)).sum();
            count += group.len() as u64;
            self.progress.advance(bytes);
        }
    }

    /// Takes the first windows from a journal; returns how many.
    fn replay<'a>(
        &self,
        journal: &mut Journal,
        windows: &mut impl Iterator<Item = Shown<'a>>,
        each: &mut dyn FnMut(Scored),
    ) -> Result<u64> {
        let (mut count, mut known) = (0, 0);
        journal.rewind();
        while let Some(nats) = journal.read()? {
            if self.progress.cancelled() {
                return Err(Error::Interrupted);
            }
            let mut rest = nats.into_iter();
            while rest.len() > 0 {
                let bytes = windows.next().and_then(|shown| shown.tell(&mut rest, each));
                let bytes = bytes.ok_or_else(|| journal.inconsistent())?;
                self.progress.advance(bytes);
                known += bytes;
                count += 1;
            }
        }
        if count > 0 {
            self.progress.note(&format!("{known} bytes were scored by an earlier call"));
        }
        Ok(count)
    }
}

/// A window and what it is a window of.
struct Shown<'a> {
    number: usize,
    document: Document<'a>,
    window: Window,
}

impl Shown<'_> {
    /// Takes the nats of what this window scores from `nats` and tells them; returns how many of them are bytes, or
    /// nothing where there are too few.
    fn tell(&self, nats: &mut impl Iterator<Item = f64>, each: &mut dyn FnMut(Scored)) -> Option<u64> {
        let mut bytes = 0;
        for place in self.window.scored() {
            let (seen, is_byte) = (place - self.window.start, place < self.document.bytes.len());
            bytes += u64::from(is_byte);
            each(Scored { document: self.number, place, seen, is_byte, nats: nats.next()? });
        }
        Some(bytes)
    }
}

/// Rows padded to the longest, in whole patches.
fn to_batch(windows: &[Shown<'_>], patch: usize) -> Batch {
    let longest = windows.iter().map(|shown| shown.window.end - shown.window.start).max().unwrap_or(0);
    let cols = longest.next_multiple_of(patch);
    let mut symbols = vec![PAD; windows.len() * cols];
    for (row, Shown { document, window, .. }) in symbols.chunks_mut(cols).zip(windows) {
        for (place, i) in row.iter_mut().zip(window.start..window.end) {
            *place = document.bytes.get(i).map_or(END, |&byte| i16::from(byte));
        }
    }
    Batch { symbols, rows: windows.len(), cols }
}
