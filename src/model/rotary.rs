//! Rotary positions.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;

/// Rotary positions (Su et al. 2021): the halves of each head turned by angles that grow with the position. Only the
/// distance of two positions counts.
#[derive(Debug)]
pub struct Rotary {
    /// (E / 2), float64: the angle from one position to the next.
    frequency: Tensor,
    /// Cosines and sines (N, 1, E / 2) of the first positions, as many as were asked for.
    tables: RefCell<[Tensor; 2]>,
    kind: Kind,
    device: Device,
}

impl Rotary {
    /// For the units of level `l`, where the configuration asks for them.
    pub fn new(config: &ModelConfig, l: usize, kind: Kind, device: Device) -> Option<Self> {
        if !config.is_rotary(l) {
            return None;
        }
        let level = &config.levels[l];
        let width = (level.n_embd / level.n_head) as i64;
        let exponent = Tensor::arange_start_step(0, width, 2, (Kind::Double, Device::Cpu)) / width as f64;
        let frequency = (exponent * -config.rotary_base.ln()).exp();
        let tables = RefCell::new(tables(&frequency, config.units(l) as i64, kind, device));
        Some(Rotary { frequency, tables, kind, device })
    }

    /// (S, n, H, E) to the same, the first unit at position `start`. Where `parents` consecutive rows are of one sequence,
    /// positions go on from each to the next.
    pub fn apply(&self, x: &Tensor, start: i64, parents: i64) -> Tensor {
        let (rows, n, heads, width) = x.size4().expect("what is turned is (S, n, H, E)");
        let (count, end) = (parents * n, start + parents * n);
        let mut held = self.tables.borrow_mut();
        let size = held[0].size()[0];
        if end > size {
            *held = tables(&self.frequency, end.max(2 * size), self.kind, self.device);
        }
        let [cos, sin] = [&held[0], &held[1]].map(|table| table.narrow(0, start, count));
        turn(&x.reshape([rows / parents, count, heads, width]), &cos, &sin).view([rows, n, heads, width])
    }
}

fn tables(frequency: &Tensor, positions: i64, kind: Kind, device: Device) -> [Tensor; 2] {
    let angle = Tensor::arange(positions, (Kind::Double, Device::Cpu)).outer(frequency).unsqueeze(1);
    [angle.cos(), angle.sin()].map(|table| table.to_kind(kind).to_device(device))
}

fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
    let halves = x.chunk(2, -1);
    let first = &halves[0] * cos - &halves[1] * sin;
    let second = &halves[1] * cos + &halves[0] * sin;
    Tensor::cat(&[first, second], -1).to_kind(x.kind())
}
