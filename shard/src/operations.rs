//! Put, get, delete and batches, on the state: what the methods do between reading a message and replying.

use canopy_types::limits::{
    BATCH_ITEMS_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES_MAX, OPERATION_ID_BYTES, TIME_TO_LIVE_MILLISECONDS_MAX,
    TIME_TO_LIVE_MILLISECONDS_MIN,
};
use canopy_types::marks::{self, Phase};
use canopy_types::shard::{ShardError, WrongShard};
use canopy_types::wire::batch::ANSWER_BYTES_MAX;
use canopy_types::wire::replies::{self, RecordHead};
use canopy_types::wire::{ActionRef, ApplyRef, DeleteRef, GetRef, ItemRef, OperationRef, PutRef, ReplyWriter};
use canopy_types::{Precondition, TagSecret, Version};

use crate::access::check_value;
use crate::growth::RETRY_AFTER_MILLISECONDS;
use crate::state::State;
use crate::store::{self, Delete, KeyRef, Kind, Operation, Outcome, Put, ValuePlace, WriteError};
use crate::transfer::turn::Access;
use crate::uploads::StoredManifest;

#[cfg(test)]
mod tests;

/// Space of the clients' keys.
pub const CLIENT_SPACE: u8 = 0;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// Whose write it is, and under which name.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Bytes of a principal: whoever asked first, the router or the shard.
    pub caller: &'a [u8],
    pub operation: Option<OperationRef<'a>>,
    /// Place in the caller's batch.
    pub index: u32,
}

/// What a get has found: a record, and where its value lies.
type Found = Option<(RecordHead, ValuePlace)>;

impl State {
    /// Stores a record in place of what was there.
    ///
    /// # Errors
    ///
    /// Why not; nothing was changed, but a failed precondition is remembered under the operation's name.
    pub fn put(&mut self, origin: &Origin, put: &PutRef) -> Result<Version, ShardError> {
        let key = self.key(put.key, Access::Write)?;
        check_value(put.value)?;
        let expires_at = self.expires_at(put.time_to_live_milliseconds)?;
        marks::end(Phase::Route);
        let operation = self.operation(origin, |tags| {
            let terms = [precondition_words(put.precondition), [put.time_to_live_milliseconds.map_or(0, |ttl| ttl), 0]];
            digest(tags, PUT, key.tag, &terms, condense(put.value))
        })?;
        marks::end(Phase::Name);
        self.fetch(&key)?;
        let precondition = precondition(put.precondition);
        let put = Put { key, kind: Kind::Value, value: put.value, expires_at, precondition, operation };
        let outcome = self.store.put(&put).map_err(refusal)?.outcome;
        self.settle_displaced();
        marks::end(Phase::Store);
        match outcome {
            Outcome::Written { version } => Ok(Version(version)),
            Outcome::Refused { current } => Err(precondition_failed(current)),
            Outcome::Deleted { .. } | Outcome::Absent => unreachable!("the digest tells puts from deletes"),
        }
    }

    /// Removes a record and tells its version; `None` when there was none.
    ///
    /// # Errors
    ///
    /// As for `put`.
    pub fn delete(&mut self, origin: &Origin, delete: &DeleteRef) -> Result<Option<Version>, ShardError> {
        let key = self.key(delete.key, Access::Write)?;
        marks::end(Phase::Route);
        let operation = self.operation(origin, |tags| {
            digest(tags, DELETE, key.tag, &[precondition_words(delete.precondition), [0; 2]], 0)
        })?;
        self.fetch(&key)?;
        let precondition = precondition(delete.precondition);
        let keep_tombstone = self.keeps_tombstone(key.hash);
        marks::end(Phase::Name);
        let delete = Delete { key, precondition, operation, keep_tombstone };
        let outcome = self.store.delete(&delete).map_err(refusal)?.outcome;
        self.settle_displaced();
        marks::end(Phase::Store);
        match outcome {
            Outcome::Deleted { version } => Ok(Some(Version(version))),
            Outcome::Absent => Ok(None),
            Outcome::Refused { current } => Err(precondition_failed(current)),
            Outcome::Written { .. } => unreachable!("the digest tells puts from deletes"),
        }
    }

