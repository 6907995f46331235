//! Who may call a shard, and which keys it answers for.

use candid::Principal;
use canopy_types::limits::{ADMINISTRATORS_MAX, KEY_BYTES_MAX, TAG_SEED_BYTES, VALUE_BYTES_MAX};
use canopy_types::shard::{ShardError, ShardInitArguments, WrongShard};
use canopy_types::wire::equal_bytes;
use canopy_types::{Epoch, HashRange, HashSecret, KeyHash, ShardIndex, TagSecret};

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
        if !arguments.range.is_valid() {
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

    /// Checks that the caller, given as a principal's bytes, is the router or an administrator.
    ///
    /// # Errors
    ///
    /// `Unauthorised`.
    pub fn check_caller(&self, caller: &[u8]) -> Result<(), ShardError> {
        let is = |known: &Principal| equal_bytes(caller, known.as_slice());
        if is(&self.router) || self.administrators.iter().any(is) { Ok(()) } else { Err(unauthorised(caller)) }
    }

    /// Checks that `caller`, who may call, may act for `original`: the router for everybody, others for themselves.
    ///
    /// # Errors
    ///
    /// `Unauthorised`.
    pub fn check_on_behalf(&self, caller: &[u8], original: &[u8]) -> Result<(), ShardError> {
        let may = equal_bytes(caller, self.router.as_slice()) || equal_bytes(caller, original);
        if may { Ok(()) } else { Err(unauthorised(caller)) }
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
            let wrong = WrongShard { range: self.range, epoch: self.epoch, owner: None };
            return Err(ShardError::WrongShard(wrong));
        }
        Ok(hash)
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
