//! Running one message of a canister: surroundings in, effects out.

use crate::replica::state::{Canister, Surroundings};
use crate::wasm::system::{Context, System};

/// A message with everything it needs to run.
pub struct Prepared {}

/// Fills a [`System`] for `canister` in `context`, without message, caller and cycles of a call. The balance is the
/// whole balance: the caller withdraws the prepayment first. Also for the management canister's install steps.
pub fn system_for(_surroundings: &Surroundings, _canister: &Canister, _context: Context) -> System {
    todo!("replica helper")
}
