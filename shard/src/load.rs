//! How busy the shard is: what is asked for by updates, and a sample of the hashes.
//!
//! On the heap, because an upgrade may begin anew. Counted on the way of every operation, so with a few instructions each.

#[cfg(test)]
mod tests;

/// Hashes that are kept: the latest of about sixteen times as many operations.
const SAMPLES: usize = 128;

/// Operations from one sampled hash to the next: 1 to 32, by the hash, so that no regular order of keys hides from it.
const GAP_BITS: u32 = 5;

/// Fewest samples from which a boundary is made.
const BOUNDARY_SAMPLES_MIN: usize = 32;

/// Messages of which the instructions of one are counted, for all.
const MESSAGES_PER_COUNT: u64 = 16;

/// Counters since the shard's code was started.
#[derive(Default)]
pub struct Load {
    operations: u64,
    instructions: u64,
    messages: u64,
    /// Number of the operation whose hash is kept next.
    next_sample: u64,
    /// The oldest is replaced, at `place`.
    samples: Vec<u64>,
    place: usize,
}

impl Load {
    /// Counts an operation on a key of this hash.
    #[inline]
    pub fn count(&mut self, hash: u64) {
        self.operations += 1;
        if self.operations >= self.next_sample {
            self.sample(hash);
        }
    }

    #[cold]
    fn sample(&mut self, hash: u64) {
        // Mixed well, so that the gaps follow neither the part of the hash space nor the order of the operations.
        let mut mixed = (hash ^ self.operations).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.next_sample = self.operations + 1 + (mixed >> (u64::BITS - GAP_BITS));
        if self.samples.len() < SAMPLES {
            self.samples.push(hash);
        } else {
            self.samples[self.place] = hash;
            self.place = (self.place + 1) % SAMPLES;
        }
    }

    /// Counts a message, and tells whether its instructions are to be counted.
    #[inline]
    pub fn wants_instructions(&mut self) -> bool {
        self.messages += 1;
        self.messages.is_multiple_of(MESSAGES_PER_COUNT)
    }

    /// Counts a message's instructions, for others too.
    pub fn count_instructions(&mut self, instructions: u64) {
        self.instructions += instructions * MESSAGES_PER_COUNT;
    }

    /// Tells how many operations there were.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Tells how many instructions the operations took, about.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// Finds where `first..=last` can be cut so that each part has a quarter of the latest operations or more: the first
    /// hash of the upper part, as near to the median as can be. A key that has most of them can't be cut.
    pub fn boundary(&self, first: u64, last: u64) -> Option<u64> {
        let mut hashes: Vec<u64> = self.samples.iter().copied().filter(|hash| (first..=last).contains(hash)).collect();
        let count = hashes.len();
        if count < BOUNDARY_SAMPLES_MIN {
            return None;
        }
        hashes.sort_unstable();
        let median = hashes[count / 2];
        let candidates = [Some(median), hashes.iter().copied().find(|&hash| hash > median)];
        let below = |boundary: u64| hashes.partition_point(|&hash| hash < boundary);
        let fair = |boundary: &u64| *boundary > first && below(*boundary).min(count - below(*boundary)) >= count / 4;
        candidates.into_iter().flatten().filter(fair).min_by_key(|&boundary| below(boundary).abs_diff(count / 2))
    }
}
