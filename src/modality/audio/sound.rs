//! Which of the samples that a decoder gives are sound: encoders begin with some of priming and end with padding.

use std::ops::Range;

/// The ranges of frames that are sound, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sound(Vec<Range<u64>>);

impl Sound {
    /// All that a decoder gives.
    pub fn all() -> Self {
        Sound::part(0..u64::MAX)
    }

    /// What a range leaves.
    pub fn part(range: Range<u64>) -> Self {
        Sound(vec![range])
    }

    /// What these ranges leave; `None` where they overlap or go back.
    pub fn ranges(ranges: Vec<Range<u64>>) -> Option<Self> {
        let ascending = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
        ascending.then_some(Sound(ranges))
    }

    /// Frames of sound of which the decoder gives `decoded`; `None` where that isn't known and the sound has no end.
    pub fn frames(&self, decoded: Option<u64>) -> Option<u64> {
        let most = decoded.unwrap_or(u64::MAX);
        let len = |range: &Range<u64>| range.end.min(most).saturating_sub(range.start.min(most));
        let open = decoded.is_none() && self.end() == u64::MAX;
        (!open).then(|| self.0.iter().map(len).sum())
    }

    /// Where the sound ends, as frames of the decoder; `u64::MAX` where that is where the decoder does.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// Leaves of interleaved samples, of which the first is that of frame `start`, what is sound.
    pub fn keep(&self, start: u64, channels: usize, samples: &mut Vec<f32>) {
        let end = start + (samples.len() / channels) as u64;
        let first = self.0.partition_point(|range| range.end <= start);
        let mut kept = 0;
        for range in self.0[first..].iter().take_while(|range| range.start < end) {
            let [from, to] = [range.start, range.end].map(|at| (at.clamp(start, end) - start) as usize * channels);
            samples.copy_within(from..to, kept);
            kept += to - from;
        }
        samples.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_out_of_blocks() {
        let sound = Sound::ranges(vec![3..5, 5..6, 9..u64::MAX]).unwrap();
        for size in [1, 2, 4, 7, 100] {
            let mut kept = Vec::new();
            for start in (0..12).step_by(size) {
                let frames = start..12.min(start + size as u64);
                let mut samples: Vec<f32> = frames.flat_map(|frame| [frame as f32, -(frame as f32)]).collect();
                sound.keep(start, 2, &mut samples);
                kept.extend(samples.into_iter().step_by(2));
            }
            assert_eq!(kept, [3.0, 4.0, 5.0, 9.0, 10.0, 11.0], "{size}");
        }
        assert_eq!((sound.frames(Some(12)), sound.frames(None), sound.end()), (Some(6), None, u64::MAX));
        assert_eq!(Sound::part(2..7).frames(None), Some(5));
        assert_eq!(Sound::ranges(vec![5..9, 3..4]), None);
    }
}
