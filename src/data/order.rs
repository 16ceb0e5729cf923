//! A shuffled order of any number of things, without a list of them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

const ROUNDS: u64 = 8;

/// A pseudo-random permutation of `0..n` that takes no memory: a balanced Feistel network (Luby and Rackoff 1988) on
/// the next even number of bits, walked until it lands below `n` (Black and Rogaway 2002, cycle walking). Each round's
/// function is XXH3-64 of the half, seeded by key and round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// The permutation of `0..n` that `key` chooses.
    pub fn new(n: u64, key: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        // Halves of a few bits would know few permutations; walking a domain of 256 costs nothing that is felt.
        Permutation { n, half_bits: bits.div_ceil(2).max(4), key }
    }

    /// Where `i` goes.
    ///
    /// # Panics
    /// Where `i` is not below `n`.
    pub fn get(&self, i: u64) -> u64 {
        assert!(i < self.n, "{i} of {}", self.n);
        let mut x = self.encrypt(i);
        while x >= self.n {
            x = self.encrypt(x);
        }
        x
    }

    fn encrypt(&self, x: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for round in 0..ROUNDS {
            let mixed = xxh3_64_with_seed(&right.to_le_bytes(), self.key.wrapping_add(round));
            (left, right) = (right, left ^ (mixed & mask));
        }
        left << self.half_bits | right
    }
}
