//! The spikes of a run's loss.

use super::format::{short, whole};
use super::points::Spike;
use super::run::Run;

/// Spikes that are listed; of more, the first.
const MOST: usize = 50;

/// A row a spike, or nothing.
pub(super) fn table(run: &Run) -> String {
    if run.spikes.is_empty() {
        return String::new();
    }
    let row = |spike: &Spike| {
        let number = |value: Option<f64>| value.map_or("–".to_owned(), short);
        let [first, last] = spike.batches.map(whole);
        let batches = if first == last { first } else { format!("{first} to {last}") };
        let cells = [whole(spike.step), number(spike.bits_per_byte), number(spike.mean), batches];
        format!("<tr>{}</tr>", cells.map(|cell| format!("<td class=\"num\">{cell}</td>")).concat())
    };
    let rows: String = run.spikes.iter().take(MOST).map(row).collect();
    let more = match run.spikes.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("<p class=\"small muted\">{more} more in metrics.jsonl</p>"),
    };
    format!(
        "<details class=\"spikes\"><summary>Spikes of the loss: {}, marked below the first chart</summary><div class=\"wide\"><table>\
         <thead><tr><th class=\"num\">step</th><th class=\"num\">bits per byte</th><th class=\"num\">mean before</th>\
         <th class=\"num\">batches</th></tr></thead><tbody>{rows}</tbody></table></div>{more}</details>",
        run.spikes.len()
    )
}
