//! Handing a hash range from one shard to another: what routers, shards and administrators say about it.

use candid::types::{Serializer, Type, TypeInner};
use candid::{CandidType, Nat, Principal};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use std::fmt;

use crate::funding::{CyclesNeed, FundingStatus};
use crate::hash::KeyHash;
use crate::limits::TRANSFER_ID_BYTES;
use crate::range::HashRange;
use crate::routing::{Epoch, ShardIndex};

#[cfg(test)]
mod tests;

/// Names a transfer: 16 bytes that no other transfer has and nobody can guess. A blob in Candid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransferId(pub [u8; TRANSFER_ID_BYTES]);

impl CandidType for TransferId {
    fn _ty() -> Type {
        TypeInner::Vec(TypeInner::Nat8.into()).into()
    }

    fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        serializer.serialize_blob(&self.0)
    }
}

impl Serialize for TransferId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::new(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TransferId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let id = bytes.as_slice().try_into().map_err(|_| {
            D::Error::custom(format!(
                "the id of a transfer has {TRANSFER_ID_BYTES} bytes, and this one {}",
                bytes.len()
            ))
        })?;
        Ok(Self(id))
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TransferId({self})")
    }
}

// What routers tell shards ---------------------------------------------------------------------------------------------

/// Which end of a transfer a shard is.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferSide {
    /// It gives the range away.
    Source,
    /// It gets the range.
    Target,
}

/// Makes a shard one end of a transfer. The router tells the target first.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BeginTransferArguments {
    /// The transfer's name.
    pub id: TransferId,
    /// Which end the shard is.
    pub side: TransferSide,
    /// The other end, and nobody else.
    pub peer: Principal,
    /// What is handed over: all that the source owns, or its lower or upper part.
    pub range: HashRange,
    /// Epoch of what both ends own afterwards. Every transfer of a router has a higher one than those before.
    pub epoch: Epoch,
    /// Bytes of stable memory that the range takes on the source, for the target to tell whether it can pay for holding
    /// them. Null if the router doesn't know.
    pub bytes: Option<u64>,
}

/// Asks a shard how far a transfer is.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TransferProgressArguments {
    /// The transfer.
    pub id: TransferId,
}

/// Asks a shard to end a transfer that is not done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CancelTransferArguments {
    /// The transfer.
    pub id: TransferId,
    /// Its epoch, by which a shard knows that it never heard of the transfer, rather than forgot it.
    pub epoch: Epoch,
}

/// How a transfer ended.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEnd {
    /// The target owns the range.
    Done,
    /// The source owns the range.
    Cancelled,
}

/// How far a transfer is, as seen by one of its ends.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferPhase {
    /// Source: serves the range and sends what is there.
    Copying,
    /// Source: serves the range and sends what was changed meanwhile.
    CatchingUp,
    /// Source: the range is closed, and the target was told to own it.
    HandingOver,
    /// Source: the range is closed, and the target was asked whether it owns it, or else never will.
    Asking,
    /// Target: takes in what the source sends.
    Receiving,
    /// The transfer is over.
    Ended(TransferEnd),
}

/// What one end tells about a transfer.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TransferProgress {
    /// How far it is.
    pub phase: TransferPhase,
    /// Records, tombstones and receipts that were sent or taken in since the shard's last upgrade; repeated ones count.
    pub items: u64,
    /// Bytes of the batches that they came in.
    pub bytes: u64,
    /// Changes that the source has still to send.
    pub changes: u64,
    /// Attempts that failed, one after the other.
    pub failed_attempts: u32,
    /// Why the last one failed.
    pub last_failure: Option<String>,
    /// What a source needs that has stopped sending because it is short of cycles; null if it isn't, or was never asked.
    pub cycles: Option<CyclesNeed>,
}

/// Why a shard did not do what it was asked about a transfer. Nothing was changed, but `import_batch` and `hand_over` may
/// have taken in a part of the batch, which does no harm.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// The caller may not ask for this: routers and administrators begin and cancel, peers send.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// The shard is busy with another transfer.
    InTransfer {
        /// The other transfer.
        id: TransferId,
    },
    /// The shard still clears up after an earlier transfer or an upgrade. Try again.
    Clearing {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// A source gives away all it owns, or the lower or upper part.
    RangeNotOwned {
        /// What it owns.
        owned: HashRange,
    },
    /// A target gets what touches its range, if it has one.
    RangeNotAdjacent {
        /// What it owns.
        owned: HashRange,
    },
    /// A later transfer was heard of before.
    EpochTooLow {
        /// The transfer's.
        epoch: Epoch,
        /// The lowest that is accepted.
        epoch_min: Epoch,
    },
    /// The source can't pay for sending the range, or the target for holding it.
    CyclesShort {
        /// Cycles that it can spend.
        available: Nat,
        /// Cycles that it needs, with its reserve for clients.
        required: Nat,
    },
    /// The shard never heard of this transfer, or forgot it.
    UnknownTransfer,
    /// The transfer is over.
    Ended(TransferEnd),
    /// The batch is none that a shard sends.
    MalformedBatch {
        /// What is wrong.
        reason: String,
    },
    /// The target gets more memory. Try again.
    Growing {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// The target has no memory left.
    OutOfSpace,
    /// More is kept per key than may be.
    TooMuchPerKey {
        /// What is too much.
        reason: String,
    },
    /// The transfer can still be cancelled: the range is open, or the shard is its target.
    NotClosed,
    /// The transfer is about another range.
    OtherRange {
        /// What it is about.
        range: HashRange,
    },
}

/// What `begin_transfer` answers. Beginning again what was begun changes nothing.
pub type BeginTransferResult = Result<(), TransferError>;
/// What `transfer_progress` answers.
pub type TransferProgressResult = Result<TransferProgress, TransferError>;
/// What `cancel_transfer` answers: `Ended` when it is over, one way or the other. A source that has told the target to
/// own the range finds out first, and answers `Asking`.
pub type CancelTransferResult = Result<TransferPhase, TransferError>;

// What shards tell each other ------------------------------------------------------------------------------------------

/// Brings records and receipts to the target.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ImportArguments {
    /// The transfer.
    pub id: TransferId,
    /// Shard time of the source, in nanoseconds since 1970.
    pub shard_time_nanoseconds: u64,
    /// What to take in, in an encoding of the shards' own that begins with its version.
    pub batch: ByteBuf,
}

