//! The loss: nats of every symbol that is not padding.

use tch::{Device, Kind, Reduction, Tensor};

use super::Megabyte;
use crate::Result;
use crate::data::{Batch, PAD};

/// A batch on the device: symbols (B, T) as int64, padding as [`PAD`].
pub fn to_device(batch: &Batch, device: Device) -> Result<Tensor> {
    let symbols = Tensor::f_from_slice(&batch.symbols)?.view([batch.rows as i64, batch.cols as i64]);
    let symbols = if device.is_cuda() { symbols.pin_memory(device) } else { symbols };
    // Two bytes a symbol travel; they widen on the device.
    Ok(symbols.f_to_device_(device, Kind::Int16, true, false)?.to_kind(Kind::Int64))
}

/// Sum of the nats of all symbols (B, T) that are not padding: a scalar in float32 or wider.
pub fn total_nats(model: &Megabyte, symbols: &Tensor, dropout: f64) -> Result<Tensor> {
    nats(model, symbols, dropout, Reduction::Sum)
}

/// Nats of every symbol: (B, T), 0 for padding.
pub fn each_nats(model: &Megabyte, symbols: &Tensor) -> Result<Tensor> {
    Ok(nats(model, symbols, 0.0, Reduction::None)?.view_as(symbols))
}

fn nats(model: &Megabyte, symbols: &Tensor, dropout: f64, reduction: Reduction) -> Result<Tensor> {
    // Padding stands only after the end of a row, where nothing that is scored sees it; any symbol will do.
    let logits = model.forward(&symbols.clamp_min(0), dropout)?;
    let logits = logits.view([-1, model.config().vocab as i64]);
    Ok(logits.cross_entropy_loss(&symbols.view(-1), None::<&Tensor>, reduction, i64::from(PAD), 0.0))
}
