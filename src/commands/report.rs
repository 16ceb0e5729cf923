//! `megabyte report`: one page about runs.

use megabyte::report;

use super::output;
use super::terminal::say;
use crate::cli::ReportArgs;

/// Writes the page, names on standard error what could not be read, and prints the page's path.
pub fn run(args: ReportArgs) -> anyhow::Result<()> {
    for problem in report::write(&args.runs, &args.title, &args.out, args.force)? {
        say(&format!("left out: {problem}"));
    }
    output::print(&args.out.display().to_string())
}