    /// Reads a record and makes the reply.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn get(&mut self, get: &GetRef) -> Result<Vec<u8>, ShardError> {
        let Some((head, place)) = self.find(get)? else { return Ok(replies::no_record()) };
        let mut reply = replies::begin_record(&head);
        if head.include_value {
            self.store.append_value(place, &mut reply);
            marks::end(Phase::Store);
        }
        replies::end_record(&mut reply, &head);
        Ok(reply)
    }

    /// Does the items of a batch one after the other and makes the reply: hands its beginning to `send`, piece by piece, and
    /// gives the rest.
    ///
    /// # Errors
    ///
    /// `TooManyItems`; nothing was done.
    pub fn apply(&mut self, batch: &ApplyRef, send: impl FnMut(&[u8])) -> Result<Vec<u8>, ShardError> {
        if batch.items.len() > BATCH_ITEMS_MAX {
            let items = batch.items.len() as u64;
            return Err(ShardError::TooManyItems { items, items_max: BATCH_ITEMS_MAX as u64 });
        }
        let bound = batch.reply_bytes_max.unwrap_or(u64::MAX).min(REPLY_BYTES_MAX as u64) as usize;
        let mut answers = ReplyWriter::new(&batch.items);
        // Looking for a record of layout 1 changes the store, and what was found before may lie elsewhere then.
        let are_gets = batch.items.iter().all(|item| matches!(item.action, ActionRef::Get(_)));
        if are_gets && self.carrying_over.is_none() {
            self.answer_gets(&batch.items, bound, &mut answers, send);
            return Ok(answers.finish());
        }
        for (at, item) in batch.items.iter().enumerate() {
            let origin = Origin { caller: batch.caller, operation: batch.operation, index: item.index };
            match &item.action {
                ActionRef::Put(put) => answers.put(self.put(&origin, put)),
                ActionRef::Delete(delete) => answers.delete(self.delete(&origin, delete)),
                ActionRef::Get(get) => {
                    let found = self.find(get);
                    self.answer_get(found, room(bound, batch.items.len() - at, &answers), &mut answers);
                }
            }
            marks::end(Phase::Encode);
        }
        Ok(answers.finish())
    }

    /// Answers a batch of gets. All records are looked for before any value is read: then it is known whether an answer is
    /// rare, and if none is, the values needn't be on the heap all together.
    fn answer_gets(&mut self, items: &[ItemRef], bound: usize, answers: &mut ReplyWriter, mut send: impl FnMut(&[u8])) {
        let gets = items.iter().filter_map(|item| match &item.action {
            ActionRef::Get(get) => Some(get),
            _ => None,
        });
        let found: Vec<Result<Found, Box<ShardError>>> = gets.map(|get| self.find(get).map_err(Box::new)).collect();
        let are_everyday = found.iter().all(|found| found.as_ref().err().is_none_or(|e| ReplyWriter::is_everyday(e)));
        let count = found.len();
        for (at, found) in found.into_iter().enumerate() {
            if are_everyday {
                let value_bytes =
                    found.as_ref().map_or(0, |found| found.as_ref().map_or(0, |(_, place)| place.bytes()));
                answers.make_room(value_bytes + ANSWER_BYTES_MAX, &mut send);
            }
            let room = room(bound, count - at, answers);
            self.answer_get(found.map_err(|error| *error), room, answers);
            marks::end(Phase::Encode);
        }
    }

    fn answer_get(&self, found: Result<Found, ShardError>, room: usize, answers: &mut ReplyWriter) {
        match found {
            Err(error) => answers.no_record(Err(error)),
            Ok(None) => answers.no_record(Ok(())),
            Ok(Some((head, _))) if head.include_value && head.value_bytes > room => {
                answers.no_record(Err(ShardError::AskAgain { bytes: head.value_bytes as u64 }));
            }
            Ok(Some((head, place))) => answers.record(&head, |reply| self.store.append_value(place, reply)),
        }
    }

    fn find(&mut self, get: &GetRef) -> Result<Found, ShardError> {
        let key = self.key(get.key, Access::Read)?;
        marks::end(Phase::Route);
        self.fetch(&key)?;
        let found = self.store.find(&key);
        marks::end(Phase::Store);
        let Some((found, place)) = found else { return Ok(None) };
        let mut head = RecordHead {
            version: Version(found.version),
            expires_at_nanoseconds: found.expires_at,
            value_bytes: found.value_bytes as usize,
            include_value: get.include_value.unwrap_or(true),
        };
        if found.kind == Kind::Manifest {
            let bytes = self.large_value_bytes(place);
            // It is longer than any reply: its chunks are.
            if head.include_value {
                return Err(ShardError::AskAgain { bytes });
            }
            head.value_bytes = bytes as usize;
        }
        Ok(Some((head, place)))
    }

    #[cold]
    fn large_value_bytes(&self, place: ValuePlace) -> u64 {
        let mut manifest = Vec::new();
        self.store.append_value(place, &mut manifest);
        StoredManifest::decode(&manifest).value_bytes
    }

    pub(crate) fn key<'k>(&mut self, bytes: &'k [u8], access: Access) -> Result<KeyRef<'k>, ShardError> {
        let hash = self.identity.place(bytes).map_err(|error| self.direct(error, bytes))?;
        self.check_moving(hash, access)?;
        self.load.count(hash.0);
        Ok(KeyRef { hash: hash.0, tag: self.identity.tags.hash(bytes), space: CLIENT_SPACE, bytes })
    }

    /// Adds to a refusal who owns the key, if the shard knows.
    fn direct(&self, error: ShardError, key: &[u8]) -> ShardError {
        match error {
            ShardError::WrongShard(wrong) => {
                let (owner, moved) = self.transfers.owner_of(self.identity.secret.hash(key)).unzip();
                ShardError::WrongShard(WrongShard { owner, moved, ..wrong })
            }
            other => other,
        }
    }

    /// Makes sure that a record of layout 1 is in the store before it is asked for.
    pub(crate) fn fetch(&mut self, key: &KeyRef) -> Result<(), ShardError> {
        match &self.carrying_over {
            None => Ok(()),
            Some(carrying_over) => carrying_over.fetch(&mut self.store, &self.identity.tags, key).map_err(refusal),
        }
    }

    pub(crate) fn expires_at(&self, time_to_live_milliseconds: Option<u64>) -> Result<Option<u64>, ShardError> {
        let Some(milliseconds) = time_to_live_milliseconds else { return Ok(None) };
        let (milliseconds_min, milliseconds_max) = (TIME_TO_LIVE_MILLISECONDS_MIN, TIME_TO_LIVE_MILLISECONDS_MAX);
        if !(milliseconds_min..=milliseconds_max).contains(&milliseconds) {
            return Err(ShardError::TimeToLiveOutOfBounds { milliseconds, milliseconds_min, milliseconds_max });
        }
        Ok(Some(self.store.shard_time() + milliseconds * NANOSECONDS_PER_MILLISECOND))
    }

    fn operation(
        &self,
        origin: &Origin,
        arguments: impl FnOnce(&TagSecret) -> u64,
    ) -> Result<Option<Operation>, ShardError> {
        let Some(operation) = origin.operation else { return Ok(None) };
        if operation.id.len() != OPERATION_ID_BYTES {
            let (bytes, bytes_required) = (operation.id.len() as u64, OPERATION_ID_BYTES as u64);
            return Err(ShardError::OperationIdLength { bytes, bytes_required });
        }
        let tags = &self.identity.tags;
        let identity = identity(tags, origin.caller, operation.id, origin.index);
        let issued = operation.issued_at_nanoseconds;
        Ok(Some(Operation { identity, issued, arguments: arguments(tags) }))
    }
}

