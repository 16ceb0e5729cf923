//! Rotary positions.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;

/// Rotary positions (Su et al. 2021): the halves of each head turned by angles that grow with the position.
#[derive(Debug)]
pub struct Rotary {
    /// (N, E / 2) each.
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Angles for the units of a parent of level `l`, and for those of the parent before that it attends to, where the
    /// configuration asks for them.
    pub fn new(config: &ModelConfig, l: usize, kind: Kind, device: Device) -> Option<Self> {
        if !config.is_rotary(l) {
            return None;
        }
        let level = &config.levels[l];
        let width = (level.n_embd / level.n_head) as i64;
        let positions = (config.reach_back(l) + config.units(l)) as i64;
        let exponent = Tensor::arange_start_step(0, width, 2, (Kind::Double, Device::Cpu)) / width as f64;
        let frequency = (exponent * -config.rotary_base.ln()).exp();
        let position = Tensor::arange(positions, (Kind::Double, Device::Cpu));
        let angle = position.outer(&frequency);
        let place = |table: Tensor| table.to_kind(kind).to_device(device);
        Some(Rotary { cos: place(angle.cos()), sin: place(angle.sin()) })
    }

    /// (S, H, n, E) to the same, the first unit at position `start`.
    pub fn apply(&self, x: &Tensor, start: i64) -> Tensor {
        let n = x.size()[2];
        turn(x, &self.cos.narrow(0, start, n), &self.sin.narrow(0, start, n))
    }

    /// What was turned for some positions, turned for those that are `by` smaller.
    pub fn back(&self, x: &Tensor, by: i64) -> Tensor {
        turn(x, &self.cos.narrow(0, by, 1), &-self.sin.narrow(0, by, 1))
    }
}

fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
    let halves = x.chunk(2, -1);
    let first = &halves[0] * cos - &halves[1] * sin;
    let second = &halves[1] * cos + &halves[0] * sin;
    Tensor::cat(&[first, second], -1).to_kind(x.kind())
}
