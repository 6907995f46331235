//! Who may call which method, and with which keys.

use candid::Principal;
use canopy_types::Role;
use canopy_types::roles::{Reach, RoleTable};

use crate::refusal::Refusal;
use crate::state;

#[cfg(test)]
mod tests;

/// Tells the least role that may call `method`; `None` for a method that is none of the router's.
pub fn required_role(method: &str) -> Option<Role> {
    match method {
        "get" | "get_query" | "routing_table" | "status" => Some(Role::Reader),
        "put" | "delete" => Some(Role::Writer),
        "resolve_alarm" | "grant" | "revoke" | "roles" => Some(Role::Administrator),
        _ => None,
    }
}

/// Tells with which keys `caller` may do what `required` may: all, or some that [`authorise_key`] must be asked about.
///
/// # Errors
///
/// `Unauthorised`: with none.
pub fn authorise(required: Role, caller: Principal) -> Result<Reach, Refusal> {
    authorise_by(caller, |table| table.reach(caller.as_slice(), required))
}

/// As [`authorise`], for what is told only to those who hold a role by name, and not to everyone who may read.
///
/// # Errors
///
/// `Unauthorised`.
pub fn authorise_by_name(required: Role, caller: Principal) -> Result<Reach, Refusal> {
    authorise_by(caller, |table| table.reach_by_name(caller.as_slice(), required))
}

fn authorise_by(caller: Principal, reach: impl FnOnce(&RoleTable) -> Reach) -> Result<Reach, Refusal> {
    let reach = match state::with(|state| reach(state.role_table())) {
        // Who controls the router may do everything; that is asked last, because the platform has to be asked.
        reach if reach < Reach::Everything && ic_cdk::api::is_controller(&caller) => Reach::Everything,
        reach => reach,
    };
    if reach == Reach::Nothing { Err(Refusal::Unauthorised { caller }) } else { Ok(reach) }
}

/// Checks that `caller`, who has this reach, may do what `required` may with `key`; or with all keys that begin so.
///
/// # Errors
///
/// `Unauthorised`.
pub fn authorise_key(reach: Reach, required: Role, caller: Principal, key: &[u8]) -> Result<(), Refusal> {
    let may =
        reach == Reach::Everything || state::with(|state| state.role_table().covers(caller.as_slice(), required, key));
    if may { Ok(()) } else { Err(Refusal::Unauthorised { caller }) }
}