/// Longest reply of a batch: what the platform takes, without what the general encoder may add.
const REPLY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES_MAX;

/// Tells how long a value may be in a reply bounded so, when so many answers are to follow.
fn room(bound: usize, answers_left: usize, answers: &ReplyWriter) -> usize {
    bound.saturating_sub(answers.bytes() + answers_left * ANSWER_BYTES_MAX)
}

/// Longest principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 29;

/// Names a write: (caller, id, index), which no two writes share.
fn identity(tags: &TagSecret, caller: &[u8], id: &[u8], index: u32) -> u128 {
    let mut bytes = [0; 1 + PRINCIPAL_BYTES_MAX + OPERATION_ID_BYTES + 4];
    let caller = &caller[..caller.len().min(PRINCIPAL_BYTES_MAX)];
    bytes[0] = caller.len() as u8;
    bytes[1..][..caller.len()].copy_from_slice(caller);
    bytes[1 + PRINCIPAL_BYTES_MAX..][..OPERATION_ID_BYTES].copy_from_slice(id);
    bytes[1 + PRINCIPAL_BYTES_MAX + OPERATION_ID_BYTES..].copy_from_slice(&index.to_le_bytes());
    tags.wide_hash(&bytes)
}

const PUT: u64 = 1;
const DELETE: u64 = 2;

