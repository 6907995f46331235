//! The grants that the router keeps: what may be granted and revoked.

use std::collections::BTreeSet;

use candid::{CandidType, Principal};
use canopy_types::limits::{ADMINISTRATORS_MAX, GRANTS_MAX, GRANTS_OF_ONE_MAX, KEY_BYTES_MAX, PREFIX_BYTES_TOTAL_MAX};
use canopy_types::roles::{Grant, GrantError, RevokeError, Role, RoleTable};
use serde::Deserialize;

use crate::configuration::Configuration;
use crate::control::Unsettled;

#[cfg(test)]
mod tests;

/// All grants. Stored whole, as Candid; new fields are optional.
#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Grows with every change, also when a router is installed anew: at least the time of the change in nanoseconds.
    version: u64,
    list: BTreeSet<Grant>,
    /// What is left to do of changes of administrators; null when nothing was ever.
    unsettled: Option<Unsettled>,
}

impl Grants {
    /// Grants what the install arguments say, at `now` (nanoseconds).
    ///
    /// They were checked by their own, older rules, which let the anonymous principal write.
    pub fn from_configuration(configuration: &Configuration, now: u64) -> Self {
        let named = [
            (Role::Administrator, &configuration.administrators),
            (Role::Writer, &configuration.writers),
            (Role::Reader, &configuration.readers),
        ];
        let grants = named.into_iter().flat_map(|(role, principals)| {
            principals.iter().map(move |&principal| Grant::of_everything(principal, role))
        });
        Self { version: now, list: grants.collect(), unsettled: None }
    }

    /// Tells the version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Lists all grants in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.list.iter()
    }

    /// Lists who administers, controllers apart.
    pub fn administrators(&self) -> impl Iterator<Item = Principal> {
        self.list.iter().filter(|grant| grant.role == Role::Administrator).filter_map(|grant| grant.grantee)
    }

    /// Shows what is left to do of changes of administrators.
    pub fn unsettled(&self) -> Unsettled {
        self.unsettled.clone().unwrap_or_default()
    }

    /// Changes what is left to do of changes of administrators.
    pub fn set_unsettled(&mut self, unsettled: Unsettled) {
        self.unsettled = Some(unsettled);
    }

    /// Builds the table for looking up.
    pub fn table(&self) -> RoleTable {
        RoleTable::new(&self.list)
    }

    /// Gives a role at `now` (nanoseconds). One that exists is given already.
    ///
    /// # Errors
    ///
    /// The first rule that the grant breaks; nothing was changed.
    pub fn grant(&mut self, grant: Grant, now: u64) -> Result<(), GrantError> {
        check(&grant)?;
        if self.list.contains(&grant) {
            return Ok(());
        }
        if self.list.len() >= GRANTS_MAX {
            let grants = self.list.len() as u64 + 1;
            return Err(GrantError::TooManyGrants { grants, grants_max: GRANTS_MAX as u64 });
        }
        let own = self.list.iter().filter(|other| other.grantee == grant.grantee).count();
        if own >= GRANTS_OF_ONE_MAX {
            return Err(GrantError::TooManyGrantsOfOne {
                grants: own as u64 + 1,
                grants_max: GRANTS_OF_ONE_MAX as u64,
            });
        }
        let administrators = self.administrators().count() + usize::from(grant.role == Role::Administrator);
        if grant.role == Role::Administrator && administrators > ADMINISTRATORS_MAX {
            return Err(GrantError::TooManyAdministrators {
                administrators: administrators as u64,
                administrators_max: ADMINISTRATORS_MAX as u64,
            });
        }
        let bytes = self.list.iter().chain([&grant]).map(Grant::prefix_bytes).sum::<usize>();
        if bytes > PREFIX_BYTES_TOTAL_MAX {
            let (bytes, bytes_max) = (bytes as u64, PREFIX_BYTES_TOTAL_MAX as u64);
            return Err(GrantError::TooManyPrefixBytes { bytes, bytes_max });
        }
        self.list.insert(grant);
        self.changed(now);
        Ok(())
    }

    /// Takes a role away at `now` (nanoseconds). `is_controller` tells whether a controller of the router asks.
    ///
    /// # Errors
    ///
    /// A grant that doesn't exist, or that only a controller may revoke; nothing was changed.
    pub fn revoke(&mut self, grant: &Grant, is_controller: bool, now: u64) -> Result<(), RevokeError> {
        if !self.list.contains(grant) {
            return Err(RevokeError::NoSuchGrant);
        }
        if grant.role == Role::Administrator && !is_controller && self.administrators().count() == 1 {
            return Err(RevokeError::LastAdministrator);
        }
        self.list.remove(grant);
        self.changed(now);
        Ok(())
    }

    /// Takes over at `now` (nanoseconds) what another router granted, whose word had this version. Who was named when this
    /// router was installed keeps its roles. Tells how many grants there was no room for, with those.
    pub fn take_over(&mut self, grants: &[Grant], version: u64, now: u64) -> u64 {
        let left_out = grants.iter().filter(|grant| self.grant((*grant).clone(), now).is_err()).count();
        self.version = now.max(self.version.max(version).saturating_add(1));
        left_out as u64
    }

    /// Notes at `now` (nanoseconds) that something else has changed of what shards are told.
    pub fn changed(&mut self, now: u64) {
        self.version = now.max(self.version + 1);
    }

    /// Raises the version above one that a shard knows, if it isn't: this router was set back.
    pub fn outbid(&mut self, known: u64, now: u64) {
        if known > self.version {
            self.version = now.max(known.saturating_add(1));
        }
    }
}

/// Checks what can be seen of a grant alone.
fn check(grant: &Grant) -> Result<(), GrantError> {
    match &grant.prefix {
        Some(prefix) if prefix.is_empty() => return Err(GrantError::PrefixEmpty),
        Some(prefix) if prefix.len() > KEY_BYTES_MAX => {
            let (bytes, bytes_max) = (prefix.len() as u64, KEY_BYTES_MAX as u64);
            return Err(GrantError::PrefixTooLong { bytes, bytes_max });
        }
        Some(_) if grant.role == Role::Administrator => return Err(GrantError::PrefixOfAdministrator),
        _ => {}
    }
    match grant.grantee {
        None if grant.role > Role::Reader => Err(GrantError::EveryoneOnlyReads),
        Some(principal) if principal == Principal::anonymous() && grant.role > Role::Reader => {
            Err(GrantError::AnonymousOnlyReads)
        }
        _ => Ok(()),
    }
}
