//! Who may call a shard, and which keys it answers for.

use candid::Principal;
use canopy_types::limits::{ADMINISTRATORS_MAX, KEY_BYTES_MAX, TAG_SEED_BYTES, VALUE_BYTES_MAX};
use canopy_types::roles::{Reach, Role};
use canopy_types::shard::{ShardError, ShardInitArguments, WrongShard};
use canopy_types::wire::equal_bytes;
use canopy_types::wire::{ActionRef, ApplyRef};
use canopy_types::{Epoch, HashRange, HashSecret, KeyHash, ShardIndex, TagSecret};

use crate::roles::Said;
use crate::state::State;

#[cfg(test)]
mod tests;

/// What a shard is: whom it obeys and what it owns.
pub struct Identity {
    pub router: Principal,
    pub administrators: Vec<Principal>,
    pub secret: HashSecret,
    pub tags: TagSecret,
    pub range: HashRange,
    pub epoch: Epoch,
    pub index: ShardIndex,
}

/// Why a shard can't be installed with the arguments given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitFault {
    TooManyAdministrators,
    SecretLength,
    TagSeedLength,
    EmptyRange,
}

impl Identity {
    /// Checks what a router installs the shard with.
    ///
    /// # Errors
    ///
    /// The first argument that no router sends.
    pub fn from_arguments(arguments: ShardInitArguments) -> Result<Self, InitFault> {
        if arguments.administrators.len() > ADMINISTRATORS_MAX {
            return Err(InitFault::TooManyAdministrators);
        }
        if !arguments.range.is_valid() && arguments.range != HashRange::EMPTY {
            return Err(InitFault::EmptyRange);
        }
        let secret = HashSecret::from_slice(&arguments.secret).ok_or(InitFault::SecretLength)?;
        let seed = arguments.tag_seed.as_ref().map(|seed| seed.as_slice().try_into());
        let seed: Option<&[u8; TAG_SEED_BYTES]> = seed.transpose().map_err(|_| InitFault::TagSeedLength)?;
        let tags = TagSecret::derive(&secret, seed);
        Ok(Self {
            router: arguments.router,
            administrators: arguments.administrators,
            secret,
            tags,
            range: arguments.range,
            epoch: arguments.epoch,
            index: arguments.index,
        })
    }

    /// Tells whether the caller, given as a principal's bytes, is the router.
    pub fn is_router(&self, caller: &[u8]) -> bool {
        equal_bytes(caller, self.router.as_slice())
    }

    /// Checks a key and tells its place.
    ///
    /// # Errors
    ///
    /// A key that is too short or long, or that another shard owns.
    pub fn place(&self, key: &[u8]) -> Result<KeyHash, ShardError> {
        if key.is_empty() {
            return Err(ShardError::KeyEmpty);
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(ShardError::KeyTooLong { bytes: key.len() as u64, bytes_max: KEY_BYTES_MAX as u64 });
        }
        let hash = self.secret.hash(key);
        if !self.range.contains(hash) {
            let wrong = WrongShard { range: self.range, epoch: self.epoch, owner: None, moved: None };
            return Err(ShardError::WrongShard(wrong));
        }
        Ok(hash)
    }
}

/// How far a caller may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It is the router, which has checked for others, and may act for them.
    Router,
    /// It comes directly, and may do what was asked with so many keys.
    Direct(Reach),
}

