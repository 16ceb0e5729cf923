//! Keys and values of units already seen.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;

/// One block's keys and values: room for every unit of a parent, behind that for the last units of the parent before;
/// or for twice the window, where units attend to no more than that.
#[derive(Debug)]
pub struct KvCache {
    /// (S, H, r + N, E) each: places 0..r are for the parent before, the parent's own units follow.
    keys: Tensor,
    values: Tensor,
    /// r
    room_before: i64,
    /// Of the parent before: r, or 0 where there is none.
    before: i64,
    /// Of the parent itself, those that were not forgotten.
    len: i64,
    /// Units that the next ones attend to at most.
    window: i64,
}

impl KvCache {
    /// Holds the last of `units`, at least those of a `window` if that is above 0.
    fn new(shape: [i64; 4], room_before: i64, window: i64, kind: Kind, device: Device) -> Self {
        let [rows, heads, units, width] = shape;
        let window = if window > 0 { window.min(units) } else { units };
        let room = room(units, room_before, window);
        let empty = || Tensor::zeros([rows, heads, room, width], (kind, device));
        KvCache { keys: empty(), values: empty(), room_before, before: 0, len: 0, window }
    }

    /// How many units it holds: all that were seen, or at least the last of a window.
    pub fn seen(&self) -> i64 {
        self.before + self.len
    }

    /// Adds keys and values (S, H, n, E) and gives those that the new units attend to: (S, H, m, E) each, m at least n,
    /// and all that were seen where there is no window.
    pub fn extend(&mut self, keys: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        let n = keys.size()[2];
        let end = self.room_before + self.len;
        if end + n > self.keys.size()[2] {
            return self.move_on(keys, values);
        }
        self.keys.narrow(2, end, n).copy_(keys);
        self.values.narrow(2, end, n).copy_(values);
        self.len += n;
        let all = |held: &Tensor| held.narrow(2, self.room_before - self.before, self.seen());
        (all(&self.keys), all(&self.values))
    }

    /// The same where the room is full: what stands before the window is forgotten.
    fn move_on(&mut self, keys: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        debug_assert!(self.room_before == 0, "a level with a window has no parent before");
        let [keys, values] = [(&mut self.keys, keys), (&mut self.values, values)].map(|(held, new)| {
            let stays = self.len.min(self.window);
            let all = Tensor::cat(&[held.narrow(2, self.len - stays, stays), new.shallow_clone()], 2);
            let count = all.size()[2];
            let kept = count.min(self.window);
            held.narrow(2, 0, kept).copy_(&all.narrow(2, count - kept, kept));
            all
        });
        self.len = keys.size()[2].min(self.window);
        (keys, values)
    }

    /// Forgets everything.
    fn clear(&mut self) {
        (self.before, self.len) = (0, 0);
    }

    /// As if `len` units of a parent had been seen, and with `after` the end of one before it. What they said is made up:
    /// numbers that every type holds exactly.
    fn pretend(&mut self, len: i64, after: bool) {
        let [_, _, room, width] = self.keys.size()[..] else { unreachable!("keys are (S, H, r + N, E)") };
        let places = Tensor::arange(room * width, (Kind::Int64, self.keys.device())).view([room, width]);
        let numbers = |step: i64| (&places * step).remainder(251) - 125;
        self.keys.copy_(&(numbers(7) / 128.0));
        self.values.copy_(&(numbers(11) / 128.0));
        self.before = if after { self.room_before } else { 0 };
        self.len = len.min(room - self.room_before);
    }

    /// Begins the next parent: of the one that ends here, its last units stay.
    fn turn(&mut self) {
        let (r, units) = (self.room_before, self.len);
        if r > 0 {
            debug_assert!(units >= r, "a parent ends with all of its units");
            // The last r of a parent's units stand at places `units` to `units + r`, and go to 0 to r.
            for held in [&self.keys, &self.values] {
                held.narrow(2, 0, r).copy_(&held.narrow(2, units, r).copy());
            }
            self.before = r;
        }
        self.len = 0;
    }
}

