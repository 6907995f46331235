//! The store, and StableBTreeMap beside it, in a canister that measures itself.
//!
//! Update `bench` takes a [`Command`] and replies with what its steps used, see [`Reply`]; `forward` passes a call on to
//! another canister, as a router does. Each instance of the canister holds one structure. Keys, values and operations are
//! made before the counter is read. Outside a canister [`run`] does the same over a memory that counts dirtied pages.

mod command;
#[cfg(not(target_arch = "wasm32"))]
mod counting;
mod keys;
mod map;
mod store;

pub use command::{Action, Command, PAGES_TOLD_MAX, Reply};
pub use keys::{KEY_BYTES, mix};

#[cfg(target_arch = "wasm32")]
mod platform;

use std::cell::RefCell;

/// What is measured.
enum Structure {
    Nothing,
    Store(Box<store::Measured>),
    Map(map::Measured),
}

thread_local! {
    static STRUCTURE: RefCell<Structure> = const { RefCell::new(Structure::Nothing) };
}

/// Tells the instructions since `before`, without those of asking twice.
fn used(before: u64, counter: fn() -> u64) -> u64 {
    let after = counter();
    after - before - (counter() - after)
}

/// Runs a command on the canister's structure; `counter` tells the instructions used so far.
///
/// # Panics
///
/// When there is no structure yet, or it can't do what it is told: the driver is wrong then.
pub fn run(command: &Command, counter: fn() -> u64) -> Reply {
    STRUCTURE.with_borrow_mut(|structure| {
        match command.action {
            Action::CreateStore => *structure = Structure::Store(Box::new(store::create())),
            Action::CreateMap => *structure = Structure::Map(map::create()),
            _ => {
                return match structure {
                    Structure::Nothing => panic!("{:?} before anything was created", command.action),
                    Structure::Store(measured) => store::run(measured, command, counter),
                    Structure::Map(measured) => map::run(measured, command, counter),
                };
            }
        }
        Reply::default()
    })
}
