//! The part of the page about one run.

use super::format::{bytes, duration, escape, si, whole};
use super::points::SpeedPoint;
use super::run::Run;
use super::{coders, curves, environment, show, spikes};
use crate::config::RunConfig;
use crate::modality::Layout;

/// The section, with `id` as its anchor, and what could not be read or shown.
pub(super) fn section(run: &Run, id: &str) -> (String, Vec<String>) {
    // What can't be shown turns up while the parts are made, and stands above them.
    let mut problems = run.problems.clone();
    let completions = show::completions(run, &mut problems);
    let samples = show::samples(run, &mut problems);
    let curves = match curves::of_run(run, id) {
        charts if charts.is_empty() => charts,
        charts => format!("<h3>How it learned</h3>{charts}{}", spikes::table(run)),
    };
    let table = run.eval.as_ref().map(coders::table).unwrap_or_default();
    let html = format!(
        "<section id=\"{id}\"><h2>{}</h2>{}{}{}{table}{completions}{samples}{curves}{}{}{}{}</section>",
        escape(&run.name),
        chips(run),
        problem_box(&problems),
        coders::headline(run),
        speed(run),
        run.config.as_ref().map(|config| levels(run, config)).unwrap_or_default(),
        environment::table(run),
        configuration(run),
    );
    (html, problems)
}

/// What the run is, in a few words.
fn chips(run: &Run) -> String {
    let mut chips = Vec::new();
    if let Some(modality) = run.modality() {
        chips.push(modality.to_string());
    }
    if let Some(config) = &run.config {
        match config.data.layout() {
            Ok(Layout::Image(layout)) => chips.push(format!(
                "{} × {} pixels, {} byte{} each",
                layout.width,
                layout.height,
                layout.channels.count(),
                if layout.channels.count() == 1 { "" } else { "s" }
            )),
            Ok(Layout::Audio(layout)) => {
                chips.push(format!("{}Hz, {} bit", si(layout.rate.into()), 8 * layout.bytes_per_sample()));
            }
            Ok(Layout::Text(_) | Layout::Bytes(_)) | Err(_) => {}
        }
        chips.push(format!("context {} bytes", whole(config.model.context as u64)));
        let units: Vec<String> = config.model.levels.iter().map(|level| level.unit.to_string()).collect();
        chips.push(format!("units of {} byte{}", units.join(" and "), if units == ["1"] { "" } else { "s" }));
    }
    if let Some(parameters) = &run.parameters {
        chips.push(format!("{} parameters", si(parameters.iter().sum::<u64>() as f64)));
    }
    let chips: String = chips.iter().map(|chip| format!("<li>{}</li>", escape(chip))).collect();
    format!("<ul class=\"chips\">{chips}</ul>")
}

fn problem_box(problems: &[String]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let lines: String = problems.iter().map(|problem| format!("<li>{}</li>", escape(problem))).collect();
    format!("<div class=\"problems\"><b>Left out, because it could not be read:</b><ul>{lines}</ul></div>")
}

/// The middle value of what the lines of `speed.jsonl` have.
pub(super) fn median(run: &Run, value: impl Fn(&SpeedPoint) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = run.speed.iter().filter_map(value).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Throughput and the size of the run, as tiles.
fn speed(run: &Run) -> String {
    let mut tiles = Vec::new();
    if let Some(rate) = median(run, |point| point.bytes_per_second) {
        tiles.push((format!("{}/s", bytes(rate)), "training throughput, median"));
    }
    // More than the whole was measured wrong, as versions before this one could.
    if let Some(mfu) = median(run, |point| point.mfu.filter(|share| *share <= 1.0)) {
        tiles.push((format!("{:.0}\u{202f}%", 100.0 * mfu), "of this machine's measured matrix rate (MFU)"));
    }
    if let Some(wait) = median(run, |point| point.data_wait) {
        tiles.push((format!("{:.1}\u{202f}%", 100.0 * wait), "of the time waiting for data"));
    }
    if let Some(last) = run.speed.last() {
        tiles.push((duration(last.seconds), "of training"));
    }
    if let Some(last) = run.train.last() {
        tiles.push((bytes(last.bytes as f64), "seen in training"));
        tiles.push((whole(last.step), "optimizer steps"));
        if let Some(skipped) = last.skipped {
            tiles.push((whole(skipped), "steps skipped, whose gradients were not finite"));
        }
    }
    if tiles.is_empty() {
        return String::new();
    }
    let tiles: String = tiles
        .iter()
        .map(|(value, label)| {
            format!(
                "<div class=\"tile\"><span class=\"big\">{value}</span><span class=\"small muted\">{label}</span></div>"
            )
        })
        .collect();
    format!("<h3>Speed</h3><div class=\"tiles facts\">{tiles}</div>")
}

/// Size and cost of each level.
fn levels(run: &Run, config: &RunConfig) -> String {
    let model = &config.model;
    let counted = run.parameters.as_ref().filter(|counts| counts.len() == model.levels.len());
    let cells = |name: &str, shape: &str, matrices: u64, all: Option<u64>, flops: f64| {
        let all = all.map(|all| format!("<td class=\"num\">{}</td>", si(all as f64))).unwrap_or_default();
        format!(
            "<tr><td class=\"name\">{name}</td><td class=\"extra\">{shape}</td><td class=\"num\">{}</td>{all}<td class=\"num\">{}</td></tr>",
            si(matrices as f64),
            si(flops)
        )
    };
    let mut rows = String::new();
    let (mut matrices, mut flops) = (0, 0.0);
    for (l, level) in model.levels.iter().enumerate() {
        let shape = format!("{} blocks of width {}, {} heads", level.n_layer, level.n_embd, level.n_head);
        let name = format!("{l}: units of {} byte{}", whole(level.unit as u64), if level.unit == 1 { "" } else { "s" });
        let (m, f) = (model.block_parameters(l), model.forward_flops_per_byte(l));
        rows += &cells(&name, &shape, m, counted.map(|counts| counts[l]), f);
        matrices += m;
        flops += f;
    }
    rows += &cells("all", "", matrices, counted.map(|counts| counts.iter().sum()), flops);
    let all = if counted.is_some() { "<th class=\"num\">all parameters</th>" } else { "" };
    format!(
        "<h3>Size and cost by level</h3><div class=\"wide\"><table><thead><tr><th>level</th><th class=\"extra\">shape</th>\
         <th class=\"num\">block matrices</th>{all}<th class=\"num\">forward FLOPs a byte</th></tr></thead>\
         <tbody>{rows}</tbody></table></div><p class=\"small muted\">Block matrices: the parameters that every unit is multiplied with. A training step costs three times the forward pass: \
         {} FLOPs a byte.</p>",
        si(model.training_flops_per_byte())
    )
}

fn configuration(run: &Run) -> String {
    if run.config_text.is_empty() {
        return String::new();
    }
    format!(
        "<h3>Configuration</h3><details><summary>config.toml, all keys</summary><pre>{}</pre></details>",
        escape(&run.config_text)
    )
}
