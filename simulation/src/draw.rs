//! The driver's own seeded generator, apart from the simulator's.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::faults::RATE_SCALE;

/// A stream of draws. Different purposes take different streams, so that more draws for one don't shift the others.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    /// Draws 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((self.0.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Draws from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Draws whether something of this rate (in millionths) happens.
    pub fn fires(&mut self, rate: u32) -> bool {
        self.below(RATE_SCALE as u64) < rate as u64
    }

    /// Draws an index by weight.
    ///
    /// # Panics
    /// If all weights are 0.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        panic!("one of the weights must be above 0");
    }
}
