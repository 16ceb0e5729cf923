//! One file a verb. Only here is anything printed: results on standard output, the rest on standard error.

pub mod bench;
pub mod device;
//pub mod doctor;
//pub mod download;
pub mod eval;
pub mod generate;
//pub mod inspect;
pub mod output;
//pub mod prepare;
//pub mod report;
pub mod terminal;
pub mod train;

use crate::cli::Verb;
use terminal::Terminal;

/// Runs a verb.
pub fn run(verb: Verb) -> anyhow::Result<()> {
    let terminal = Terminal::new();
    match verb {
        Verb::Prepare(_) => anyhow::bail!("not merged yet"),
        Verb::Inspect(_) => anyhow::bail!("not merged yet"),
        Verb::Train(args) => train::run(args, &terminal),
        Verb::Generate(args) => generate::run(args, &terminal),
        Verb::Eval(args) => eval::run(args, &terminal),
        Verb::Bench(args) => bench::run(args),
        Verb::Download(_) => anyhow::bail!("not merged yet"),
        Verb::Report(_) => anyhow::bail!("not merged yet"),
        Verb::Doctor(_) => anyhow::bail!("not merged yet"),
    }
}
