//! Configurations: what a run of one would be. Nothing is built or allocated to say so.

use std::path::Path;

use megabyte::RunConfig;
use megabyte::shown::thousands;

use super::{Report, model};

pub(super) fn inspect(path: &Path, overrides: &[String]) -> anyhow::Result<Report> {
    let RunConfig { data, model, train, .. } = RunConfig::load(path, overrides)?;
    let mut report = Report::new("configuration", path);
    report.layout(&data.layout()?);
    if !data.mix.is_empty() {
        let others: Vec<_> = data.mix.iter().map(|data| data.modality.to_string()).collect();
        report.line("mixed with", others.join(", "));
    }
    model::describe(&mut report, &model, None);

    let output = model.output_parameters();
    let of_output = if output > 0 { format!(", {} in the output matrix", thousands(output)) } else { String::new() };
    let parameters = model.total_parameters();
    report.line("parameters", format!("{}{of_output}", thousands(parameters)));
    report.set("parameters", parameters);
    report.set("output_parameters", output);

    let step = train.bytes_per_step as u64;
    let sequences = step / model.context as u64;
    let (passes, rows) = (train.micro_batches(&model), train.rows(&model));
    report.line(
        "step",
        format!("{} bytes: {} sequences, {passes} passes of {rows}", thousands(step), thousands(sequences)),
    );
    // Saturating: any number of steps is valid.
    let bytes = step.saturating_mul(train.max_steps);
    // With latents, a pass predicts a part of the context.
    let share = model.trained_bytes() / model.context as f64;
    let flops = bytes as f64 * share * model.training_flops_per_byte();
    let steps = thousands(train.max_steps);
    report.line("training", format!("{steps} steps, {} bytes read, {flops:.3e} FLOPs", thousands(bytes)));
    if train.max_minutes > 0.0 {
        report.line("time", format!("{} minutes at most, which may end it before", train.max_minutes));
    }
    report.set("bytes_per_step", step);
    report.set("trained_bytes", model.trained_bytes());
    report.set("micro_batches", passes);
    report.set("max_steps", train.max_steps);
    report.set("max_minutes", train.max_minutes);
    report.set("training_bytes", bytes);
    report.set("training_flops", flops);
    Ok(report)
}
