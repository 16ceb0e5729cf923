//! The loss: nats of every symbol that is not padding.

use tch::{Device, Kind, Reduction, Tensor};

use super::Megabyte;
use super::stretch::stretches;
use crate::Result;
use crate::data::{Batch, PAD};
use crate::native::profile::{Span, span};

/// Symbols whose finer levels are computed together where nothing is trained: enough to keep a machine busy.
pub(super) const STRETCH: usize = 1 << 16;

/// A batch on the device: symbols (B, T) as int64, padding as [`PAD`].
pub fn to_device(batch: &Batch, device: Device) -> Result<Tensor> {
    let _data = span(Span::Data);
    let symbols = Tensor::f_from_slice(&batch.symbols)?.view([batch.rows as i64, batch.cols as i64]);
    let symbols = if device.is_cuda() { symbols.pin_memory(device) } else { symbols };
    // Two bytes a symbol travel; they widen on the device.
    Ok(symbols.f_to_device_(device, Kind::Int16, true, false)?.to_kind(Kind::Int64))
}

/// Nats of every symbol: (B, T), 0 for padding. Memory grows with T at the first level only.
pub fn each_nats(model: &Megabyte, symbols: &Tensor) -> Result<Tensor> {
    model.check(symbols)?;
    let mut found = Vec::new();
    let mut done = 0;
    for end in model.config().passes(symbols.size()[1] as usize) {
        let all = of_one_pass(model, &symbols.narrow(1, 0, end as i64))?;
        let new = (end - done) as i64;
        found.push(all.narrow(1, all.size()[1] - new, new));
        done = end;
    }
    Ok(Tensor::cat(&found, 1))
}

/// Nats (B, n) of the symbols that one pass predicts, a stretch of coarsest units after the other below the first level.
fn of_one_pass(model: &Megabyte, symbols: &Tensor) -> Result<Tensor> {
    let input = symbols.clamp_min(0);
    let coarse = model.coarse(&input, 0.0);
    let found: Vec<Tensor> = stretches(model.config(), symbols.size2()?, STRETCH)
        .iter()
        .map(|stretch| {
            let units = coarse.as_ref().map(|coarse| stretch.units(coarse));
            let out = model.fine(&stretch.symbols(&input), units, 0.0);
            let targets = stretch.targets(symbols);
            nats(&stretch.logits(model, &out), &targets, Reduction::None).view_as(&targets)
        })
        .collect();
    Ok(Tensor::cat(&found, 1))
}

/// Cross entropy of logits (B, n, V) and symbols (B, n), of which padding costs nothing.
pub(super) fn nats(logits: &Tensor, symbols: &Tensor, reduction: Reduction) -> Tensor {
    let vocab = logits.size()[2];
    logits.view([-1, vocab]).cross_entropy_loss(&symbols.reshape(-1), None::<&Tensor>, reduction, i64::from(PAD), 0.0)
}
