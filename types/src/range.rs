//! Contiguous pieces of the hash space.

use candid::CandidType;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::hash::KeyHash;

#[cfg(test)]
mod tests;

/// The hashes from `first` to `last`, both included. What a shard owns may be [`EMPTY`](Self::EMPTY); no other range that
/// is made through this module is.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashRange {
    /// Lowest hash of the range.
    pub first: KeyHash,
    /// Highest hash of the range.
    pub last: KeyHash,
}

impl HashRange {
    /// The whole hash space.
    pub const FULL: Self = Self { first: KeyHash(0), last: KeyHash(u64::MAX) };

    /// No hash: what a shard owns that is a spare, or gave everything away. It has `first` above `last`, which keeps
    /// it readable for those who know of no empty ranges, and `contains` denies every hash.
    pub const EMPTY: Self = Self { first: KeyHash(u64::MAX), last: KeyHash(0) };

    /// Makes the range `first..=last`; `None` when it would be empty.
    pub fn new(first: KeyHash, last: KeyHash) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Tells whether `hash` lies in the range.
    pub fn contains(&self, hash: KeyHash) -> bool {
        self.first <= hash && hash <= self.last
    }

    /// Tells whether the range is well formed, which a received one needn't be.
    pub fn is_valid(&self) -> bool {
        self.first <= self.last
    }

    /// Tells whether the other range lies in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_valid() && other.is_valid() && self.first <= other.first && other.last <= self.last
    }

    /// Tells what is left without the lower or the upper part, or without all of it.
    ///
    /// `None` when `part` is none of these.
    pub fn without(&self, part: &Self) -> Option<Self> {
        if !self.covers(part) {
            return None;
        }
        match (self.first == part.first, self.last == part.last) {
            (true, true) => Some(Self::EMPTY),
            (true, false) => Some(Self { first: KeyHash(part.last.0 + 1), last: self.last }),
            (false, true) => Some(Self { first: self.first, last: KeyHash(part.first.0 - 1) }),
            (false, false) => None,
        }
    }

    /// Tells what the range is with a part that touches it; `None` when it doesn't. An empty range touches every one.
    pub fn with(&self, part: &Self) -> Option<Self> {
        if *self == Self::EMPTY { part.is_valid().then_some(*part) } else { self.join(part) }
    }

    /// Tells whether the two ranges have a hash in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.common(other).is_some()
    }

    /// Tells which hashes the two ranges have in common; `None` when there are none.
    pub fn common(&self, other: &Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Tells whether `next` begins right after this range ends.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        self.is_valid() && next.is_valid() && self.last.0.checked_add(1) == Some(next.first.0)
    }

    /// Tells whether the two ranges touch without overlapping, in either order.
    pub fn is_adjacent(&self, other: &Self) -> bool {
        self.is_followed_by(other) || other.is_followed_by(self)
    }

    /// Cuts the range in front of `boundary`, the first hash of the right part.
    ///
    /// `None` when one part would be empty.
    pub fn split_at(&self, boundary: KeyHash) -> Option<(Self, Self)> {
        if !self.contains(boundary) || boundary == self.first {
            return None;
        }
        let left = Self { first: self.first, last: KeyHash(boundary.0 - 1) };
        Some((left, Self { first: boundary, last: self.last }))
    }

    /// Joins two adjacent ranges into one; `None` when they aren't adjacent.
    pub fn join(&self, other: &Self) -> Option<Self> {
        self.is_adjacent(other).then(|| Self { first: self.first.min(other.first), last: self.last.max(other.last) })
    }

    /// Gives part `index` of the range cut into `count` parts whose sizes differ by at most one hash.
    ///
    /// `None` when `index` isn't below `count`, or when there are fewer hashes than parts.
    pub fn part(&self, index: u32, count: u32) -> Option<Self> {
        let hashes = u128::from(self.last.0 - self.first.0) + 1;
        if index >= count || hashes < u128::from(count) {
            return None;
        }
        let start = |at: u32| self.first.0 as u128 + hashes * u128::from(at) / u128::from(count);
        let bound =
            |value: u128| KeyHash(u64::try_from(value).expect("parts lie inside the range, which ends at u64::MAX"));
        Some(Self { first: bound(start(index)), last: bound(start(index + 1) - 1) })
    }
}

impl fmt::Display for HashRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}..={:016x}", self.first.0, self.last.0)
    }
}
