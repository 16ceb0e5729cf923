//! The learning rate as a pure function of the step.

use super::config::{Schedule, TrainConfig};

/// The learning rate of step number `step`, from 0, when `minutes` of training have passed.
pub fn learning_rate(config: &TrainConfig, step: u64, minutes: f64) -> f64 {
    let warmup = config.warmup_steps.min(config.max_steps);
    if step < warmup {
        return config.lr * (step + 1) as f64 / warmup as f64;
    }
    let fraction = 1.0 - (1.0 - config.final_lr) * decay(config, progress(config, step, minutes));
    config.lr * fraction
}

/// How much of the way down the schedule has gone after `progress` of its time, 0 to 1.
fn decay(config: &TrainConfig, progress: f64) -> f64 {
    match config.schedule {
        Schedule::Linear => progress,
        Schedule::Cosine => 0.5 - 0.5 * (std::f64::consts::PI * progress).cos(),
        Schedule::Constant => 0.0,
        Schedule::Wsd => {
            let after_warmup = config.max_steps.saturating_sub(config.warmup_steps).max(1) as f64;
            let steps = if config.decay_steps == 0 { config.max_steps as f64 / 5.0 } else { config.decay_steps as f64 };
            let share = (steps / after_warmup).min(1.0);
            ((progress - (1.0 - share)) / share).clamp(0.0, 1.0)
        }
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
    fn warm_up_stable_decay_stays_and_then_goes_down() {
        let wsd = TrainConfig { decay_steps: 20, ..config(Schedule::Wsd) };
        for (step, expected) in [(10, 2.0), (50, 2.0), (90, 2.0), (95, 1.55), (100, 1.1), (110, 0.2)] {
            let lr = learning_rate(&wsd, step, 0.0);
            assert!((lr - expected).abs() < 1e-12, "at {step}: {lr}");
        }
        // A longer run does the same up to its own decay, so that this one can be continued as if it had none.
        let longer = TrainConfig { max_steps: 1000, ..wsd.clone() };
        assert!((0..=90).all(|step| learning_rate(&longer, step, 0.0) == learning_rate(&wsd, step, 0.0)));
        // And decays from any step on: here over 20 steps from the 40th.
        let shorter = TrainConfig { max_steps: 60, ..wsd.clone() };
        assert!((learning_rate(&shorter, 50, 0.0) - 1.1).abs() < 1e-12);
        // Without a number, a fifth of 110 steps.
        let fifth = TrainConfig { decay_steps: 0, ..wsd };
        assert!((learning_rate(&fifth, 99, 0.0) - 1.1).abs() < 1e-12);
    }

    #[test]
    fn a_time_limit_ends_the_schedule_too() {
        let timed = TrainConfig { max_minutes: 2.0, ..config(Schedule::Linear) };
        assert!((learning_rate(&timed, 20, 1.0) - 1.1).abs() < 1e-12);
        assert!((learning_rate(&timed, 20, 2.0) - 0.2).abs() < 1e-12);
    }
}
