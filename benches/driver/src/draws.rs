//! Which records operations are about, drawn as YCSB draws them (Cooper et al., "Benchmarking Cloud Serving Systems with
//! YCSB", 2010), the same in every run and on every machine.

use crate::keys::mix;
use crate::plan::Spread;

#[cfg(test)]
mod tests;

/// How uneven zipfian draws are: YCSB's constant.
pub const SKEW: f64 = 0.99;

/// Tries after which a draw is taken as it is. Each is taken with a chance above nine tenths.
const TRIES_MAX: u32 = 64;

/// A stream of chances.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// Begins the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: mix(seed ^ 0x6c6f_6164) }
    }

    /// Draws a number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// Draws a number below `bound`, which is above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// Draws from 0 up to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws ranks below a bound, rank `r` with a weight of `1 / (r + 1)^0.99`: rejection-inversion (Hörmann and Derflinger,
/// "Rejection-inversion to generate variates from monotone discrete distributions", 1996), which is exact and needs no
/// sum over all ranks.
#[derive(Clone, Debug)]
pub struct Zipfian {
    ranks: f64,
    first: f64,
    last: f64,
    margin: f64,
}

impl Zipfian {
    /// Prepares draws below `bound`, which is above 0.
    pub fn new(bound: u64) -> Self {
        let ranks = bound as f64;
        Self {
            ranks,
            first: integral(1.5) - 1.0,
            last: integral(ranks + 0.5),
            margin: 2.0 - inverse_integral(integral(2.5) - weight(2.0)),
        }
    }

    /// Draws a rank.
    pub fn draw(&self, chance: &mut Chance) -> u64 {
        let mut rank = 1.0;
        for _ in 0..TRIES_MAX {
            let area = self.last + chance.unit() * (self.first - self.last);
            let at = inverse_integral(area);
            rank = (libm::floor(at + 0.5)).clamp(1.0, self.ranks);
            if rank - at <= self.margin || area >= integral(rank + 0.5) - weight(rank) {
                break;
            }
        }
        rank as u64 - 1
    }
}

fn weight(rank: f64) -> f64 {
    libm::pow(rank, -SKEW)
}

/// Integral of the weight up to `rank`, but for a constant.
fn integral(rank: f64) -> f64 {
    (libm::pow(rank, 1.0 - SKEW) - 1.0) / (1.0 - SKEW)
}

fn inverse_integral(area: f64) -> f64 {
    libm::pow(1.0 + area * (1.0 - SKEW), 1.0 / (1.0 - SKEW))
}

/// Draws records out of those that are there, and those that a driver adds.
#[derive(Clone, Debug)]
pub struct Draw {
    spread: Spread,
    records: u64,
    zipfian: Zipfian,
}

impl Draw {
    /// Prepares draws out of `records`, which is above 0.
    pub fn new(spread: Spread, records: u64) -> Self {
        Self { spread, records, zipfian: Zipfian::new(records) }
    }

    /// Draws the number of a record; `inserted` tells how many the driver has added, and `number` which those are.
    pub fn record(&self, chance: &mut Chance, inserted: u64, number: impl Fn(u64) -> u64) -> u64 {
        match self.spread {
            Spread::Uniform => chance.below(self.records),
            // Popular records shall not lie side by side, so ranks are scattered. Some share a record, as in YCSB.
            Spread::Zipfian => mix(self.zipfian.draw(chance)) % self.records,
            Spread::Latest => {
                let age = self.zipfian.draw(chance);
                match inserted.checked_sub(age + 1) {
                    Some(place) => number(place),
                    None => self.records - 1 - (age - inserted),
                }
            }
        }
    }
}
