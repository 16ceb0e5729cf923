//! The loss: nats of every symbol that is not padding.

use tch::{Device, Kind, Reduction, Tensor};

use super::Megabyte;
use super::stretch::stretches;
use crate::data::{Batch, PAD};
use crate::native::profile::{Span, span};
use crate::{Result, native};

/// Symbols whose finer levels are computed together where nothing is trained: enough to keep a machine busy.
pub(super) const STRETCH: usize = 1 << 16;

/// A batch on the device: symbols (B, T) as int64, padding as [`PAD`].
pub fn to_device(batch: &Batch, device: Device) -> Result<Tensor> {
    let _data = span(Span::Data);
    symbols_on(device, &batch.symbols, batch.rows, batch.cols)
}

/// Symbols (rows, cols), row after row, on a device as int64. The host does not wait for a CUDA device: two bytes a symbol
/// travel from pinned memory, and they widen there.
pub(crate) fn symbols_on(device: Device, symbols: &[i16], rows: usize, cols: usize) -> Result<Tensor> {
    if device.is_cuda() {
        let pinned = native::cuda::pinned(symbols, rows, cols)?;
        return Ok(pinned.f_to_device_(device, Kind::Int16, true, false)?.f_to_kind(Kind::Int64)?);
    }
    let wide: Vec<i64> = symbols.iter().map(|&symbol| i64::from(symbol)).collect();
    Ok(Tensor::f_from_slice(&wide)?.f_view([rows as i64, cols as i64])?.f_to_device(device)?)
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
            nats(&stretch.logits(model, &out), &targets)
        })
        .collect();
    Ok(Tensor::cat(&found, 1))
}

/// Cross entropy (B, n) of logits (B, n, V) and symbols (B, n), of which padding costs nothing. Whoever wants the sum takes
/// it of these: with a reduction of its own, libtorch computes the loss, there and back, in one block of a CUDA device.
pub(super) fn nats(logits: &Tensor, symbols: &Tensor) -> Tensor {
    let (rows, targets) = (logits.view([-1, logits.size()[2]]), symbols.reshape(-1));
    rows.cross_entropy_loss(&targets, None::<&Tensor>, Reduction::None, i64::from(PAD), 0.0).view_as(symbols)
}
