//! What the shards hold is what clients were told, and nothing else.

use std::fmt;

use candid::Principal;
use canopy_types::shard::{ShardError, ShardGetResult};

use crate::answers::fingerprint;
use crate::history::Seen;

#[cfg(test)]
mod tests;

/// What one shard said about every key, in their order, and how many records it counts.
#[derive(Clone, Debug)]
pub struct Holdings {
    pub shard: Principal,
    pub records: u64,
    pub answers: Vec<ShardGetResult>,
}

/// Where shards and clients' knowledge differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not exactly one shard answers for a key.
    Owners { key: usize, shards: Vec<Principal> },
    /// A shard holds something else than the router told.
    Differs { key: usize, shard: Principal, told: Option<Box<Seen>>, held: Option<Box<Seen>> },
    /// A shard refuses to say what it holds.
    Refused { key: usize, shard: Principal, error: ShardError },
    /// A walk through all records shows something else than a get told, or shows it twice.
    Scanned { key: usize, told: Option<Seen>, scanned: Vec<Seen> },
    /// The shards count more or fewer records than there are keys with one.
    Count { counted: u64, told: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the shards hold something else than clients were told: {self:?}")
    }
}

/// Compares what shards hold with what the router told of every key, while nothing is written and nothing ends.
///
/// # Errors
/// The first difference.
pub fn check(told: &[Option<Seen>], holdings: &[Holdings]) -> Result<(), Fault> {
    for (key, told) in told.iter().enumerate() {
        let mut owners = Vec::new();
        for Holdings { shard, answers, .. } in holdings {
            let held = match &answers[key] {
                Err(ShardError::WrongShard(_)) => continue,
                Err(error) => return Err(Fault::Refused { key, shard: *shard, error: error.clone() }),
                Ok(record) => record.as_ref().map(|record| Seen {
                    value: record.value_bytes.is_none().then(|| fingerprint(&record.value)),
                    bytes: record.value_bytes.unwrap_or(record.value.len() as u64),
                    version: record.version.0,
                    expires_at_nanos: record.expires_at_nanoseconds,
                }),
            };
            if held.is_some() != told.is_some() || held.is_some_and(|held| !is_like(*told, held)) {
                let (told, held) = (told.map(Box::new), held.map(Box::new));
                return Err(Fault::Differs { key, shard: *shard, told, held });
            }
            owners.push(*shard);
        }
        if owners.len() != 1 {
            return Err(Fault::Owners { key, shards: owners });
        }
    }
    let counted = holdings.iter().map(|holdings| holdings.records).sum();
    let told = told.iter().flatten().count() as u64;
    if counted == told { Ok(()) } else { Err(Fault::Count { counted, told }) }
}

/// Tells whether two readers saw the same, but for a value that the second was not shown.
fn is_like(told: Option<Seen>, seen: Seen) -> bool {
    told.is_some_and(|told| Seen { value: seen.value.and(told.value), ..told } == seen)
}

/// Compares what a walk through all records showed with what the router told of every key, while nothing is written and
/// nothing ends. A value that is not shown is not compared.
///
/// # Errors
/// The first key of which the walk showed something else.
pub fn check_scan(told: &[Option<Seen>], scanned: &[(usize, Seen)]) -> Result<(), Fault> {
    for (key, told) in told.iter().enumerate() {
        let scanned: Vec<Seen> = scanned.iter().filter(|(of, _)| *of == key).map(|(_, seen)| *seen).collect();
        let right = match &scanned[..] {
            [] => told.is_none(),
            [seen] => is_like(*told, *seen),
            _ => false,
        };
        if !right {
            return Err(Fault::Scanned { key, told: *told, scanned });
        }
    }
    Ok(())
}