impl State {
    /// Checks that `caller`, a principal's bytes, may do what `required` may with some key.
    ///
    /// The router may do everything, and so may who controls the shard. For all others the router's word counts while it
    /// holds. Before its first word those administer who were named when the shard was installed.
    ///
    /// # Errors
    ///
    /// `Unauthorised`, or `RolesUnknown` when there is no word that holds.
    pub fn authorise(
        &self,
        caller: &[u8],
        required: Role,
        is_controller: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Permit, ShardError> {
        // The router comes first: its calls are nearly all there are.
        if self.identity.is_router(caller) {
            return Ok(Permit::Router);
        }
        let said = self.roles.said(caller, required, self.message_time);
        if said == Said::Reach(Reach::Everything) || is_controller(caller) {
            return Ok(Permit::Direct(Reach::Everything));
        }
        let is_administrator =
            || self.identity.administrators.iter().any(|known| equal_bytes(caller, known.as_slice()));
        match said {
            Said::Reach(Reach::Nothing) => Err(unauthorised(caller)),
            Said::Reach(reach) => Ok(Permit::Direct(reach)),
            Said::Nothing if is_administrator() => Ok(Permit::Direct(Reach::Everything)),
            Said::Nothing | Said::Outdated => Err(ShardError::RolesUnknown),
        }
    }

    /// Checks that a caller that comes directly may do this with `key`, and counts it if it is an update. The router has
    /// done both.
    ///
    /// # Errors
    ///
    /// `Unauthorised`, or `RateLimited`.
    pub fn admit(
        &mut self,
        permit: Permit,
        caller: &[u8],
        required: Role,
        key: &[u8],
        bytes: usize,
    ) -> Result<(), ShardError> {
        let Permit::Direct(reach) = permit else { return Ok(()) };
        if reach != Reach::Everything && !self.roles.covers(caller, required, key) {
            return Err(unauthorised(caller));
        }
        self.count(caller, 1, bytes)
    }

    /// Checks that `caller` may do all of a batch, whose gets are permitted to it, and counts it.
    ///
    /// # Errors
    ///
    /// A batch for somebody else that doesn't come from the router; else as for [`State::authorise`] and
    /// [`State::admit`]. None of the batch may be done then.
    pub fn admit_batch(
        &mut self,
        permit: Permit,
        caller: &[u8],
        batch: &ApplyRef,
        bytes: usize,
        is_controller: impl FnOnce(&[u8]) -> bool,
    ) -> Result<(), ShardError> {
        let Permit::Direct(reading) = permit else { return Ok(()) };
        if !equal_bytes(caller, batch.caller) {
            return Err(unauthorised(caller));
        }
        let writes = batch.items.iter().any(|item| !matches!(item.action, ActionRef::Get(_)));
        let writing = if writes { self.authorise(caller, Role::Writer, is_controller)? } else { permit };
        for item in &batch.items {
            let (role, key, permit) = match &item.action {
                ActionRef::Get(get) => (Role::Reader, get.key, Permit::Direct(reading)),
                ActionRef::Put(put) => (Role::Writer, put.key, writing),
                ActionRef::Delete(delete) => (Role::Writer, delete.key, writing),
            };
            if permit != Permit::Direct(Reach::Everything) && !self.roles.covers(caller, role, key) {
                return Err(unauthorised(caller));
            }
        }
        self.count(caller, batch.items.len() as u64, bytes)
    }

    fn count(&mut self, caller: &[u8], operations: u64, bytes: usize) -> Result<(), ShardError> {
        if !self.message_is_update {
            return Ok(());
        }
        self.roles.admit(caller, operations, bytes as u64, self.message_time).map_err(|(limits, milliseconds)| {
            ShardError::RateLimited {
                retry_after_milliseconds: milliseconds,
                operations_per_minute_max: limits.operations_per_minute_max,
                bytes_per_minute_max: limits.bytes_per_minute_max,
            }
        })
    }
}

/// Tells the least role that may send `method` from outside; `None` for what only the router calls.
pub fn required_role(method: &str) -> Option<Role> {
    match method {
        // A batch of gets takes no more; what it writes is looked at when it is read.
        "get" | "get_query" | "scan" | "apply" | "get_manifest" | "get_chunk" => Some(Role::Reader),
        "put" | "delete" | "put_chunk" => Some(Role::Writer),
        "info" | "scrub" | "look_up" | "begin_transfer" | "transfer_progress" | "cancel_transfer"
        | "abandon_transfer" | "adopt_router" => Some(Role::Administrator),
        _ => None,
    }
}

fn unauthorised(caller: &[u8]) -> ShardError {
    ShardError::Unauthorised { caller: Principal::from_slice(caller) }
}

/// Checks the length of a value.
///
/// # Errors
///
/// `ValueTooLong`.
pub fn check_value(value: &[u8]) -> Result<(), ShardError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(ShardError::ValueTooLong { bytes: value.len() as u64, bytes_max: VALUE_BYTES_MAX as u64 });
    }
    Ok(())
}
