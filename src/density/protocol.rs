//! How every byte of a document gets its context: which windows the model is shown, and which symbols each of them
//! scores.

use std::str::FromStr;

use serde::Serialize;

use crate::model::ModelConfig;
use crate::{Error, Result};

/// How every byte gets its context (section 4.4 of the paper).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Inference {
    /// Windows of the model's context, one after another.
    Plain,
    /// Windows that overlap by half, each scoring what none before it has: twice the work.
    Sliding,
    /// Two passes that are half a patch apart, each scoring the first half of its patches: twice the work.
    Strided,
    /// Both: four times the work.
    SlidingStrided,
}

impl Inference {
    /// All of them, the cheapest first.
    pub const ALL: [Inference; 4] =
        [Inference::Plain, Inference::Sliding, Inference::Strided, Inference::SlidingStrided];

    /// Its name in flags and in what is printed.
    pub fn name(self) -> &'static str {
        match self {
            Inference::Plain => "plain",
            Inference::Sliding => "sliding",
            Inference::Strided => "strided",
            Inference::SlidingStrided => "sliding+strided",
        }
    }

    fn slides(self) -> bool {
        matches!(self, Inference::Sliding | Inference::SlidingStrided)
    }

    fn strides(self) -> bool {
        matches!(self, Inference::Strided | Inference::SlidingStrided)
    }
}

impl From<Inference> for &'static str {
    fn from(inference: Inference) -> Self {
        inference.name()
    }
}

impl FromStr for Inference {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Inference::ALL.into_iter().find(|inference| inference.name() == name).ok_or_else(|| {
            let names = Inference::ALL.map(Inference::name).join(", ");
            Error::Usage(format!("--inference {name}: expected one of {names}"))
        })
    }
}

/// The windows of one way to evaluate one model. Lengths are in symbols: bytes, and the end of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Protocol {
    /// How every byte gets its context.
    pub inference: Inference,
    /// The longest window.
    pub context: usize,
    /// From the start of a window to that of the next.
    pub stride: usize,
    /// The coarsest unit.
    pub patch: usize,
    /// Where the windows of the second pass begin, of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
}

impl Protocol {
    /// The windows for a model. Fails where there are to be two passes and patches are single bytes.
    pub fn new(inference: Inference, config: &ModelConfig) -> Result<Self> {
        let (context, patch) = (config.context, config.patch_size());
        if inference.strides() && patch == 1 {
            let name = inference.name();
            let reason = format!("--inference {name}: this model's patches are single bytes: use plain or sliding");
            return Err(Error::Usage(reason));
        }
        // Whole patches; a context of one patch can't overlap.
        let half = (context / 2 / patch * patch).max(patch);
        let stride = if inference.slides() { half } else { context };
        let offset = inference.strides().then_some(patch / 2);
        Ok(Protocol { inference, context, stride, patch, offset })
    }

    /// The windows that together score each of a document's `symbols` once. Each scores at least one.
    pub fn windows(&self, symbols: usize) -> Vec<Window> {
        let mut windows = Vec::new();
        match self.offset {
            None => self.pass(0, self.patch, 0, symbols, &mut windows),
            Some(offset) => {
                self.pass(0, offset, 0, symbols, &mut windows);
                // The first patch of a window lacks the bytes before it, which the first pass has: that one keeps it.
                self.pass(offset, self.patch - offset, self.patch, symbols, &mut windows);
            }
        }
        windows
    }

    /// Adds the windows of a pass from `offset` on that scores the first `share` places of each patch, and nothing
    /// before place `least` of a window.
    fn pass(&self, offset: usize, share: usize, least: usize, symbols: usize, windows: &mut Vec<Window>) {
        for start in (offset..symbols).step_by(self.stride) {
            let seen = if start == offset { 0 } else { self.context - self.stride };
            let (first, end) = (seen.max(least), symbols.min(start + self.context));
            if start + first >= end {
                break;
            }
            windows.push(Window { start, end, first, patch: self.patch, share });
        }
    }
}

/// A stretch of a document that the model is shown as a sequence of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Where it begins in the document.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What stands before this place of the window is context, scored by other windows.
    first: usize,
    patch: usize,
    /// How many places of each patch it scores: all in a single pass, the first half of two.
    share: usize,
}

impl Window {
    /// The places in the document of the symbols that it scores.
    pub fn scored(&self) -> impl Iterator<Item = usize> + use<> {
        let Window { start, end, first, patch, share } = *self;
        // Of two passes, the first has the whole first patch of a window: the second leaves it out by `first`.
        let scores = move |place: &usize| *place < patch || place % patch < share;
        (first..end - start).filter(scores).map(move |place| start + place)
    }
}
