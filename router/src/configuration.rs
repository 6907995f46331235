//! What a router was installed with.

use candid::{CandidType, Principal};
use canopy_types::InitArguments;
use canopy_types::limits::{
    ADMINISTRATORS_MAX, INITIAL_SHARDS_DEFAULT, INITIAL_SHARDS_MAX, INITIAL_SHARDS_MIN, ROLE_PRINCIPALS_MAX,
    SHARD_CYCLES_DEFAULT, SHARD_CYCLES_MAX, SHARD_CYCLES_MIN,
};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;

#[cfg(test)]
mod tests;

/// The checked install arguments. Stored as Candid; new fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub initial_shards: u32,
    pub administrators: BTreeSet<Principal>,
    pub writers: BTreeSet<Principal>,
    pub readers: BTreeSet<Principal>,
    pub shard_cycles: u128,
    /// Whether the router makes no shards, but waits to be told those of a lost one. Null from versions before.
    pub without_shards: Option<bool>,
}

/// Why a router can't be installed with the arguments given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationFault {
    InitialShards { given: u32 },
    TooManyAdministrators { given: usize },
    AnonymousAdministrator,
    TooManyPrincipals { given: usize },
    ShardCycles,
    ShardsOfNone,
}

impl Configuration {
    /// Checks the arguments and fills in what they leave out. `installer` administers when nobody is named, unless it
    /// is anonymous: then only the controllers do.
    ///
    /// # Errors
    ///
    /// The first argument out of bounds.
    pub fn from_arguments(arguments: InitArguments, installer: Principal) -> Result<Self, ConfigurationFault> {
        let initial_shards = arguments.initial_shards.unwrap_or(INITIAL_SHARDS_DEFAULT);
        if !(INITIAL_SHARDS_MIN..=INITIAL_SHARDS_MAX).contains(&initial_shards) {
            return Err(ConfigurationFault::InitialShards { given: initial_shards });
        }
        if arguments.without_shards == Some(true) && arguments.initial_shards.is_some() {
            return Err(ConfigurationFault::ShardsOfNone);
        }
        let administrators: BTreeSet<Principal> = match arguments.administrators {
            Some(named) => named.into_iter().collect(),
            None => [installer].into_iter().filter(|installer| *installer != Principal::anonymous()).collect(),
        };
        if administrators.len() > ADMINISTRATORS_MAX {
            return Err(ConfigurationFault::TooManyAdministrators { given: administrators.len() });
        }
        if administrators.contains(&Principal::anonymous()) {
            return Err(ConfigurationFault::AnonymousAdministrator);
        }
        let role = |named: Option<Vec<Principal>>| {
            let principals: BTreeSet<Principal> = named.unwrap_or_default().into_iter().collect();
            match principals.len() {
                0..=ROLE_PRINCIPALS_MAX => Ok(principals),
                given => Err(ConfigurationFault::TooManyPrincipals { given }),
            }
        };
        let shard_cycles = match arguments.shard_cycles {
            Some(cycles) => u128::try_from(cycles.0).map_err(|_| ConfigurationFault::ShardCycles)?,
            None => SHARD_CYCLES_DEFAULT,
        };
        if !(SHARD_CYCLES_MIN..=SHARD_CYCLES_MAX).contains(&shard_cycles) {
            return Err(ConfigurationFault::ShardCycles);
        }
        Ok(Self {
            initial_shards,
            administrators,
            writers: role(arguments.writers)?,
            readers: role(arguments.readers)?,
            shard_cycles,
            without_shards: arguments.without_shards,
        })
    }
}

impl fmt::Display for ConfigurationFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitialShards { given } => {
                write!(formatter, "initial_shards is {given}, and may be {INITIAL_SHARDS_MIN} to {INITIAL_SHARDS_MAX}")
            }
            Self::TooManyAdministrators { given } => {
                write!(formatter, "{given} administrators are named, and may be {ADMINISTRATORS_MAX} at most")
            }
            Self::AnonymousAdministrator => {
                write!(formatter, "the anonymous principal may not administer: everybody could")
            }
            Self::TooManyPrincipals { given } => {
                write!(formatter, "{given} writers or readers are named, and may be {ROLE_PRINCIPALS_MAX} at most")
            }
            Self::ShardsOfNone => write!(formatter, "initial_shards is given, and without_shards too"),
            Self::ShardCycles => {
                write!(formatter, "shard_cycles may be {SHARD_CYCLES_MIN} to {SHARD_CYCLES_MAX}")
            }
        }
    }
}
