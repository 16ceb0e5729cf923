//! Progress on standard error: a live line on a terminal, a line now and then elsewhere; and Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use megabyte::progress::Progress;
use megabyte::shown::shown_lines;

/// Prints a line on standard error, on which names can't command the terminal. Where nobody reads it, the work goes on all
/// the same.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", shown_lines(line));
}

/// When Ctrl-C, or a request to terminate, first came.
static STOP: OnceLock<Instant> = OnceLock::new();

/// Two requests closer to each other than this are one: `timeout` and supervisors of processes send several.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// Whether Ctrl-C, or a request to terminate, came.
pub fn stopped() -> bool {
    STOP.get().is_some()
}

/// Stops when [`stopped`] says so, and shows nothing.
#[derive(Debug)]
pub struct Stoppable;

impl Progress for Stoppable {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn note(&self, _message: &str) {}
    fn cancelled(&self) -> bool {
        stopped()
    }
}

/// From now on the first Ctrl-C, or request to terminate, asks the work to stop where nothing is lost; one that comes more
/// than a second later exits at once.
pub fn catch_ctrl_c() {
    let handler = || match STOP.get() {
        None => {
            STOP.get_or_init(Instant::now);
            say("\nstopping; once more, after a second, exits at once");
        }
        Some(first) if first.elapsed() < ONE_REQUEST => {}
        Some(_) => megabyte::native::exit_now(130),
    };
    // Fails only where a handler is set already.
    let _ = ctrlc::set_handler(handler);
}

/// How often a line is printed where there is no terminal.
pub const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the stages of long work.
#[derive(Debug)]
pub struct Terminal {
    live: bool,
    stage: Mutex<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    total: u64,
    done: u64,
    began: Instant,
    printed: Instant,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Looks whether standard error is a terminal.
    pub fn new() -> Self {
        let now = Instant::now();
        let stage = Stage { name: String::new(), total: 0, done: 0, began: now, printed: now, bar: None };
        Terminal { live: std::io::stderr().is_terminal(), stage: Mutex::new(stage) }
    }

    /// Whether a live line can be shown.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Removes the live line.
    pub fn clear(&self) {
        if let Some(bar) = self.stage().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Terminal {
    fn start(&self, name: &str, total: u64) {
        self.clear();
        let now = Instant::now();
        let bar = self.live.then(|| {
            let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::no_length() };
            let template = if total > 0 {
                "{prefix} {wide_bar} {human_pos}/{human_len} {per_sec} {eta} left"
            } else {
                "{prefix} {spinner} {human_pos} {per_sec}"
            };
            let style = ProgressStyle::with_template(template).expect("the template is well-formed");
            bar.with_style(style).with_prefix(name.to_owned())
        });
        *self.stage() = Stage { name: name.to_owned(), total, done: 0, began: now, printed: now, bar };
    }

    fn advance(&self, done: u64) {
        let mut stage = self.stage();
        stage.done += done;
        if let Some(bar) = &stage.bar {
            bar.inc(done);
            if stage.total > 0 && stage.done >= stage.total {
                bar.finish_and_clear();
            }
        } else if stage.printed.elapsed() >= LINE_EVERY {
            stage.printed = Instant::now();
            let rate = stage.done as f64 / stage.began.elapsed().as_secs_f64();
            match stage.total {
                0 => say(&format!("{}: {} done, {rate:.0}/s", stage.name, stage.done)),
                total => {
                    let left = total.saturating_sub(stage.done) as f64 / rate;
                    say(&format!("{}: {} of {total}, {rate:.0}/s, {left:.0} s left", stage.name, stage.done));
                }
            }
        }
    }

    fn note(&self, message: &str) {
        match &self.stage().bar {
            Some(bar) => bar.suspend(|| say(message)),
            None => say(message),
        }
    }

    fn cancelled(&self) -> bool {
        stopped()
    }
}
