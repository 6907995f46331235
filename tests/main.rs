//! One binary of tests that drive the real Wasm of router and shard through the `pocket-ic` crate.
//!
//! Start at [`cluster::Cluster`], the only fixture. [`server`] tells where an instance comes from: the embedded
//! simulator, or a PocketIC server that the environment names.

mod cluster; // A router with its shards on an instance of its own, and the calls to them.
mod methods; // Every method of router and shard, with a valid argument and how its refusals read.
mod people; // Names for principals.
mod relay; // A canister that passes calls on, to reach methods past `inspect_message`.
mod server; // Where instances come from.

mod access; // Who may do what.
mod agents; // Users with an unmodified agent on a live network.
mod artifacts; // What the built Wasm contains.
mod bad_input; // Arguments that are out of bounds or no Candid at all.
mod client; // The client library, from outside and in a canister.
mod client_agent; // The client library through an agent.
mod costs; // What messages cost in instructions and cycles.
mod creation; // Failed and lost creations and installations of shards.
mod cycles; // Routers that are short of cycles.
mod determinism; // The same seed gives the same run.
mod direct; // Callers who ask the shards themselves.
mod flood; // Thousands of calls that arrive together.
mod funding; // Cycles for shards whose ranges change hands.
mod gone; // Shards that are deleted while ranges change hands.
mod growth; // Shards that are split because they fill or are busy.
mod large; // The client library and values longer than a record.
mod load; // Many operations at once, and against a model.
mod many; // Batches.
mod moved; // Ranges that moved, asked for in every way.
mod operations; // Put, get and delete.
mod rates; // How much callers may ask for per minute.
mod readme; // Cycles that README.md speaks of.
mod recover; // A lost router and a new one.
mod releases; // Upgrades from every released version.
mod retire; // Shards that are taken out of service.
mod roles; // Roles given and taken away, limited ones, and reading for everyone.
mod scan; // Pages of everything.
mod scrub; // What large values left behind, and what is missing of them.
mod split; // Ranges that change hands while they are read and written.
mod start_up; // From an empty router to one that serves.
mod unavailable; // Shards that are stopped or gone.
mod upgrades; // Upgrades of router and shards.
mod uploads; // Values longer than a record.
