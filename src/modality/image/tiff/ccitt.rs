//! Bilevel pictures as fax machines code them (ITU-T T.4 and T.6): rows of runs, alone or as differences to the row above.
//! The tables of codes are those of the crate `fax`.

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};

use super::Step;

/// How rows are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Runs; every row begins a byte (compression 2).
    Rows,
    /// Runs, or differences where that is said; marks between rows (compression 3).
    Group3 {
        /// Whether a bit says of each row which of the two it is.
        differences: bool,
    },
    /// Differences (compression 4).
    Group4,
}

/// Rows of whole bytes in which black is 1.
pub(super) fn decode(coded: &[u8], width: usize, rows: usize, scheme: Scheme) -> Step<Vec<u8>> {
    let damaged = || "its fax code is damaged or ends early";
    // Looking ahead goes beyond the end.
    let bytes = coded.iter().copied().chain([0; 8]).map(Ok::<u8, Infallible>);
    let Ok(mut bits) = ByteReader::new(bytes);
    let stride = width.div_ceil(8);
    let mut decoded = Vec::new();
    let mut above: Vec<usize> = Vec::new();
    for _ in 0..rows {
        let changes = match scheme {
            Scheme::Rows => {
                let runs = runs(&mut bits, width).ok_or_else(damaged)?;
                let _ = bits.consume(bits.bits_to_byte_boundary());
                runs
            }
            Scheme::Group3 { differences } => {
                mark(&mut bits);
                let alone = !differences || bits.peek(1) == Some(1);
                if differences {
                    let _ = bits.consume(1);
                }
                let row = if alone { runs(&mut bits, width) } else { changes(&mut bits, &above, width).flatten() };
                row.ok_or_else(damaged)?
            }
            Scheme::Group4 => match changes(&mut bits, &above, width).ok_or_else(damaged)? {
                Some(changes) => changes,
                // The end of the block: what is below is white.
                None => break,
            },
        };
        let start = decoded.len();
        decoded.resize(start + stride, 0);
        for run in changes.chunks(2) {
            let end = run.get(1).map_or(width, |&end| end.min(width));
            for x in run[0]..end {
                decoded[start + x / 8] |= 0x80 >> (x % 8);
            }
        }
        above = changes;
    }
    decoded.resize(stride * rows, 0);
    Ok(decoded)
}

/// Goes over the mark before a row, where there is one: eleven zeros or more, and a one.
fn mark(bits: &mut impl BitReader) {
    if bits.peek(11) != Some(0) {
        return;
    }
    while bits.peek(1) == Some(0) && bits.consume(1).is_ok() {}
    let _ = bits.consume(1);
}

/// A run of white or black.
fn run(bits: &mut impl BitReader, is_black: bool) -> Option<usize> {
    let mut len = 0;
    loop {
        let part = if is_black { black::decode(bits) } else { white::decode(bits) }?;
        len += usize::from(part);
        // Longer runs have their multiples of 64 first; no row has more pixels.
        if part < 64 || len > u32::MAX as usize {
            return Some(len);
        }
    }
}

/// Where a row changes between white and black, from its runs.
fn runs(bits: &mut impl BitReader, width: usize) -> Option<Vec<usize>> {
    let (mut changes, mut at, mut is_black) = (Vec::new(), 0, false);
    while at < width {
        at += run(bits, is_black)?;
        change(&mut changes, at, width)?;
        is_black = !is_black;
    }
    Some(changes)
}

/// Where a row changes, from the differences to the row above; nothing at the end of a block.
fn changes(bits: &mut impl BitReader, above: &[usize], width: usize) -> Option<Option<Vec<usize>>> {
    let (mut changes, mut is_black) = (Vec::new(), false);
    // Where the next code begins: before the first pixel at first.
    let mut at = None;
    // The changes above that are behind `at` begin here.
    let mut next = 0_usize;
    while at.is_none_or(|at| at < width) {
        // The first change above to the other colour, to the right of here.
        next = next.saturating_sub(2);
        while next < above.len() && (at.is_some_and(|at| above[next] <= at) || (next % 2 == 1) != is_black) {
            next += 1;
        }
        let b1 = above.get(next).copied().unwrap_or(width);
        match mode::decode(bits)? {
            Mode::Pass => at = Some(above.get(next + 1).copied().unwrap_or(width)),
            Mode::Horizontal => {
                let first = at.unwrap_or(0) + run(bits, is_black)?;
                let second = first + run(bits, !is_black)?;
                change(&mut changes, first, width)?;
                change(&mut changes, second, width)?;
                at = Some(second);
            }
            Mode::Vertical(by) => {
                let to = b1.checked_add_signed(by.into()).filter(|&to| to >= at.unwrap_or(0))?;
                change(&mut changes, to, width)?;
                is_black = !is_black;
                at = Some(to);
            }
            Mode::EOF => return Some(None),
            Mode::Extension => return None,
        }
    }
    Some(Some(changes))
}

/// Notes a change. Two at one place are none, so that only real ones are referred to by the row below.
fn change(changes: &mut Vec<usize>, at: usize, width: usize) -> Option<()> {
    if at > width {
        return None;
    }
    if changes.last() == Some(&at) {
        changes.pop();
    } else {
        changes.push(at);
    }
    Some(())
}
