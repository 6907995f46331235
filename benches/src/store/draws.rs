//! Which records are drawn, the same in every run.

use canopy_bench_canister::mix;

/// How uneven the draws are: YCSB's constant.
const SKEW: f64 = 0.99;

/// Draws numbers below a bound, small ones much more often than large ones: the method of Gray et al., "Quickly
/// generating billion-record synthetic databases", 1994, as YCSB uses it.
pub struct Draw {
    bound: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Draw {
    /// Prepares draws below `bound`.
    pub fn zipfian(bound: u64) -> Self {
        let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-SKEW)).sum::<f64>();
        let (all, two) = (zeta(bound), zeta(2));
        let eta = (1.0 - (2.0 / bound as f64).powf(1.0 - SKEW)) / (1.0 - two / all);
        Self { bound: bound as f64, zeta: all, alpha: 1.0 / (1.0 - SKEW), eta }
    }

    /// The draw of this number.
    pub fn draw(&self, at: u64) -> u64 {
        let chance = (mix(at ^ 0x1234) >> 11) as f64 / (1u64 << 53) as f64;
        let scaled = chance * self.zeta;
        if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5f64.powf(SKEW) {
            1
        } else {
            let drawn = self.bound * (self.eta * chance - self.eta + 1.0).powf(self.alpha);
            (drawn as u64).min(self.bound as u64 - 1)
        }
    }
}

#[cfg(test)]
mod tests;
