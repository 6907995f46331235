//! Who may call which method.

use candid::Principal;

use crate::configuration::Configuration;
use crate::refusal::Refusal;
use crate::state;

#[cfg(test)]
mod tests;

/// What a caller may do; a greater role may do all that a lesser one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Reader,
    Writer,
    Administrator,
}

/// Tells the greatest role of `caller`; `None` for a stranger. Controllers administer.
pub fn role(configuration: &Configuration, caller: Principal, is_controller: bool) -> Option<Role> {
    if is_controller || configuration.administrators.contains(&caller) {
        Some(Role::Administrator)
    } else if configuration.writers.contains(&caller) {
        Some(Role::Writer)
    } else if configuration.readers.contains(&caller) {
        Some(Role::Reader)
    } else {
        None
    }
}

/// Tells the least role that may call `method`; `None` for a method that is none of the router's.
pub fn required_role(method: &str) -> Option<Role> {
    match method {
        "get" | "get_query" | "routing_table" | "status" => Some(Role::Reader),
        "put" | "delete" => Some(Role::Writer),
        "resolve_alarm" => Some(Role::Administrator),
        _ => None,
    }
}

/// Checks that `caller` may do what `required` may.
///
/// # Errors
///
/// `Unauthorised`.
pub fn authorise(required: Role, caller: Principal) -> Result<(), Refusal> {
    // Who controls the router is asked last, because the platform has to be asked.
    let may = |is_controller| state::with(|state| role(&state.configuration, caller, is_controller)) >= Some(required);
    if may(false) || may(ic_cdk::api::is_controller(&caller)) { Ok(()) } else { Err(Refusal::Unauthorised { caller }) }
}
