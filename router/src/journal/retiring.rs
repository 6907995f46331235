//! What the journal does about shards that own nothing any more, and with shards that another router had.

use candid::Principal;
use canopy_types::limits::SECRET_BYTES;
use canopy_types::recovery::{RetireShardArguments, RetireShardResult};
use canopy_types::status::ShardStage;
use canopy_types::transfer::{MergeShardArguments, MoveError};
use canopy_types::{HashRange, ShardIndex};

use super::{Emptied, Journal, ShardEntry};
use crate::recovery::Rebuilt;
use crate::transfers::Transfers;

impl Journal {
    /// Has all that a shard owns given to a neighbour, and its memory given back after that.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn retire(&mut self, arguments: &RetireShardArguments, now: u64) -> RetireShardResult {
        self.check_ready()?;
        let shard = arguments.shard;
        let entry = self.shards.get(shard.0 as usize).filter(|entry| entry.left != Some(true));
        let entry = entry.ok_or(MoveError::NoSuchShard { shard })?.clone();
        if let Some(id) = self.transfers.as_ref().and_then(|transfers| transfers.transfer_of(shard)) {
            return Err(MoveError::InTransfer { shard, id });
        }
        if entry.stage != ShardStage::Open {
            return Err(MoveError::NotOpen { shard });
        }
        let emptied = Some(Emptied { at: now, leave: arguments.leave.unwrap_or(false) });
        if entry.range == HashRange::EMPTY {
            self.entry_mut(shard).emptied = emptied;
            return Ok(None);
        }
        let into = match arguments.into {
            Some(into) => into,
            None => self.neighbour(&entry.range).ok_or(MoveError::LastShard { shard })?,
        };
        let id = self.merge(&MergeShardArguments { shard, into }, now)?;
        self.entry_mut(shard).emptied = emptied;
        Ok(Some(id))
    }

    /// Finds who owns what touches a range: below it, or else above.
    fn neighbour(&self, range: &HashRange) -> Option<ShardIndex> {
        let find = |touches: &dyn Fn(&ShardEntry) -> bool| self.shards.iter().find(|entry| touches(entry));
        let below = find(&|entry| entry.range.is_followed_by(range));
        below.or_else(|| find(&|entry| range.is_followed_by(&entry.range))).map(|entry| entry.index)
    }

    /// Lists the shards whose memory is to be given back, with their canisters.
    pub fn emptied(&self) -> impl Iterator<Item = (ShardIndex, Principal, Emptied)> {
        let waiting = self.shards.iter().filter(|entry| {
            entry.stage == ShardStage::Open && entry.range == HashRange::EMPTY && entry.left != Some(true)
        });
        waiting.filter_map(|entry| Some((entry.index, entry.canister?, entry.emptied?)))
    }

    /// Has a shard that owns nothing installed anew, which gives its memory back. Nobody may need its word about an earlier
    /// transfer any more: it forgets how they ended.
    ///
    /// The new shard begins with the epoch that was given last. So what comes late of earlier transfers is refused, as it
    /// was before.
    pub fn wipe(&mut self, shard: ShardIndex) {
        let epoch = self.transfers.as_ref().map(Transfers::last_epoch);
        let in_transfer = self.is_in_transfer(shard);
        let entry = self.entry_mut(shard);
        assert!(entry.range == HashRange::EMPTY && !in_transfer, "INVARIANT: only what owns nothing is wiped");
        entry.epoch = entry.epoch.max(epoch.unwrap_or(entry.epoch));
        entry.stage = ShardStage::Created;
        entry.contents_unknown = false;
        entry.wipes = Some(true);
    }

    /// Tells whether the installation of a shard wipes what is there.
    pub fn wipes(&self, shard: ShardIndex) -> bool {
        self.entry(shard).wipes == Some(true)
    }

    /// Notes that a shard serves, or that the router has parted with it.
    pub(super) fn open_shard(&mut self, shard: ShardIndex) {
        let entry = self.entry_mut(shard);
        entry.stage = ShardStage::Open;
        entry.left = entry.emptied.take().filter(|emptied| emptied.leave).map(|_| true);
    }

    /// Tells whether the router waits to be told the shards of a lost one.
    pub fn awaits_shards(&self) -> bool {
        self.awaits_shards == Some(true)
    }

    /// Takes over the shards of a lost router.
    pub fn take_over(&mut self, rebuilt: &Rebuilt) {
        assert!(self.awaits_shards(), "INVARIANT: a router that has shards takes over no others");
        assert_eq!(rebuilt.secret.len(), SECRET_BYTES, "INVARIANT: shards have whole secrets");
        self.secret = rebuilt.secret.clone();
        self.tag_seed = rebuilt.tag_seed.clone();
        let entry = |(index, owner): (u32, &(Principal, HashRange, canopy_types::Epoch))| ShardEntry {
            range: owner.1,
            epoch: owner.2,
            canister: Some(owner.0),
            stage: ShardStage::Open,
            ..ShardEntry::spare(ShardIndex(index))
        };
        self.shards = (0..).zip(&rebuilt.shards).map(entry).collect();
        self.transfers.get_or_insert_default().go_on_after(rebuilt.epoch_seen);
        self.awaits_shards = None;
    }
}
