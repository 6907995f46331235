//! The real binary against the real router and shards, over the simulator's HTTP interface.

mod fixture; // Networks, and runs of the command.
mod management; // Canisters that the command doesn't make.
mod proxy; // A network that can be cut off.
#[path = "../../tests/relay.rs"]
mod relay; // A canister that passes calls on.

mod administration; // Roles, policy, state.
mod bad_input; // What isn't there, isn't right, or breaks.
mod fleet; // Shards, transfers, alarms.
mod folders; // Imports and exports, whole and ended.
mod large; // Values longer than a record.
mod records; // Put, get, delete, scan.
mod recover; // Lost routers, and lost targets.
mod scrub; // What large values left behind.
