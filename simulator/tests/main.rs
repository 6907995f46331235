//! The tests of the simulator as its clients see it: one binary, one module per subject.

/// The HTTP interface of agents, through an unmodified agent and raw.
mod agents;
/// Recorded answers of a real PocketIC server, held against the simulator.
mod conformance;
/// Networks without a server: schedules, faults, conservation, rounds.
mod network;
/// The REST interface itself: shapes, refusals, limits, live mode, gateways, times to live.
mod rest;
/// What should never bring down the host: modules, loops, growth, numbers, crowds.
mod robustness;
/// Faults placed at chosen messages.
mod rules;
