//! The transfers, as a part of what is stored with the journal.

use candid::Principal;
use canopy_types::shard::Moved;
use canopy_types::transfer::{MergeShardArguments, MoveError, MoveResult, SplitShardArguments, TransferStatus};
use canopy_types::{ShardIndex, TagSecret, TransferId};

use super::{Answer, Journal};
use crate::routing::NOT_READY_RETRY_MILLISECONDS;
use crate::transfers::{self, Transfers};

impl Journal {
    /// Has the upper part of a shard's range given to an empty shard, which is made if there is none.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn split(&mut self, arguments: &SplitShardArguments, now: u64) -> MoveResult {
        let tags = self.check_ready()?;
        let transfers = self.transfers.get_or_insert_default();
        transfers.split(&mut self.shards, arguments, now, |epoch| transfers::name(&tags, epoch, now))
    }

    /// Has all that a shard owns given to a neighbour.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed.
    pub fn merge(&mut self, arguments: &MergeShardArguments, now: u64) -> MoveResult {
        let tags = self.check_ready()?;
        let transfers = self.transfers.get_or_insert_default();
        transfers.merge(&self.shards, arguments, now, |epoch| transfers::name(&tags, epoch, now))
    }

    /// Has a transfer stopped, if it isn't done before.
    ///
    /// # Errors
    ///
    /// `NoSuchTransfer`.
    pub fn stop_transfer(&mut self, id: TransferId, reason: &str) -> Result<(), MoveError> {
        self.transfers.get_or_insert_default().stop(id, reason)
    }

    /// Does for each transfer what one message may do, and remembers why cycles are sent.
    pub fn advance_transfers(&mut self, circumstances: &transfers::Circumstances) -> transfers::Work {
        let Some(transfers) = &mut self.transfers else { return transfers::Work::default() };
        let spending = self.spending.get_or_insert_default();
        let work = transfers.advance(&mut self.shards, spending, circumstances);
        for (transfer, payment) in &work.payments {
            self.remember(payment.decision(*transfer, circumstances.now));
        }
        work
    }

    /// Stores how a call of a transfer ended.
    pub fn record_transfer_answer(&mut self, call: u64, mut answer: Answer) {
        answer.shorten();
        if let Some(transfers) = &mut self.transfers {
            transfers.record_answer(call, answer);
        }
    }

    /// Tells whether a shard's word about what it handed to whom is news.
    pub fn awaits_move(&self, from: Principal, to: Principal, moved: &Moved) -> bool {
        self.transfers.as_ref().is_some_and(|transfers| transfers.awaits_move(&self.shards, from, to, moved))
    }

    /// Ends the transfer that a shard has said to be done, at `now` (nanoseconds).
    pub fn hear_of_move(&mut self, moved: &Moved, now: u64) {
        if let Some(transfers) = &mut self.transfers {
            transfers.hear_of_move(&mut self.shards, moved, now);
        }
    }

    /// Tells whether a shard takes part in a transfer.
    pub fn is_in_transfer(&self, shard: ShardIndex) -> bool {
        self.transfers.as_ref().is_some_and(|transfers| transfers.transfer_of(shard).is_some())
    }

    /// Reports the transfers.
    pub fn transfer_status(&self) -> Vec<TransferStatus> {
        self.transfers.as_ref().map(Transfers::status).unwrap_or_default()
    }

    pub(super) fn check_ready(&self) -> Result<TagSecret, MoveError> {
        let not_ready = MoveError::NotReady { retry_after_milliseconds: NOT_READY_RETRY_MILLISECONDS };
        let secret = self.secret().filter(|_| self.routing_table().is_some()).ok_or(not_ready)?;
        let seed = self.tag_seed.as_ref().and_then(|seed| seed.as_slice().try_into().ok());
        Ok(TagSecret::derive(&secret, seed))
    }
}
