//! Who may do what: roles, the grants that give them, and the table in which router and shards look them up.

use std::collections::BTreeMap;

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec;
use crate::growth::ShardReading;
use crate::rate::RateLimits;
use crate::wire::equal_bytes;

#[cfg(test)]
mod tests;

/// What a principal may do; a greater role may do all that a lesser one may.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May get and scan.
    Reader,
    /// May put and delete besides.
    Writer,
    /// May do everything, decides who else may, and controls the shards.
    Administrator,
}

/// A role given to a principal. The argument of `grant` and `revoke`.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Who may. Null: everyone, anonymous callers too; only for readers.
    pub grantee: Option<Principal>,
    /// What it may do.
    pub role: Role,
    /// Only with keys that begin with these 1 to 1,024 bytes; with all keys when null. Not for administrators.
    pub prefix: Option<ByteBuf>,
}

impl Grant {
    /// Gives `principal` a role for all keys.
    pub fn of_everything(principal: Principal, role: Role) -> Self {
        Self { grantee: Some(principal), role, prefix: None }
    }

    /// Tells the bytes of the prefix.
    pub fn prefix_bytes(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.len())
    }
}

/// Why a role was not given.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum GrantError {
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
    /// As many grants as may be exist.
    TooManyGrants {
        /// How many there would be.
        grants: u64,
        /// How many there may be.
        grants_max: u64,
    },
    /// The grantee has as many grants as it may have.
    TooManyGrantsOfOne {
        /// How many there would be.
        grants: u64,
        /// How many there may be.
        grants_max: u64,
    },
    /// As many administrators as may be exist: they control every shard.
    TooManyAdministrators {
        /// How many there would be.
        administrators: u64,
        /// How many there may be.
        administrators_max: u64,
    },
    /// The prefixes of all grants are too long together.
    TooManyPrefixBytes {
        /// How many bytes there would be.
        bytes: u64,
        /// How many there may be.
        bytes_max: u64,
    },
    /// No key begins with a prefix of this length.
    PrefixTooLong {
        /// Its length.
        bytes: u64,
        /// The length of the longest key.
        bytes_max: u64,
    },
    /// Every key begins with an empty prefix: null says that.
    PrefixEmpty,
    /// Administrators aren't limited to keys.
    PrefixOfAdministrator,
    /// Everyone may only read.
    EveryoneOnlyReads,
    /// The anonymous principal is anybody, and may only read.
    AnonymousOnlyReads,
}

/// Why a role was not taken away.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum RevokeError {
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
    /// There is no grant of this grantee, role and prefix.
    NoSuchGrant,
    /// Only a controller of the router may revoke the last administrator, who could not be named again by anyone else.
    LastAdministrator,
}

/// All grants.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Grows with every change.
    pub version: u64,
    /// In order of grantee (everyone first), role and prefix.
    pub grants: Vec<Grant>,
}

/// What `grant` answers.
pub type GrantResult = Result<(), GrantError>;
/// What `revoke` answers.
pub type RevokeResult = Result<(), RevokeError>;
/// What `roles` answers.
pub type RolesResult = Result<Roles, crate::api::ReadError>;

/// What `renew_roles` answers.
pub type RenewRolesResult = Result<(), crate::api::ReadError>;

/// With which keys a caller may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// With none.
    Nothing,
    /// With some: each must be asked about.
    SomeKeys,
    /// With all.
    Everything,
}

/// A principal's bytes as words, which compare faster than bytes: padded, with their number in the last byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallerWords([u64; 4]);

/// Longest principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 29;

impl CallerWords {
    /// No principal comes before this.
    pub(crate) const LEAST: Self = Self([0; 4]);

    pub(crate) fn new(caller: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let count = caller.len().min(PRINCIPAL_BYTES_MAX);
        bytes[..count].copy_from_slice(&caller[..count]);
        bytes[31] = caller.len().min(usize::from(u8::MAX)) as u8;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at * 8 + byte]));
        Self([word(0), word(1), word(2), word(3)])
    }
}

/// What one principal may do.
#[derive(Clone, Debug, Default)]
struct Rights {
    everywhere: Option<Role>,
    /// Roles for keys that begin with a prefix.
    limited: Vec<(Role, ByteBuf)>,
}

