//! The course of runs as charts: loss, learning rate and norms over steps, bytes seen or minutes.

use super::chart::{Chart, Mark, Reference, Series, Style};
use super::coders::best_baseline;
use super::format::short;
use super::points::{LevelPoint, TrainPoint, ValidPoint};
use super::run::Run;
use super::switch::switch;

/// What the x axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Steps,
    Bytes,
    Minutes,
}

impl Over {
    fn label(self) -> &'static str {
        match self {
            Over::Steps => "steps",
            Over::Bytes => "bytes seen",
            Over::Minutes => "minutes of training",
        }
    }

    fn place(self, run: &Run, step: u64, bytes: u64) -> Option<f64> {
        match self {
            Over::Steps => Some(step as f64),
            Over::Bytes => Some(bytes as f64),
            Over::Minutes => run.minutes_at(step),
        }
    }
}

/// The charts of one run, or nothing. `id` is the run's, and no other's on the page.
pub(super) fn of_run(run: &Run, id: &str) -> String {
    over_each(id, |over| {
        let (lr, grad_norm) = (train(run, over, |point| point.lr), train(run, over, |point| point.grad_norm));
        let levels = |of: fn(&LevelPoint) -> Option<f64>| {
            let count = run.train.iter().map(|point| point.levels.len()).max().unwrap_or(0);
            let level = |l: usize| Series {
                name: format!("level {l}"),
                style: Style::Line,
                color: l % 6,
                points: train(run, over, |point| point.levels.get(l).and_then(of)),
            };
            (0..count).map(level).collect::<Vec<_>>()
        };
        let one = |name: &str, points| vec![Series { name: name.into(), style: Style::Line, color: 0, points }];
        [
            loss(run, over),
            chart("Learning rate", "", over, one("of the step", lr)).html(),
            chart("Gradient norm", "before clipping", over, one("all levels", grad_norm)).html(),
            chart("Gradient norm by level", "before clipping", over, levels(|level| level.grad_norm)).html(),
            chart("Weight norm by level", "", over, levels(|level| level.weight_norm)).html(),
        ]
        .concat()
    })
}

/// Train and valid curves of one run, with its spikes marked.
fn loss(run: &Run, over: Over) -> String {
    let averaged = run.valid.iter().any(|point| point.raw_bits_per_byte.is_some());
    let name = if averaged { "valid, averaged weights" } else { "valid (held out)" };
    let series = vec![
        Series {
            name: "train".into(),
            style: Style::Pale,
            color: 0,
            points: train(run, over, |point| point.bits_per_byte),
        },
        Series {
            name: "valid, weights as they are".into(),
            style: Style::Dots,
            color: 2,
            points: valid(run, over, |point| point.raw_bits_per_byte),
        },
        Series {
            name: name.into(),
            style: Style::Dots,
            color: 1,
            points: valid(run, over, |point| point.bits_per_byte),
        },
    ];
    let reference = run.eval.as_ref().and_then(|eval| {
        let best = best_baseline(&eval.baselines)?;
        Some(Reference {
            name: format!("{}, {} split: {:.2}", best.name, eval.split, best.bits_per_byte),
            y: best.bits_per_byte,
        })
    });
    // A spike knows its step; the bytes seen then are those of the next line.
    let mark = |spike: &super::points::Spike| {
        let bytes = run.train.iter().find(|point| point.step >= spike.step)?.bytes;
        let bits = spike.bits_per_byte.map_or("no number".to_owned(), short);
        Some(Mark { x: over.place(run, spike.step, bytes)?, name: format!("spike at step {}: {bits}", spike.step) })
    };
    let marks = run.spikes.iter().filter_map(mark).collect();
    Chart { references: reference.into_iter().collect(), marks, ..chart("Loss", BITS, over, series) }.html()
}

/// Valid curves of several runs (train curves where one has no evaluation), or nothing. `id` as in [`of_run`].
pub(super) fn of_runs(runs: &[&Run], id: &str) -> String {
    let valid_everywhere = runs.iter().all(|run| !run.valid.is_empty());
    over_each(id, |over| {
        let series = runs.iter().enumerate().map(|(color, run)| {
            let (style, points) = if valid_everywhere {
                (Style::Dots, valid(run, over, |point| point.bits_per_byte))
            } else {
                (Style::Pale, train(run, over, |point| point.bits_per_byte))
            };
            Series { name: run.name.clone(), style, color: color % 6, points }
        });
        let title = if valid_everywhere { "Loss on the valid split" } else { "Loss on the train split" };
        chart(title, BITS, over, series.collect()).html()
    })
}

const BITS: &str = "bits per byte, lower is better";

fn chart(title: &str, y_label: &str, over: Over, series: Vec<Series>) -> Chart {
    let title = format!("{title} over {}", over.label());
    Chart { title, x_label: over.label().into(), y_label: y_label.into(), series, ..Chart::default() }
}

/// The same charts over steps, bytes and minutes, of which the reader chooses.
fn over_each(id: &str, charts: impl Fn(Over) -> String) -> String {
    switch(id, "over", &[Over::Bytes, Over::Steps, Over::Minutes].map(|over| (over.label(), charts(over))))
}

fn train(run: &Run, over: Over, of: impl Fn(&TrainPoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = run.train.iter().filter_map(|point| Some((over.place(run, point.step, point.bytes)?, of(point)?)));
    points.filter(|point| point.1.is_finite()).collect()
}

fn valid(run: &Run, over: Over, of: impl Fn(&ValidPoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = run.valid.iter().filter_map(|point| Some((over.place(run, point.step, point.bytes)?, of(point)?)));
    points.filter(|point| point.1.is_finite()).collect()
}