/// Brings the rest, and makes the target own the range.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HandOverArguments {
    /// The transfer.
    pub id: TransferId,
    /// Shard time of the source, in nanoseconds since 1970.
    pub shard_time_nanoseconds: u64,
    /// The greatest version of any record that the source removed.
    pub removed_version: u64,
    /// What to take in, as for `import_batch`.
    pub batch: ByteBuf,
}

/// What `import_batch` answers.
pub type ImportResult = Result<(), TransferError>;
/// What `hand_over` answers: the target's word on who owns the range, the same every time it is asked.
pub type HandOverResult = Result<TransferEnd, TransferError>;

// What administrators tell routers -------------------------------------------------------------------------------------

/// Asks to cut a shard's range in two and to give the upper part to an empty shard, made if there is none.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SplitShardArguments {
    /// The shard.
    pub shard: ShardIndex,
    /// First hash of the upper part; the middle when null.
    pub at: Option<KeyHash>,
}

/// Asks to give all that a shard owns to a neighbour. The shard stays, empty, for a later split.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MergeShardArguments {
    /// The shard.
    pub shard: ShardIndex,
    /// The neighbour.
    pub into: ShardIndex,
}

/// Asks to end a transfer that is not done.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StopTransferArguments {
    /// The transfer.
    pub id: TransferId,
}

/// Why a transfer was not begun or stopped. Nothing was changed.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// The arguments are not what the method takes.
    MalformedArguments {
        /// What the decoder found.
        reason: String,
    },
    /// The caller is no administrator.
    Unauthorised {
        /// Who called.
        caller: Principal,
    },
    /// The service is starting. Try again.
    NotReady {
        /// When trying again makes sense.
        retry_after_milliseconds: u64,
    },
    /// There is no such shard.
    NoSuchShard {
        /// Its index.
        shard: ShardIndex,
    },
    /// The shard owns nothing.
    ShardIsEmpty {
        /// Its index.
        shard: ShardIndex,
    },
    /// The shard takes part in a transfer already.
    InTransfer {
        /// Its index.
        shard: ShardIndex,
        /// The transfer.
        id: TransferId,
    },
    /// The range can't be cut there: the boundary is the first hash of the upper part, and both parts hold some.
    BoundaryOutOfRange {
        /// What the shard owns.
        range: HashRange,
    },
    /// The shards' ranges don't touch.
    NotNeighbours {
        /// What the one owns.
        range: HashRange,
        /// What the other owns.
        into: HashRange,
    },
    /// As many transfers run as may.
    TooManyTransfers {
        /// Bound on transfers at a time.
        transfers_max: u32,
    },
    /// There are as many shards as may be.
    TooManyShards {
        /// Bound on shards.
        shards_max: u32,
    },
    /// No such transfer runs.
    NoSuchTransfer,
    /// The shard owns everything, so there is no neighbour that could take it.
    LastShard {
        /// Its index.
        shard: ShardIndex,
    },
    /// The shard's canister is not ready, or is about to be emptied.
    NotOpen {
        /// Its index.
        shard: ShardIndex,
    },
}

/// What `split_shard` and `merge_shard` answer: the transfer, which has only begun.
pub type MoveResult = Result<TransferId, MoveError>;
/// What `stop_transfer` answers: it was noted, and `status` tells what came of it.
pub type StopTransferResult = Result<(), MoveError>;

/// How far a transfer is, as the router knows.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStage {
    /// The target is being made.
    AwaitingTarget,
    /// The source is asked how much the range takes.
    Measuring,
    /// The target is sent cycles for what it will hold, or waits for them.
    FundingTarget,
    /// The target is being told.
    TellingTarget,
    /// The source is sent cycles for what it will send, or waits for them.
    FundingSource,
    /// The source is being told.
    TellingSource,
    /// The shards are at it.
    Moving,
    /// The source is being told to stop.
    StoppingSource,
    /// The target is being told to stop.
    StoppingTarget,
    /// It is over.
    Ended(TransferEnd),
}

/// A transfer, as the router knows it.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TransferStatus {
    /// Its name.
    pub id: TransferId,
    /// Who gives the range away.
    pub source: ShardIndex,
    /// Who gets it.
    pub target: ShardIndex,
    /// What is handed over.
    pub range: HashRange,
    /// Epoch of what both own afterwards.
    pub epoch: Epoch,
    /// How far it is.
    pub stage: TransferStage,
    /// What the source last said.
    pub progress: Option<TransferProgress>,
    /// When it was asked for, in nanoseconds since 1970.
    pub begun_at_nanoseconds: u64,
    /// When it was over, in nanoseconds since 1970.
    pub ended_at_nanoseconds: Option<u64>,
    /// Failed attempts of what is being done, one after the other.
    pub failed_attempts: u32,
    /// Why the last one failed, or why it was cancelled.
    pub last_failure: Option<String>,
    /// Cycles that were sent for its sake, and what stands in the way of that. Null if none were needed.
    pub funding: Option<FundingStatus>,
}
