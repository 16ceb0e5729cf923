//! Keys and values of units already seen.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;
use super::rotary::Rotary;

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
    /// Room for the last of `units`, at least those of a `window` if that is above 0.
    fn new(shape: [i64; 4], room_before: i64, window: i64, kind: Kind, device: Device) -> Self {
        let [rows, heads, units, width] = shape;
        let window = if window > 0 { window.min(units) } else { units };
        let room = room_before + units.min(2 * window);
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

    /// Begins the next parent: of the one that ends here, its last units stay.
    fn turn(&mut self, rotary: Option<&Rotary>) {
        let (r, units) = (self.room_before, self.len);
        if r > 0 {
            debug_assert!(units >= r, "a parent ends with all of its units");
            // The last r of a parent's units stand at places `units` to `units + r`, and go to 0 to r.
            let keys = self.keys.narrow(2, units, r);
            let keys = rotary.map_or_else(|| keys.copy(), |rotary| rotary.back(&keys, units));
            self.keys.narrow(2, 0, r).copy_(&keys);
            self.values.narrow(2, 0, r).copy_(&self.values.narrow(2, units, r).copy());
            self.before = r;
        }
        self.len = 0;
    }
}

/// The caches of one level's blocks, for the units of the current parent.
#[derive(Debug)]
pub struct LevelCache {
    /// One a block.
    pub blocks: Vec<KvCache>,
    /// Units of the current parent that were seen.
    pub len: i64,
}

impl LevelCache {
    /// Empty caches of level `l` for `rows` sequences.
    pub fn new(config: &ModelConfig, l: usize, rows: usize, kind: Kind, device: Device) -> Self {
        let level = &config.levels[l];
        let before = config.reach_back(l) as i64;
        let block = |units: usize| {
            let shape = [rows, level.n_head, units, level.n_embd / level.n_head].map(|dimension| dimension as i64);
            KvCache::new(shape, before, level.window as i64, kind, device)
        };
        let all = config.units(l);
        let blocks = if config.latents > 0 {
            // The first block sees the whole context.
            (0..=level.n_layer).map(|i| block(if i == 0 { all } else { config.latents })).collect()
        } else {
            (0..level.n_layer).map(|_| block(all)).collect()
        };
        LevelCache { blocks, len: 0 }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.blocks.iter_mut().for_each(KvCache::clear);
        self.len = 0;
    }

    /// Begins the next parent of the sequence.
    pub fn turn(&mut self, rotary: Option<&Rotary>) {
        self.blocks.iter_mut().for_each(|block| block.turn(rotary));
        self.len = 0;
    }
}
