//! One file a verb. Only here is anything printed: results on standard output, the rest on standard error.

pub mod bench;
pub mod compress;
pub mod decompress;
pub mod device;
pub mod doctor;
pub mod download;
pub mod environment;
pub mod eval;
pub mod generate;
pub mod inspect;
pub mod model;
pub mod model_run;
pub mod output;
pub mod pairs;
pub mod prepare;
pub mod rank;
pub mod report;
pub mod score;
pub mod terminal;
pub mod train;

use std::path::Path;

use crate::cli::Verb;
use megabyte::native;
use terminal::Terminal;

/// Runs a verb.
pub fn run(verb: Verb) -> anyhow::Result<()> {
    let terminal = Terminal::new();
    // What the environment says of it is wrong now or never.
    native::attention::level()?;
    for path in verb.paths() {
        // Standard input has a name of its own.
        if path != Path::new("-") {
            output::check_regular(path)?;
        }
    }
    match verb {
        Verb::Prepare(args) => prepare::run(args, &terminal),
        Verb::Inspect(args) => inspect::run(args, &terminal),
        Verb::Train(args) => train::run(args, &terminal),
        Verb::Generate(args) => generate::run(args, &terminal),
        Verb::Eval(args) => eval::run(args, &terminal),
        Verb::Score(args) => score::run(args, &terminal),
        Verb::Rank(args) => rank::run(args, &terminal),
        Verb::Compress(args) => compress::run(args, &terminal),
        Verb::Decompress(args) => decompress::run(args, &terminal),
        Verb::Bench(args) => bench::run(args),
        Verb::Download(args) => download::run(args, &terminal),
        Verb::Report(args) => report::run(args),
        Verb::Doctor(args) => doctor::run(args),
    }
}
