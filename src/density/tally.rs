//! The sums of an evaluation.

use super::scoring::{Document, Scored};

/// Bytes, and nats of bytes and ends, of every stretch of a context: windows that overlap are no independent samples,
/// stretches nearly.
#[derive(Debug)]
pub(super) struct Tally {
    context: usize,
    stretches: Vec<Sum>,
    /// The number of stretches before each document, and after the last one.
    first: Vec<usize>,
    /// Nats of ends.
    pub end_nats: f64,
}

/// Bytes and nats.
pub(super) type Sum = (u64, f64);

impl Tally {
    pub(super) fn new(documents: &[Document<'_>], context: usize) -> Self {
        let mut first = vec![0];
        for document in documents {
            first.push(first[first.len() - 1] + document.symbols().div_ceil(context));
        }
        Tally { context, stretches: vec![(0, 0.0); first[first.len() - 1]], first, end_nats: 0.0 }
    }

    pub(super) fn add(&mut self, scored: &Scored) {
        let sum = &mut self.stretches[self.first[scored.document] + scored.place / self.context];
        sum.1 += scored.nats;
        if scored.is_byte {
            sum.0 += 1;
        } else {
            self.end_nats += scored.nats;
        }
    }

    pub(super) fn documents(&self) -> usize {
        self.first.len() - 1
    }

    /// The stretches of all documents.
    pub(super) fn all(&self) -> &[Sum] {
        &self.stretches
    }

    /// The stretches of one document.
    pub(super) fn of(&self, document: usize) -> &[Sum] {
        &self.stretches[self.first[document]..self.first[document + 1]]
    }
}

/// The sum of sums, in their order.
pub(super) fn total(sums: &[Sum]) -> Sum {
    sums.iter().fold((0, 0.0), |total, sum| (total.0 + sum.0, total.1 + sum.1))
}

/// Standard error of bits per byte over stretches, as of a ratio of sums (linearised: Cochran, Sampling Techniques,
/// 6.3).
pub(super) fn std_error(sums: &[Sum]) -> f64 {
    let n = sums.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let (bytes, nats) = total(sums);
    let nats_per_byte = nats / bytes as f64;
    let squares: f64 = sums.iter().map(|&(bytes, nats)| (nats - nats_per_byte * bytes as f64).powi(2)).sum();
    (n / (n - 1.0) * squares).sqrt() / bytes as f64 / std::f64::consts::LN_2
}
