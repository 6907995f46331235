//! An administrator who splits and merges shards and stops transfers at random, without looking at what comes of it; and
//! an intruder who claims to be a peer.

use candid::Principal;
use canopy_types::codec::encode;
use canopy_types::status::Status;
use canopy_types::transfer::{
    HandOverArguments, MergeShardArguments, SplitShardArguments, StopTransferArguments, TransferStage, TransferStatus,
};
use canopy_types::{HashRange, KeyHash};
use serde_bytes::ByteBuf;

use crate::caller::Forward;
use crate::case::{Case, stream};
use crate::checkers::cover::Moving;
use crate::draw::Draw;
use crate::faults::FaultName;
use crate::network::Network;

/// Shards above which no more are made: each takes cycles, and a run has few keys.
const SHARDS_MAX: usize = 6;

/// What is asked for, of so many.
const KINDS: u64 = 10;
const SPLITS: u64 = 4;
const MERGES: u64 = 3;
const STOPS: u64 = 1;

/// A batch of a transfer in which nothing is: its version alone.
const EMPTY_BATCH: [u8; 1] = [1];

/// Seconds that the intruder waits for an answer.
const INTRUDER_TIMEOUT_SECONDS: u32 = 60;

/// The administrator.
pub struct Mover {
    draw: Draw,
    /// How often something was asked for.
    pub asked: u64,
}

impl Mover {
    pub fn new(case: &Case) -> Self {
        Self { draw: Draw::new(case.seed, stream::MOVES), asked: 0 }
    }

    /// Perhaps asks for something. What the router answers doesn't matter.
    pub fn step(&mut self, case: &Case, network: &mut Network) {
        // Every step takes the same draws.
        let fires = self.draw.fires(case.rate(FaultName::RangesMove));
        let (kind, which, other, at) = (self.draw.below(KINDS), self.draw.bits(), self.draw.bits(), self.draw.bits());
        if !fires {
            return;
        }
        let Some(status) = network.status() else { return };
        let (method, arguments) = match kind {
            kind if kind < SPLITS => match split(&status, which, other, at) {
                Some(arguments) => ("split_shard", encode(&arguments)),
                None => return,
            },
            kind if kind < SPLITS + MERGES => match merge(&status, which, other) {
                Some(arguments) => ("merge_shard", encode(&arguments)),
                None => return,
            },
            kind if kind < SPLITS + MERGES + STOPS => match running(&status).nth((which % 2) as usize) {
                Some(transfer) => ("stop_transfer", encode(&StopTransferArguments { id: transfer.id })),
                None => return,
            },
            _ => return intrude(&status, which, network),
        };
        // Refused while the router is stopped, or has no cycles.
        if network.submit(network.administrator, network.router, method, arguments).is_ok() {
            self.asked += 1;
        }
    }
}

/// Has a canister that is no peer hand a range over to a target. Only the target's own check stands in the way, because
/// whoever may read the status knows the transfer's name.
fn intrude(status: &Status, which: u64, network: &mut Network) {
    let Some(transfer) = running(status).nth((which % 2) as usize) else { return };
    let target = status.shards.iter().find(|shard| shard.index == transfer.target).and_then(|shard| shard.canister);
    let Some((target, intruder)) = target.zip(network.callers.first().copied()) else { return };
    let arguments = encode(&HandOverArguments {
        id: transfer.id,
        shard_time_nanoseconds: 0,
        removed_version: 0,
        batch: ByteBuf::from(EMPTY_BATCH),
    });
    let forward = Forward {
        timeout_seconds: Some(INTRUDER_TIMEOUT_SECONDS),
        cycles: 0,
        callee: target,
        method: "hand_over",
        argument: &arguments,
    };
    // What becomes of it doesn't matter: nothing may.
    let _ = network.submit(network.administrator, intruder, "forward", forward.encode());
}

fn split(status: &Status, which: u64, other: u64, at: u64) -> Option<SplitShardArguments> {
    let has_spare = status.shards.iter().any(|shard| shard.range == HashRange::EMPTY);
    if !has_spare && status.shards.len() >= SHARDS_MAX {
        return None;
    }
    let shard = status.shards.get((which % status.shards.len().max(1) as u64) as usize)?;
    let hashes = shard.range.last.0.saturating_sub(shard.range.first.0);
    // The middle, or anywhere; an empty shard is refused.
    let at = other.is_multiple_of(2).then(|| KeyHash(shard.range.first.0.saturating_add(at % hashes.max(1))));
    Some(SplitShardArguments { shard: shard.index, at })
}

fn merge(status: &Status, which: u64, other: u64) -> Option<MergeShardArguments> {
    let mut owners: Vec<_> = status.shards.iter().filter(|shard| shard.range != HashRange::EMPTY).collect();
    owners.sort_by_key(|shard| shard.range);
    let pair = owners.windows(2).nth((which % owners.len().max(2).saturating_sub(1) as u64) as usize)?;
    let (shard, into) = if other.is_multiple_of(2) { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
    Some(MergeShardArguments { shard: shard.index, into: into.index })
}

/// Lists the transfers that aren't over.
pub fn running(status: &Status) -> impl Iterator<Item = &TransferStatus> {
    let is_running = |transfer: &&TransferStatus| !matches!(transfer.stage, TransferStage::Ended(_));
    status.transfers.iter().flatten().filter(is_running)
}

/// Lists the transfers of whose end a shard may not have heard.
pub fn moving(status: &Status) -> Vec<Moving> {
    let canister = |index| status.shards.iter().find(|shard| shard.index == index)?.canister;
    let of = |transfer: &TransferStatus| {
        Some(Moving {
            source: canister(transfer.source)?,
            target: canister(transfer.target)?,
            range: transfer.range,
            epoch: transfer.epoch,
            is_over: matches!(transfer.stage, TransferStage::Ended(_)),
        })
    };
    status.transfers.iter().flatten().filter_map(of).collect()
}

/// Lists the shards that take part in a transfer or did so lately.
pub fn ends(moving: &[Moving]) -> Vec<Principal> {
    let mut ends: Vec<Principal> = moving.iter().flat_map(|moving| [moving.source, moving.target]).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}