/// Units that a block has room for, of which it attends to a `window`, or 0 for all.
fn room(units: i64, room_before: i64, window: i64) -> i64 {
    room_before + if window > 0 { units.min(2 * window) } else { units }
}

/// The units that each block of level `l` sees.
fn units(config: &ModelConfig, l: usize) -> Vec<i64> {
    let (all, level) = (config.units(l), &config.levels[l]);
    let units = match config.latents {
        0 => vec![all; level.n_layer],
        // The first block, of its own, sees the whole context.
        latents => [vec![all], vec![latents; level.n_layer]].concat(),
    };
    units.into_iter().map(|units| units as i64).collect()
}

/// The caches of one level's blocks, for the units of the current parent.
#[derive(Debug)]
pub struct LevelCache {
    /// One a block.
    pub blocks: Vec<KvCache>,
    /// Units of the current parent that were seen.
    pub len: i64,
    /// Place of its first unit: 0, or that in the sequence where units attend to the parent before.
    begin: i64,
    /// Whether they do.
    goes_on: bool,
}

impl LevelCache {
    /// Empty caches of level `l` for `rows` sequences.
    pub fn new(config: &ModelConfig, l: usize, rows: usize, kind: Kind, device: Device) -> Self {
        let level = &config.levels[l];
        let before = config.reach_back(l) as i64;
        let [rows, heads, width] = [rows, level.n_head, level.n_embd / level.n_head].map(|size| size as i64);
        let block = |units| KvCache::new([rows, heads, units, width], before, level.window as i64, kind, device);
        LevelCache { blocks: units(config, l).into_iter().map(block).collect(), len: 0, begin: 0, goes_on: before > 0 }
    }

    /// Bytes that a cache of level `l` takes for one sequence.
    pub fn bytes(config: &ModelConfig, l: usize, kind: Kind) -> usize {
        let (level, before) = (&config.levels[l], config.reach_back(l) as i64);
        let rooms = units(config, l).into_iter().map(|units| room(units, before, level.window as i64) as usize);
        2 * level.n_embd * kind.elt_size_in_bytes() * rooms.sum::<usize>()
    }

    /// Place of the next unit.
    pub fn place(&self) -> i64 {
        self.begin + self.len
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.blocks.iter_mut().for_each(KvCache::clear);
        (self.len, self.begin) = (0, 0);
    }

    /// As if `len` units of a parent had been seen, and with `after` another parent before it.
    pub fn pretend(&mut self, len: i64, after: bool) {
        self.blocks.iter_mut().for_each(|block| block.pretend(len, after));
        self.len = len;
    }

    /// Begins the next parent of the sequence.
    pub fn turn(&mut self) {
        self.blocks.iter_mut().for_each(KvCache::turn);
        self.begin = if self.goes_on { self.place() } else { 0 };
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LevelConfig;

    #[test]
    fn bytes_are_those_of_the_tensors() {
        let level = |unit, n_embd, window| LevelConfig { unit, n_embd, n_layer: 2, n_head: 2, window };
        let base: ModelConfig = toml::from_str("context = 64\nlevel = []").unwrap();
        let plain = ModelConfig { levels: vec![level(8, 16, 0), level(1, 8, 0)], ..base };
        let cross = ModelConfig { cross_patch: 3, ..plain.clone() };
        let mut window = plain.clone();
        window.levels[0].window = 2;
        let latents = ModelConfig { levels: vec![level(1, 16, 0)], latents: 16, ..plain.clone() };
        for config in [plain, cross, window, latents] {
            for (l, kind) in (0..config.levels.len()).flat_map(|l| [(l, Kind::Float), (l, Kind::BFloat16)]) {
                let cache = LevelCache::new(&config, l, 3, kind, Device::Cpu);
                let held = cache.blocks.iter().flat_map(|block| [&block.keys, &block.values]);
                let bytes: usize = held.map(|tensor| tensor.numel() * kind.elt_size_in_bytes()).sum();
                assert_eq!(bytes, 3 * LevelCache::bytes(&config, l, kind), "level {l} of {config:?}");
            }
        }
    }
}
