//! Who sent a request: its sender's signature, or that of a key at the end of a chain of delegations.

use std::collections::BTreeSet;

use candid::Principal;

use super::Refused;
use super::envelope::{Call, Envelope, Request, SignedDelegation};
use super::keys::{PublicKey, Unverified};
use crate::instance::MessageId;

/// Delegations of a chain.
pub const DELEGATIONS_MAX: usize = 20;
/// Canisters to which one delegation is limited.
pub const TARGETS_MAX: usize = 1_000;
/// How far in the future a request may end, in nanoseconds: five minutes, and one for clocks that differ.
pub const EXPIRY_NANOS_MAX: u64 = 360 * 1_000_000_000;

const REQUEST_SEPARATOR: &[u8] = b"\x0aic-request";
const DELEGATION_SEPARATOR: &[u8] = b"\x1aic-request-auth-delegation";

/// A request whose sender is known. Its times are still to be held against a network's.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub id: MessageId,
    pub sender: Principal,
    pub request: Request,
    pub expiry_nanos: u64,
    /// The first end of a delegation.
    delegated_until_nanos: Option<u64>,
    /// The canisters to which all delegations together are limited.
    targets: Option<BTreeSet<Principal>>,
}

impl Envelope {
    /// Finds out whether the sender signed.
    ///
    /// # Errors
    /// `Bad` with the reason when it didn't, and when the request itself makes no sense.
    pub fn authenticate(self) -> Result<Authenticated, Refused> {
        let id = self.content.id();
        let (sender, expiry_nanos) = (self.content.sender, self.content.ingress_expiry);
        let request = self.content.request()?;
        let delegations = self.sender_delegation.unwrap_or_default();
        let fail = |reason: String| Refused::Bad(format!("Invalid signature: {reason}"));
        if sender == Principal::anonymous() {
            if self.sender_pubkey.is_some() || self.sender_sig.is_some() || !delegations.is_empty() {
                return Err(fail("The anonymous sender has no key to sign with.".to_string()));
            }
        } else {
            let (Some(key), Some(signature)) = (self.sender_pubkey, self.sender_sig) else {
                return Err(fail(format!("The sender {sender} has not signed.")));
            };
            if Principal::self_authenticating(&key) != sender {
                return Err(fail(format!("The public key is not that of the sender {sender}.")));
            }
            let message = [REQUEST_SEPARATOR, &id.0].concat();
            verify_chain(&key, &delegations, &message, &signature).map_err(fail)?;
        }
        if let Some(permissions) = delegations.iter().find_map(|signed| forbids(signed, &request)) {
            return Err(fail(format!("A delegation permits {permissions:?} only.")));
        }
        Ok(Authenticated {
            id,
            sender,
            request,
            expiry_nanos,
            delegated_until_nanos: delegations.iter().map(|signed| signed.delegation.expiration).min(),
            targets: targets(&delegations),
        })
    }
}

impl Authenticated {
    /// Checks the request's times, and whether delegations reach the canister that it calls.
    ///
    /// # Errors
    /// `Bad` with the bounds and the time that lies outside of them, or with the canister.
    pub fn check(&self, now_nanos: u64) -> Result<(), Refused> {
        let latest = now_nanos.saturating_add(EXPIRY_NANOS_MAX);
        if !(now_nanos..=latest).contains(&self.expiry_nanos) {
            // Agents look for these words to set their clocks.
            return Err(Refused::Bad(format!(
                "Invalid request expiry: Specified ingress_expiry not within expected range: Minimum allowed expiry: \
                 {now_nanos}, Maximum allowed expiry: {latest}, Provided expiry: {}",
                self.expiry_nanos
            )));
        }
        if let Some(until) = self.delegated_until_nanos.filter(|until| *until < now_nanos) {
            return Err(Refused::Bad(format!(
                "Invalid delegation expiry: A delegation has ended at {until}, and it is {now_nanos}."
            )));
        }
        match &self.request {
            Request::Call(Call { canister_id, .. }) | Request::Query(Call { canister_id, .. })
                if !self.reaches(canister_id) =>
            {
                Err(Refused::Bad(format!("Canister {canister_id} is not one of the targets of the delegations.")))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether delegations reach a canister.
    pub fn reaches(&self, canister: &Principal) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(canister))
    }
}

/// Verifies that each key let the next one sign, and that the last one signed the message.
fn verify_chain(
    first_key: &[u8],
    delegations: &[SignedDelegation],
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    if delegations.len() > DELEGATIONS_MAX {
        return Err(format!("A chain has at most {DELEGATIONS_MAX} delegations, not {}.", delegations.len()));
    }
    let text = |unverified: Unverified| unverified.to_string();
    let mut seen = BTreeSet::from([first_key]);
    let mut key = PublicKey::from_der(first_key).map_err(text)?;
    for SignedDelegation { delegation, signature } in delegations {
        let targets = delegation.targets.as_ref().map_or(0, Vec::len);
        if targets > TARGETS_MAX {
            return Err(format!("A delegation has at most {TARGETS_MAX} targets, not {targets}."));
        }
        if !seen.insert(&delegation.pubkey) {
            return Err("A key is in the chain of delegations twice.".to_string());
        }
        let message = [DELEGATION_SEPARATOR, &delegation.hash()].concat();
        key.verify(&message, signature).map_err(|reason| format!("A delegation is not valid: {reason}"))?;
        key = PublicKey::from_der(&delegation.pubkey).map_err(text)?;
    }
    key.verify(message, signature).map_err(text)
}

/// Returns the permissions of a delegation that don't include the request.
fn forbids<'d>(signed: &'d SignedDelegation, request: &Request) -> Option<&'d str> {
    let permissions = signed.delegation.permissions.as_deref()?;
    let permitted = match permissions {
        "all" => true,
        "queries" => !matches!(request, Request::Call(_)),
        _ => false,
    };
    (!permitted).then_some(permissions)
}

fn targets(delegations: &[SignedDelegation]) -> Option<BTreeSet<Principal>> {
    let sets = delegations.iter().filter_map(|signed| signed.delegation.targets.as_ref());
    sets.map(|targets| targets.iter().copied().collect::<BTreeSet<_>>())
        .reduce(|one, other| one.intersection(&other).copied().collect())
}
