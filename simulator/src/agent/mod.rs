//! What agents send: envelopes in CBOR, signed by their senders (interface specification, "HTTPS Interface").
//!
//! | module | what it does |
//! |---|---|
//! | [`envelope`] | reads a request and reckons its id |
//! | [`hash`] | hashes structured values independently of how they are written |
//! | [`authentication`] | finds out whether the sender signed, perhaps through a chain of delegations |
//! | [`keys`] | verifies signatures by public keys in DER form |
//! | [`answers`] | writes what agents read |
//!
//! All of it is pure: what needs a network is in `instance/agents.rs`, what needs HTTP in `rest/agent.rs`.

use std::fmt;

pub mod answers;
pub mod authentication;
pub mod envelope;
pub mod hash;
pub mod keys;
#[cfg(test)]
mod tests;

/// Why a request of an agent is refused before it means anything to a canister. Its text is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 400: malformed, not signed by its sender, out of its time, or sent to the wrong place.
    Bad(String),
    /// 403: a part of the state that is not the sender's to read.
    Forbidden(String),
    /// 404: a part of the state that nobody can read.
    NotFound(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Bad(text) | Self::Forbidden(text) | Self::NotFound(text)) = self;
        f.write_str(text)
    }
}
