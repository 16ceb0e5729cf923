//! What a person sees of a run: TensorBoard event files while it trains, and a self-contained HTML page about what came
//! out of it.

mod bars;
mod chart;
mod coders;
mod compare;
mod completion;
mod curves;
mod environment;
mod evaluation;
mod format;
mod heat;
mod marked;
mod media;
mod page;
mod parameters;
mod points;
mod protobuf;
mod run;
mod scores;
mod section;
mod show;
mod spikes;
mod switch;
mod tensorboard;
mod ticks;
mod track;

use std::path::{Path, PathBuf};

pub use completion::{Completion, Request};
pub use environment::Start;
pub use evaluation::evaluation_page;
pub use page::page;
pub use points::{LevelPoint, SpeedPoint, Spike, TrainPoint, ValidPoint};
pub use run::{Eval, Run, StepSamples};
pub use scores::{Shown, show_scores};
pub use tensorboard::EventWriter;

use crate::{Result, replace};

/// Writes one page about `runs` to `out` and returns what could not be read, a line each (the page names it too).
///
/// Fails where a folder is not a run folder, where `out` exists and `force` is not set, and where `out` can't be
/// written; `out` is then what it was.
pub fn write(runs: &[PathBuf], title: &str, out: &Path, force: bool) -> Result<Vec<String>> {
    replace::check_free(out, force)?;
    let mut read = runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>>>()?;
    distinguish(&mut read);
    let (html, problems) = page(title, &read);
    replace::write(out, html.as_bytes())?;
    Ok(problems)
}

/// Runs whose folders have the same name are called by their paths.
fn distinguish(runs: &mut [Run]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in runs {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = run.dir.display().to_string();
        }
    }
}