/// Condenses a value for [`digest`]. It only has to tell a caller's own values apart, which nobody gains by making alike;
/// so it is no keyed hash, which would take 2,100 instructions more for 1,000 bytes.
///
/// Each step is one-to-one in what came before it and in each of its words, so values that differ in one word differ in
/// what they come to.
fn condense(value: &[u8]) -> u64 {
    /// 2^64 divided by the golden ratio, and odd.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = |bytes: &[u8; 32], at: usize| {
        u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().expect("32 bytes hold four words"))
    };
    let step = |sum: u64, bytes: &[u8; 32]| {
        let second = word(bytes, 1).rotate_left(17).wrapping_add(word(bytes, 2).rotate_left(31));
        let words = word(bytes, 0).wrapping_add(second).wrapping_add(word(bytes, 3).rotate_left(47));
        (sum.rotate_left(5) ^ words).wrapping_mul(FACTOR)
    };
    let (chunks, rest) = value.as_chunks::<32>();
    let sum = chunks.iter().fold(value.len() as u64, step);
    let mut last = [0; 32];
    last[..rest.len()].copy_from_slice(rest);
    step(sum, &last)
}

/// Condenses what a write asks for, so that another write under the same name is noticed.
fn digest(tags: &TagSecret, kind: u64, key_tag: u64, terms: &[[u64; 2]; 2], value: u64) -> u64 {
    let mut bytes = [0; 56];
    let words = [kind, key_tag, terms[0][0], terms[0][1], terms[1][0], terms[1][1], value];
    for (part, word) in bytes.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    tags.hash(&bytes)
}

fn precondition_words(precondition: Option<Precondition>) -> [u64; 2] {
    match precondition {
        None => [0, 0],
        Some(Precondition::Absent) => [1, 0],
        Some(Precondition::Present) => [2, 0],
        Some(Precondition::Version(version)) => [3, version.0],
    }
}

pub(crate) fn precondition(precondition: Option<Precondition>) -> store::Precondition {
    match precondition {
        None => store::Precondition::None,
        Some(Precondition::Absent) => store::Precondition::Absent,
        Some(Precondition::Present) => store::Precondition::Present,
        Some(Precondition::Version(version)) => store::Precondition::Version(version.0),
    }
}

pub(crate) fn precondition_failed(current: Option<u64>) -> ShardError {
    ShardError::PreconditionFailed { found: current.map(Version) }
}

/// Says why the store refuses a write.
pub(crate) fn refusal(error: WriteError) -> ShardError {
    match error {
        WriteError::OperationTooOld { oldest } => ShardError::OperationTooOld { oldest_nanoseconds: oldest },
        WriteError::OperationTooNew { newest } => ShardError::OperationFromTheFuture { newest_nanoseconds: newest },
        WriteError::OperationReused => ShardError::OperationIdReused,
        WriteError::TooManyReceipts { receipts_max } => ShardError::TooManyOperations { operations_max: receipts_max },
        WriteError::TooManyEqualTags { entries_max } => ShardError::KeyCollides { keys_max: entries_max },
        WriteError::GrowthPending => ShardError::Growing { retry_after_milliseconds: RETRY_AFTER_MILLISECONDS },
        WriteError::OutOfSpace => ShardError::OutOfSpace,
        WriteError::KeyTooLong { .. } | WriteError::ValueTooLong { .. } => {
            unreachable!("INVARIANT: sizes were checked, and the store takes more than clients may send")
        }
    }
}

const _: () = assert!(store::KEY_BYTES_MAX >= canopy_types::limits::KEY_BYTES_MAX);
const _: () = assert!(store::VALUE_BYTES_MAX >= canopy_types::limits::VALUE_BYTES_MAX);
