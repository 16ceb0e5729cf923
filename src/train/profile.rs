//! Where the time of training steps goes: the loop of `train` itself, recorded operation by operation.

use std::time::Instant;

use serde::Serialize;

use super::observer::{Event, Observer};
use super::operations::Part;
use super::trainer::Trainer;
use crate::native::profile::{self, Row};
use crate::{Error, Result};

/// The time of a mean step, in parts that add up to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Steps that were recorded; as many were not, in turn with them.
    pub steps: u64,
    /// Milliseconds of a step that was recorded, and of one that was not: the difference is what recording costs.
    pub ms_per_step: f64,
    /// See `ms_per_step`.
    pub ms_per_step_unrecorded: f64,
    /// Share of the loop beyond forward, backward and the optimizer: batches, metrics, logs.
    pub loop_share: f64,
    /// Every part, in a fixed order.
    pub parts: Vec<PartTime>,
    /// Operations of libtorch, the most expensive first, without what they call.
    pub operations: Vec<OperationTime>,
}

/// The time of one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartTime {
    /// Which.
    pub part: Part,
    /// Milliseconds of a step.
    pub ms: f64,
    /// The same as a share of the step, 0 to 1.
    pub share: f64,
}

/// The time of one operation in one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationTime {
    /// libtorch's name.
    pub name: String,
    /// What it is counted as.
    pub part: Part,
    /// Calls in a step.
    pub calls: f64,
    /// Milliseconds of a step.
    pub ms: f64,
    /// The same as a share of the step, 0 to 1.
    pub share: f64,
}

/// Trains for about so many seconds, after a stretch to warm up, and says where they went. Stretches of that many
/// steps, each with one line of metrics where it is `train.log_every`, are recorded and not recorded in turn. The run ends with a checkpoint, and must
/// evaluate, sample and save at no step before. Fails on other devices than the CPU, whose work the clock does not see.
pub fn measure(trainer: &mut Trainer, stretch: u64, seconds: f64) -> Result<Profile> {
    if trainer.model().device() != tch::Device::Cpu {
        let reason = "a profile is for the CPU alone: on a GPU the host's clock sees only when work was asked for; \
                      add --device cpu";
        return Err(Error::Usage(reason.to_owned()));
    }
    let mut clock =
        Clock { began: None, stretch, left: stretch, on: false, seconds, times: [(0, 0.0); 2], failed: None };
    profile::take()?;
    let outcome = trainer.train(&mut clock);
    profile::record(false)?;
    let rows = profile::take()?;
    outcome?;
    match clock.failed {
        Some(error) => Err(error),
        None => Ok(Profile::new(&rows, clock.times)),
    }
}

impl Profile {
    /// `times`: steps and seconds, not recorded and recorded.
    fn new(rows: &[Row], times: [(u64, f64); 2]) -> Self {
        let [unrecorded, (steps, seconds)] = times;
        let ms_per_step = seconds * 1e3 / steps as f64;
        let ms = |seconds: f64| seconds * 1e3 / steps as f64;
        let known: f64 = rows.iter().map(|row| row.seconds).sum();
        let time = |part: Part| {
            let of_part: f64 = rows.iter().filter(|row| Part::of(row) == part).map(|row| row.seconds).sum();
            // What is between spans has no row of its own: it is what is left.
            ms(of_part + if part == Part::Rest { seconds - known } else { 0.0 })
        };
        let parts: Vec<PartTime> =
            Part::ALL.iter().map(|&part| PartTime { part, ms: time(part), share: time(part) / ms_per_step }).collect();
        let of_loop = |part: &&PartTime| matches!(part.part, Part::Data | Part::Rest);
        let mut operations: Vec<OperationTime> = rows
            .iter()
            .filter(|row| !row.name.is_empty())
            .map(|row| OperationTime {
                name: row.name.clone(),
                part: Part::of(row),
                calls: row.calls as f64 / steps as f64,
                ms: ms(row.seconds),
                share: ms(row.seconds) / ms_per_step,
            })
            .collect();
        operations.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        Profile {
            steps,
            ms_per_step,
            ms_per_step_unrecorded: unrecorded.1 * 1e3 / unrecorded.0 as f64,
            loop_share: parts.iter().filter(of_loop).map(|part| part.share).sum(),
            parts,
            operations,
        }
    }
}

/// Asked after every step whether to stop, it turns the recording on and off, and takes the time.
struct Clock {
    /// When the stretch began; none while warming up.
    began: Option<Instant>,
    stretch: u64,
    /// Steps to the end of the stretch.
    left: u64,
    on: bool,
    seconds: f64,
    times: [(u64, f64); 2],
    failed: Option<Error>,
}

impl Observer for Clock {
    fn event(&mut self, _: Event<'_>) {}

    fn stop(&mut self) -> bool {
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        let now = Instant::now();
        if let Some(began) = self.began {
            let time = &mut self.times[usize::from(self.on)];
            time.0 += self.stretch;
            time.1 += (now - began).as_secs_f64();
            self.on = !self.on;
        }
        if let Err(error) = profile::record(self.on) {
            self.failed = Some(error);
            return true;
        }
        self.left = self.stretch;
        self.began = Some(Instant::now());
        !self.on && self.times[0].1 + self.times[1].1 >= self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::profile::Span;

    #[test]
    fn parts_add_up_to_the_step() {
        let row = |span, name: &str, seconds| Row { span, name: name.to_owned(), calls: 20, seconds };
        let rows = [
            row(Some(Span::Model), "aten::mm", 0.5),
            row(Some(Span::Model), "aten::copy_", 0.1),
            row(Some(Span::Model), "", 0.05),
            row(Some(Span::Optimizer), "aten::_fused_adamw_", 0.2),
            row(Some(Span::Data), "", 0.01),
            row(None, "aten::item", 0.02),
        ];
        let found = Profile::new(&rows, [(10, 0.9), (10, 1.0)]);
        let part = |part| found.parts.iter().find(|time| time.part == part).unwrap();
        assert!((found.parts.iter().map(|part| part.ms).sum::<f64>() - 100.0).abs() < 1e-9, "{found:?}");
        assert!((found.parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9, "{found:?}");
        // 0.02 s in an operation outside of all spans, and 0.12 s of the second in none.
        assert!((part(Part::Rest).ms - 14.0).abs() < 1e-9, "{found:?}");
        assert!((found.loop_share - 0.15).abs() < 1e-9, "{found:?}");
        assert!((found.ms_per_step_unrecorded - 90.0).abs() < 1e-9, "{found:?}");
        let names: Vec<&str> = found.operations.iter().map(|operation| operation.name.as_str()).collect();
        assert_eq!(names, ["aten::mm", "aten::_fused_adamw_", "aten::copy_", "aten::item"]);
        assert_eq!((found.operations[0].calls, found.operations[0].ms), (2.0, 50.0));
    }
}
