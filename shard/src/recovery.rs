//! What helps when a router or a target is lost for ever: another router, what a new router must know, and a range that is
//! opened again without the target's word.

use candid::Principal;
use canopy_types::Epoch;
use canopy_types::recovery::{AbandonTransferArguments, AbandonTransferReply, ShardMemory};
use canopy_types::shard::ShardError;
use canopy_types::transfer::TransferError;
use serde_bytes::ByteBuf;

use crate::state::State;

#[cfg(test)]
mod tests;

impl State {
    /// Obeys another router from now on. What the last one said about roles holds on until it ends.
    ///
    /// # Errors
    ///
    /// A principal that is no canister's alone: whoever has it could act for everybody.
    pub fn adopt_router(&mut self, router: Principal) -> Result<(), ShardError> {
        if router == Principal::anonymous() || router == Principal::management_canister() {
            let reason = format!("{router} is no canister that could be a router");
            return Err(ShardError::MalformedArguments { reason });
        }
        self.identity.router = router;
        self.store_identity();
        Ok(())
    }

    /// Tells what a new router must know. Holds the secrets, so it is for the router only.
    pub fn memory(&self) -> ShardMemory {
        ShardMemory {
            range: self.identity.range,
            epoch: self.identity.epoch,
            epoch_seen: Epoch(self.transfers.epoch_seen().max(self.identity.epoch.0)),
            in_transfer: self.transfers.current().map(|current| current.id),
            secret: ByteBuf::from(self.identity.secret.as_bytes().to_vec()),
            tag_seed: self.tag_seed(),
            administrators: self.identity.administrators.clone(),
            roles: self.roles.remembered(),
        }
    }

    /// Opens a range again that was closed for a target which is lost.
    ///
    /// # Errors
    ///
    /// A transfer that can be cancelled as any other, is over, is unknown, or is about another range.
    pub fn abandon_transfer(
        &mut self,
        arguments: &AbandonTransferArguments,
    ) -> Result<AbandonTransferReply, TransferError> {
        let id = arguments.id;
        let Some(current) = self.transfers.current().filter(|current| current.id == id) else {
            return Err(self.transfers.end_of(id).map_or(TransferError::UnknownTransfer, TransferError::Ended));
        };
        if self.transfers.closed().is_none() {
            return Err(TransferError::NotClosed);
        }
        if current.range != arguments.range {
            return Err(TransferError::OtherRange { range: current.range });
        }
        let closed_at_nanoseconds = current.closed_at;
        // Hashes are uniform, so records are.
        let records = u128::from(self.store.statistics().records);
        let hashes = |first: u64, last: u64| u128::from(last.saturating_sub(first)) + 1;
        let (part, all) = (arguments.range, self.identity.range);
        let records_estimated = records * hashes(part.first.0, part.last.0) / hashes(all.first.0, all.last.0);
        self.transfers.abandon();
        self.store_transfers();
        self.end_copying();
        Ok(AbandonTransferReply { records_estimated: records_estimated as u64, closed_at_nanoseconds })
    }
}
