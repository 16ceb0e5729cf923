//! The learning curves of runs as charts: bits per byte over bytes seen, and over minutes.

use super::chart::{Chart, Reference, Series, Style};
use super::coders::best_baseline;
use super::run::Run;

/// What the x axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Bytes,
    Minutes,
}

impl Over {
    fn label(self) -> &'static str {
        match self {
            Over::Bytes => "bytes seen",
            Over::Minutes => "minutes of training",
        }
    }

    fn place(self, run: &Run, step: u64, bytes: u64) -> Option<f64> {
        match self {
            Over::Bytes => Some(bytes as f64),
            Over::Minutes => run.minutes_at(step),
        }
    }
}

/// Train and valid curves of one run, or nothing.
pub(super) fn of_run(run: &Run) -> String {
    let charts = [Over::Bytes, Over::Minutes].map(|over| {
        let series = vec![
            Series { name: "train".into(), style: Style::Pale, color: 0, points: train(run, over) },
            Series { name: "valid (held out)".into(), style: Style::Dots, color: 1, points: valid(run, over) },
        ];
        let reference = run.eval.as_ref().and_then(|eval| {
            let best = best_baseline(&eval.baselines)?;
            Some(Reference {
                name: format!("{}, {} split: {:.2}", best.name, eval.split, best.bits_per_byte),
                y: best.bits_per_byte,
            })
        });
        chart("Loss", over, series, reference.into_iter().collect())
    });
    wrap(charts)
}

/// Valid curves of several runs (train curves where one has no evaluation), or nothing.
pub(super) fn of_runs(runs: &[&Run]) -> String {
    let valid_everywhere = runs.iter().all(|run| !run.valid.is_empty());
    let charts = [Over::Bytes, Over::Minutes].map(|over| {
        let series = runs.iter().enumerate().map(|(color, run)| {
            let (style, points) =
                if valid_everywhere { (Style::Dots, valid(run, over)) } else { (Style::Pale, train(run, over)) };
            Series { name: run.name.clone(), style, color: color % 6, points }
        });
        let title = if valid_everywhere { "Loss on the valid split" } else { "Loss on the train split" };
        chart(title, over, series.collect(), Vec::new())
    });
    wrap(charts)
}

fn chart(title: &str, over: Over, series: Vec<Series>, references: Vec<Reference>) -> String {
    let title = format!("{title} over {}", over.label());
    Chart { title, x_label: over.label().into(), y_label: "bits per byte, lower is better".into(), series, references }
        .html()
}

fn wrap(charts: [String; 2]) -> String {
    if charts.iter().all(String::is_empty) {
        String::new()
    } else {
        format!("<div class=\"charts\">{}</div>", charts.concat())
    }
}

fn train(run: &Run, over: Over) -> Vec<(f64, f64)> {
    let points =
        run.train.iter().filter_map(|point| Some((over.place(run, point.step, point.bytes)?, point.bits_per_byte?)));
    points.filter(|point| point.1.is_finite()).collect()
}

fn valid(run: &Run, over: Over) -> Vec<(f64, f64)> {
    let points =
        run.valid.iter().filter_map(|point| Some((over.place(run, point.step, point.bytes)?, point.bits_per_byte?)));
    points.filter(|point| point.1.is_finite()).collect()
}
