//! Names for principals.

use candid::Principal;

/// Gives the principal of the person `name`.
pub fn person(name: &str) -> Principal {
    Principal::self_authenticating(name)
}

/// Controls the router's canister.
pub fn owner() -> Principal {
    person("owner")
}

/// Administers the service: named when the router is installed.
pub fn administrator() -> Principal {
    person("administrator")
}

/// May put, get and delete.
pub fn writer() -> Principal {
    person("writer")
}

/// May get.
pub fn reader() -> Principal {
    person("reader")
}

/// May do nothing.
pub fn stranger() -> Principal {
    person("stranger")
}