impl Rights {
    fn add(&mut self, role: Role, prefix: Option<ByteBuf>) {
        match prefix {
            None => self.everywhere = self.everywhere.max(Some(role)),
            Some(prefix) => self.limited.push((role, prefix)),
        }
    }

    fn reach(&self, required: Role) -> Reach {
        if self.everywhere >= Some(required) {
            Reach::Everything
        } else if self.limited.iter().any(|(role, _)| *role >= required) {
            Reach::SomeKeys
        } else {
            Reach::Nothing
        }
    }

    fn covers(&self, required: Role, key: &[u8]) -> bool {
        let begins = |prefix: &[u8]| key.get(..prefix.len()).is_some_and(|head| equal_bytes(head, prefix));
        self.everywhere >= Some(required)
            || self.limited.iter().any(|(role, prefix)| *role >= required && begins(prefix))
    }
}

/// The grants, for looking up: nothing is allocated, and a principal is found by few comparisons of words.
#[derive(Default)]
pub struct RoleTable {
    everyone: Rights,
    named: BTreeMap<CallerWords, Rights>,
}

impl RoleTable {
    /// Builds the table of these grants. A role for all keys beats every limited one below it.
    pub fn new<'a>(grants: impl IntoIterator<Item = &'a Grant>) -> Self {
        let mut table = Self::default();
        for grant in grants {
            let rights = match grant.grantee {
                None => &mut table.everyone,
                Some(principal) => table.named.entry(CallerWords::new(principal.as_slice())).or_default(),
            };
            rights.add(grant.role, grant.prefix.clone());
        }
        table
    }

    /// Tells with which keys `caller`, the bytes of a principal, may do what `required` may.
    pub fn reach(&self, caller: &[u8], required: Role) -> Reach {
        self.reach_by_name(caller, required).max(self.everyone.reach(required))
    }

    /// As [`RoleTable::reach`], by the caller's own grants alone and not by everyone's.
    pub fn reach_by_name(&self, caller: &[u8], required: Role) -> Reach {
        self.named.get(&CallerWords::new(caller)).map_or(Reach::Nothing, |rights| rights.reach(required))
    }

    /// Tells whether `caller` may do what `required` may with `key`; or with all keys that begin so.
    pub fn covers(&self, caller: &[u8], required: Role, key: &[u8]) -> bool {
        let by_name = || self.named.get(&CallerWords::new(caller)).is_some_and(|rights| rights.covers(required, key));
        by_name() || self.everyone.covers(required, key)
    }

    /// Gives the only prefix to which `caller` is limited in doing what `required` may; `None` if it isn't, or there
    /// are several.
    pub fn only_prefix(&self, caller: &[u8], required: Role) -> Option<&[u8]> {
        if self.reach(caller, required) != Reach::SomeKeys {
            return None;
        }
        let own = self.named.get(&CallerWords::new(caller));
        let limited = own.into_iter().chain([&self.everyone]).flat_map(|rights| &rights.limited);
        let mut prefixes = limited.filter(|(role, _)| *role >= required).map(|(_, prefix)| prefix.as_slice());
        let first = prefixes.next()?;
        prefixes.all(|other| other == first).then_some(first)
    }
}

/// What a router tells its shards about who may do what. It holds for 10 minutes from when it was given.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RolesWord {
    /// Grows with every change of the content.
    pub version: u64,
    /// Digest of the content.
    pub digest: u64,
    /// When the router said so, in nanoseconds since 1970.
    pub given_at_nanoseconds: u64,
    /// Null: the content that was told with this version and digest holds on.
    pub content: Option<RolesContent>,
}

/// What a word is about.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RolesContent {
    /// All grants.
    pub grants: Vec<Grant>,
    /// What each caller may use per minute.
    pub limits: RateLimits,
}

impl RolesContent {
    /// Condenses the content.
    pub fn digest(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&codec::encode(self))
    }
}

/// What a shard answers to a word.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RolesWordReply {
    /// Whether the word holds; if not, the shard lacks its content, or knows a greater version.
    pub holds: bool,
    /// The version that the shard knows.
    pub version: Option<u64>,
    /// How full and busy the shard is. Null from shards of before.
    pub reading: Option<ShardReading>,
}
