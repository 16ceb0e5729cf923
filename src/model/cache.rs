//! Keys and values of units already seen.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;

/// One block's keys and values, room for every unit of a parent.
#[derive(Debug)]
pub struct KvCache {
    /// (S, H, N, E) each.
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// Writes keys and values (S, H, n, E) at `start` and gives all up to there: (S, H, start + n, E) each.
    pub fn extend(&mut self, start: i64, keys: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        let n = keys.size()[2];
        self.keys.narrow(2, start, n).copy_(keys);
        self.values.narrow(2, start, n).copy_(values);
        (self.keys.narrow(2, 0, start + n), self.values.narrow(2, 0, start + n))
    }
}

/// The caches of one level's blocks, for the units of the current parent.
#[derive(Debug)]
pub struct LevelCache {
    /// One a block.
    pub blocks: Vec<KvCache>,
    /// Units seen.
    pub len: i64,
}

impl LevelCache {
    /// Empty caches of level `l` for `rows` sequences.
    pub fn new(config: &ModelConfig, l: usize, rows: usize, kind: Kind, device: Device) -> Self {
        let level = &config.levels[l];
        let shape =
            [rows, level.n_head, config.units(l), level.n_embd / level.n_head].map(|dimension| dimension as i64);
        let empty = || Tensor::zeros(shape, (kind, device));
        let blocks = (0..level.n_layer).map(|_| KvCache { keys: empty(), values: empty() }).collect();
        LevelCache { blocks, len: 0 }
    }
}
