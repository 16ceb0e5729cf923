//! What of a sound is lost.

use crate::shown::thousands;

/// Where samples are missing, for a warning.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Places, each the frame of the sound where it was, and frames lost there.
    first: Option<(u64, u64)>,
    places: u64,
    /// Frames in all.
    total: u64,
    /// The last place.
    last: Option<u64>,
    /// Whether numbers are estimates.
    about: bool,
    /// What comes after this frame is missing, and nothing says how much it is.
    open: Option<u64>,
}

impl Losses {
    /// Counts frames lost at a place in what is left.
    pub fn add(&mut self, at: u64, frames: u64) {
        if frames == 0 {
            return;
        }
        self.total = self.total.saturating_add(frames);
        if self.last != Some(at) {
            self.places += 1;
            self.last = Some(at);
        }
        match &mut self.first {
            Some((place, first)) if *place == at => *first = first.saturating_add(frames),
            Some(_) => {}
            first @ None => *first = Some((at, frames)),
        }
    }

    /// Counts frames whose number is an estimate.
    pub fn add_about(&mut self, at: u64, frames: u64) {
        self.about |= frames > 0;
        self.add(at, frames);
    }

    /// The sound ends here, before its time.
    pub fn open(&mut self, at: u64) {
        self.open = Some(at);
    }

    /// It is known how much comes after the end.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Frames lost.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What to say of a sound of this rate that has `frames` frames left.
    pub fn warnings(&self, rate: u32, frames: u64) -> Vec<String> {
        let seconds = |at: u64| format!("{:.1} s", at as f64 / f64::from(rate.max(1)));
        let about = if self.about { "about " } else { "" };
        let total = thousands(self.total);
        let mut warnings = Vec::new();
        if let Some((at, _)) = self.first {
            let at = seconds(at);
            warnings.push(match self.places {
                1 if self.last == Some(frames) => format!("{about}{total} samples are lost at {at}, where it ends"),
                1 => format!("{about}{total} samples are lost at {at}"),
                places => format!("{about}{total} samples are lost at {} places, the first at {at}", thousands(places)),
            });
        }
        if let Some(at) = self.open {
            warnings.push(format!("it is cut at {}: what comes after is lost", seconds(at)));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_in_words() {
        let mut losses = Losses::default();
        losses.add(100, 0);
        assert!(losses.warnings(8_000, 500).is_empty());
        losses.add(98_400, 1_024);
        losses.add(98_400, 3_072);
        assert_eq!(losses.warnings(8_000, 100_000), ["4,096 samples are lost at 12.3 s"]);
        assert_eq!(losses.warnings(8_000, 98_400), ["4,096 samples are lost at 12.3 s, where it ends"]);
        losses.add_about(1_000_000, 1_000_000);
        losses.open(1_200_000);
        let expected = [
            "about 1,004,096 samples are lost at 2 places, the first at 12.3 s",
            "it is cut at 150.0 s: what comes after is lost",
        ];
        assert_eq!(losses.warnings(8_000, 1_200_000), expected);
    }
}
