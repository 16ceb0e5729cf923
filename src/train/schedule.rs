//! The learning rate as a pure function of the step.

use super::config::{Schedule, TrainConfig};

/// The learning rate of step number `step`, from 0, when `minutes` of training have passed.
pub fn learning_rate(config: &TrainConfig, step: u64, minutes: f64) -> f64 {
    let warmup = config.warmup_steps.min(config.max_steps);
    if step < warmup {
        return config.lr * (step + 1) as f64 / warmup as f64;
    }
    let fraction = 1.0 - (1.0 - config.final_lr) * decay(config.schedule, progress(config, step, minutes));
    config.lr * fraction
}

/// How much of the way down the schedule has gone after `progress` of its time, 0 to 1.
fn decay(schedule: Schedule, progress: f64) -> f64 {
    match schedule {
        Schedule::Linear => progress,
        Schedule::Cosine => 0.5 - 0.5 * (std::f64::consts::PI * progress).cos(),
        Schedule::Constant => 0.0,
    }
}

/// How far the run is after its warm-up, 0 to 1, by steps or by time, whichever is further.
fn progress(config: &TrainConfig, step: u64, minutes: f64) -> f64 {
    let warmup = config.warmup_steps.min(config.max_steps);
    let by_steps = (step - warmup) as f64 / (config.max_steps - warmup).max(1) as f64;
    let by_time = if config.max_minutes > 0.0 { minutes / config.max_minutes } else { 0.0 };
    by_steps.max(by_time).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: Schedule) -> TrainConfig {
        TrainConfig { schedule, lr: 2.0, final_lr: 0.1, warmup_steps: 10, max_steps: 110, ..TrainConfig::default() }
    }

    #[test]
    fn warms_up_in_a_straight_line() {
        for step in 0..10 {
            let lr = learning_rate(&config(Schedule::Cosine), step, 0.0);
            assert!((lr - 2.0 * (step + 1) as f64 / 10.0).abs() < 1e-12);
        }
    }

    #[test]
    fn linear_and_cosine_meet_in_the_middle_and_at_the_ends() {
        for schedule in [Schedule::Linear, Schedule::Cosine] {
            for (step, expected) in [(10, 2.0), (60, 1.1), (110, 0.2)] {
                let lr = learning_rate(&config(schedule), step, 0.0);
                assert!((lr - expected).abs() < 1e-12, "{schedule:?} at {step}: {lr}");
            }
        }
        let quarter = learning_rate(&config(Schedule::Cosine), 35, 0.0);
        let expected = 0.2 + 1.8 * 0.5 * (1.0 + (std::f64::consts::PI / 4.0).cos());
        assert!((quarter - expected).abs() < 1e-12);
    }

    #[test]
    fn constant_stays() {
        assert_eq!(learning_rate(&config(Schedule::Constant), 109, 0.0), 2.0);
    }

    #[test]
    fn a_time_limit_ends_the_schedule_too() {
        let timed = TrainConfig { max_minutes: 2.0, ..config(Schedule::Linear) };
        assert!((learning_rate(&timed, 20, 1.0) - 1.1).abs() < 1e-12);
        assert!((learning_rate(&timed, 20, 2.0) - 0.2).abs() < 1e-12);
    }
}
