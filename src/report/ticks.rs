//! Round numbers along an axis.

use super::format::si_exact;

/// Round numbers, 1, 2 or 5 times a power of ten apart, that enclose a range.
pub(super) struct Ticks {
    step: f64,
    from: i64,
    to: i64,
}

impl Ticks {
    /// About five steps from `low` to `high`.
    pub fn new(low: f64, high: f64) -> Ticks {
        let range = if high > low { high - low } else { high.abs().max(1.0) };
        let power = 10f64.powf((range / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| range / step <= 6.0);
        let step = step.unwrap_or(10.0 * power);
        let from = (low / step + 1e-9).floor() as i64;
        let to = ((high / step - 1e-9).ceil() as i64).max(from + 1);
        Ticks { step, from, to }
    }

    pub fn first(&self) -> f64 {
        self.from as f64 * self.step
    }

    pub fn last(&self) -> f64 {
        self.to as f64 * self.step
    }

    pub fn values(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|index| index as f64 * self.step)
    }

    pub fn label(&self, tick: f64) -> String {
        let digits = |step: f64| (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
        let largest = self.first().abs().max(self.last().abs());
        if largest >= 10_000.0 {
            return si_exact(tick);
        }
        if self.step < 9.9e-4 {
            if tick == 0.0 {
                return "0".to_owned();
            }
            // All with the exponent of the largest.
            let exponent = largest.log10().floor();
            let unit = 10f64.powf(exponent);
            return format!("{:.*}e{exponent}", digits(self.step / unit), tick / unit);
        }
        format!("{tick:.*}", digits(self.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        for (low, high, expected) in [
            (1.93, 8.01, vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            (0.0, 30.0, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),
        ] {
            assert_eq!(Ticks::new(low, high).values().collect::<Vec<_>>(), expected);
        }
        let flat = Ticks::new(3.0, 3.0);
        assert!(flat.first() <= 3.0 && flat.last() >= 3.0 && flat.last() > flat.first());
        assert_eq!(Ticks::new(2.1, 2.4).label(2.15), "2.15");
        let rates = Ticks::new(0.0, 3e-4);
        assert_eq!(rates.values().map(|tick| rates.label(tick)).collect::<Vec<_>>()[..3], ["0", "0.5e-4", "1.0e-4"]);
        assert_eq!(Ticks::new(0.0, 3e-3).label(1e-3), "1.0e-3");
        assert_eq!(Ticks::new(0.0, 5e-3).label(1e-3), "0.001");
        assert_eq!(Ticks::new(0.0, 50_000.0).label(10_000.0), "10\u{202f}k");
    }
}
